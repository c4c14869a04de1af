//! The matrix of all pairs for separate input channels: the Gram matrix of the autocorrelations.

use super::{Lags, autocorrelate};
use crate::ops::Products;
use crate::ops::filters::FilterShape;
use crate::simd::{F64_LANES, F64x8, InstructionSet, LineF64, Simd, SimdKernel};
use rayon::prelude::*;

/// Lines of a filter's autocorrelations that are multiplied at a time. Those of sixteen filters fit the L1 cache.
const DEPTH: usize = 32;
/// Rows of the matrix in a task.
const ROWS: usize = 8;

/// Computes `P_ij = sum_c <a_i^c, a_j^c>`, `[M, M]`.
pub(super) fn separate(weights: &[f32], shape: FilterShape, set: InstructionSet) -> Vec<f64> {
    let lags = Lags {
        h: shape.height,
        w: shape.width,
    };
    let m = shape.filters;
    let mut out = vec![0.0; m * m];
    // Input channels are processed in slices, which bounds the memory for the features.
    let slice = (DEPTH / lags.half()).max(1) * F64_LANES;
    let depth = (slice / F64_LANES) * lags.half();
    let mut features = vec![LineF64::ZERO; m * depth];
    for first in (0..shape.channels).step_by(slice) {
        let channels = first..(first + slice).min(shape.channels);
        features.par_chunks_mut(depth).enumerate().for_each_init(
            || vec![LineF64::ZERO; lags.h * lags.w],
            |map, (i, out)| {
                let work = Features {
                    weights: &weights[i * shape.channels * shape.area()..]
                        [channels.start * shape.area()..channels.end * shape.area()],
                    lags,
                    map,
                    out,
                };
                set.run(work);
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

/// Kernel: the features of one filter. They are the lags from `(0, 0)` on of its autocorrelations, scaled so that their
/// inner product is that of all lags.
struct Features<'a> {
    weights: &'a [f32],
    lags: Lags,
    map: &'a mut [LineF64],
    out: &'a mut [LineF64],
}

impl SimdKernel for Features<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) {
        let area = self.map.len();
        self.out.fill(LineF64::ZERO);
        let blocks = self.weights.chunks(F64_LANES * area);
        let scale = I::F64x8::splat(std::f64::consts::SQRT_2);
        for (weights, out) in blocks.zip(self.out.chunks_exact_mut(self.lags.half())) {
            self.map.fill(LineF64::ZERO);
            for (lane, weights) in weights.chunks_exact(area).enumerate() {
                for (map, &k) in self.map.iter_mut().zip(weights) {
                    map.0[lane] = f64::from(k);
                }
            }
            autocorrelate::<I>(self.map, self.lags, out);
            for a in &mut out[1..] {
                (I::F64x8::load(a) * scale).store(a);
            }
        }
    }
}
