//! Operators that move or select elements, and means.

use super::attributes::axis;
use super::convert::{Context, dims};
use super::tensor::{Constant, Dim};
use crate::model::graph::{Fill, Op, SliceSpec};

type Done = Result<(), String>;

/// An axis that is not the batch.
fn inner_axis(value: i64, rank: usize) -> Result<usize, String> {
    match axis(value, rank)? {
        0 => Err("works along the batch axis, which must stay free".into()),
        a => Ok(a),
    }
}

pub(super) fn flatten(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let at = c.attributes.int("axis", 1);
    // Axis = rank is allowed and gives [everything, 1].
    if at == shape.len() as i64 + 1 || inner_axis(at, shape.len() + 1)? != 1 {
        return Err("flattens the batch into other axes".into());
    }
    reshape_to(c, vec![shape.iter().product()])
}

fn reshape_to(c: &mut Context<'_>, shape: Vec<usize>) -> Done {
    let x = c.data(0)?;
    c.push(Op::Reshape(shape), &[x])
}

pub(super) fn reshape(c: &mut Context<'_>) -> Done {
    let from = c.shape(0)?;
    let super::tensor::Elements::Int(target) = &c.constant(1)?.elements else {
        return Err("the target shape holds no integers".into());
    };
    let keep_zero = c.attributes.flag("allowzero");
    let shape = resolve(&from, target, keep_zero)?;
    reshape_to(c, shape)
}

/// The target shape without the batch: 0 keeps a dimension, one -1 takes what is left. The first
/// number may be anything that can mean the batch, which is free whatever size the exporter saw.
fn resolve(from: &[usize], target: &[Dim], keep_zero: bool) -> Result<Vec<usize>, String> {
    let misfit = || format!("{from:?} per sample cannot become {}", show(target));
    let Some((first, rest)) = target.split_first() else {
        return Err("the target shape is empty".into());
    };
    let size: usize = from.iter().product();
    let mut open = None;
    let mut shape = vec![];
    for (i, d) in rest.iter().enumerate() {
        shape.push(match *d {
            Dim::Known(-1) if open.is_none() && *first != Dim::Known(-1) => {
                open = Some(i);
                1
            }
            Dim::Known(0) if !keep_zero => *from.get(i).ok_or_else(misfit)?,
            Dim::Known(n) if n > 0 => usize::try_from(n).map_err(|_| misfit())?,
            _ => return Err(misfit()),
        });
    }
    let known = shape
        .iter()
        .try_fold(1usize, |p, &d| p.checked_mul(d))
        .ok_or_else(misfit)?;
    if let Some(i) = open {
        shape[i] = size / known;
    }
    let total = known.checked_mul(open.map_or(1, |i| shape[i]));
    if total == Some(size) {
        Ok(shape)
    } else {
        Err(misfit())
    }
}

fn show(target: &[Dim]) -> String {
    let words: Vec<String> = (target.iter())
        .map(|d| match d {
            Dim::Known(n) => n.to_string(),
            Dim::Batch => "N".into(),
            Dim::Unknown => "?".into(),
        })
        .collect();
    format!("[{}] with the batch first", words.join(", "))
}

pub(super) fn transpose(c: &mut Context<'_>) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let perm = match c.attributes.ints("perm") {
        Some(p) => p.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let x = c.data(0)?;
    c.push(Op::Transpose(perm), &[x])
}

pub(super) fn squeeze(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let rank = shape.len() + 1;
    let axes = match c.ints("axes", 1)? {
        Some(axes) => (axes.iter())
            .map(|&a| inner_axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (1..rank).filter(|&a| shape[a - 1] == 1).collect(),
    };
    if let Some(a) = axes.iter().find(|&&a| shape[a - 1] != 1) {
        return Err(format!("axis {a} of {shape:?} per sample is not 1"));
    }
    let left = (1..rank)
        .filter(|a| !axes.contains(a))
        .map(|a| shape[a - 1]);
    reshape_to(c, left.collect())
}

pub(super) fn unsqueeze(c: &mut Context<'_>) -> Done {
    let mut shape = c.shape(0)?;
    let axes = c.ints("axes", 1)?.ok_or("has no axes")?;
    let rank = shape.len() + 1 + axes.len();
    let mut axes = (axes.iter())
        .map(|&a| inner_axis(a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    for a in axes {
        if a > shape.len() + 1 {
            return Err(format!("axis {a} leaves a gap"));
        }
        shape.insert(a - 1, 1);
    }
    reshape_to(c, shape)
}

pub(super) fn concat(c: &mut Context<'_>) -> Done {
    let count = c.attributes.0.input.len();
    let inputs = (0..count)
        .map(|i| c.data(i))
        .collect::<Result<Vec<_>, _>>()?;
    let rank = c.shape(0)?.len() + 1;
    let axis = axis(c.attributes.int("axis", 1), rank)?;
    c.push(Op::Concat(axis), &inputs)
}

pub(super) fn shape(c: &mut Context<'_>) -> Done {
    let all = dims(&c.shape(0)?);
    let bound = |v: i64| {
        let from_start = if v < 0 {
            v.saturating_add(all.len() as i64)
        } else {
            v
        };
        from_start.clamp(0, all.len() as i64) as usize
    };
    let start = bound(c.attributes.int("start", 0));
    let end = bound(c.attributes.int("end", i64::MAX)).max(start);
    c.define(Constant::ints(all[start..end].to_vec()))
}

/// One index along one axis, which disappears.
pub(super) fn gather(c: &mut Context<'_>) -> Done {
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

pub(super) fn slice(c: &mut Context<'_>) -> Done {
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

/// First index and number of indices of `start..end` by `step`, numpy's rules for an axis of `size`.
pub(super) fn slice_range(
    start: i64,
    end: i64,
    step: i64,
    size: usize,
) -> Result<(usize, usize), String> {
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

pub(super) fn split(c: &mut Context<'_>) -> Done {
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

pub(super) fn pad(c: &mut Context<'_>) -> Done {
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

pub(super) fn reduce_mean(c: &mut Context<'_>) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let keep = c.attributes.int("keepdims", 1) != 0;
    let mut axes = match c.ints("axes", 1)?.filter(|a| !a.is_empty()) {
        Some(axes) => (axes.iter())
            .map(|&a| inner_axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None if c.opset() >= 18 && c.attributes.flag("noop_with_empty_axes") => {
            return super::elementwise::identity(c);
        }
        None => return Err("averages over the batch".into()),
    };
    axes.sort_unstable();
    let (first, last) = (axes[0], axes[axes.len() - 1]);
    if !axes.iter().copied().eq(first..=last) {
        return Err("averages over axes that are not neighbours".into());
    }
    let x = c.data(0)?;
    let op = Op::Mean {
        axes: first..last + 1,
        keep,
    };
    c.push(op, &[x])
}
