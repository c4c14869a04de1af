//! Filters as the minimal filtering algorithms multiply by them: transformed in float64, once for a call.

use crate::cpu::gemm::ROWS;
use crate::simd::{InstructionSet, Simd, SimdKernel};
use rayon::prelude::*;

/// A number of each filter of a panel.
pub(super) type Numbers = [f64; ROWS];

/// `G g G'` of every filter and channel of `weight [filters, channels, 3, 3]`, as `[row panels, P * P, channels, ROWS]`.
/// `along` is `G`: it makes `P` numbers of the three weights along an axis.
pub(super) fn transformed<const P: usize>(
    weight: &[f32],
    filters: usize,
    channels: usize,
    along: impl Fn([&Numbers; 3]) -> [Numbers; P] + Sync,
    set: InstructionSet,
) -> Vec<f32> {
    let panel = P * P * channels * ROWS;
    let mut all = vec![0f32; filters.div_ceil(ROWS) * panel];
    all.par_chunks_mut(panel)
        .zip(weight.par_chunks(ROWS * channels * 9))
        .for_each(|(to, weight)| {
            set.run(Panel {
                weight,
                channels,
                along: &along,
                to,
            });
        });
    all
}

/// Kernel: a panel of up to [`ROWS`] filters.
struct Panel<'a, F> {
    /// `[filters, channels, 3, 3]`.
    weight: &'a [f32],
    channels: usize,
    along: &'a F,
    /// `[P * P, channels, ROWS]`.
    to: &'a mut [f32],
}

impl<const P: usize, F: Fn([&Numbers; 3]) -> [Numbers; P]> SimdKernel for Panel<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let Self {
            weight,
            channels,
            along,
            to,
        } = self;
        for channel in 0..channels {
            let mut taps = [[[0.0; ROWS]; 3]; 3];
            for (r, filter) in weight.chunks_exact(channels * 9).enumerate() {
                for (i, &tap) in filter[channel * 9..][..9].iter().enumerate() {
                    taps[i / 3][i % 3][r] = f64::from(tap);
                }
            }
            // Columns first: `[x, point along y]`.
            let column = |x: usize| along([&taps[0][x], &taps[1][x], &taps[2][x]]);
            let [left, middle, right] = [column(0), column(1), column(2)];
            let rows = left.iter().zip(&middle).zip(&right);
            for (y, ((left, middle), right)) in rows.enumerate() {
                let row = along([left, middle, right]);
                for (x, values) in row.iter().enumerate() {
                    let at = ((y * P + x) * channels + channel) * ROWS;
                    for (to, &value) in to[at..][..ROWS].iter_mut().zip(values) {
                        *to = value as f32;
                    }
                }
            }
        }
    }
}
