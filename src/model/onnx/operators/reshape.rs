//! Operators that change a shape and leave the elements in their order.

use super::moved;
use crate::model::node::Op;
use crate::model::onnx::attributes::inner_axis;
use crate::model::onnx::context::{Context, Done, Operator, dims};
use crate::model::onnx::tensor::{Constant, Dim, Elements};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Flatten", flatten),
    Operator::new("Reshape", reshape),
    Operator::new("Shape", shape),
    Operator::new("Size", size),
    Operator::new("Squeeze", squeeze),
    Operator::new("Unsqueeze", unsqueeze),
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
    if let Some(from) = c.moved(0) {
        return moved::squeeze(c, &from);
    }
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
    c.define(c.shape_part(&all))
}

fn size(c: &mut Context<'_>) -> Done {
    c.data(0)?;
    c.define(Constant::int(Dim::Unknown))
}
