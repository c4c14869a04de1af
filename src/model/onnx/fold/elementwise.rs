//! Functions of every element, of one constant or of several.

use super::walk::Walk;
use super::{Fold, Folded, one, scalar};
use crate::model::onnx::context::Context;
use crate::model::onnx::proto::data_type;
use crate::model::onnx::tensor::{Constant, Dim, Elements, FREE};
use crate::ops::net::{broadcast_shape, broadcast_strides};

pub(super) const FOLDS: &[Fold] = &[
    ("Abs", unary),
    ("Acos", unary),
    ("Add", binary),
    ("And", binary),
    ("Asin", unary),
    ("Atan", unary),
    ("Cast", cast),
    ("CastLike", cast_like),
    ("Ceil", unary),
    ("Clip", clip),
    ("Cos", unary),
    ("Cosh", unary),
    ("Div", binary),
    ("Dropout", same),
    ("Equal", compare),
    ("Erf", unary),
    ("Exp", unary),
    ("Floor", unary),
    ("Greater", compare),
    ("GreaterOrEqual", compare),
    ("Identity", same),
    ("Less", compare),
    ("LessOrEqual", compare),
    ("Log", unary),
    ("Max", variadic),
    ("Mean", variadic),
    ("Min", variadic),
    ("Mod", binary),
    ("Mul", binary),
    ("Neg", unary),
    ("Not", unary),
    ("Or", binary),
    ("PRelu", binary),
    ("Pow", binary),
    ("Reciprocal", unary),
    ("Relu", unary),
    ("Round", unary),
    ("Sigmoid", unary),
    ("Sign", unary),
    ("Sin", unary),
    ("Sinh", unary),
    ("Softplus", unary),
    ("Softsign", unary),
    ("Sqrt", unary),
    ("Sub", binary),
    ("Sum", variadic),
    ("Tan", unary),
    ("Tanh", unary),
    ("Where", choose),
    ("Xor", binary),
];

fn same(c: &mut Context<'_>) -> Folded {
    one(c.constant(0)?.clone())
}

fn unary(c: &mut Context<'_>) -> Folded {
    let x = c.constant(0)?;
    c.claim(&x.shape, x.width())?;
    let elements = match &x.elements {
        Elements::Float(v) => {
            let f = scalar::float1(c.operator()).ok_or("is not defined on numbers")?;
            Elements::Float(v.iter().map(|&v| f(v.into()) as f32).collect())
        }
        Elements::Int(v) => {
            let f = scalar::int1(c.operator()).ok_or("is not supported on integers")?;
            Elements::Int(v.iter().map(|&v| f(v)).collect())
        }
    };
    one(Constant {
        shape: x.shape.clone(),
        elements,
    })
}

fn clip(c: &mut Context<'_>) -> Folded {
    let (low, high) = c.clip_bounds()?;
    let x = c.constant(0)?;
    c.claim(&x.shape, x.width())?;
    let elements = match &x.elements {
        Elements::Float(v) => {
            // Not `clamp`, which refuses a lower bound above the upper one: there the upper one wins.
            let clipped = v.iter().map(|&v| if v < low { low } else { v });
            Elements::Float(clipped.map(|v| if v > high { high } else { v }).collect())
        }
        Elements::Int(v) => {
            let inside = |d: &Dim| {
                let n = d.known()?;
                let (low, high) = (low.ceil() as i64, high.floor() as i64);
                Some(Dim::Known(n.max(low).min(high)))
            };
            Elements::Int(
                v.iter()
                    .map(|d| inside(d).unwrap_or(Dim::Unknown))
                    .collect(),
            )
        }
    };
    one(Constant {
        shape: x.shape.clone(),
        elements,
    })
}

fn cast(c: &mut Context<'_>) -> Folded {
    let to = c.attributes.int("to", 0);
    let x = c.constant(0)?;
    c.claim(&x.shape, size_of::<Dim>())?;
    let is = |t: i32| to == i64::from(t);
    let float = [data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE];
    one(converted(
        x,
        float.into_iter().any(is),
        is(data_type::BOOL),
    )?)
}

fn cast_like(c: &mut Context<'_>) -> Folded {
    let (x, like) = (c.constant(0)?, c.constant(1)?);
    c.claim(&x.shape, size_of::<Dim>())?;
    one(converted(
        x,
        matches!(like.elements, Elements::Float(_)),
        false,
    )?)
}

/// A constant as floating-point numbers, as truth values, or as integers.
fn converted(x: &Constant, float: bool, truth: bool) -> Result<Constant, String> {
    let elements = match &x.elements {
        Elements::Int(v) if float => Elements::Float(
            (v.iter())
                .map(|d| d.known().map(|n| n as f32))
                .collect::<Option<_>>()
                .ok_or(FREE)?,
        ),
        Elements::Float(v) if truth => {
            Elements::Int(v.iter().map(|&v| Dim::Known((v != 0.0).into())).collect())
        }
        Elements::Int(v) if truth => Elements::Int(
            (v.iter())
                .map(|&d| match d {
                    Dim::Known(n) => Dim::Known((n != 0).into()),
                    // A batch is not empty.
                    Dim::Batch => Dim::Known(1),
                    Dim::Unknown => Dim::Unknown,
                })
                .collect(),
        ),
        Elements::Float(v) if !float => {
            Elements::Int(v.iter().map(|&v| Dim::Known(v as i64)).collect())
        }
        same => same.clone(),
    };
    Ok(Constant {
        shape: x.shape.clone(),
        elements,
    })
}

