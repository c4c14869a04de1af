//! Convolutional Similarity (docs/definitions.md#convolutional-similarity): its value, its gradient and the matrix of
//! pairs, in float64 throughout.
//!
//! With separate input channels ([`separate`], [`pairs`]), the sum over all lags of a pair is an inner product of
//! autocorrelations: `sum_b R_ij[b]^2 = <a_i, a_j>`. The sum over all pairs is therefore `sum_i <a_i, sum_{j > i} a_j>`,
//! whose cost is linear in the number of filters. The textbook form `(|sum a|^2 - sum |a_i|^2) / 2` would cancel if one
//! filter outweighs the others. The sums used here leave the filter itself out and are accumulated from both ends, so
//! nothing cancels.
//!
//! With summed input channels ([`summed`]) there is no such identity, and every pair is correlated.
//!
//! Correlations are computed directly. With eight input channels side by side this is faster than an FFT for kernels up
//! to about 31x31.

mod pairs;
mod separate;
mod summed;

use super::Cpu;
use super::disjoint::Disjoint;
use crate::Result;
use crate::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels};
use crate::simd::{F64x8, InstructionSet, LineF64, Simd};

/// Working memory that is kept from call to call.
#[derive(Default)]
pub struct FilterScratch {
    /// A part for each thread.
    work: Vec<LineF64>,
    /// The contribution of each block of input channels, or of each filter, to the value.
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
        // The contributions are added in order, so that the sum does not depend on the number of threads.
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

/// The arguments of one evaluation.
struct Job<'a> {
    weights: &'a [f32],
    shape: FilterShape,
    params: FilterParams,
    gradient: Option<&'a Disjoint<'a>>,
    set: InstructionSet,
}

/// Makes `v` at least `len` long. It never shrinks.
fn reserve(v: &mut Vec<LineF64>, len: usize) {
    if v.len() < len {
        v.resize(len, LineF64::ZERO);
    }
}

/// The lags of a correlation of maps of `h x w`.
#[derive(Clone, Copy)]
struct Lags {
    h: usize,
    w: usize,
}

impl Lags {
    /// The number of all lags. They are stored row by row, from `(1 - h, 1 - w)` on.
    const fn all(self) -> usize {
        (2 * self.h - 1) * (2 * self.w - 1)
    }

    /// The number of lags from `(0, 0)` on in that order. The others mirror them in an autocorrelation.
    const fn half(self) -> usize {
        self.all() / 2 + 1
    }

    /// Index of the lag `m - n` among all lags, for two pixels `n` and `m` of a map.
    #[inline(always)]
    const fn between(self, n: (usize, usize), m: (usize, usize)) -> usize {
        (m.0 + self.h - 1 - n.0) * (2 * self.w - 1) + m.1 + self.w - 1 - n.1
    }
}

/// Autocorrelation of the eight maps `k [h w]` at the lags from `(0, 0)` on.
#[inline(always)]
fn autocorrelate<I: Simd>(k: &[LineF64], lags: Lags, out: &mut [LineF64]) {
    let Lags { h, w } = lags;
    let mut place = 0;
    for dy in 0..h {
        let first = if dy == 0 { 0 } else { 1 - w as isize };
        for dx in first..w as isize {
            let columns = dx.min(0).unsigned_abs()..w - dx.max(0) as usize;
            let mut sum = I::F64x8::splat(0.0);
            for y in 0..h - dy {
                for x in columns.clone() {
                    let other = (y + dy) * w + x.wrapping_add_signed(dx);
                    sum = I::F64x8::load(&k[y * w + x]).mul_add(I::F64x8::load(&k[other]), sum);
                }
            }
            sum.store(&mut out[place]);
            place += 1;
        }
    }
}

/// Inner product of two whole autocorrelations, of which `a` and `b` hold the lags from `(0, 0)` on.
#[inline(always)]
fn inner<I: Simd>(a: &[LineF64], b: &[LineF64]) -> I::F64x8 {
    let mut sum = I::F64x8::splat(0.0);
    for (a, b) in a.iter().zip(b).skip(1) {
        sum = I::F64x8::load(a).mul_add(I::F64x8::load(b), sum);
    }
    I::F64x8::load(&a[0]).mul_add(I::F64x8::load(&b[0]), sum + sum)
}
