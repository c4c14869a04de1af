//! Operators that combine the elements along axes.

use crate::model::node::{Op, ValueId};
use crate::model::onnx::attributes::{axis, inner_axis};
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::Activation;
use crate::ops::net::{Binary, Reduction, Unary};
use std::ops::Range;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Hardmax", softmax),
    Operator::new("LogSoftmax", softmax),
    Operator::new("ReduceL1", reduce),
    Operator::new("ReduceL2", reduce),
    Operator::new("ReduceLogSum", reduce),
    Operator::new("ReduceLogSumExp", reduce),
    Operator::new("ReduceMax", reduce),
    Operator::new("ReduceMean", reduce),
    Operator::new("ReduceMin", reduce),
    Operator::new("ReduceProd", reduce),
    Operator::new("ReduceSum", reduce),
    Operator::new("ReduceSumSquare", reduce),
    Operator::new("Softmax", softmax),
];

fn kind(c: &Context<'_>) -> Reduction {
    match c.operator() {
        "ReduceL1" => Reduction::SumAbs,
        "ReduceL2" => Reduction::Norm,
        "ReduceLogSumExp" => Reduction::LogSumExp,
        "ReduceMax" => Reduction::Max,
        "ReduceMean" => Reduction::Mean,
        "ReduceMin" => Reduction::Min,
        "ReduceProd" => Reduction::Product,
        "ReduceSumSquare" => Reduction::SumSquares,
        _ => Reduction::Sum,
    }
}

fn reduce(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let rank = shape.len() + 1;
    let keep = c.attributes.int("keepdims", 1) != 0;
    let logarithm = c.operator() == "ReduceLogSum";
    let mut axes = match c.ints("axes", 1)?.filter(|a| !a.is_empty()) {
        Some(axes) => (axes.iter())
            .map(|&a| inner_axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None if c.attributes.flag("noop_with_empty_axes") => vec![],
        None => {
            return Err("works on all axes, and so over the batch, which must stay free".into());
        }
    };
    axes.sort_unstable();
    axes.dedup();
    let mut x = c.data(0)?;
    let (first, last) = (axes.first().copied(), axes.last().copied());
    let neighbours = match (first, last) {
        (Some(first), Some(last)) => last + 1 - first == axes.len(),
        _ => false,
    };
    if neighbours && !logarithm {
        let axes = axes[0]..axes[0] + axes.len();
        let kind = kind(c);
        return c.push(Op::Reduce { kind, axes, keep }, &[x]);
    }
    // The axes are brought together at the end; if there are none, each element is reduced alone.
    let others = (1..rank).filter(|a| !axes.contains(a));
    let perm: Vec<usize> = [0]
        .into_iter()
        .chain(others)
        .chain(axes.iter().copied())
        .collect();
    x = c.inner(Op::Transpose(perm), &[x])?;
    let size = |a: usize| shape[a - 1];
    let (left, right): (Vec<usize>, Vec<usize>) = (1..rank).partition(|a| !axes.contains(a));
    let mut flat: Vec<usize> = left.iter().map(|&a| size(a)).collect();
    flat.push(right.iter().map(|&a| size(a)).product());
    x = c.inner(Op::Reshape(flat), &[x])?;
    let op = Op::Reduce {
        kind: kind(c),
        axes: left.len() + 1..left.len() + 2,
        keep: false,
    };
    let mut y = c.inner(op, &[x])?;
    if logarithm {
        y = c.inner(Op::Unary(Unary::Log), &[y])?;
    }
    let kept = (1..rank).filter(|a| keep || !axes.contains(a));
    let kept = kept.map(|a| if axes.contains(&a) { 1 } else { size(a) });
    c.push(Op::Reshape(kept.collect()), &[y])
}

fn softmax(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    let rank = shape.len() + 1;
    let mut x = c.data(0)?;
    // Before opset 13 all axes from the given one on are one.
    let flat = c.opset() < 13;
    let mut at = axis(c.attributes.int("axis", if flat { 1 } else { -1 }), rank)?;
    let flattened = flat && at > 0 && at + 1 < rank;
    if flattened {
        let rest = shape[at - 1..].iter().product();
        x = c.inner(Op::Reshape([&shape[..at - 1], &[rest]].concat()), &[x])?;
    } else if at > 0 {
        at = inner_axis(at as i64, rank)?;
    }
    let y = match c.operator() {
        "Softmax" if !flattened => return c.push(Op::Softmax(at), &[x]),
        "Softmax" => c.inner(Op::Softmax(at), &[x])?,
        "LogSoftmax" => log_softmax(c, x, at..at + 1)?,
        _ => hardmax(c, x, at)?,
    };
    c.push(Op::Reshape(shape), &[y])
}

const fn kept(kind: Reduction, axes: Range<usize>) -> Op {
    Op::Reduce {
        kind,
        axes,
        keep: true,
    }
}

/// `d - ln sum e^d` for the differences `d` to the largest element, of which the largest is 0.
fn log_softmax(c: &mut Context<'_>, x: ValueId, axes: Range<usize>) -> Result<ValueId, String> {
    let sub = Op::Binary(Binary::Sub, Activation::Identity);
    let largest = c.inner(kept(Reduction::Max, axes.clone()), &[x])?;
    let differences = c.inner(sub.clone(), &[x, largest])?;
    let logarithm = c.inner(kept(Reduction::LogSumExp, axes), &[differences])?;
    c.inner(sub, &[differences, logarithm])
}

/// 1 at the first of the largest elements, 0 elsewhere.
fn hardmax(c: &mut Context<'_>, x: ValueId, at: usize) -> Result<ValueId, String> {
    let shape = c.value_shape(x);
    let size = *(at.checked_sub(1).and_then(|a| shape.get(a)))
        .ok_or("works along the batch axis, which must stay free")?;
    let first = c.inner(kept(Reduction::ArgMax, at..at + 1), &[x])?;
    let mut places = vec![1; shape.len() + 1 - at];
    places[0] = size;
    let places = c.derived(
        0,
        &places,
        (0..size).map(|i| i as f32).collect::<Vec<f32>>(),
    )?;
    let equal = Op::Binary(Binary::Equal, Activation::Identity);
    c.inner(equal, &[first, places])
}
