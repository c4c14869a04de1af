//! Operators that make constants.

use crate::model::onnx::context::{Context, Done, Operator, constants_only};
use crate::model::onnx::tensor::{Constant, Dim, Elements};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Constant", define).or_constant(constant),
    Operator::new("ConstantOfShape", constants_only).or_constant(constant_of_shape),
];

/// Largest constant a shape may conjure up.
const MAX_FILL: usize = 1 << 16;

fn define(c: &mut Context<'_>) -> Done {
    let value = constant(c)?;
    c.define(value)
}

/// A constant in a parameter.
fn constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let a = &c.attributes;
    let floats = |v: &[f32], shape: &[usize]| Constant::floats(shape, v.to_vec());
    let ints = |v: &[i64]| Constant::ints(v.iter().map(|&n| Dim::Known(n)).collect());
    let value = if let Some(t) = a.find("value").and_then(|a| a.t.as_ref()) {
        c.reader().read(t)?
    } else if let Some(v) = a.find("value_float") {
        floats(&[v.f], &[])
    } else if let Some(v) = a.find("value_floats") {
        floats(&v.floats, &[v.floats.len()])
    } else if let Some(v) = a.find("value_int") {
        Constant {
            shape: vec![],
            ..ints(&[v.i])
        }
    } else if let Some(v) = a.find("value_ints") {
        ints(&v.ints)
    } else {
        return Err("has no value that is supported".into());
    };
    Ok(value)
}

fn constant_of_shape(c: &mut Context<'_>) -> Result<Constant, String> {
    c.constant(0)?;
    let value = c.attributes.find("value").and_then(|a| a.t.as_ref());
    let value = value.map(|t| c.reader().read(t)).transpose()?;
    filled(&c.constant(0)?.known()?, value)
}

fn filled(shape: &[i64], value: Option<Constant>) -> Result<Constant, String> {
    let shape = (shape.iter())
        .map(|&d| usize::try_from(d).map_err(|e| e.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    let len = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
    let len = (len.filter(|&n| n <= MAX_FILL)).ok_or("the shape is too large")?;
    let elements = match value.map(|v| v.elements) {
        None => Elements::Float(vec![0.0; len].into()),
        Some(Elements::Float(v)) if v.len() == 1 => Elements::Float(vec![v[0]; len].into()),
        Some(Elements::Int(v)) if v.len() == 1 => Elements::Int(vec![v[0]; len]),
        Some(_) => return Err("the value is no single number".into()),
    };
    Ok(Constant { shape, elements })
}
