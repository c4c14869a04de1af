//! Operators that move, select, join or surround elements.

use crate::model::node::{Fill, Op, SliceSpec};
use crate::model::onnx::attributes::{axis, inner_axis};
use crate::model::onnx::context::{Context, Done, Operator};
use crate::model::onnx::tensor::{Constant, Dim, Elements};
use crate::ops::net::strides;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Concat", concat).or_constant(concat_constant),
    Operator::new("Gather", gather).or_constant(gather_constant),
    Operator::new("Pad", pad),
    Operator::new("Slice", slice).or_constant(slice_constant),
    Operator::new("Split", split),
    Operator::new("Transpose", transpose).or_constant(transpose_constant),
];

fn transpose(c: &mut Context<'_>) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let perm = match c.attributes.ints("perm") {
        Some(p) => p.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let x = c.data(0)?;
    c.push(Op::Transpose(perm), &[x])
}

fn concat(c: &mut Context<'_>) -> Done {
    let count = c.attributes.0.input.len();
    let inputs = (0..count)
        .map(|i| c.data(i))
        .collect::<Result<Vec<_>, _>>()?;
    let rank = c.shape(0)?.len() + 1;
    let axis = axis(c.attributes.int("axis", 1), rank)?;
    c.push(Op::Concat(axis), &inputs)
}

/// One index along one axis, which disappears.
fn gather(c: &mut Context<'_>) -> Done {
    let mut shape = c.shape(0)?;
    let at = inner_axis(c.attributes.int("axis", 0), shape.len() + 1)?;
    let index = c.constant(1)?;
    if !index.shape.is_empty() {
        return Err("only a single index can be taken from data".into());
    }
    let index = axis(index.known()?[0], shape[at - 1])?;
    let mut part = SliceSpec {
        start: vec![0; shape.len()],
        step: vec![1; shape.len()],
        count: shape.clone(),
    };
    part.start[at - 1] = index;
    part.count[at - 1] = 1;
    let x = c.data(0)?;
    let row = c.inner(Op::Slice(part), &[x])?;
    shape.remove(at - 1);
    c.push(Op::Reshape(shape), &[row])
}

fn slice(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let (starts, ends) = (c.constant(1)?.known()?, c.constant(2)?.known()?);
    let all: Vec<i64> = (0..starts.len() as i64).collect();
    let axes = c.ints("", 3)?.unwrap_or(all);
    let steps = c.ints("", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps differ in length".into());
    }
    let mut part = SliceSpec {
        start: vec![0; shape.len()],
        step: vec![1; shape.len()],
        count: shape.clone(),
    };
    for i in 0..starts.len() {
        let at = axis(axes[i], shape.len() + 1)?;
        if at == 0 && starts[i] == 0 && ends[i] >= i64::from(i32::MAX) && steps[i] == 1 {
            continue; // the whole batch
        }
        let at = inner_axis(axes[i], shape.len() + 1)? - 1;
        let range = slice_range(starts[i], ends[i], steps[i], shape[at])?;
        (part.start[at], part.count[at]) = range;
        part.step[at] = isize::try_from(steps[i]).map_err(|e| e.to_string())?;
    }
    let x = c.data(0)?;
    c.push(Op::Slice(part), &[x])
}

fn split(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let at = inner_axis(c.attributes.int("axis", 0), shape.len() + 1)? - 1;
    let outputs = c.attributes.0.output.len();
    let sizes: Vec<usize> = match c.ints("split", 1)? {
        Some(sizes) => (sizes.iter())
            .map(|&s| usize::try_from(s).map_err(|e| e.to_string()))
            .collect::<Result<_, _>>()?,
        None => {
            let each = shape[at].div_ceil(outputs.max(1));
            let part = |i: usize| each.min(shape[at].saturating_sub(i * each));
            (0..outputs).map(part).collect()
        }
    };
    if sizes.len() != outputs {
        return Err(format!("{} sizes for {outputs} outputs", sizes.len()));
    }
    let x = c.data(0)?;
    let mut start = 0usize;
    for (i, size) in sizes.into_iter().enumerate() {
        let mut part = SliceSpec {
            start: vec![0; shape.len()],
            step: vec![1; shape.len()],
            count: shape.clone(),
        };
        (part.start[at], part.count[at]) = (start, size);
        c.push_output(i, Op::Slice(part), &[x])?;
        start = start.saturating_add(size);
    }
    if start == shape[at] {
        Ok(())
    } else {
        Err(format!("the sizes do not add up to {}", shape[at]))
    }
}

