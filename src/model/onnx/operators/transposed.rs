//! Transposed convolution, as a convolution of the input with zeros between its elements.

use super::spatial::{image, is_line, map_size, paddings, pair, push_image, weight};
use crate::model::node::{Op, SliceSpec};
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::{Activation, Conv2dParams};

pub(super) const OPERATORS: &[Operator] = &[Operator::new("ConvTranspose", conv_transpose)];

/// Padding, which may be negative, before and after each of both axes of the input with zeros between its elements.
struct Margins {
    before: [i64; 2],
    after: [i64; 2],
}

/// Each element of the input adds `weight` times itself to the output, `stride` apart. So an output element is the
/// sum of the inputs around it, zeros between them, by the weight turned by half a turn.
fn conv_transpose(c: &mut Context<'_>) -> Done {
    let line = is_line(c)?;
    let size = map_size(c)?;
    let (shape, values) = weight(c, line)?;
    let values = values.read().map_err(|e| e.to_string())?;
    let [channels, each, kh, kw] = shape;
    let groups = usize::try_from(c.attributes.int("group", 1)).unwrap_or(0);
    if groups == 0 || channels % groups != 0 {
        return Err(format!("{groups} groups do not fit weight {shape:?}"));
    }
    let stride = pair(c, "strides", 1, line)?;
    let dilation = pair(c, "dilations", 1, line)?;
    if [stride, dilation].iter().flatten().any(|&v| v == 0) {
        return Err("a stride or dilation is zero".into());
    }
    let reach = [0, 1].map(|i| dilation[i] * ([kh, kw][i] - 1) + 1);
    let margins = margins(c, line, size, stride, reach)?;

    let group = channels / groups;
    let mut turned = Vec::with_capacity(values.len());
    for filter in 0..each * groups {
        let (g, m) = (filter / each, filter % each);
        for channel in g * group..(g + 1) * group {
            let taps = &values[(channel * each + m) * kh * kw..][..kh * kw];
            turned.extend(taps.iter().rev());
        }
    }
    let mut inputs = vec![image(c, line)?];
    let positive = |v: [i64; 2]| v.map(|v| v.max(0) as usize);
    let spread = Op::Spread {
        step: vec![1, stride[0], stride[1]],
        before: [&[0], &positive(margins.before)[..]].concat(),
        after: [&[0], &positive(margins.after)[..]].concat(),
    };
    inputs[0] = c.inner(spread, &inputs)?;
    if margins.before.iter().chain(&margins.after).any(|&v| v < 0) {
        let full = c.value_shape(inputs[0]);
        let cut = |v: i64| (-v).max(0) as usize;
        let start = margins.before.map(cut);
        let count = [0, 1].map(|i| full[i + 1].saturating_sub(start[i] + cut(margins.after[i])));
        let part = SliceSpec {
            start: vec![0, start[0], start[1]],
            step: vec![1; 3],
            count: vec![full[0], count[0], count[1]],
        };
        inputs[0] = c.inner(Op::Slice(part), &inputs)?;
    }
    inputs.push(c.derived(1, &[each * groups, group, kh, kw], turned)?);
    if c.optional_constant(2)?.is_some() {
        inputs.push(c.operand(2)?);
    }
    let params = Conv2dParams {
        stride: [1, 1],
        padding: [0; 4],
        dilation,
        groups,
        activation: Activation::Identity,
    };
    push_image(c, Op::Conv(params), &inputs, line)
}

fn margins(
    c: &Context<'_>,
    line: bool,
    size: [usize; 2],
    stride: [usize; 2],
    reach: [usize; 2],
) -> Result<Margins, String> {
    let extra = pair(c, "output_padding", 0, line)?;
    let wanted = match c.attributes.ints("output_shape") {
        Some(_) => Some(pair(c, "output_shape", 1, line)?),
        None => None,
    };
    let auto = c.attributes.text("auto_pad", "NOTSET")?;
    let given = paddings(c, line)?;
    let mut out = Margins {
        before: [0; 2],
        after: [0; 2],
    };
    for i in 0..2 {
        let full = (stride[i] * (size[i] - 1) + extra[i] + reach[i]) as i64;
        let same = matches!(auto, "SAME_UPPER" | "SAME_LOWER");
        let target = match wanted {
            Some(wanted) => Some(wanted[i]),
            None if same => Some(size[i] * stride[i]),
            None => None,
        };
        let (before, after) = match (target, auto) {
            (Some(target), _) => {
                let total = full - target as i64;
                // Where the result is asked to be larger than the full one, zeros come at its end.
                let total = if same { total.max(0) } else { total };
                let half = total.max(0) / 2;
                match auto {
                    "SAME_UPPER" => (half, total - half),
                    _ if total < 0 => (0, total),
                    _ => (total - half, half),
                }
            }
            (None, "VALID") => (0, 0),
            (None, "NOTSET" | "") => (given[i] as i64, given[i + 2] as i64),
            (None, other) => return Err(format!("unknown auto_pad '{other}'")),
        };
        let edge = reach[i] as i64 - 1;
        out.before[i] = edge - before;
        out.after[i] = edge - after + extra[i] as i64;
    }
    Ok(out)
}
