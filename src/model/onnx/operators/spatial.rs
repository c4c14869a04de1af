//! Operators with windows: convolution and pooling.

use crate::model::data::Data;
use crate::model::node::{Op, ValueId};
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::net::{Binary, Pool2dParams, PoolKind, Reduction, Unary};
use crate::ops::{Activation, Conv2dParams};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("AveragePool", average_pool),
    Operator::new("Conv", conv).leaving_weight(),
    Operator::new("GlobalAveragePool", global_average_pool),
    Operator::new("GlobalLpPool", global_norm_pool),
    Operator::new("GlobalMaxPool", global_max_pool),
    Operator::new("LpPool", norm_pool),
    Operator::new("MaxPool", max_pool),
];

/// Geometry along both axes.
struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// Top, left, bottom, right.
    padding: [usize; 4],
}

/// Whether input 0 has one axis of positions, [N, C, L]: an image of height 1.
pub(super) fn is_line(c: &Context<'_>) -> Result<bool, String> {
    Ok(c.shape(0)?.len() == 2)
}

/// Height and width of input 0.
pub(super) fn map_size(c: &Context<'_>) -> Result<[usize; 2], String> {
    match c.shape(0)?[..] {
        [_, l] => Ok([1, l]),
        [_, h, w] => Ok([h, w]),
        ref s => Err(format!(
            "only images [N, C, H, W] and [N, C, L] are supported, not {s:?} per sample"
        )),
    }
}

/// A parameter of one number per axis of positions.
pub(super) fn pair(
    c: &Context<'_>,
    name: &str,
    default: usize,
    line: bool,
) -> Result<[usize; 2], String> {
    if line {
        let [value] = c.attributes.sizes::<1>(name, default)?;
        // Along an axis of one element every window, stride and dilation of 1 does nothing.
        return Ok([default.min(1), value]);
    }
    c.attributes.sizes::<2>(name, default)
}

/// Paddings at top, left, bottom, right.
pub(super) fn paddings(c: &Context<'_>, line: bool) -> Result<[usize; 4], String> {
    if line {
        let [before, after] = c.attributes.sizes::<2>("pads", 0)?;
        return Ok([0, before, 0, after]);
    }
    c.attributes.sizes::<4>("pads", 0)
}

/// Input 0 as an image.
pub(super) fn image(c: &mut Context<'_>, line: bool) -> Result<ValueId, String> {
    let (x, shape) = (c.data(0)?, c.shape(0)?);
    match shape[..] {
        [channels, l] if line => c.inner(Op::Reshape(vec![channels, 1, l]), &[x]),
        _ => Ok(x),
    }
}

/// Adds the node that writes the first output, an image or what stands for one.
pub(super) fn push_image(c: &mut Context<'_>, op: Op, inputs: &[ValueId], line: bool) -> Done {
    if !line {
        return c.push(op, inputs);
    }
    let y = c.inner(op, inputs)?;
    let mut shape = c.value_shape(y);
    shape.remove(1);
    c.push(Op::Reshape(shape), &[y])
}

/// Shape and elements of the weight, input 1, as that of an image.
pub(super) fn weight(c: &Context<'_>, line: bool) -> Result<([usize; 4], Data), String> {
    let (shape, values) = c.weight(1)?;
    let shape = match (&shape[..], line) {
        (&[m, g, l], true) => [m, g, 1, l],
        (&[m, g, h, w], false) => [m, g, h, w],
        _ => {
            return Err(format!(
                "weight {shape:?} is not [M, C, kh, kw], or [M, C, k] for a line of positions"
            ));
        }
    };
    if shape.contains(&0) {
        return Err(format!("weight {shape:?} is empty"));
    }
    Ok((shape, values))
}

/// Elements that a window spans.
const fn reach(kernel: usize, dilation: usize) -> usize {
    dilation.saturating_mul(kernel - 1).saturating_add(1)
}

fn window(
    c: &Context<'_>,
    kernel: [usize; 2],
    size: [usize; 2],
    line: bool,
) -> Result<Window, String> {
    let stride = pair(c, "strides", 1, line)?;
    let dilation = pair(c, "dilations", 1, line)?;
    if [kernel, stride, dilation].iter().flatten().any(|&v| v == 0) {
        return Err("a window, stride or dilation is zero".into());
    }
    let reach = [0, 1].map(|i| reach(kernel[i], dilation[i]));
    let padding = match c.attributes.text("auto_pad", "NOTSET")? {
        "NOTSET" | "" => paddings(c, line)?,
        "VALID" => [0; 4],
        same @ ("SAME_UPPER" | "SAME_LOWER") => {
            let total = [0, 1].map(|i| {
                let outputs = size[i].div_ceil(stride[i]);
                let end = ((outputs - 1) * stride[i]).saturating_add(reach[i]);
                end.saturating_sub(size[i])
            });
            let half = total.map(|t| t / 2);
            let rest = [total[0] - half[0], total[1] - half[1]];
            if same == "SAME_UPPER" {
                [half[0], half[1], rest[0], rest[1]]
            } else {
                [rest[0], rest[1], half[0], half[1]]
            }
        }
        other => return Err(format!("unknown auto_pad '{other}'")),
    };
    Ok(Window {
        kernel,
        stride,
        dilation,
        padding,
    })
}

fn conv(c: &mut Context<'_>) -> Done {
    let line = is_line(c)?;
    let (op, inputs) = convolution(c)?;
    push_image(c, op, &inputs, line)
}

