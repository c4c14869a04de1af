//! Functions of every element, of one value or of two.

use super::binary::binary;
use crate::model::node::Op;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::model::onnx::proto::data_type;
use crate::model::onnx::tensor::{Constant, Dim, Elements};
use crate::ops::Activation;
use crate::ops::net::{BroadcastPlan, Unary, strides};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Add", binary).or_constant(binary_constant),
    Operator::new("Cast", cast).or_constant(cast_constant),
    Operator::new("CastLike", cast_like),
    Operator::new("Clip", clip),
    Operator::new("Div", binary).or_constant(binary_constant),
    Operator::new("Dropout", dropout).or_constant(same_constant),
    Operator::new("Identity", identity).or_constant(same_constant),
    Operator::new("Mul", binary).or_constant(binary_constant),
    Operator::new("Sqrt", root).or_constant(sqrt_constant),
    Operator::new("Sub", binary).or_constant(binary_constant),
];

fn root(c: &mut Context<'_>) -> Done {
    let x = c.data(0)?;
    c.push(Op::Unary(Unary::Sqrt), &[x])
}

fn clip(c: &mut Context<'_>) -> Done {
    let bound = |i: usize, open: f32| match c.optional_constant(i)? {
        Some(b) => b.scalar(),
        None => Ok(open),
    };
    let (lo, hi) = (bound(1, f32::NEG_INFINITY)?, bound(2, f32::INFINITY)?);
    let x = c.data(0)?;
    let f = Unary::Activation(Activation::Clip(lo, hi));
    c.push(Op::Unary(f), &[x])
}

fn identity(c: &mut Context<'_>) -> Done {
    c.identity()
}

fn dropout(c: &mut Context<'_>) -> Done {
    if let Some(training) = c.optional_constant(2)?
        && training.scalar()? != 0.0
    {
        return Err("is in training mode; export the model for inference".into());
    }
    c.identity()
}

/// Everything is computed in float32, whatever floating-point type is asked for.
fn cast(c: &mut Context<'_>) -> Done {
    if c.attributes.int("to", 0) == i64::from(data_type::BOOL) {
        let x = c.data(0)?;
        let zero = c.inner(Op::Unary(Unary::Not), &[x])?;
        return c.push(Op::Unary(Unary::Not), &[zero]);
    }
    if !casts_to_float(c) {
        return Err("casts data to a type that is not floating-point".into());
    }
    c.identity()
}

/// To the type of another value; truth values and integers are computed in float32 as well.
fn cast_like(c: &mut Context<'_>) -> Done {
    if c.data(1).is_err() && matches!(c.constant(1)?.elements, Elements::Int(_)) {
        return Err("casts data to a type that is not floating-point".into());
    }
    c.identity()
}

/// Whether the type that a cast asks for is a floating-point type.
fn casts_to_float(c: &Context<'_>) -> bool {
    let to = c.attributes.int("to", 0);
    let float = [data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE];
    float.iter().any(|&t| i64::from(t) == to)
}

fn same_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    c.constant(0).cloned()
}

fn cast_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let x = c.constant(0)?;
    Ok(match (&x.elements, casts_to_float(c)) {
        (Elements::Int(_), true) => {
            let values = x.known()?.iter().map(|&n| n as f32).collect();
            Constant::floats(&x.shape, values)
        }
        (Elements::Float(v), false) => Constant {
            shape: x.shape.clone(),
            elements: Elements::Int(v.iter().map(|&v| Dim::Known(v as i64)).collect()),
        },
        _ => x.clone(),
    })
}

fn sqrt_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let x = c.constant(0)?;
    match &x.elements {
        Elements::Float(v) => {
            let roots = v.iter().map(|v| v.sqrt()).collect();
            Ok(Constant::floats(&x.shape, roots))
        }
        Elements::Int(_) => Err("holds integers".into()),
    }
}

fn binary_constant(c: &mut Context<'_>) -> Result<Constant, String> {
    let (a, b, f) = (c.constant(0)?, c.constant(1)?, c.operator());
    let plan = BroadcastPlan::new(&a.shape, &b.shape).map_err(|e| e.to_string())?;
    let len: usize = plan.shape.iter().product();
    // A product of a row and a column could otherwise be far larger than the file.
    if len > a.len().max(b.len()) {
        return Err("both constants are repeated; simplify the model first".into());
    }
    let steps = strides(&plan.extents);
    let at = |strides: &[usize], i: usize| -> usize {
        let axes = plan.extents.iter().zip(&steps).zip(strides);
        axes.map(|((n, step), s)| i / step % n * s).sum()
    };
    let elements = match (&a.elements, &b.elements) {
        (Elements::Float(x), Elements::Float(y)) => Elements::Float(
            (0..len)
                .map(|i| {
                    let (x, y) = (x[at(&plan.a, i)], y[at(&plan.b, i)]);
                    match f {
                        "Add" => x + y,
                        "Sub" => x - y,
                        "Mul" => x * y,
                        _ => x / y,
                    }
                })
                .collect(),
        ),
        (Elements::Int(x), Elements::Int(y)) => Elements::Int(
            (0..len)
                .map(|i| whole(x[at(&plan.a, i)], y[at(&plan.b, i)], f))
                .collect(),
        ),
        _ => return Err("mixes integers and floating-point numbers".into()),
    };
    Ok(Constant {
        shape: plan.shape,
        elements,
    })
}

fn whole(a: Dim, b: Dim, f: &str) -> Dim {
    let (Dim::Known(x), Dim::Known(y)) = (a, b) else {
        return Dim::Unknown;
    };
    let result = match f {
        "Add" => x.checked_add(y),
        "Sub" => x.checked_sub(y),
        "Mul" => x.checked_mul(y),
        _ => x.checked_div(y),
    };
    result.map_or(Dim::Unknown, Dim::Known)
}