fn pad(c: &mut Context<'_>) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let pads = c.constant(1)?.known()?;
    let value = c.optional_constant(2)?.map_or(Ok(0.0), Constant::scalar);
    let fill = match c.attributes.text("mode", "constant")? {
        "constant" => Fill::Constant(value?),
        "reflect" => Fill::Reflect,
        "edge" => Fill::Edge,
        "wrap" => Fill::Wrap,
        other => return Err(format!("unknown padding mode '{other}'")),
    };
    let axes = match c.ints("", 3)? {
        Some(axes) => axes
            .iter()
            .map(|&a| axis(a, rank))
            .collect::<Result<_, _>>()?,
        None => (0..rank).collect::<Vec<_>>(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} paddings for {} axes", pads.len(), axes.len()));
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (i, &a) in axes.iter().enumerate() {
        let size = |v: i64| {
            usize::try_from(v).map_err(|_| "negative padding is not supported".to_string())
        };
        before[a] = size(pads[i])?;
        after[a] = size(pads[axes.len() + i])?;
    }
    if before[0] != 0 || after[0] != 0 {
        return Err("pads the batch".into());
    }
    let x = c.data(0)?;
    let op = Op::Pad {
        before: before[1..].to_vec(),
        after: after[1..].to_vec(),
        fill,
    };
    c.push(op, &[x])
}

/// First index and number of indices of `start..end` by `step`, numpy's rules for an axis of `size`.
fn slice_range(start: i64, end: i64, step: i64, size: usize) -> Result<(usize, usize), String> {
    let n = size as i64;
    let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let (start, end) = if step > 0 {
        (wrap(start).clamp(0, n), wrap(end).clamp(0, n))
    } else {
        (wrap(start).clamp(-1, n - 1), wrap(end).clamp(-1, n - 1))
    };
    let distance = if step > 0 { end - start } else { start - end };
    if step == 0 || distance <= 0 {
        return Err("the slice takes nothing".into());
    }
    let count = (distance as u64).div_ceil(step.unsigned_abs());
    Ok((start as usize, count as usize))
}

fn transpose_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let (x, perm) = (c.constant(0)?, c.attributes.ints("perm"));
    let rank = x.shape.len();
    let perm = match perm {
        Some(p) => p.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect::<Vec<_>>(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(format!("permutation {perm:?} does not fit {:?}", x.shape));
    }
    let from = strides(&x.shape);
    let shape: Vec<usize> = perm.iter().map(|&a| x.shape[a]).collect();
    let to = strides(&shape);
    let at = (0..x.len()).map(|i| {
        let axes = shape.iter().zip(&to).zip(&perm);
        axes.map(|((n, step), &a)| i / step % n * from[a]).sum()
    });
    picked(x, shape.clone(), at)
}

fn gather_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let (x, index) = (c.constant(0)?, c.constant(1)?);
    let along = c.attributes.int("axis", 0);
    if x.shape.len() != 1 || axis(along, 1)? != 0 {
        return Err("only lists can be gathered from".into());
    }
    let at = (index.known()?.iter())
        .map(|&i| axis(i, x.len()))
        .collect::<Result<Vec<_>, _>>()?;
    picked(x, index.shape.clone(), at.into_iter())
}

fn slice_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let x = c.constant(0)?;
    let one = |i: usize, default: i64| match c.optional_constant(i)? {
        Some(v) => match v.known()?[..] {
            [n] => Ok(n),
            _ => Err("slices along several axes".to_string()),
        },
        None => Ok(default),
    };
    axis(one(3, 0)?, x.shape.len())?;
    let (start, end, step) = (one(1, 0)?, one(2, i64::MAX)?, one(4, 1)?);
    let &[size] = x.shape.as_slice() else {
        return Err("only lists can be sliced".into());
    };
    let (first, count) = slice_range(start, end, step, size)?;
    let at = (0..count as i64).map(|i| (first as i64 + i * step) as usize);
    picked(x, vec![count], at)
}

fn concat_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    c.constant(0)?;
    let mut all = vec![];
    for i in 0..c.attributes.0.input.len() {
        let Some(x) = c.optional_constant(i)? else {
            continue;
        };
        match (&x.elements, x.shape.len()) {
            (Elements::Int(v), 1) => all.extend_from_slice(v),
            _ => return Err("only lists of integers can be joined".into()),
        }
    }
    Ok(Constant::ints(all))
}

/// Elements picked by their position.
fn picked(
    x: &Constant,
    shape: Vec<usize>,
    at: impl Iterator<Item = usize>,
) -> Result<Constant, String> {
    let elements = match &x.elements {
        Elements::Float(v) => {
            let all: Option<Vec<f32>> = at.map(|i| v.get(i).copied()).collect();
            all.map(|v| Elements::Float(v.into()))
        }
        Elements::Int(v) => {
            let all: Option<Vec<Dim>> = at.map(|i| v.get(i).copied()).collect();
            all.map(Elements::Int)
        }
    };
    let elements = elements.ok_or("an index is out of range")?;
    Ok(Constant { shape, elements })
}
