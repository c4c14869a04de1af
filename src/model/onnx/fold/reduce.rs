//! Elements of constants combined along axes, and matrix products.

use super::walk::Walk;
use super::{Fold, Folded, one};
use crate::model::onnx::attributes::axis;
use crate::model::onnx::context::Context;
use crate::model::onnx::tensor::{Constant, Dim, Elements};
use crate::ops::net::{broadcast_shape, broadcast_strides, strides};

pub(super) const FOLDS: &[Fold] = &[
    ("CumSum", cumulative),
    ("MatMul", matmul),
    ("ReduceL1", reduce),
    ("ReduceL2", reduce),
    ("ReduceMax", reduce),
    ("ReduceMean", reduce),
    ("ReduceMin", reduce),
    ("ReduceProd", reduce),
    ("ReduceSum", reduce),
    ("ReduceSumSquare", reduce),
];

fn reduce(c: &mut Context<'_>) -> Folded {
    let axes = c.ints("axes", 1)?.filter(|a| !a.is_empty());
    let x = c.constant(0)?;
    let rank = x.shape.len();
    let axes = match axes {
        Some(axes) => (axes.iter())
            .map(|&a| axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None if c.attributes.flag("noop_with_empty_axes") => return one(x.clone()),
        None => (0..rank).collect(),
    };
    let keep = c.attributes.int("keepdims", 1) != 0;
    let is_gone = |a: &usize| axes.contains(a);
    let from = strides(&x.shape);
    let (gone, left): (Vec<usize>, Vec<usize>) = (0..rank).partition(is_gone);
    let part = |axes: &[usize]| -> (Vec<usize>, Vec<isize>) {
        (axes.iter())
            .map(|&a| (x.shape[a], from[a] as isize))
            .unzip()
    };
    let ((outer, outer_steps), (inner, inner_steps)) = (part(&left), part(&gone));
    let count: usize = inner.iter().product();
    if count == 0 {
        return Err("combines no elements".into());
    }
    let shape: Vec<usize> = (0..rank)
        .filter(|a| keep || !is_gone(a))
        .map(|a| if is_gone(&a) { 1 } else { x.shape[a] })
        .collect();
    c.claim(&shape, x.width())?;
    let starts = Walk::new(&outer, 0, outer_steps);
    let places = |start: usize| Walk::new(&inner, start, inner_steps.iter().copied());
    let operator = c.operator();
    let elements = match &x.elements {
        Elements::Float(v) => {
            let all = |start| places(start).map(|i| f64::from(v[i]));
            let value = |start: usize| match operator {
                "ReduceL1" => all(start).map(f64::abs).sum(),
                "ReduceL2" => all(start).map(|v| v * v).sum::<f64>().sqrt(),
                "ReduceMax" => all(start).fold(f64::NEG_INFINITY, f64::max),
                "ReduceMin" => all(start).fold(f64::INFINITY, f64::min),
                "ReduceProd" => all(start).product(),
                "ReduceSumSquare" => all(start).map(|v| v * v).sum(),
                "ReduceMean" => all(start).sum::<f64>() / count as f64,
                _ => all(start).sum(),
            };
            Elements::Float(starts.map(|start| value(start) as f32).collect())
        }
        Elements::Int(_) => {
            let v = x.known()?;
            let all = |start| places(start).map(|i| v[i]);
            let value = |start: usize| match operator {
                "ReduceMax" => all(start).max(),
                "ReduceMin" => all(start).min(),
                "ReduceProd" => all(start).try_fold(1i64, i64::checked_mul),
                "ReduceSum" => all(start).try_fold(0i64, i64::checked_add),
                _ => None,
            };
            let values: Option<_> = starts.map(|s| value(s).map(Dim::Known)).collect();
            Elements::Int(values.ok_or("is not supported on these integers")?)
        }
    };
    one(Constant { shape, elements })
}

/// Running sums along an axis.
fn cumulative(c: &mut Context<'_>) -> Folded {
    if c.attributes.flag("exclusive") || c.attributes.flag("reverse") {
        return Err("sums exclusively or backwards, which is not supported".into());
    }
    let (x, along) = (c.constant(0)?, c.constant(1)?.known()?);
    let along = axis(*along.first().ok_or("its axis is empty")?, x.shape.len())?;
    c.claim(&x.shape, x.width())?;
    let step: usize = x.shape[along + 1..].iter().product();
    let first = |i: usize| (i / step).is_multiple_of(x.shape[along]);
    let elements = match &x.elements {
        Elements::Float(v) => {
            let mut sums: Vec<f64> = v.iter().map(|&v| v.into()).collect();
            (0..sums.len())
                .filter(|&i| !first(i))
                .for_each(|i| sums[i] += sums[i - step]);
            Elements::Float(sums.into_iter().map(|v| v as f32).collect())
        }
        Elements::Int(_) => {
            let mut sums = x.known()?;
            for i in (0..sums.len()).filter(|&i| !first(i)) {
                sums[i] = (sums[i].checked_add(sums[i - step])).ok_or("overflows")?;
            }
            Elements::Int(sums.into_iter().map(Dim::Known).collect())
        }
    };
    one(Constant {
        shape: x.shape.clone(),
        elements,
    })
}

/// Most products of numbers that are computed while a model is read.
const MOST_PRODUCTS: usize = 1 << 28;

fn matmul(c: &mut Context<'_>) -> Folded {
    let ((sa, a), (sb, b)) = (c.floats(0)?, c.floats(1)?);
    let (&[.., n, k], &[.., kb, m]) = (sa.as_slice(), sb.as_slice()) else {
        return Err("multiplies a vector, which is not supported on constants".into());
    };
    let (outer_a, outer_b) = (&sa[..sa.len() - 2], &sb[..sb.len() - 2]);
    let outer = broadcast_shape(outer_a, outer_b).map_err(|e| e.to_string())?;
    if k != kb {
        return Err(format!("{sa:?} cannot be multiplied by {sb:?}"));
    }
    let shape = [outer.as_slice(), &[n, m]].concat();
    let len = c.claim(&shape, size_of::<f32>())?;
    if len.checked_mul(k).is_none_or(|work| work > MOST_PRODUCTS) {
        return Err("multiplies large constants; simplify the model first".into());
    }
    let matrices = |s: &[usize], size: usize| {
        let strides = broadcast_strides(s, outer.len());
        let strides: Vec<isize> = strides.iter().map(|&s| (s * size) as isize).collect();
        Walk::new(&outer, 0, strides)
    };
    let mut out = Vec::with_capacity(len);
    for (a0, b0) in matrices(outer_a, n * k).zip(matrices(outer_b, k * m)) {
        for (row, column) in (0..n).flat_map(|r| (0..m).map(move |c| (r, c))) {
            let terms =
                (0..k).map(|i| f64::from(a[a0 + row * k + i]) * f64::from(b[b0 + i * m + column]));
            out.push(terms.sum::<f64>() as f32);
        }
    }
    one(Constant::floats(&shape, out))
}