fn binary(c: &mut Context<'_>) -> Folded {
    let (a, b) = (c.constant(0)?.clone(), c.constant(1)?.clone());
    one(combined(c, &a, &b)?)
}

fn variadic(c: &mut Context<'_>) -> Folded {
    let mut all = c.constant(0)?.clone();
    let count = c.attributes.0.input.len();
    for i in 1..count {
        let next = c.constant(i)?.clone();
        all = combined(c, &all, &next)?;
    }
    if c.operator() == "Mean" {
        let Elements::Float(v) = &all.elements else {
            return Err("averages integers".into());
        };
        all.elements = Elements::Float(v.iter().map(|v| v / count as f32).collect());
    }
    one(all)
}

/// The operator on two constants, under numpy's broadcasting.
fn combined(c: &Context<'_>, a: &Constant, b: &Constant) -> Result<Constant, String> {
    let shape = broadcast_shape(&a.shape, &b.shape).map_err(|e| e.to_string())?;
    c.claim(&shape, a.width().max(b.width()))?;
    let (at_a, at_b) = (places(&shape, a), places(&shape, b));
    let elements = match (&a.elements, &b.elements) {
        (Elements::Float(x), Elements::Float(y)) => {
            let f = scalar::float2(c.operator()).ok_or("is not defined on numbers")?;
            let pairs = at_a.zip(at_b);
            Elements::Float(
                pairs
                    .map(|(i, j)| f(x[i].into(), y[j].into()) as f32)
                    .collect(),
            )
        }
        (Elements::Int(x), Elements::Int(y)) => {
            let f = scalar::int2(c.operator()).ok_or("is not supported on integers")?;
            Elements::Int(at_a.zip(at_b).map(|(i, j)| f(x[i], y[j])).collect())
        }
        (Elements::Float(x), Elements::Int(y)) if c.operator() == "Pow" => {
            let pairs = at_a.zip(at_b);
            let power = |(i, j): (usize, usize)| {
                let exponent = y[j].known()?;
                Some(f64::from(x[i]).powf(exponent as f64) as f32)
            };
            Elements::Float(pairs.map(power).collect::<Option<_>>().ok_or(FREE)?)
        }
        _ => return Err("mixes integers and floating-point numbers".into()),
    };
    Ok(Constant { shape, elements })
}

/// Places of the elements of `x` that a broadcast to `shape` reads, in order.
fn places<'a>(shape: &'a [usize], x: &Constant) -> Walk<'a> {
    let strides = broadcast_strides(&x.shape, shape.len());
    Walk::new(shape, 0, strides.into_iter().map(|s| s as isize))
}

fn compare(c: &mut Context<'_>) -> Folded {
    let holds = scalar::comparison(c.operator()).ok_or("is no comparison")?;
    let (a, b) = (c.constant(0)?, c.constant(1)?);
    let shape = broadcast_shape(&a.shape, &b.shape).map_err(|e| e.to_string())?;
    c.claim(&shape, size_of::<Dim>())?;
    let pairs = places(&shape, a).zip(places(&shape, b));
    let elements = match (&a.elements, &b.elements) {
        (Elements::Float(x), Elements::Float(y)) => pairs
            .map(|(i, j)| Dim::Known(holds(x[i].partial_cmp(&y[j])).into()))
            .collect(),
        (Elements::Int(x), Elements::Int(y)) => pairs
            .map(|(i, j)| match scalar::order(x[i], y[j]) {
                None => Dim::Unknown,
                order => Dim::Known(holds(order).into()),
            })
            .collect(),
        _ => return Err("compares integers with floating-point numbers".into()),
    };
    one(Constant {
        shape,
        elements: Elements::Int(elements),
    })
}

fn choose(c: &mut Context<'_>) -> Folded {
    let (condition, a, b) = (c.constant(0)?, c.constant(1)?, c.constant(2)?);
    let shape = broadcast_shape(&condition.shape, &a.shape)
        .and_then(|s| broadcast_shape(&s, &b.shape))
        .map_err(|e| e.to_string())?;
    c.claim(&shape, a.width().max(b.width()))?;
    let Elements::Int(truth) = &condition.elements else {
        return Err("its condition holds no truth values".into());
    };
    let pairs = places(&shape, a).zip(places(&shape, b));
    let all = places(&shape, condition).zip(pairs);
    let elements = match (&a.elements, &b.elements) {
        (Elements::Float(x), Elements::Float(y)) => Elements::Float(
            all.map(|(t, (i, j))| truth[t].known().map(|t| if t != 0 { x[i] } else { y[j] }))
                .collect::<Option<_>>()
                .ok_or(FREE)?,
        ),
        (Elements::Int(x), Elements::Int(y)) => Elements::Int(
            all.map(|(t, (i, j))| match truth[t].known() {
                Some(0) => y[j],
                Some(_) => x[i],
                None if x[i] == y[j] => x[i],
                None => Dim::Unknown,
            })
            .collect(),
        ),
        _ => return Err("mixes integers and floating-point numbers".into()),
    };
    one(Constant { shape, elements })
}
