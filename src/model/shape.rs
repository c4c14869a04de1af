//! Shapes of results, and whether operands fit.

use super::node::{Fill, Op, Value};
use crate::ops::net::{MAX_RANK, broadcast_shape};
use crate::tensor::checked_product;

type Shape = Result<Vec<usize>, String>;

/// Most elements of one value per sample: keeps products of sizes far from overflow.
const MAX_LEN: u64 = 1 << 40;

/// Number of elements, if the shape is usable.
pub(super) fn check_size(shape: &[usize]) -> Result<usize, String> {
    let dims: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
    if shape.len() >= MAX_RANK {
        return Err(format!("shape {shape:?} has {MAX_RANK} or more axes"));
    }
    match checked_product(&dims) {
        Some(0) => Err(format!("shape {shape:?} has a zero dimension")),
        Some(n) if n <= MAX_LEN => Ok(n as usize),
        _ => Err(format!("shape {shape:?} is too large")),
    }
}

/// Shape of a node's result per sample.
pub(super) fn infer(op: &Op, inputs: &[&Value]) -> Shape {
    let computed = |i: usize| match inputs.get(i) {
        Some(v) if v.data.is_none() => Ok(v.shape.as_slice()),
        Some(v) => Err(format!("'{}' is a constant where data is needed", v.name)),
        None => Err(format!("input {i} is missing")),
    };
    let constant = |i: usize| match inputs.get(i) {
        Some(v) if v.data.is_some() => Ok(v.shape.as_slice()),
        Some(v) => Err(format!("'{}' must be a constant of the model", v.name)),
        None => Err(format!("input {i} is missing")),
    };
    let optional = |i: usize| (inputs.len() > i).then(|| constant(i)).transpose();
    match op {
        Op::Conv(p) => conv(p, computed(0)?, constant(1)?, optional(2)?),
        Op::BatchNorm(_) => batch_norm(computed(0)?, constant(1)?, constant(2)?),
        Op::Linear(_) => linear(computed(0)?, constant(1)?, optional(2)?),
        Op::Unary(_) => Ok(computed(0)?.to_vec()),
        Op::Binary(..) => binary(inputs),
        Op::Pool(p) => match computed(0)? {
            &[c, _, _] => check_steps(&[p.stride, p.dilation, p.kernel, p.output])
                .map(|()| vec![c, p.output[0], p.output[1]]),
            s => Err(format!("2-D pooling of a value of shape {s:?} per sample")),
        },
        Op::Reduce { axes, keep, .. } => {
            let x = computed(0)?;
            check_axes(axes.start, x)?;
            check_axes(axes.end.saturating_sub(1), x)?;
            let (before, after) = (&x[..axes.start - 1], &x[axes.end - 1..]);
            let ones = vec![1; if *keep { axes.len() } else { 0 }];
            Ok([before, &ones, after].concat())
        }
        Op::Normalise { len, .. } => {
            let x = computed(0)?;
            if *len > 0 && check_size(x)?.is_multiple_of(*len) {
                Ok(x.to_vec())
            } else {
                Err(format!("{x:?} per sample is not cut into runs of {len}"))
            }
        }
        Op::MatMul => matmul(inputs),
        Op::Softmax(axis) => {
            check_axes(*axis, computed(0)?)?;
            Ok(computed(0)?.to_vec())
        }
        Op::Concat(axis) => concat(*axis, inputs),
        Op::Reshape(shape) => {
            let x = computed(0)?;
            if check_size(shape)? == check_size(x)? {
                Ok(shape.clone())
            } else {
                Err(format!("{x:?} per sample cannot become {shape:?}"))
            }
        }
        Op::Transpose(perm) => transpose(perm, computed(0)?),
        Op::Pad {
            before,
            after,
            fill,
        } => pad(computed(0)?, before, after, *fill),
        Op::Slice(s) => {
            let x = computed(0)?;
            let fits = |i: usize| {
                let last =
                    s.start[i] as i128 + (s.count[i].saturating_sub(1)) as i128 * s.step[i] as i128;
                s.count[i] > 0 && s.start[i] < x[i] && last >= 0 && last < x[i] as i128
            };
            let ranks = [s.start.len(), s.step.len(), s.count.len()];
            if ranks == [x.len(); 3] && (0..x.len()).all(fits) {
                Ok(s.count.clone())
            } else {
                Err(format!("the slice leaves shape {x:?}, or takes nothing"))
            }
        }
        Op::Expand(shape) => expand(inputs, shape),
        Op::Spread {
            step,
            before,
            after,
        } => spread(computed(0)?, step, before, after),
        Op::Resample { axis, by } => {
            let x = computed(0)?;
            check_axes(*axis, x)?;
            let mut shape = x.to_vec();
            shape[axis - 1] = by.len();
            if by.index.iter().all(|&i| (i as usize) < x[axis - 1]) {
                Ok(shape)
            } else {
                Err(format!(
                    "an index is outside axis {axis} of {x:?} per sample"
                ))
            }
        }
    }
}

