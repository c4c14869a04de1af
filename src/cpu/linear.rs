//! Fully connected layers.

use super::Tensor;
use crate::device::Activation;
use crate::{Error, Result};
use rayon::prelude::*;

/// Rows that share one pass over the weights.
const ROWS: usize = 8;

/// `activation(x [R, K] weight [K, M] + bias [M])`; every row is summed over `K` in order, whatever
/// rows it is computed with.
pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    let (&[rows, k], &[kw, m]) = (x.shape(), weight.shape()) else {
        return Err(mismatch(x, weight));
    };
    if k != kw || bias.is_some_and(|b| b.shape() != [m]) {
        return Err(mismatch(x, weight));
    }
    let mut out = Tensor::zeros(&[rows, m])?;
    if m * k == 0 {
        return Ok(out);
    }
    out.data_mut()
        .par_chunks_mut(ROWS * m)
        .zip(x.data().par_chunks(ROWS * k))
        .for_each(|(out, x)| {
            if let Some(bias) = bias {
                out.chunks_mut(m)
                    .for_each(|o| o.copy_from_slice(bias.data()));
            }
            for (i, w) in weight.data().chunks(m).enumerate() {
                for (out, x) in out.chunks_mut(m).zip(x.chunks(k)) {
                    let v = x[i];
                    for (o, w) in out.iter_mut().zip(w) {
                        *o += v * w;
                    }
                }
            }
            out.iter_mut().for_each(|o| *o = activation.apply(*o));
        });
    Ok(out)
}

fn mismatch(x: &Tensor, weight: &Tensor) -> Error {
    Error::Shape(format!(
        "{:?} cannot be multiplied by {:?}",
        x.shape(),
        weight.shape()
    ))
}
