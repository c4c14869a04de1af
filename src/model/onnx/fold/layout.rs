//! Elements of constants moved, selected, joined or repeated.

use super::walk::Walk;
use super::{Fold, Folded, one};
use crate::model::onnx::attributes::{axis, slice_range};
use crate::model::onnx::context::Context;
use crate::model::onnx::tensor::{Constant, Dim, Elements};
use crate::ops::net::{broadcast_shape, broadcast_strides, strides};
use std::sync::Arc;

pub(super) const FOLDS: &[Fold] = &[
    ("Concat", concat),
    ("Expand", expand),
    ("Flatten", flatten),
    ("Gather", gather),
    ("Pad", pad),
    ("Reshape", reshape),
    ("ScatterND", scatter),
    ("Slice", slice),
    ("Split", split),
    ("Squeeze", squeeze),
    ("Tile", tile),
    ("Transpose", transpose),
    ("Trilu", trilu),
    ("Unsqueeze", unsqueeze),
];

/// Sizes from integers that are none below 0.
fn sizes(values: &[i64]) -> Result<Vec<usize>, String> {
    (values.iter())
        .map(|&d| usize::try_from(d).map_err(|_| format!("size {d} is negative")))
        .collect()
}

/// The steps of a walk.
fn steps(strides: &[usize]) -> impl Iterator<Item = isize> + use<'_> {
    strides.iter().map(|&s| s as isize)
}

