//! Reductions, softmax and normalisation along axes.

use super::Tensor;
use crate::Result;
use crate::ops::net::Reduction;
use crate::ops::{check_normalise, check_reduce, check_softmax};
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

/// Reduces adjacent axes to one element, as a tensor of the given shape. Sums and products are formed in float64,
/// in the order of the index.
pub(super) fn reduce(
    x: &Tensor,
    kind: Reduction,
    axes: Range<usize>,
    shape: &[usize],
) -> Result<Tensor> {
    check_reduce(x.shape(), kind, &axes, shape)?;
    let (_, len, inner) = split(x.shape(), &axes);
    let job = Job {
        x: x.data(),
        len,
        inner,
    };
    let out = Tensor::zeros(shape)?;
    if inner * len == 0 && kind != Reduction::Product {
        return Ok(out);
    }
    let same = |sum: f64| sum as f32;
    Ok(match kind {
        Reduction::Mean => job.fold(
            out,
            0.0,
            |sum, v, _| sum + v,
            |sum| (sum / len as f64) as f32,
        ),
        Reduction::Sum => job.fold(out, 0.0, |sum, v, _| sum + v, same),
        Reduction::SumAbs => job.fold(out, 0.0, |sum, v, _| sum + v.abs(), same),
        Reduction::SumSquares => job.fold(out, 0.0, |sum, v, _| sum + v * v, same),
        Reduction::Norm => job.fold(out, 0.0, |sum, v, _| sum + v * v, |sum| sum.sqrt() as f32),
        Reduction::Product => job.fold(out, 1.0, |product, v, _| product * v, same),
        Reduction::Max => job.fold(out, f64::NEG_INFINITY, larger, same),
        Reduction::Min => job.fold(
            out,
            f64::INFINITY,
            |least, v, _| {
                if v < least || v.is_nan() { v } else { least }
            },
            same,
        ),
        Reduction::LogSumExp => {
            // The largest element is subtracted first, unless it is infinite.
            let largest = job.fold(Tensor::zeros(shape)?, f64::NEG_INFINITY, larger, |m| {
                if m.is_infinite() { 0.0 } else { m as f32 }
            });
            let of = largest.data();
            let sums = job.fold_at(
                out,
                0.0,
                |sum, v, _, at| sum + (v - f64::from(of[at])).exp(),
                |sum, at| (f64::from(of[at]) + sum.ln()) as f32,
            );
            return Ok(sums);
        }
        Reduction::ArgMax => {
            let largest = job.fold(Tensor::zeros(shape)?, f64::NEG_INFINITY, larger, same);
            let of = largest.data();
            job.fold_at(
                out,
                f64::INFINITY,
                |first, v, i, at| {
                    let is_it = v == f64::from(of[at]) || v.is_nan();
                    if is_it { first.min(i as f64) } else { first }
                },
                |first, _| first as f32,
            )
        }
    })
}

/// The larger of two numbers; NaN if the second one is, or the first one was.
fn larger(most: f64, v: f64, _: usize) -> f64 {
    if v > most || v.is_nan() { v } else { most }
}

/// A reduction of the middle axis of `x [outer, len, inner]`.
struct Job<'a> {
    x: &'a [f32],
    len: usize,
    inner: usize,
}

impl Job<'_> {
    /// Folds the elements of each result in order, from `start` on by `step(so far, element, its index)`.
    fn fold(
        &self,
        out: Tensor,
        start: f64,
        step: impl Fn(f64, f64, usize) -> f64 + Sync,
        finish: impl Fn(f64) -> f32 + Sync,
    ) -> Tensor {
        self.fold_at(
            out,
            start,
            |sum, v, i, _| step(sum, v, i),
            |sum, _| finish(sum),
        )
    }

    /// As [`Job::fold`], for functions that also take the position of the result.
    fn fold_at(
        &self,
        mut out: Tensor,
        start: f64,
        step: impl Fn(f64, f64, usize, usize) -> f64 + Sync,
        finish: impl Fn(f64, usize) -> f32 + Sync,
    ) -> Tensor {
        let (len, inner) = (self.len, self.inner);
        let values = |at: usize| self.x[at * len * inner..].chunks(inner).take(len);
        (out.data_mut().par_chunks_mut(inner.max(1)).enumerate()).for_each(|(outer, out)| {
            let first = outer * inner;
            if inner == 1 {
                let row = self.x[outer * len..][..len].iter().enumerate();
                let total = row.fold(start, |sum, (i, &v)| step(sum, f64::from(v), i, first));
                out[0] = finish(total, first);
                return;
            }
            let mut sums = vec![start; inner];
            for (i, row) in values(outer).enumerate() {
                for (at, (sum, &v)) in sums.iter_mut().zip(row).enumerate() {
                    *sum = step(*sum, f64::from(v), i, first + at);
                }
            }
            for (at, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                *out = finish(sum, first + at);
            }
        });
        out
    }
}

/// Normalises runs of `len` elements to mean 0 and variance 1. Both are computed in float64, the variance from
/// the differences to the mean.
pub(super) fn normalise(x: &Tensor, len: usize, epsilon: f32) -> Result<Tensor> {
    check_normalise(x.shape(), len)?;
    let mut out = Tensor::unwritten(x.shape())?;
    (out.data_mut().par_chunks_mut(len))
        .zip(x.data().par_chunks(len))
        .with_min_len((1 << 12) / len + 1)
        .for_each(|(out, x)| {
            let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / len as f64;
            let squares = x.iter().map(|&v| (f64::from(v) - mean).powi(2));
            let variance = squares.sum::<f64>() / len as f64;
            let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
            for (out, &v) in out.iter_mut().zip(x) {
                *out = ((f64::from(v) - mean) * factor) as f32;
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
