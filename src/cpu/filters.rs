//! Convolutional Similarity: value, gradient, pairs, in float64 throughout.
//!
//! With the input channels separate, `sum_b R_ij[b]^2 = <a_i, a_j>` for autocorrelations `a`: the sum
//! over all pairs is `sum_i <a_i, sum_{j > i} a_j>`, linear in the number of filters. The textbook form
//! `(|sum a|^2 - sum |a_i|^2) / 2` would cancel where one filter outweighs the rest; sums that leave the
//! filter itself out, taken from both ends, have nothing to cancel. Correlations are taken directly:
//! with eight input channels side by side that beats an FFT up to kernels of about 31x31.

mod pairs;
mod separate;
mod summed;

use super::disjoint::Disjoint;
use super::f64x8::{F64x8, Isa, Pack};
use super::{Cpu, simd::InstructionSet};
use crate::Result;
use crate::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels};
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// Buffers kept from call to call.
#[derive(Default)]
pub struct FilterScratch {
    /// Working memory, a part per thread.
    work: Vec<Pack>,
    /// What each block of input channels (or each filter) adds to the value.
    values: Vec<f64>,
}

impl FilterOps for Cpu {
    type FilterScratch = FilterScratch;

    fn similarity(
        &self,
        weights: &[f32],
        shape: FilterShape,
        params: FilterParams,
        gradient: Option<&mut [f32]>,
        scratch: &mut FilterScratch,
    ) -> Result<f64> {
        shape.check("weights", weights.len())?;
        if let Some(gradient) = &gradient {
            shape.check("gradient", gradient.len())?;
        }
        let gradient = gradient.map(Disjoint::new);
        let job = Job {
            weights,
            shape,
            params,
            gradient: gradient.as_ref(),
            set: self.set,
        };
        self.pool.install(|| match params.input_channels {
            InputChannels::Separate => separate::similarity(&job, scratch),
            InputChannels::Summed => summed::similarity(&job, scratch),
        });
        // In order, so that the sum does not depend on the threads.
        Ok(scratch.values.iter().sum())
    }

    fn similarity_pairs(
        &self,
        weights: &[f32],
        shape: FilterShape,
        channels: InputChannels,
    ) -> Result<Vec<f64>> {
        shape.check("weights", weights.len())?;
        Ok(self.pool.install(|| match channels {
            InputChannels::Separate => pairs::separate(weights, shape, self.set),
            InputChannels::Summed => summed::pairs(weights, shape, self.set),
        }))
    }
}

/// One evaluation.
struct Job<'a> {
    weights: &'a [f32],
    shape: FilterShape,
    params: FilterParams,
    gradient: Option<&'a Disjoint<'a>>,
    set: InstructionSet,
}

/// Makes room without giving any back.
fn reserve(v: &mut Vec<Pack>, len: usize) {
    if v.len() < len {
        v.resize(len, Pack::ZERO);
    }
}

/// Lags of the correlations of maps of `h x w`.
#[derive(Clone, Copy)]
struct Lags {
    h: usize,
    w: usize,
}

impl Lags {
    /// All lags, row by row from `(1 - h, 1 - w)`.
    const fn all(self) -> usize {
        (2 * self.h - 1) * (2 * self.w - 1)
    }

    /// Lags from `(0, 0)` on in that order: the others mirror them in an autocorrelation.
    const fn half(self) -> usize {
        self.all() / 2 + 1
    }

    /// Place of lag `m - n` among all, for places `n` and `m` in a map.
    #[inline(always)]
    const fn between(self, n: (usize, usize), m: (usize, usize)) -> usize {
        (m.0 + self.h - 1 - n.0) * (2 * self.w - 1) + m.1 + self.w - 1 - n.1
    }
}

/// Autocorrelation of eight maps `k [h w]` at the lags from `(0, 0)` on.
#[inline(always)]
fn autocorrelate<I: Isa>(k: &[Pack], lags: Lags, out: &mut [Pack]) {
    let Lags { h, w } = lags;
    let mut place = 0;
    for dy in 0..h {
        let first = if dy == 0 { 0 } else { 1 - w as isize };
        for dx in first..w as isize {
            let columns = dx.min(0).unsigned_abs()..w - dx.max(0) as usize;
            let mut sum = I::F64::splat(0.0);
            for y in 0..h - dy {
                for x in columns.clone() {
                    let other = (y + dy) * w + x.wrapping_add_signed(dx);
                    sum = I::F64::load(&k[y * w + x]).mul_add(I::F64::load(&k[other]), sum);
                }
            }
            sum.store(&mut out[place]);
            place += 1;
        }
    }
}

/// Inner product of two autocorrelations given by halves.
#[inline(always)]
fn inner<I: Isa>(a: &[Pack], b: &[Pack]) -> I::F64 {
    let mut sum = I::F64::splat(0.0);
    for (a, b) in a.iter().zip(b).skip(1) {
        sum = I::F64::load(a).mul_add(I::F64::load(b), sum);
    }
    I::F64::load(&a[0]).mul_add(I::F64::load(&b[0]), sum.add(sum))
}