/// The convolution of a node on images, and what it reads.
pub(super) fn convolution(c: &mut Context<'_>) -> Result<(Op, Vec<ValueId>), String> {
    let (line, size) = (is_line(c)?, map_size(c)?);
    let (shape, values) = weight(c, line)?;
    let kernel = [shape[2], shape[3]];
    if c.attributes.find("kernel_shape").is_some() && pair(c, "kernel_shape", 1, line)? != kernel {
        return Err(format!("kernel_shape is not that of the weight {shape:?}"));
    }
    let w = window(c, kernel, size, line)?;
    let groups = usize::try_from(c.attributes.int("group", 1)).map_err(|e| e.to_string())?;
    let params = Conv2dParams {
        stride: w.stride,
        padding: w.padding,
        dilation: w.dilation,
        groups,
        activation: Activation::Identity,
    };
    let filters = if line {
        c.derived(1, &shape, values)?
    } else {
        c.operand(1)?
    };
    let mut inputs = vec![image(c, line)?, filters];
    if c.optional_constant(2)?.is_some() {
        inputs.push(c.operand(2)?);
    }
    Ok((Op::Conv(params), inputs))
}

fn max_pool(c: &mut Context<'_>) -> Done {
    pool(c, PoolKind::Max)
}

fn average_pool(c: &mut Context<'_>) -> Done {
    let padded = c.attributes.flag("count_include_pad");
    let kind = if padded {
        PoolKind::AveragePadded
    } else {
        PoolKind::Average
    };
    pool(c, kind)
}

fn pool(c: &mut Context<'_>, kind: PoolKind) -> Done {
    let params = pooling(c, kind)?;
    let line = is_line(c)?;
    let x = image(c, line)?;
    push_image(c, Op::Pool(params), &[x], line)
}

/// `(sum of |x|^p)^(1 / p)` over each window, where padding counts as zeros.
fn norm_pool(c: &mut Context<'_>) -> Done {
    let params = pooling(c, PoolKind::AveragePadded)?;
    let line = is_line(c)?;
    let x = image(c, line)?;
    let count = (params.kernel[0] * params.kernel[1]) as f32;
    let y = powered(c, x)?;
    let y = c.inner(Op::Pool(params), &[y])?;
    let y = c.inner(Op::Unary(Unary::Affine(count, 0.0)), &[y])?;
    let root = exponent(c, true)?;
    push_image(c, pow(), &[y, root], line)
}

/// The same over whole maps.
fn global_norm_pool(c: &mut Context<'_>) -> Done {
    let (x, rank) = (c.data(0)?, c.shape(0)?.len() + 1);
    if rank < 3 {
        return Err("has no map to pool".into());
    }
    let y = powered(c, x)?;
    let sum = Op::Reduce {
        kind: Reduction::Sum,
        axes: 2..rank,
        keep: true,
    };
    let y = c.inner(sum, &[y])?;
    let root = exponent(c, true)?;
    c.push(pow(), &[y, root])
}

/// `|x|^p`.
fn powered(c: &mut Context<'_>, x: ValueId) -> Result<ValueId, String> {
    let x = c.inner(Op::Unary(Unary::Abs), &[x])?;
    let p = exponent(c, false)?;
    c.inner(pow(), &[x, p])
}

const fn pow() -> Op {
    Op::Binary(Binary::Pow, Activation::Identity)
}

/// `p`, or `1 / p`, as a constant.
fn exponent(c: &mut Context<'_>, inverse: bool) -> Result<ValueId, String> {
    let p = c.attributes.int("p", 2);
    if p < 1 {
        return Err(format!("p is {p}, not 1 or more"));
    }
    let p = if inverse { 1.0 / p as f64 } else { p as f64 };
    c.derived(0, &[], vec![p as f32])
}

/// The geometry of a pooling.
fn pooling(c: &Context<'_>, kind: PoolKind) -> Result<Pool2dParams, String> {
    let (line, size) = (is_line(c)?, map_size(c)?);
    if c.attributes.find("kernel_shape").is_none() {
        return Err("kernel_shape is missing".into());
    }
    let w = window(c, pair(c, "kernel_shape", 1, line)?, size, line)?;
    let mut output = [0; 2];
    for i in 0..2 {
        let reach = reach(w.kernel[i], w.dilation[i]);
        if w.padding[i] >= reach || w.padding[i + 2] >= reach {
            return Err("the padding is as large as the window".into());
        }
        let room = (size[i] + w.padding[i] + w.padding[i + 2])
            .checked_sub(reach)
            .ok_or_else(|| format!("a window of {:?} does not fit {size:?}", w.kernel))?;
        output[i] = room / w.stride[i] + 1;
        // Rounding up adds a window only if it starts inside the input or its padding before.
        let rest = room % w.stride[i] != 0;
        if c.attributes.flag("ceil_mode")
            && rest
            && output[i] * w.stride[i] < size[i] + w.padding[i]
        {
            output[i] += 1;
        }
    }
    Ok(Pool2dParams {
        kind,
        kernel: w.kernel,
        stride: w.stride,
        padding: w.padding,
        dilation: w.dilation,
        output,
    })
}

/// Of images as a pooling, which the impulse response knows how to make linear.
fn global_max_pool(c: &mut Context<'_>) -> Done {
    if c.shape(0)?.len() != 3 {
        return global_pool(c, Reduction::Max);
    }
    let kernel = map_size(c)?;
    let params = Pool2dParams {
        kind: PoolKind::Max,
        kernel,
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        output: [1, 1],
    };
    let x = c.data(0)?;
    c.push(Op::Pool(params), &[x])
}

fn global_average_pool(c: &mut Context<'_>) -> Done {
    global_pool(c, Reduction::Mean)
}

fn global_pool(c: &mut Context<'_>, kind: Reduction) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let x = c.data(0)?;
    if rank < 3 {
        return Err("has no map to pool".into());
    }
    let op = Op::Reduce {
        kind,
        axes: 2..rank,
        keep: true,
    };
    c.push(op, &[x])
}
