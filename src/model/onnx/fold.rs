//! Operators on constants alone, evaluated at import: what exporters emit to compute shapes.

use super::attributes::axis;
use super::convert::Context;
use super::layout::slice_range;
use super::proto::data_type;
use super::tensor::{Constant, Dim, Elements};
use crate::ops::net::{BroadcastPlan, strides};

type Done = Result<(), String>;

/// Largest constant a shape may conjure up.
const MAX_FILL: usize = 1 << 16;

/// The handler of operators that exist for constants only.
pub(super) fn needs_constants(_: &mut Context<'_>) -> Done {
    Err("is supported on constants only".into())
}

/// A constant in a parameter.
pub(super) fn constant(c: &mut Context<'_>) -> Done {
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
    c.define(value)
}

/// Evaluates a node whose inputs are all constants.
pub(super) fn fold(c: &mut Context<'_>) -> Done {
    if c.operator() == "Constant" {
        return constant(c);
    }
    let inputs = (0..c.attributes.0.input.len())
        .map(|i| c.optional_constant(i).map(Option::<&Constant>::cloned))
        .collect::<Result<Vec<_>, _>>()?;
    let at = |i: usize| {
        let input = inputs.get(i).and_then(Option::as_ref);
        input.ok_or_else(|| format!("input {i} is missing"))
    };
    let x = at(0)?;
    let result = match c.operator() {
        "Identity" | "Dropout" => x.clone(),
        "Cast" => cast(x, c.attributes.int("to", 0))?,
        "Sqrt" => floats_of(x)?.map(f32::sqrt),
        "Shape" => {
            let shape = x.shape.iter().map(|&d| Dim::Known(d as i64));
            Constant::ints(shape.collect())
        }
        "Reshape" => reshape(x, &at(1)?.known()?)?,
        "Squeeze" | "Unsqueeze" => {
            let axes = c.ints("axes", 1)?;
            squeeze(x, axes.as_deref(), c.operator() == "Squeeze")?
        }
        "Transpose" => transpose(x, c.attributes.ints("perm"))?,
        "Gather" => gather(x, at(1)?, c.attributes.int("axis", 0))?,
        "Slice" => {
            let one = |i: usize, default: i64| match inputs.get(i) {
                Some(Some(v)) => match v.known()?[..] {
                    [n] => Ok(n),
                    _ => Err("slices along several axes".to_string()),
                },
                _ => Ok(default),
            };
            axis(one(3, 0)?, x.shape.len())?;
            slice(x, one(1, 0)?, one(2, i64::MAX)?, one(4, 1)?)?
        }
        "Concat" => concat(&inputs)?,
        "ConstantOfShape" => {
            let value = c.attributes.find("value").and_then(|a| a.t.clone());
            let value = value.map(|t| c.reader().read(&t)).transpose()?;
            filled(&x.known()?, value)?
        }
        f @ ("Add" | "Sub" | "Mul" | "Div") => binary(x, at(1)?, f)?,
        _ => {
            return Err(
                "on constants alone is not supported; simplify the model (constant folding) first"
                    .into(),
            );
        }
    };
    c.define(result)
}

/// A constant known to hold floating-point numbers.
struct Floats<'a>(&'a [usize], &'a [f32]);

impl Floats<'_> {
    fn map(&self, f: impl Fn(f32) -> f32) -> Constant {
        Constant::floats(self.0, self.1.iter().map(|&v| f(v)).collect())
    }
}

fn floats_of(x: &Constant) -> Result<Floats<'_>, String> {
    match &x.elements {
        Elements::Float(v) => Ok(Floats(&x.shape, v)),
        Elements::Int(_) => Err("holds integers".into()),
    }
}

fn cast(x: &Constant, to: i64) -> Result<Constant, String> {
    let to_float = [data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE]
        .iter()
        .any(|&t| i64::from(t) == to);
    Ok(match (&x.elements, to_float) {
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

fn reshape(x: &Constant, target: &[i64]) -> Result<Constant, String> {
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

fn squeeze(x: &Constant, axes: Option<&[i64]>, remove: bool) -> Result<Constant, String> {
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

/// Elements picked by their position.
fn picked(
    x: &Constant,
    shape: Vec<usize>,
    at: impl Iterator<Item = usize>,
) -> Result<Constant, String> {
    let elements = match &x.elements {
        Elements::Float(v) => {
            let all: Option<Vec<f32>> = at.map(|i| v.get(i).copied()).collect();
            all.map(|v| Elements::Float(v.into()))
        }
        Elements::Int(v) => {
            let all: Option<Vec<Dim>> = at.map(|i| v.get(i).copied()).collect();
            all.map(Elements::Int)
        }
    };
    let elements = elements.ok_or("an index is out of range")?;
    Ok(Constant { shape, elements })
}

fn transpose(x: &Constant, perm: Option<&[i64]>) -> Result<Constant, String> {
    let rank = x.shape.len();
    let perm = match perm {
        Some(p) => p.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect::<Vec<_>>(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(format!("permutation {perm:?} does not fit {:?}", x.shape));
    }
    let from = strides(&x.shape);
    let shape: Vec<usize> = perm.iter().map(|&a| x.shape[a]).collect();
    let to = strides(&shape);
    let at = (0..x.len()).map(|i| {
        let axes = shape.iter().zip(&to).zip(&perm);
        axes.map(|((n, step), &a)| i / step % n * from[a]).sum()
    });
    picked(x, shape.clone(), at)
}

fn gather(x: &Constant, index: &Constant, along: i64) -> Result<Constant, String> {
    if x.shape.len() != 1 || axis(along, 1)? != 0 {
        return Err("only lists can be gathered from".into());
    }
    let at = (index.known()?.iter())
        .map(|&i| axis(i, x.len()))
        .collect::<Result<Vec<_>, _>>()?;
    picked(x, index.shape.clone(), at.into_iter())
}

fn slice(x: &Constant, start: i64, end: i64, step: i64) -> Result<Constant, String> {
    let &[size] = x.shape.as_slice() else {
        return Err("only lists can be sliced".into());
    };
    let (first, count) = slice_range(start, end, step, size)?;
    let at = (0..count as i64).map(|i| (first as i64 + i * step) as usize);
    picked(x, vec![count], at)
}

fn concat(inputs: &[Option<Constant>]) -> Result<Constant, String> {
    let mut all = vec![];
    for x in inputs.iter().flatten() {
        match (&x.elements, x.shape.len()) {
            (Elements::Int(v), 1) => all.extend_from_slice(v),
            _ => return Err("only lists of integers can be joined".into()),
        }
    }
    Ok(Constant::ints(all))
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

fn binary(a: &Constant, b: &Constant, f: &str) -> Result<Constant, String> {
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
