//! Operators that move, select, join or surround elements.

use super::moved;
use crate::model::node::{Fill, Op, SliceSpec, ValueId};
use crate::model::onnx::attributes::{axis, inner_axis, slice_range};
use crate::model::onnx::context::{Context, Done, Operator};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Concat", concat),
    Operator::new("Gather", gather),
    Operator::new("Pad", pad),
    Operator::new("Slice", slice),
    Operator::new("Split", split),
    Operator::new("Transpose", moved::transpose),
];

fn concat(c: &mut Context<'_>) -> Done {
    let count = c.attributes.0.input.len();
    let inputs = (0..count)
        .map(|i| c.data(i))
        .collect::<Result<Vec<_>, _>>()?;
    let rank = c.shape(0)?.len() + 1;
    let axis = axis(c.attributes.int("axis", 1), rank)?;
    c.push(Op::Concat(axis), &inputs)
}

/// The whole of a value of `shape` per sample.
fn whole(shape: &[usize]) -> SliceSpec {
    SliceSpec {
        start: vec![0; shape.len()],
        step: vec![1; shape.len()],
        count: shape.to_vec(),
    }
}

/// Most slices that a list of indices becomes.
const MOST_SLICES: usize = 64;

/// Indices along one axis: one, which makes the axis disappear, or a list.
fn gather(c: &mut Context<'_>) -> Done {
    if let Some(from) = c.moved(0) {
        return moved::gather(c, &from);
    }
    let mut shape = c.shape(0)?;
    let at = inner_axis(c.attributes.int("axis", 0), shape.len() + 1)?;
    let index = c.constant(1)?;
    let single = match index.shape.len() {
        0 => true,
        1 => false,
        _ => return Err("only an index or a list of them can be taken from data".into()),
    };
    let indices = (index.known()?.iter())
        .map(|&i| axis(i, shape[at - 1]))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("an index is outside the {} along axis {at}", shape[at - 1]))?;
    let parts: Vec<SliceSpec> = (runs(&indices).into_iter())
        .map(|(start, step, count)| {
            let mut part = whole(&shape);
            part.start[at - 1] = start;
            part.step[at - 1] = step;
            part.count[at - 1] = count;
            part
        })
        .collect();
    let x = c.data(0)?;
    match parts.as_slice() {
        [] => Err("takes nothing".into()),
        [row] if single => {
            let row = c.inner(Op::Slice(row.clone()), &[x])?;
            shape.remove(at - 1);
            c.push(Op::Reshape(shape), &[row])
        }
        [all] => c.push(Op::Slice(all.clone()), &[x]),
        several if several.len() > MOST_SLICES => {
            Err("takes indices in an order that is not regular".into())
        }
        several => {
            let slices = (several.iter())
                .map(|part| c.inner(Op::Slice(part.clone()), &[x]))
                .collect::<Result<Vec<ValueId>, _>>()?;
            c.push(Op::Concat(at), &slices)
        }
    }
}

/// Start, step and number of the longest runs of equal steps, one after the other.
fn runs(indices: &[usize]) -> Vec<(usize, isize, usize)> {
    let mut runs: Vec<(usize, isize, usize)> = vec![];
    for &i in indices {
        match runs.last_mut() {
            Some((start, step, count)) if *count == 1 && i != *start => {
                (*step, *count) = (i as isize - *start as isize, 2);
            }
            Some((start, step, count))
                if *count > 1 && *start as isize + *step * *count as isize == i as isize =>
            {
                *count += 1;
            }
            _ => runs.push((i, 1, 1)),
        }
    }
    runs
}

fn slice(c: &mut Context<'_>) -> Done {
    if let Some(from) = c.moved(0) {
        return moved::slice(c, &from);
    }
    let shape = c.shape(0)?;
    let mut part = whole(&shape);
    for range in c.slice_ranges()? {
        let at = axis(range.axis, shape.len() + 1)?;
        let all = range.start == 0 && range.end >= i64::from(i32::MAX) && range.step == 1;
        if at == 0 && all {
            continue; // the whole batch
        }
        let at = inner_axis(range.axis, shape.len() + 1)? - 1;
        let (start, count) = slice_range(range.start, range.end, range.step, shape[at])?;
        if count == 0 {
            return Err("the slice takes nothing".into());
        }
        (part.start[at], part.count[at]) = (start, count);
        part.step[at] = isize::try_from(range.step).map_err(|e| e.to_string())?;
    }
    let x = c.data(0)?;
    c.push(Op::Slice(part), &[x])
}

fn split(c: &mut Context<'_>) -> Done {
    if let Some(from) = c.moved(0) {
        return moved::split(c, &from);
    }
    let shape = c.shape(0)?;
    let at = inner_axis(c.attributes.int("axis", 0), shape.len() + 1)? - 1;
    let sizes = c.split_sizes(shape[at])?;
    let x = c.data(0)?;
    let mut start = 0;
    for (i, size) in sizes.into_iter().enumerate() {
        let mut part = whole(&shape);
        (part.start[at], part.count[at]) = (start, size);
        c.push_output(i, Op::Slice(part), &[x])?;
        start += size;
    }
    Ok(())
}

fn pad(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let pads = c.pads(shape.len() + 1)?;
    let fill = match c.attributes.text("mode", "constant")? {
        "constant" => Fill::Constant(c.pad_value()?),
        "reflect" => Fill::Reflect,
        "edge" => Fill::Edge,
        "wrap" => Fill::Wrap,
        other => return Err(format!("unknown padding mode '{other}'")),
    };
    if pads.before[0] != 0 || pads.after[0] != 0 {
        return Err("pads the batch".into());
    }
    let (before, after) = (&pads.before[1..], &pads.after[1..]);
    let mut x = c.data(0)?;
    // A negative padding cuts.
    if before.iter().chain(after).any(|&n| n < 0) {
        if !matches!(fill, Fill::Constant(_)) {
            return Err("negative padding is supported with a constant only".into());
        }
        let mut part = whole(&shape);
        for (i, &size) in shape.iter().enumerate() {
            let cut = [before[i], after[i]].map(|n| n.min(0).unsigned_abs() as usize);
            part.start[i] = cut[0];
            let count = size.checked_sub(cut[0]).and_then(|n| n.checked_sub(cut[1]));
            part.count[i] = count.ok_or("cuts more than there is")?;
        }
        x = c.inner(Op::Slice(part), &[x])?;
    }
    let added = |pads: &[i64]| pads.iter().map(|&n| n.max(0) as usize).collect();
    let op = Op::Pad {
        before: added(before),
        after: added(after),
        fill,
    };
    c.push(op, &[x])
}