/// An axis of a value of `shape` per sample that is not the batch.
fn check_axes(axis: usize, shape: &[usize]) -> Result<(), String> {
    if axis == 0 {
        return Err("works along the batch axis, which must stay free".into());
    }
    if axis > shape.len() {
        return Err(format!("axis {axis} is outside shape {shape:?} per sample"));
    }
    Ok(())
}

/// Steps and windows are at least 1.
fn check_steps(pairs: &[[usize; 2]]) -> Result<(), String> {
    if pairs.iter().flatten().any(|&v| v == 0) {
        return Err("a stride, dilation, window or result size is zero".into());
    }
    Ok(())
}

fn conv(p: &crate::ops::Conv2dParams, x: &[usize], w: &[usize], b: Option<&[usize]>) -> Shape {
    check_steps(&[p.stride, p.dilation])?;
    let (&[c, h, wd], &[m, cg, kh, kw]) = (x, w) else {
        return Err(format!(
            "only 2-D convolutions are supported: input {x:?} per sample, weight {w:?}"
        ));
    };
    if p.groups == 0 || cg.checked_mul(p.groups) != Some(c) || m % p.groups != 0 {
        return Err(format!(
            "weight {w:?} with {} groups does not fit {c} channels",
            p.groups
        ));
    }
    if let Some(b) = b
        && b != [m]
    {
        return Err(format!(
            "a bias of shape {b:?} does not fit {m} output channels"
        ));
    }
    let with_padding = |axis: usize, size: usize| {
        size.saturating_add(p.padding[axis])
            .saturating_add(p.padding[axis + 2])
    };
    check_size(&[c, with_padding(0, h), with_padding(1, wd)])
        .map_err(|_| format!("its paddings {:?} are too large", p.padding))?;
    let size = |axis: usize, size: usize, k: usize| {
        let padded = size
            .checked_add(p.padding[axis])?
            .checked_add(p.padding[axis + 2])?;
        let reach = p.dilation[axis].checked_mul(k - 1)?.checked_add(1)?;
        Some(padded.checked_sub(reach)? / p.stride[axis] + 1)
    };
    match (size(0, h, kh), size(1, wd, kw)) {
        (Some(oh), Some(ow)) => Ok(vec![m, oh, ow]),
        _ => Err(format!(
            "a window of {kh}x{kw} does not fit an input of {h}x{wd}"
        )),
    }
}

fn batch_norm(x: &[usize], scale: &[usize], shift: &[usize]) -> Shape {
    match x.first() {
        Some(&c) if scale == [c] && shift == [c] => Ok(x.to_vec()),
        _ => Err(format!(
            "parameters of shape {scale:?} do not fit data {x:?} per sample"
        )),
    }
}

fn linear(x: &[usize], w: &[usize], b: Option<&[usize]>) -> Shape {
    match (x.split_last(), w) {
        (Some((k, rest)), &[kw, m]) if *k == kw && b.is_none_or(|b| b == [m]) => {
            Ok([rest, &[m]].concat())
        }
        _ => Err(format!(
            "{x:?} per sample cannot be multiplied by a weight {w:?}{}",
            b.map_or_else(String::new, |b| format!(" with a bias of shape {b:?}"))
        )),
    }
}

fn binary(inputs: &[&Value]) -> Shape {
    let &[a, b] = inputs else {
        return Err("needs two inputs".into());
    };
    broadcast(a, b, &full(a), &full(b))
}

/// Shape with the batch, marked by `usize::MAX`, of what is computed.
fn full(v: &Value) -> Vec<usize> {
    match v.data {
        Some(_) => v.shape.clone(),
        None => [&[usize::MAX], v.shape.as_slice()].concat(),
    }
}

