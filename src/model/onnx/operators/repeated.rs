//! Constants that are repeated for every sample: their shape holds the free batch size, so that they are values
//! of the graph rather than constants.

use crate::model::node::Op;
use crate::model::onnx::context::{Context, Done};
use crate::model::onnx::tensor::{Constant, Dim, Elements};

/// Whether a node on constants alone makes a value per sample.
pub(in crate::model::onnx) fn repeats(c: &Context<'_>) -> bool {
    let shape = match c.operator() {
        "Expand" => c.constant(1),
        "ConstantOfShape" => c.constant(0),
        _ => return false,
    };
    let shape = shape.map(|s| &s.elements);
    matches!(shape, Ok(Elements::Int(dims)) if dims.first() == Some(&Dim::Batch))
}

/// Adds the node that repeats the constant.
pub(in crate::model::onnx) fn repeat(c: &mut Context<'_>) -> Done {
    let fill = c.operator() == "ConstantOfShape";
    let shape = c.constant(usize::from(!fill))?;
    let Elements::Int(dims) = &shape.elements else {
        return Err("the target shape holds no integers".into());
    };
    let mut to = (dims[1..].iter())
        .map(|d| match d {
            Dim::Known(n) if *n > 0 => usize::try_from(*n).map_err(|e| e.to_string()),
            _ => Err("a size is not a known number from 1 on".to_string()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (from, values) = if fill {
        let value = c.attributes.find("value").and_then(|a| a.t.as_ref());
        let value = value.map(|t| c.reader().read(t)).transpose()?;
        let value = value.as_ref().map_or(Ok(0.0), Constant::scalar)?;
        (vec![], vec![value])
    } else {
        let (from, values) = c.floats(0)?;
        (from, values.to_vec())
    };
    // An axis of 1 in the target keeps the constant's.
    for (to, &from) in to.iter_mut().rev().zip(from.iter().rev()) {
        if *to == 1 {
            *to = from;
        }
    }
    let x = c.derived(0, &from, values)?;
    c.push(Op::Expand(to), &[x])
}
