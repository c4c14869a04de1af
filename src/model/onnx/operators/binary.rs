//! Functions of two or more values, element by element, with broadcasting.

use crate::model::node::{Op, ValueId};
use crate::model::onnx::context::{Context, Done, Operator};
use crate::model::onnx::tensor::{Constant, Elements};
use crate::ops::Activation;
use crate::ops::net::{Binary, BroadcastPlan, Unary, strides};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("And", logical),
    Operator::new("Equal", comparison),
    Operator::new("Greater", comparison),
    Operator::new("GreaterOrEqual", comparison),
    Operator::new("Less", comparison),
    Operator::new("LessOrEqual", comparison),
    Operator::new("Max", several),
    Operator::new("Mean", several),
    Operator::new("Min", several),
    Operator::new("Or", logical),
    Operator::new("PRelu", binary),
    Operator::new("Pow", power),
    Operator::new("Sum", several),
    Operator::new("Where", choice),
    Operator::new("Xor", logical),
];

const fn op(f: Binary) -> Op {
    Op::Binary(f, Activation::Identity)
}

/// A function of two values.
pub(super) fn binary(c: &mut Context<'_>) -> Done {
    let f = match c.operator() {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        _ => Binary::PRelu,
    };
    let inputs = [c.operand(0)?, c.operand(1)?];
    c.push(op(f), &inputs)
}

/// The exponent may be an integer.
fn power(c: &mut Context<'_>) -> Done {
    let inputs = [c.operand(0)?, number(c, 1)?];
    c.push(op(Binary::Pow), &inputs)
}

fn comparison(c: &mut Context<'_>) -> Done {
    let (f, swapped) = match c.operator() {
        "Equal" => (Binary::Equal, false),
        "Less" => (Binary::Less, false),
        "LessOrEqual" => (Binary::LessOrEqual, false),
        "Greater" => (Binary::Less, true),
        _ => (Binary::LessOrEqual, true),
    };
    let mut inputs = [number(c, 0)?, number(c, 1)?];
    if swapped {
        inputs.reverse();
    }
    c.push(op(f), &inputs)
}

/// Of truth values, which are 0 and 1.
fn logical(c: &mut Context<'_>) -> Done {
    let inputs = [number(c, 0)?, number(c, 1)?];
    match c.operator() {
        "And" => c.push(op(Binary::Min), &inputs),
        "Or" => c.push(op(Binary::Max), &inputs),
        _ => {
            let same = c.inner(op(Binary::Equal), &inputs)?;
            c.push(Op::Unary(Unary::Not), &[same])
        }
    }
}

/// A function of any number of values.
fn several(c: &mut Context<'_>) -> Done {
    let f = match c.operator() {
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        _ => Binary::Add,
    };
    let count = c.attributes.0.input.len();
    // Computed values come first, so that constants meet one of them.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&i| c.data(i).is_err());
    let mut values = vec![];
    for i in order {
        values.push(c.operand(i)?);
    }
    let mean = c.operator() == "Mean";
    let (&first, rest) = values.split_first().ok_or("has no input")?;
    if rest.is_empty() {
        return c.identity();
    }
    let mut total = first;
    for (i, &next) in rest.iter().enumerate() {
        if i + 1 == rest.len() && !mean {
            return c.push(op(f), &[total, next]);
        }
        total = c.inner(op(f), &[total, next])?;
    }
    let scale = Unary::Affine((1.0 / count as f64) as f32, 0.0);
    c.push(Op::Unary(scale), &[total])
}

/// `Where(c, x, y)` as the sum of `x` kept where `c` holds and `y` dropped there.
fn choice(c: &mut Context<'_>) -> Done {
    let kept = part(c, 1, Binary::Keep)?;
    let dropped = part(c, 2, Binary::Drop)?;
    c.push(op(Binary::Add), &[kept, dropped])
}

/// What a condition leaves of input `i`.
fn part(c: &mut Context<'_>, i: usize, f: Binary) -> Result<ValueId, String> {
    let both_constant = c.data(0).is_err() && c.data(i).is_err();
    if !both_constant {
        let inputs = [number(c, 0)?, number(c, i)?];
        return c.inner(op(f), &inputs);
    }
    let (condition, value) = (numbers(c.constant(0)?)?, numbers(c.constant(i)?)?);
    let shapes = (c.constant(0)?.shape.clone(), c.constant(i)?.shape.clone());
    let plan = BroadcastPlan::new(&shapes.0, &shapes.1).map_err(|e| e.to_string())?;
    let len: usize = plan.shape.iter().product();
    // A row and a column could otherwise make far more of it than the file holds.
    if len > condition.len().max(value.len()) {
        return Err("both constants are repeated; simplify the model first".into());
    }
    let steps = strides(&plan.extents);
    let at = |strides: &[usize], i: usize| -> usize {
        let axes = plan.extents.iter().zip(&steps).zip(strides);
        axes.map(|((n, step), s)| i / step % n * s).sum()
    };
    let chosen = (0..len).map(|i| {
        let holds = condition[at(&plan.a, i)] != 0.0;
        if holds == (f == Binary::Keep) {
            value[at(&plan.b, i)]
        } else {
            0.0
        }
    });
    let chosen: Vec<f32> = chosen.collect();
    c.derived(i, &plan.shape, chosen)
}

/// Input `i` as a value of the graph; constants may be integers or truth values.
fn number(c: &mut Context<'_>, i: usize) -> Result<ValueId, String> {
    if c.data(i).is_err()
        && let Some(constant) = c.optional_constant(i)?
        && matches!(constant.elements, Elements::Int(_))
    {
        let (shape, values) = (constant.shape.clone(), numbers(constant)?);
        return c.derived(i, &shape, values);
    }
    c.operand(i)
}

/// Elements of a constant as floating-point numbers.
fn numbers(constant: &Constant) -> Result<Vec<f32>, String> {
    Ok(match &constant.elements {
        Elements::Float(v) => v.to_vec(),
        Elements::Int(_) => constant.known()?.iter().map(|&n| n as f32).collect(),
    })
}
