//! The matrix of all pairs, input channels separate: a Gram matrix of autocorrelations.

use super::{Lags, autocorrelate};
use crate::cpu::f64x8::{self, F64x8, Isa, LANES, Pack, Work};
use crate::cpu::simd::InstructionSet;
use crate::ops::Products;
use crate::ops::filters::FilterShape;
use rayon::prelude::*;
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// Packs of features of a filter that are worked on at a time: sixteen filters' fit a first-level cache.
const DEPTH: usize = 32;
/// Rows of a task.
const ROWS: usize = 8;

/// `P_ij = sum_c <a_i^c, a_j^c>`, `[M, M]`.
pub(super) fn separate(weights: &[f32], shape: FilterShape, set: InstructionSet) -> Vec<f64> {
    let lags = Lags {
        h: shape.height,
        w: shape.width,
    };
    let m = shape.filters;
    let mut out = vec![0.0; m * m];
    // A slice of the input channels at a time bounds the features in memory.
    let slice = (DEPTH / lags.half()).max(1) * LANES;
    let depth = (slice / LANES) * lags.half();
    let mut features = vec![Pack::ZERO; m * depth];
    for first in (0..shape.channels).step_by(slice) {
        let channels = first..(first + slice).min(shape.channels);
        features.par_chunks_mut(depth).enumerate().for_each_init(
            || vec![Pack::ZERO; lags.h * lags.w],
            |map, (i, out)| {
                let work = Features {
                    weights: &weights[i * shape.channels * shape.area()..]
                        [channels.start * shape.area()..channels.end * shape.area()],
                    lags,
                    map,
                    out,
                };
                f64x8::dispatch(set, work);
            },
        );
        let tasks = out.par_chunks_mut(ROWS * m).enumerate();
        tasks.for_each(|(t, rows)| {
            set.run(Products::new(&features, depth, t * ROWS, rows, m));
        });
    }
    mirror(&mut out, m);
    out
}

/// Copies the upper triangle to the lower.
pub(super) fn mirror(matrix: &mut [f64], m: usize) {
    for i in 1..m {
        for j in 0..i {
            matrix[i * m + j] = matrix[j * m + i];
        }
    }
}

/// Autocorrelations of one filter, scaled so that halves have the inner product of the whole.
struct Features<'a> {
    weights: &'a [f32],
    lags: Lags,
    map: &'a mut [Pack],
    out: &'a mut [Pack],
}

impl Work for Features<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let area = self.map.len();
        self.out.fill(Pack::ZERO);
        let blocks = self.weights.chunks(LANES * area);
        let scale = I::F64::splat(std::f64::consts::SQRT_2);
        for (weights, out) in blocks.zip(self.out.chunks_exact_mut(self.lags.half())) {
            self.map.fill(Pack::ZERO);
            for (lane, weights) in weights.chunks_exact(area).enumerate() {
                for (map, &k) in self.map.iter_mut().zip(weights) {
                    map.0[lane] = f64::from(k);
                }
            }
            autocorrelate::<I>(self.map, self.lags, out);
            for a in &mut out[1..] {
                I::F64::load(a).mul(scale).store(a);
            }
        }
    }
}
