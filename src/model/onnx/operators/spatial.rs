//! Operators with windows, and batch normalisation.

use crate::model::node::Op;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::net::{Pool2dParams, PoolKind};
use crate::ops::{Activation, Conv2dParams};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("AveragePool", average_pool),
    Operator::new("BatchNormalization", batch_norm),
    Operator::new("Conv", conv),
    Operator::new("GlobalAveragePool", global_average_pool),
    Operator::new("GlobalMaxPool", global_max_pool),
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

/// Height and width of input 0.
fn map_size(c: &Context<'_>) -> Result<[usize; 2], String> {
    match c.shape(0)?[..] {
        [_, h, w] => Ok([h, w]),
        ref s => Err(format!(
            "only images [N, C, H, W] are supported, not {s:?} per sample"
        )),
    }
}

fn window(c: &Context<'_>, kernel: [usize; 2], size: [usize; 2]) -> Result<Window, String> {
    let stride = c.attributes.sizes::<2>("strides", 1)?;
    let dilation = c.attributes.sizes::<2>("dilations", 1)?;
    if [kernel, stride, dilation].iter().flatten().any(|&v| v == 0) {
        return Err("a window, stride or dilation is zero".into());
    }
    let reach = [0, 1].map(|i| dilation[i] * (kernel[i] - 1) + 1);
    let padding = match c.attributes.text("auto_pad", "NOTSET")? {
        "NOTSET" | "" => c.attributes.sizes::<4>("pads", 0)?,
        "VALID" => [0; 4],
        same @ ("SAME_UPPER" | "SAME_LOWER") => {
            let total = [0, 1].map(|i| {
                let outputs = size[i].div_ceil(stride[i]);
                ((outputs - 1) * stride[i] + reach[i]).saturating_sub(size[i])
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
    let size = map_size(c)?;
    let (shape, _) = c.floats(1)?;
    let &[_, _, kh, kw] = shape.as_slice() else {
        return Err(format!("weight {shape:?} is not [M, C, kh, kw]"));
    };
    if c.attributes.sizes::<2>("kernel_shape", 0)? != [kh, kw]
        && c.attributes.find("kernel_shape").is_some()
    {
        return Err(format!("kernel_shape is not that of the weight {shape:?}"));
    }
    let w = window(c, [kh, kw], size)?;
    let groups = usize::try_from(c.attributes.int("group", 1)).map_err(|e| e.to_string())?;
    let params = Conv2dParams {
        stride: w.stride,
        padding: w.padding,
        dilation: w.dilation,
        groups,
        activation: Activation::Identity,
    };
    let mut inputs = vec![c.data(0)?, c.operand(1)?];
    if c.optional_constant(2)?.is_some() {
        inputs.push(c.operand(2)?);
    }
    c.push(Op::Conv(params), &inputs)
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
    let size = map_size(c)?;
    if c.attributes.find("kernel_shape").is_none() {
        return Err("kernel_shape is missing".into());
    }
    let w = window(c, c.attributes.sizes("kernel_shape", 1)?, size)?;
    let mut output = [0; 2];
    for i in 0..2 {
        let reach = w.dilation[i] * (w.kernel[i] - 1) + 1;
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
    let params = Pool2dParams {
        kind,
        kernel: w.kernel,
        stride: w.stride,
        padding: w.padding,
        dilation: w.dilation,
        output,
    };
    let x = c.data(0)?;
    c.push(Op::Pool(params), &[x])
}

fn global_max_pool(c: &mut Context<'_>) -> Done {
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
    let rank = c.shape(0)?.len() + 1;
    let x = c.data(0)?;
    if rank < 3 {
        return Err("has no map to average".into());
    }
    let op = Op::Reduce {
        kind: crate::ops::net::Reduction::Mean,
        axes: 2..rank,
        keep: true,
    };
    c.push(op, &[x])
}

/// `y = (x - mean) / sqrt(var + epsilon) * scale + bias` as `x * a + b`.
fn batch_norm(c: &mut Context<'_>) -> Done {
    if c.attributes.flag("training_mode") {
        return Err("is in training mode; export the model for inference".into());
    }
    let epsilon = f64::from(c.attributes.float("epsilon", 1e-5));
    let ((shape, scale), bias) = (c.floats(1)?, c.floats(2)?);
    let (mean, variance) = (c.floats(3)?, c.floats(4)?);
    if [&bias.0, &mean.0, &variance.0].iter().any(|&s| *s != shape) {
        return Err("its parameters differ in shape".into());
    }
    let factor: Vec<f64> = (scale.iter().zip(variance.1))
        .map(|(&s, &v)| f64::from(s) / (f64::from(v) + epsilon).sqrt())
        .collect();
    let shift: Vec<f32> = (factor.iter().zip(mean.1).zip(bias.1))
        .map(|((f, &m), &b)| (f64::from(b) - f64::from(m) * f) as f32)
        .collect();
    let factor: Vec<f32> = factor.iter().map(|&f| f as f32).collect();
    let inputs = [
        c.data(0)?,
        c.derived(1, &shape, factor)?,
        c.derived(2, &shape, shift)?,
    ];
    c.push(Op::BatchNorm(Activation::Identity), &inputs)
}
