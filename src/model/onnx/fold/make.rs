//! Constants from nothing, or from the shape or the values of others.

use super::{Fold, Folded, one};
use crate::model::onnx::context::Context;
use crate::model::onnx::tensor::{Constant, Dim, Elements, FREE};

pub(super) const FOLDS: &[Fold] = &[
    ("Constant", constant),
    ("ConstantOfShape", constant_of_shape),
    ("NonZero", non_zero),
    ("Range", range),
    ("Shape", shape),
    ("Size", size),
];

/// A constant in a parameter.
fn constant(c: &mut Context<'_>) -> Folded {
    let a = &c.attributes;
    let ints = |v: &[i64]| Constant::ints(v.iter().map(|&n| Dim::Known(n)).collect());
    one(
        if let Some(t) = a.find("value").and_then(|a| a.t.as_ref()) {
            c.reader().read(t)?
        } else if let Some(v) = a.find("value_float") {
            Constant::floats(&[], vec![v.f])
        } else if let Some(v) = a.find("value_floats") {
            Constant::floats(&[v.floats.len()], v.floats.clone())
        } else if let Some(v) = a.find("value_int") {
            Constant::int(Dim::Known(v.i))
        } else if let Some(v) = a.find("value_ints") {
            ints(&v.ints)
        } else {
            return Err("has no value that is supported".into());
        },
    )
}

fn constant_of_shape(c: &mut Context<'_>) -> Folded {
    let value = c.attributes.find("value").and_then(|a| a.t.as_ref());
    let value = match value {
        Some(t) => c.reader().read(t)?.elements,
        None => Elements::Float([0.0].into()),
    };
    let shape = (c.constant(0)?.known()?.iter())
        .map(|&d| usize::try_from(d).map_err(|_| format!("size {d} is negative")))
        .collect::<Result<Vec<_>, _>>()?;
    let len = c.claim(&shape, size_of::<Dim>())?;
    let elements = match value {
        Elements::Float(v) if v.len() == 1 => Elements::Float(vec![v[0]; len].into()),
        Elements::Int(v) if v.len() == 1 => Elements::Int(vec![v[0]; len].into()),
        _ => return Err("the value is no single number".into()),
    };
    one(Constant { shape, elements })
}

/// Numbers from a start up to a limit, in steps.
fn range(c: &mut Context<'_>) -> Folded {
    let parts = [c.constant(0)?, c.constant(1)?, c.constant(2)?];
    let count = |n: f64| {
        let n = n.ceil().max(0.0);
        // Also false for NaN.
        let fits = n < f64::from(u32::MAX);
        fits.then_some(n as usize).ok_or("has no end")
    };
    if let [Elements::Float(a), Elements::Float(b), Elements::Float(d)] = parts.map(|p| &p.elements)
    {
        let [&[start], &[limit], &[step]] = [&**a, &**b, &**d] else {
            return Err("its limits are no single numbers".into());
        };
        let len = count((f64::from(limit) - f64::from(start)) / f64::from(step))?;
        c.claim(&[len], size_of::<f32>())?;
        let values = (0..len).map(|i| (f64::from(start) + i as f64 * f64::from(step)) as f32);
        return one(Constant::floats(&[len], values.collect()));
    }
    let number = |p: &Constant| match p.known()?[..] {
        [n] => Ok(n),
        _ => Err("its limits are no single numbers".to_string()),
    };
    let (start, limit, step) = (number(parts[0])?, number(parts[1])?, number(parts[2])?);
    let len = count((limit as f64 - start as f64) / step as f64)?;
    c.claim(&[len], size_of::<Dim>())?;
    let values = (0..len as i64).map(|i| Dim::Known(start.wrapping_add(i.wrapping_mul(step))));
    one(Constant::ints(values.collect()))
}

/// Indices of the elements that are not zero, `[rank, count]`.
fn non_zero(c: &mut Context<'_>) -> Folded {
    let x = c.constant(0)?;
    let at: Vec<usize> = match &x.elements {
        Elements::Float(v) => (0..v.len()).filter(|&i| v[i] != 0.0).collect(),
        Elements::Int(v) => {
            let known = x.known().map_err(|_| FREE)?;
            (0..v.len()).filter(|&i| known[i] != 0).collect()
        }
    };
    let shape = vec![x.shape.len(), at.len()];
    c.claim(&shape, size_of::<Dim>())?;
    let from = crate::ops::net::strides(&x.shape);
    let index = |axis: usize, i: usize| Dim::Known((i / from[axis] % x.shape[axis]) as i64);
    let all = (0..x.shape.len()).flat_map(|axis| at.iter().map(move |&i| index(axis, i)));
    let elements = Elements::Int(all.collect());
    one(Constant { shape, elements })
}

fn shape(c: &mut Context<'_>) -> Folded {
    let all: Vec<Dim> = (c.constant(0)?.shape.iter())
        .map(|&d| Dim::Known(d as i64))
        .collect();
    one(c.shape_part(&all))
}

fn size(c: &mut Context<'_>) -> Folded {
    one(Constant::int(Dim::Known(c.constant(0)?.len() as i64)))
}