/// Broadcast per sample of two shapes with the batch, which must meet itself, a 1, or nothing.
fn broadcast(a: &Value, b: &Value, fa: &[usize], fb: &[usize]) -> Shape {
    let ranks_fit = match (&a.data, &b.data) {
        (None, None) => fa.len() == fb.len(),
        (None, Some(_)) => fa.len() >= fb.len(),
        (Some(_), None) => fb.len() >= fa.len(),
        (Some(_), Some(_)) => return Err("both inputs are constants".into()),
    };
    let shape = broadcast_shape(fa, fb).map_err(|_| {
        format!(
            "shapes {:?} and {:?} do not fit: axes must be equal, or 1 to be broadcast",
            a.shape, b.shape
        )
    })?;
    if !ranks_fit || shape.first() != Some(&usize::MAX) {
        return Err(format!(
            "shapes {:?} and {:?} do not keep the batch first",
            a.shape, b.shape
        ));
    }
    Ok(shape[1..].to_vec())
}

fn matmul(inputs: &[&Value]) -> Shape {
    let &[a, b] = inputs else {
        return Err("needs two inputs".into());
    };
    let (fa, fb) = (full(a), full(b));
    let misfit = || format!("{:?} cannot be multiplied by {:?}", a.shape, b.shape);
    let (&[ref ba @ .., rows, k], &[ref bb @ .., kb, columns]) = (&fa[..], &fb[..]) else {
        return Err(misfit());
    };
    if k != kb {
        return Err(misfit());
    }
    if rows == usize::MAX || kb == usize::MAX {
        return Err("multiplies along the batch axis, which must stay free".into());
    }
    let batch = broadcast(a, b, ba, bb)?;
    Ok([&batch[..], &[rows, columns]].concat())
}

fn expand(inputs: &[&Value], shape: &[usize]) -> Shape {
    let &[x] = inputs else {
        return Err("needs one input".into());
    };
    let from = full(x);
    let to = [&[usize::MAX], shape].concat();
    let rank_fits = from.len() == to.len() || x.data.is_some() && from.len() < to.len();
    if rank_fits && broadcast_shape(&from, &to).is_ok_and(|s| s == to) {
        Ok(shape.to_vec())
    } else {
        Err(format!("{:?} cannot be repeated to {shape:?}", x.shape))
    }
}

fn spread(x: &[usize], step: &[usize], before: &[usize], after: &[usize]) -> Shape {
    if [step.len(), before.len(), after.len()] != [x.len(); 3] || step.contains(&0) {
        return Err(format!("steps {step:?} do not fit shape {x:?}"));
    }
    (0..x.len())
        .map(|i| {
            let inside = (x[i] - 1).checked_mul(step[i])?.checked_add(1)?;
            inside.checked_add(before[i])?.checked_add(after[i])
        })
        .collect::<Option<_>>()
        .ok_or_else(|| format!("steps {step:?} are too large for {x:?}"))
}

fn concat(axis: usize, inputs: &[&Value]) -> Shape {
    let Some(first) = inputs.first() else {
        return Err("has no input".into());
    };
    check_axes(axis, &first.shape)?;
    let mut shape = first.shape.clone();
    shape[axis - 1] = 0;
    for v in inputs {
        if v.data.is_some() {
            return Err(format!("'{}' is a constant where data is needed", v.name));
        }
        let same = v.shape.len() == shape.len()
            && (0..shape.len()).all(|i| i == axis - 1 || v.shape[i] == shape[i]);
        if !same {
            return Err(format!(
                "'{}' of shape {:?} does not continue {:?} along axis {axis}",
                v.name, v.shape, first.shape
            ));
        }
        shape[axis - 1] += v.shape[axis - 1];
    }
    Ok(shape)
}

fn pad(x: &[usize], before: &[usize], after: &[usize], fill: Fill) -> Shape {
    if before.len() != x.len() || after.len() != x.len() {
        return Err(format!("paddings do not fit shape {x:?}"));
    }
    let axis = |i: usize| {
        let reach = match fill {
            Fill::Constant(_) | Fill::Edge => MAX_LEN as usize,
            Fill::Reflect => x[i] - 1,
            Fill::Wrap => x[i],
        };
        let fits = before[i] <= reach && after[i] <= reach;
        fits.then(|| before[i] + x[i] + after[i])
    };
    (0..x.len())
        .map(axis)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("paddings {before:?} and {after:?} are too large for {x:?}"))
}

fn transpose(perm: &[usize], x: &[usize]) -> Shape {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if perm.len() != x.len() + 1 || !sorted.iter().copied().eq(0..perm.len()) {
        return Err(format!("permutation {perm:?} does not fit shape {x:?}"));
    }
    if perm[0] != 0 {
        return Err("moves the batch axis, which must stay first".into());
    }
    Ok(perm[1..].iter().map(|&i| x[i - 1]).collect())
}
