//! Functions of every element, of one value or of two.

use super::binary::binary;
use crate::model::node::Op;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::model::onnx::proto::data_type;
use crate::model::onnx::tensor::Elements;
use crate::ops::Activation;
use crate::ops::net::Unary;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Add", binary),
    Operator::new("Cast", cast),
    Operator::new("CastLike", cast_like),
    Operator::new("Clip", clip),
    Operator::new("Div", binary),
    Operator::new("Dropout", dropout),
    Operator::new("Identity", identity),
    Operator::new("Mul", binary),
    Operator::new("Sqrt", root),
    Operator::new("Sub", binary),
];

fn root(c: &mut Context<'_>) -> Done {
    let x = c.data(0)?;
    c.push(Op::Unary(Unary::Sqrt), &[x])
}

fn clip(c: &mut Context<'_>) -> Done {
    let (lo, hi) = c.clip_bounds()?;
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
