//! Operators that repeat elements or exchange channels for positions.

use crate::model::node::{Op, ValueId};
use crate::model::onnx::attributes::inner_axis;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::model::onnx::tensor::{Dim, Elements};
use crate::ops::net::Resampling;
use std::sync::Arc;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("CumSum", cumulative),
    Operator::new("DepthToSpace", depth_to_space),
    Operator::new("Expand", expand),
    Operator::new("SpaceToDepth", space_to_depth),
    Operator::new("Tile", tile),
];

/// Channels, height, width, and the size of a block.
fn blocks(c: &Context<'_>) -> Result<[usize; 4], String> {
    let shape = c.shape(0)?;
    let &[channels, h, w] = shape.as_slice() else {
        return Err(format!(
            "only images [N, C, H, W] are supported, not {shape:?} per sample"
        ));
    };
    match usize::try_from(c.attributes.int("blocksize", 0)) {
        Ok(b) if (1..1 << 16).contains(&b) => Ok([channels, h, w, b]),
        _ => Err("its blocksize is missing".into()),
    }
}

fn rearranged(c: &mut Context<'_>, split: Vec<usize>, perm: &[usize], to: Vec<usize>) -> Done {
    let x = c.data(0)?;
    let x = c.inner(Op::Reshape(split), &[x])?;
    let x = c.inner(Op::Transpose(perm.to_vec()), &[x])?;
    c.push(Op::Reshape(to), &[x])
}

fn depth_to_space(c: &mut Context<'_>) -> Done {
    let [channels, h, w, b] = blocks(c)?;
    let left = channels / (b * b);
    if left * b * b != channels {
        return Err(format!(
            "{channels} channels do not make blocks of {b} x {b}"
        ));
    }
    let (split, perm) = match c.attributes.text("mode", "DCR")? {
        "DCR" => (vec![b, b, left, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => (vec![left, b, b, h, w], [0, 1, 4, 2, 5, 3]),
        other => return Err(format!("unknown mode '{other}'")),
    };
    rearranged(c, split, &perm, vec![left, h * b, w * b])
}

fn space_to_depth(c: &mut Context<'_>) -> Done {
    let [channels, h, w, b] = blocks(c)?;
    if h % b != 0 || w % b != 0 {
        return Err(format!("maps of {h} x {w} are not cut into blocks of {b}"));
    }
    let split = vec![channels, h / b, b, w / b, b];
    let to = vec![channels * b * b, h / b, w / b];
    rearranged(c, split, &[0, 3, 5, 1, 2, 4], to)
}

/// Repeats the whole value along axes.
fn tile(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let counts = c.constant(1)?.known()?;
    let (first, counts) = counts.split_first().ok_or("has no counts")?;
    if *first != 1 {
        return Err("repeats the batch, which must stay free".into());
    }
    if counts.len() != shape.len() {
        return Err(format!("{} counts for {shape:?} per sample", counts.len()));
    }
    let mut steps = vec![];
    for (i, (&count, &size)) in counts.iter().zip(&shape).enumerate() {
        let all = usize::try_from(count)
            .ok()
            .and_then(|n| n.checked_mul(size));
        let all = all.filter(|&n| n > 0 && n < 1 << 24);
        let all = all.ok_or_else(|| format!("cannot repeat {size} elements {count} times"))?;
        if count != 1 {
            let index = (0..all).map(|j| (j % size) as u32).collect();
            steps.push((i + 1, Resampling::pick(index)));
        }
    }
    resampled(c, steps)
}

/// Longest axis along which sums are accumulated: the table has a weight for each pair of elements.
const MOST_SUMS: usize = 2048;

/// Sums of all elements before each along an axis, or behind it.
fn cumulative(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let [at] = c.constant(1)?.known()?[..] else {
        return Err("one axis is needed".into());
    };
    let at = inner_axis(at, shape.len() + 1)?;
    let size = shape[at - 1];
    if size > MOST_SUMS {
        return Err(format!(
            "along {size} elements; at most {MOST_SUMS} are supported"
        ));
    }
    let (exclusive, reverse) = (c.attributes.flag("exclusive"), c.attributes.flag("reverse"));
    let counts = |i: usize, j: usize| {
        let before = if reverse { j > i } else { j < i };
        before || i == j && !exclusive
    };
    let pairs = || (0..size).flat_map(|i| (0..size).map(move |j| (i, j)));
    let by = Resampling {
        terms: size,
        index: pairs().map(|(_, j)| j as u32).collect(),
        weight: (pairs().map(|(i, j)| f32::from(u8::from(counts(i, j))))).collect(),
    };
    resampled(c, vec![(at, by)])
}

/// Applies weighted sums along one axis after the other to input 0.
pub(super) fn resampled(c: &mut Context<'_>, mut steps: Vec<(usize, Resampling)>) -> Done {
    let mut x = c.data(0)?;
    let Some((axis, last)) = steps.pop() else {
        return c.identity();
    };
    for (axis, by) in steps {
        x = c.inner(step(axis, by), &[x])?;
    }
    c.push(step(axis, last), &[x])
}

/// A weighted sum along an axis as an operation.
pub(super) fn step(axis: usize, by: Resampling) -> Op {
    Op::Resample {
        axis,
        by: Arc::new(by),
    }
}

fn expand(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let Elements::Int(target) = &c.constant(1)?.elements else {
        return Err("the target shape holds no integers".into());
    };
    let rank = shape.len() + 1;
    if target.len() > rank {
        return Err("adds axes before the batch, which must stay first".into());
    }
    // The batch is free, whatever size the exporter saw.
    let inner = &target[usize::from(target.len() == rank)..];
    let mut to = shape.clone();
    for (d, &wanted) in to.iter_mut().rev().zip(inner.iter().rev()) {
        match wanted {
            Dim::Known(1) => {}
            Dim::Known(n) if n > 0 && *d == 1 => {
                *d = usize::try_from(n).map_err(|e| e.to_string())?;
            }
            Dim::Known(n) if i64::try_from(*d) == Ok(n) => {}
            _ => return Err(format!("{shape:?} per sample cannot be repeated so")),
        }
    }
    let x: ValueId = c.data(0)?;
    if to == shape {
        return c.identity();
    }
    c.push(Op::Expand(to), &[x])
}