fn concat(c: &mut Context<'_>) -> Folded {
    let parts = (0..c.attributes.0.input.len())
        .map(|i| c.constant(i))
        .collect::<Result<Vec<_>, _>>()?;
    let first = parts.first().ok_or("has no input")?;
    let along = axis(c.attributes.int("axis", 1), first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[along] = 0;
    for x in &parts {
        let rest = |s: &[usize]| [&s[..along], &s[along + 1..]].concat();
        if x.shape.len() != shape.len() || rest(&x.shape) != rest(&shape) {
            return Err(format!("{:?} does not continue {:?}", x.shape, first.shape));
        }
        shape[along] = (shape[along].checked_add(x.shape[along])).ok_or("is too large")?;
    }
    c.claim(&shape, first.width())?;
    let outer: usize = shape[..along].iter().product();
    fn join<T: Copy>(parts: &[&[T]], outer: usize) -> Arc<[T]> {
        let block = |p: &[T]| p.len() / outer.max(1);
        (0..outer)
            .flat_map(|o| parts.iter().map(move |p| &p[o * block(p)..][..block(p)]))
            .flatten()
            .copied()
            .collect()
    }
    let floats: Option<Vec<&[f32]>> = (parts.iter())
        .map(|x| match &x.elements {
            Elements::Float(v) => Some(&**v),
            Elements::Int(_) => None,
        })
        .collect();
    let ints: Option<Vec<&[Dim]>> = (parts.iter())
        .map(|x| match &x.elements {
            Elements::Int(v) => Some(&**v),
            Elements::Float(_) => None,
        })
        .collect();
    let elements = match (floats, ints) {
        (Some(parts), _) => Elements::Float(join(&parts, outer)),
        (_, Some(parts)) => Elements::Int(join(&parts, outer)),
        _ => return Err("mixes integers and floating-point numbers".into()),
    };
    one(Constant { shape, elements })
}

fn expand(c: &mut Context<'_>) -> Folded {
    let (x, target) = (c.constant(0)?, sizes(&c.constant(1)?.known()?)?);
    let shape = broadcast_shape(&x.shape, &target).map_err(|e| e.to_string())?;
    c.claim(&shape, x.width())?;
    let strides = broadcast_strides(&x.shape, shape.len());
    let at = Walk::new(&shape, 0, steps(&strides));
    one(x.picked(shape.clone(), at)?)
}

fn tile(c: &mut Context<'_>) -> Folded {
    let (x, repeats) = (c.constant(0)?, sizes(&c.constant(1)?.known()?)?);
    if repeats.len() != x.shape.len() {
        return Err(format!("repeats {repeats:?} do not fit {:?}", x.shape));
    }
    let shape = (x.shape.iter().zip(&repeats))
        .map(|(d, r)| d.checked_mul(*r).ok_or("is too large"))
        .collect::<Result<Vec<_>, _>>()?;
    c.claim(&shape, x.width())?;
    // Each axis as two: the repetition, which starts again, and the axis itself.
    let extents: Vec<usize> = (repeats.iter().zip(&x.shape))
        .flat_map(|(r, d)| [*r, *d])
        .collect();
    let from = strides(&x.shape);
    let at = Walk::new(&extents, 0, from.iter().flat_map(|&s| [0, s as isize]));
    one(x.picked(shape, at)?)
}

fn flatten(c: &mut Context<'_>) -> Folded {
    let x = c.constant(0)?;
    let (at, rank) = (c.attributes.int("axis", 1), x.shape.len());
    let at = if at == rank as i64 {
        rank
    } else {
        axis(at, rank)?
    };
    let (outer, inner) = x.shape.split_at(at);
    one(x.reshaped(vec![outer.iter().product(), inner.iter().product()])?)
}

fn gather(c: &mut Context<'_>) -> Folded {
    let (x, index) = (c.constant(0)?, c.constant(1)?);
    let along = axis(c.attributes.int("axis", 0), x.shape.len())?;
    let size = x.shape[along];
    let (outer, inner) = (&x.shape[..along], &x.shape[along + 1..]);
    let shape = [outer, &index.shape, inner].concat();
    c.claim(&shape, x.width())?;
    let rows = (index.known()?.iter())
        .map(|&i| axis(i, size).map_err(|_| format!("index {i} is outside {size} elements")))
        .collect::<Result<Vec<_>, _>>()?;
    let (outer, inner): (usize, usize) = (outer.iter().product(), inner.iter().product());
    let rows = &rows;
    let at = (0..outer).flat_map(|o| {
        (rows.iter()).flat_map(move |row| (0..inner).map(move |i| (o * size + row) * inner + i))
    });
    one(x.picked(shape, at)?)
}

/// Constant padding; negative paddings cut.
fn pad(c: &mut Context<'_>) -> Folded {
    if c.attributes.text("mode", "constant")? != "constant" {
        return Err(
            "repeats parts of a constant; only a constant padding of it is supported".into(),
        );
    }
    let x = c.constant(0)?;
    let rank = x.shape.len();
    let pads = c.pads(rank)?;
    let shape = (0..rank)
        .map(|i| {
            let size = x.shape[i] as i64 + pads.before[i].saturating_add(pads.after[i]);
            usize::try_from(size).map_err(|_| "cuts more than there is".to_string())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let len = c.claim(&shape, x.width())?;
    let (from, to) = (strides(&x.shape), strides(&shape));
    // Where an element goes, if it stays.
    let place = |i: usize| {
        (0..rank).try_fold(0, |at, a| {
            let index = (i / from[a] % x.shape[a]) as i64 + pads.before[a];
            let index = usize::try_from(index).ok().filter(|&n| n < shape[a])?;
            Some(at + index * to[a])
        })
    };
    let moves = (0..x.len()).filter_map(|i| place(i).map(|to| (i, to)));
    let elements = match &x.elements {
        Elements::Float(v) => {
            let mut all = vec![c.pad_value()?; len];
            moves.for_each(|(i, to)| all[to] = v[i]);
            Elements::Float(all.into())
        }
        Elements::Int(v) => {
            let mut all = vec![Dim::Known(c.pad_value()? as i64); len];
            moves.for_each(|(i, to)| all[to] = v[i]);
            Elements::Int(all.into())
        }
    };
    one(Constant { shape, elements })
}

fn reshape(c: &mut Context<'_>) -> Folded {
    let (x, target) = (c.constant(0)?, c.constant(1)?.known()?);
    let keep_zero = c.attributes.flag("allowzero");
    let mut shape = vec![];
    let mut open = None;
    for (i, &d) in target.iter().enumerate() {
        shape.push(match d {
            -1 => {
                open = Some(i);
                1
            }
            0 if !keep_zero => *x.shape.get(i).ok_or("0 stands for no dimension")?,
            _ => usize::try_from(d).map_err(|_| format!("size {d} is negative"))?,
        });
    }
    if let Some(i) = open {
        let known = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
        shape[i] = (known.filter(|&n| n > 0)).map_or(0, |n| x.len() / n);
    }
    one(x.reshaped(shape)?)
}

/// Slices of a copy replaced by others.
fn scatter(c: &mut Context<'_>) -> Folded {
    if c.attributes.text("reduction", "none")? != "none" {
        return Err("combines elements; only replacing them is supported".into());
    }
    let (x, index, updates) = (c.constant(0)?, c.constant(1)?, c.constant(2)?);
    let depth = *index.shape.last().ok_or("its indices are no list")?;
    if depth > x.shape.len() {
        return Err(format!(
            "indices {:?} do not fit {:?}",
            index.shape, x.shape
        ));
    }
    c.claim(&x.shape, x.width())?;
    let from = strides(&x.shape);
    let block: usize = x.shape[depth..].iter().product();
    let places = (index.known()?.chunks(depth.max(1)))
        .map(|place| {
            let axes = place.iter().zip(&x.shape).zip(&from);
            axes.map(|((&i, &d), s)| Ok(axis(i, d)? * s)).sum()
        })
        .collect::<Result<Vec<usize>, String>>()?;
    if places.len() * block != updates.len() {
        return Err("its updates do not fit its indices".into());
    }
    fn replace<T: Copy>(x: &[T], places: &[usize], block: usize, by: &[T]) -> Arc<[T]> {
        let mut all = x.to_vec();
        for (&at, by) in places.iter().zip(by.chunks(block.max(1))) {
            all[at..at + block].copy_from_slice(by);
        }
        all.into()
    }
    let elements = match (&x.elements, &updates.elements) {
        (Elements::Float(x), Elements::Float(by)) => {
            Elements::Float(replace(x, &places, block, by))
        }
        (Elements::Int(x), Elements::Int(by)) => Elements::Int(replace(x, &places, block, by)),
        _ => return Err("mixes integers and floating-point numbers".into()),
    };
    one(Constant {
        shape: x.shape.clone(),
        elements,
    })
}

fn slice(c: &mut Context<'_>) -> Folded {
    let ranges = c.slice_ranges()?;
    let x = c.constant(0)?;
    let from = strides(&x.shape);
    let (mut shape, mut start) = (x.shape.clone(), 0);
    let mut strides: Vec<isize> = steps(&from).collect();
    for range in ranges {
        let at = axis(range.axis, x.shape.len())?;
        let (first, count) = slice_range(range.start, range.end, range.step, x.shape[at])?;
        shape[at] = count;
        if count > 0 {
            start += first * from[at];
        }
        strides[at] = (strides[at])
            .checked_mul(isize::try_from(range.step).map_err(|e| e.to_string())?)
            .unwrap_or(0);
    }
    c.claim(&shape, x.width())?;
    let at = Walk::new(&shape, start, strides);
    one(x.picked(shape.clone(), at)?)
}

fn split(c: &mut Context<'_>) -> Folded {
    let x = c.constant(0)?;
    let along = axis(c.attributes.int("axis", 0), x.shape.len())?;
    let sizes = c.split_sizes(x.shape[along])?;
    let from = strides(&x.shape);
    let mut first = 0;
    let mut parts = vec![];
    for size in sizes {
        let mut shape = x.shape.clone();
        shape[along] = size;
        c.claim(&shape, x.width())?;
        let at = Walk::new(&shape, first * from[along], steps(&from));
        parts.push(x.picked(shape.clone(), at)?);
        first += size;
    }
    Ok(parts)
}

fn transpose(c: &mut Context<'_>) -> Folded {
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
    c.claim(&x.shape, x.width())?;
    let from = strides(&x.shape);
    let shape: Vec<usize> = perm.iter().map(|&a| x.shape[a]).collect();
    let at = Walk::new(&shape, 0, perm.iter().map(|&a| from[a] as isize));
    one(x.picked(shape.clone(), at)?)
}

/// One triangle of a matrix, zeros in the other.
fn trilu(c: &mut Context<'_>) -> Folded {
    let offset = match c.optional_constant(1)? {
        Some(k) => *k.known()?.first().ok_or("its diagonal is empty")?,
        None => 0,
    };
    let upper = c.attributes.int("upper", 1) != 0;
    let x = c.constant(0)?;
    let &[.., rows, columns] = x.shape.as_slice() else {
        return Err(format!("{:?} is no matrix", x.shape));
    };
    c.claim(&x.shape, x.width())?;
    let kept = |i: usize| {
        let (row, column) = ((i / columns % rows) as i64, (i % columns) as i64);
        let distance = (column - row).saturating_sub(offset);
        if upper { distance >= 0 } else { distance <= 0 }
    };
    let elements = match &x.elements {
        Elements::Float(v) => Elements::Float(
            (v.iter().enumerate())
                .map(|(i, &v)| if kept(i) { v } else { 0.0 })
                .collect(),
        ),
        Elements::Int(v) => Elements::Int(
            (v.iter().enumerate())
                .map(|(i, &v)| if kept(i) { v } else { Dim::Known(0) })
                .collect(),
        ),
    };
    one(Constant {
        shape: x.shape.clone(),
        elements,
    })
}

fn squeeze(c: &mut Context<'_>) -> Folded {
    let axes = c.ints("axes", 1)?;
    let x = c.constant(0)?;
    let rank = x.shape.len();
    let gone = match &axes {
        None => (0..rank).filter(|&a| x.shape[a] == 1).collect(),
        Some(axes) => (axes.iter())
            .map(|&a| axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let left = (0..rank).filter(|a| !gone.contains(a)).map(|a| x.shape[a]);
    one(x.reshaped(left.collect())?)
}

fn unsqueeze(c: &mut Context<'_>) -> Folded {
    let axes = c.ints("axes", 1)?.ok_or("has no axes")?;
    let x = c.constant(0)?;
    let rank = x.shape.len() + axes.len();
    let new = (axes.iter())
        .map(|&a| axis(a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    let mut old = x.shape.iter().copied();
    let shape = (0..rank).map(|a| {
        if new.contains(&a) {
            1
        } else {
            old.next().unwrap_or(1)
        }
    });
    one(x.reshaped(shape.collect())?)
}
