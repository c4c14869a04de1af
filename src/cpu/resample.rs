//! Weighted sums along an axis: interpolation, repetition, selection.

use super::Tensor;
use crate::Result;
use crate::ops::check_resample;
use crate::ops::net::Resampling;
use rayon::prelude::*;

/// Computes `out[.., j, ..] = sum_t weight[j, t] x[.., index[j, t], ..]` along `axis`. A term whose weight is 0 does
/// not count, so that what lies there may be infinite.
///
/// # Errors
/// Those of [`check_resample`].
pub(super) fn resample(x: &Tensor, axis: usize, by: &Resampling) -> Result<Tensor> {
    let shape = check_resample(x.shape(), axis, by)?;
    let mut out = Tensor::unwritten(&shape)?;
    let inner: usize = shape[axis + 1..].iter().product();
    let (from, to) = (x.shape()[axis] * inner, shape[axis] * inner);
    if from * to == 0 {
        return Tensor::zeros(&shape);
    }
    (out.data_mut().par_chunks_mut(to))
        .zip(x.data().par_chunks(from))
        .for_each(|(out, x)| {
            let terms = by.index.chunks(by.terms).zip(by.weight.chunks(by.terms));
            for (row, (index, weight)) in out.chunks_mut(inner).zip(terms) {
                row.fill(0.0);
                for (&i, &w) in index.iter().zip(weight).filter(|(_, w)| **w != 0.0) {
                    let source = &x[i as usize * inner..][..inner];
                    for (out, &v) in row.iter_mut().zip(source) {
                        *out += w * v;
                    }
                }
            }
        });
    Ok(out)
}
