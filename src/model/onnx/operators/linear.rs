//! Matrix products.

use crate::model::node::Op;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::Activation;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Gemm", gemm).leaving_weight(),
    Operator::new("MatMul", matmul).leaving_weight(),
];

/// `alpha A B + beta C`, `A` the data, `B` and `C` constants; the factors go into the constants.
fn gemm(c: &mut Context<'_>) -> Done {
    let (alpha, beta) = (
        c.attributes.float("alpha", 1.0),
        c.attributes.float("beta", 1.0),
    );
    if c.attributes.flag("transA") {
        return Err("transposes the data (transA), which must keep the batch first".into());
    }
    let (shape, mut weight) = c.weight(1)?;
    let &[rows, columns] = shape.as_slice() else {
        return Err(format!("weight {shape:?} is no matrix"));
    };
    if alpha != 1.0 {
        let values = weight.read().map_err(|e| e.to_string())?;
        weight = scaled(values.into_owned(), alpha).into();
    }
    let (k, m, weight) = if c.attributes.flag("transB") {
        (columns, rows, weight.transpose([rows, columns]))
    } else {
        (rows, columns, weight)
    };
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

/// A product with a constant matrix, of all rows at once, or of matrices pair by pair.
fn matmul(c: &mut Context<'_>) -> Done {
    let inputs = [c.operand(0)?, c.operand(1)?];
    let right = c.value_shape(inputs[1]);
    if c.data(0).is_err() || c.data(1).is_ok() || right.len() > 2 {
        return c.push(Op::MatMul, &inputs);
    }
    let linear = Op::Linear(Activation::Identity);
    let &[k] = right.as_slice() else {
        return c.push(linear, &inputs);
    };
    // A vector is a matrix of one column, which the result does not have.
    let column = c.weight(1)?.1;
    let column = c.derived(1, &[k, 1], column)?;
    let y = c.inner(linear, &[inputs[0], column])?;
    let mut shape = c.value_shape(y);
    shape.pop();
    c.push(Op::Reshape(shape), &[y])
}

fn scaled(mut values: Vec<f32>, factor: f32) -> Vec<f32> {
    if factor != 1.0 {
        values.iter_mut().for_each(|v| *v *= factor);
    }
    values
}
