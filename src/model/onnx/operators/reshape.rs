//! Operators that change a shape and leave the elements in their order.

use crate::model::node::Op;
use crate::model::onnx::attributes::{axis, inner_axis};
use crate::model::onnx::context::{Context, Done, Operator, dims};
use crate::model::onnx::tensor::{Constant, Dim, Elements};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Flatten", flatten),
    Operator::new("Reshape", reshape).or_constant(reshape_constant),
    Operator::new("Shape", shape).or_constant(shape_constant),
    Operator::new("Squeeze", squeeze).or_constant(squeeze_constant),
    Operator::new("Unsqueeze", unsqueeze).or_constant(unsqueeze_constant),
];

fn flatten(c: &mut Context<'_>) -> Done {
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

fn reshape(c: &mut Context<'_>) -> Done {
    let from = c.shape(0)?;
    let Elements::Int(target) = &c.constant(1)?.elements else {
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

fn squeeze(c: &mut Context<'_>) -> Done {
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

fn unsqueeze(c: &mut Context<'_>) -> Done {
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

fn shape(c: &mut Context<'_>) -> Done {
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

fn shape_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let shape = c.constant(0)?.shape.iter();
    Ok(Constant::ints(
        shape.map(|&d| Dim::Known(d as i64)).collect(),
    ))
}

fn reshape_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let (x, target) = (c.constant(0)?, c.constant(1)?.known()?);
    let mut shape = vec![];
    let mut open = None;
    for (i, &d) in target.iter().enumerate() {
        shape.push(match d {
            -1 => {
                open = Some(i);
                1
            }
            0 => *x.shape.get(i).ok_or("0 stands for no dimension")?,
            _ => usize::try_from(d).map_err(|e| e.to_string())?,
        });
    }
    if let Some(i) = open {
        let known = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
        shape[i] = (known.filter(|&n| n > 0)).map_or(0, |n| x.len() / n);
    }
    reshaped(x, shape)
}

fn squeeze_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    with_axes(c.constant(0)?, c.ints("axes", 1)?.as_deref(), true)
}

fn unsqueeze_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    with_axes(c.constant(0)?, c.ints("axes", 1)?.as_deref(), false)
}

/// Removes axes of one element, all of them where `axes` is `None`, or else inserts such axes.
fn with_axes(x: &Constant, axes: Option<&[i64]>, remove: bool) -> Result<Constant, String> {
    let extra = if remove {
        0
    } else {
        axes.map_or(0, <[i64]>::len)
    };
    let rank = x.shape.len() + extra;
    let axes = axes
        .map(|a| {
            a.iter()
                .map(|&a| axis(a, rank))
                .collect::<Result<Vec<_>, _>>()
        })
        .transpose()?;
    let shape = match (remove, axes) {
        (true, None) => x.shape.iter().copied().filter(|&d| d != 1).collect(),
        (true, Some(axes)) => (0..rank)
            .filter(|a| !axes.contains(a))
            .map(|a| x.shape[a])
            .collect(),
        (false, None) => return Err("has no axes".into()),
        (false, Some(axes)) => {
            let mut old = x.shape.iter();
            let new = (0..rank).map(|a| {
                if axes.contains(&a) {
                    1
                } else {
                    old.next().copied().unwrap_or(1)
                }
            });
            new.collect()
        }
    };
    reshaped(x, shape)
}

/// The same elements under another shape of their number.
fn reshaped(x: &Constant, shape: Vec<usize>) -> Result<Constant, String> {
    let len = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
    if len != Some(x.len()) {
        return Err(format!("{:?} cannot become {shape:?}", x.shape));
    }
    Ok(Constant {
        shape,
        elements: x.elements.clone(),
    })
}
