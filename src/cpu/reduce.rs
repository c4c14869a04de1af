//! Means and softmax along axes.

use super::Tensor;
use crate::Result;
use crate::ops::{check_mean, check_softmax};
use rayon::prelude::*;
use std::ops::Range;

/// The sizes of the axes before `axes`, of `axes` and of those behind, each multiplied out.
fn split(shape: &[usize], axes: &Range<usize>) -> (usize, usize, usize) {
    let size = |r: Range<usize>| shape.get(r).unwrap_or_default().iter().product::<usize>();
    (
        size(0..axes.start),
        size(axes.clone()),
        size(axes.end..shape.len()),
    )
}

/// The mean over adjacent axes, as a tensor of the given shape. Sums are taken in float64, in the order of the index.
pub(super) fn mean(x: &Tensor, axes: Range<usize>, shape: &[usize]) -> Result<Tensor> {
    check_mean(x.shape(), &axes, shape)?;
    let (_, len, inner) = split(x.shape(), &axes);
    let mut out = Tensor::zeros(shape)?;
    if inner * len == 0 {
        return Ok(out);
    }
    out.data_mut()
        .par_chunks_mut(inner)
        .zip(x.data().par_chunks(len * inner))
        .for_each(|(out, x)| {
            if inner == 1 {
                let sum: f64 = x.iter().map(|&v| f64::from(v)).sum();
                out[0] = (sum / len as f64) as f32;
                return;
            }
            let mut sums = vec![0.0f64; inner];
            for row in x.chunks(inner) {
                for (sum, &v) in sums.iter_mut().zip(row) {
                    *sum += f64::from(v);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = (sum / len as f64) as f32;
            }
        });
    Ok(out)
}

/// Softmax along one axis. The largest element is subtracted first, so that nothing overflows.
pub(super) fn softmax(x: &Tensor, axis: usize) -> Result<Tensor> {
    check_softmax(x.shape(), axis)?;
    let (_, len, inner) = split(x.shape(), &(axis..axis + 1));
    let mut out = x.clone();
    if inner * len == 0 {
        return Ok(out);
    }
    out.data_mut().par_chunks_mut(len * inner).for_each(|x| {
        for i in 0..inner {
            let max = (0..len).fold(f32::NEG_INFINITY, |m, j| m.max(x[j * inner + i]));
            let mut sum = 0.0f64;
            for j in 0..len {
                let e = (x[j * inner + i] - max).exp();
                x[j * inner + i] = e;
                sum += f64::from(e);
            }
            for j in 0..len {
                x[j * inner + i] = (f64::from(x[j * inner + i]) / sum) as f32;
            }
        }
    });
    Ok(out)
}
