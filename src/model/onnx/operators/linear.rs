//! Matrix products.

use crate::model::node::Op;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::ops::Activation;

pub(super) const OPERATORS: &[Operator] =
    &[Operator::new("Gemm", gemm), Operator::new("MatMul", matmul)];

/// `alpha A B + beta C`, `A` the data, `B` and `C` constants; the factors go into the constants.
fn gemm(c: &mut Context<'_>) -> Done {
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
    let values = c.floats(1)?.1.to_vec();
    let column = c.derived(1, &[k, 1], values)?;
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

fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for c in 0..columns {
        out.extend((0..rows).map(|r| x[r * columns + c]));
    }
    out
}
