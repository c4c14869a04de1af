//! Operators that combine the elements along axes.

use crate::model::node::Op;
use crate::model::onnx::attributes::{axis, inner_axis};
use crate::model::onnx::context::{Context, Done, Operator};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("ReduceMean", reduce_mean),
    Operator::new("Softmax", softmax),
];

fn reduce_mean(c: &mut Context<'_>) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let keep = c.attributes.int("keepdims", 1) != 0;
    let mut axes = match c.ints("axes", 1)?.filter(|a| !a.is_empty()) {
        Some(axes) => (axes.iter())
            .map(|&a| inner_axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None if c.opset() >= 18 && c.attributes.flag("noop_with_empty_axes") => {
            return c.identity();
        }
        None => return Err("averages over the batch".into()),
    };
    axes.sort_unstable();
    let (first, last) = (axes[0], axes[axes.len() - 1]);
    if !axes.iter().copied().eq(first..=last) {
        return Err("averages over axes that are not neighbours".into());
    }
    let x = c.data(0)?;
    let op = Op::Reduce {
        kind: crate::ops::net::Reduction::Mean,
        axes: first..last + 1,
        keep,
    };
    c.push(op, &[x])
}

fn softmax(c: &mut Context<'_>) -> Done {
    let rank = c.shape(0)?.len() + 1;
    let axis = axis(c.attributes.int("axis", -1), rank)?;
    let x = c.data(0)?;
    c.push(Op::Softmax(axis), &[x])
}
