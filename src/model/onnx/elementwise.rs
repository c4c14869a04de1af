//! Operators on elements, and matrix products.

use super::convert::Context;
use crate::model::graph::Op;
use crate::ops::Activation;
use crate::ops::net::{Binary, Unary};

type Done = Result<(), String>;

pub(super) fn unary(c: &mut Context<'_>) -> Done {
    let a = &c.attributes;
    let f = match c.operator() {
        "Relu" => Unary::Activation(Activation::Relu),
        "LeakyRelu" => Unary::Activation(Activation::LeakyRelu(a.float("alpha", 0.01))),
        "Elu" => Unary::Elu(a.float("alpha", 1.0)),
        "Sigmoid" => Unary::Sigmoid,
        "HardSigmoid" => Unary::HardSigmoid(a.float("alpha", 0.2), a.float("beta", 0.5)),
        "HardSwish" => Unary::HardSwish,
        "Tanh" => Unary::Tanh,
        "Erf" => Unary::Erf,
        _ => match a.text("approximate", "none")? {
            "none" => Unary::Gelu,
            "tanh" => Unary::GeluTanh,
            other => return Err(format!("unknown approximation '{other}'")),
        },
    };
    let x = c.data(0)?;
    c.push(Op::Unary(f), &[x])
}

pub(super) fn clip(c: &mut Context<'_>) -> Done {
    let bound = |i: usize, open: f32| match c.optional_constant(i)? {
        Some(b) => b.scalar(),
        None => Ok(open),
    };
    let (lo, hi) = (bound(1, f32::NEG_INFINITY)?, bound(2, f32::INFINITY)?);
    let x = c.data(0)?;
    let f = Unary::Activation(Activation::Clip(lo, hi));
    c.push(Op::Unary(f), &[x])
}

pub(super) fn binary(c: &mut Context<'_>) -> Done {
    let f = match c.operator() {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        _ => Binary::PRelu,
    };
    let inputs = [c.operand(0)?, c.operand(1)?];
    c.push(Op::Binary(f, Activation::Identity), &inputs)
}

pub(super) fn sum(c: &mut Context<'_>) -> Done {
    match c.attributes.0.input.len() {
        1 => identity(c),
        n => {
            let add = Op::Binary(Binary::Add, Activation::Identity);
            let mut total = c.operand(0)?;
            for i in 1..n - 1 {
                let next = c.operand(i)?;
                total = c.inner(add.clone(), &[total, next])?;
            }
            let last = c.operand(n - 1)?;
            c.push(add, &[total, last])
        }
    }
}

pub(super) fn identity(c: &mut Context<'_>) -> Done {
    let x = c.data(0)?;
    c.alias(x)
}

pub(super) fn dropout(c: &mut Context<'_>) -> Done {
    if let Some(training) = c.optional_constant(2)?
        && training.scalar()? != 0.0
    {
        return Err("is in training mode; export the model for inference".into());
    }
    identity(c)
}

/// Everything is computed in float32, whatever floating-point type is asked for.
pub(super) fn cast(c: &mut Context<'_>) -> Done {
    use super::proto::data_type;
    let to = c.attributes.int("to", 0);
    let float = [data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE];
    if !float.iter().any(|&t| i64::from(t) == to) {
        return Err("casts data to a type that is not floating-point".into());
    }
    identity(c)
}

pub(super) fn softmax(c: &mut Context<'_>) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let axis = super::attributes::axis(c.attributes.int("axis", -1), rank)?;
    let x = c.data(0)?;
    c.push(Op::Softmax(axis), &[x])
}

/// `alpha A B + beta C`, `A` the data, `B` and `C` constants; the factors go into the constants.
pub(super) fn gemm(c: &mut Context<'_>) -> Done {
    let (alpha, beta) = (
        c.attributes.float("alpha", 1.0),
        c.attributes.float("beta", 1.0),
    );
    if c.attributes.flag("transA") {
        return Err("transposes the data (transA), which must keep the batch first".into());
    }
    let (shape, weight) = c.floats(1)?;
    let &[rows, columns] = shape.as_slice() else {
        return Err(format!("weight {shape:?} is no matrix"));
    };
    let (k, m, weight) = if c.attributes.flag("transB") {
        (columns, rows, transpose(weight, rows, columns))
    } else {
        (rows, columns, weight.to_vec())
    };
    let weight = scaled(weight, alpha);
    let bias = match c.optional_constant(2)? {
        None => None,
        Some(_) => {
            let (shape, bias) = c.floats(2)?;
            let fits = match shape.as_slice() {
                [] | [1] | [1, 1] => true,
                [n] | [1, n] => *n == m,
                _ => false,
            };
            if !fits {
                return Err(format!("bias {shape:?} does not fit {m} outputs"));
            }
            let full = if bias.len() == 1 {
                vec![bias[0]; m]
            } else {
                bias.to_vec()
            };
            Some(scaled(full, beta))
        }
    };
    let mut inputs = vec![c.data(0)?, c.derived(1, &[k, m], weight)?];
    if let Some(bias) = bias {
        inputs.push(c.derived(2, &[m], bias)?);
    }
    c.push(Op::Linear(Activation::Identity), &inputs)
}

pub(super) fn matmul(c: &mut Context<'_>) -> Done {
    let inputs = [c.data(0)?, c.operand(1)?];
    c.push(Op::Linear(Activation::Identity), &inputs)
}

fn scaled(mut values: Vec<f32>, factor: f32) -> Vec<f32> {
    if factor != 1.0 {
        values.iter_mut().for_each(|v| *v *= factor);
    }
    values
}

fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for c in 0..columns {
        out.extend((0..rows).map(|r| x[r * columns + c]));
    }
    out
}
