//! Filters as the minimal filtering algorithms multiply by them: transformed in float64, once for a call.

use crate::cpu::gemm::ROWS;
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
) -> Vec<f32> {
    let panel = P * P * channels * ROWS;
    let mut all = vec![0f32; filters.div_ceil(ROWS) * panel];
    all.par_chunks_mut(panel)
        .enumerate()
        .for_each(|(p, panel)| {
            let rows = ROWS.min(filters - p * ROWS);
            for channel in 0..channels {
                let mut taps = [[[0.0; ROWS]; 3]; 3];
                for r in 0..rows {
                    let of_filter = &weight[((p * ROWS + r) * channels + channel) * 9..][..9];
                    for (i, &tap) in of_filter.iter().enumerate() {
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
                        let to = ((y * P + x) * channels + channel) * ROWS;
                        for (to, &value) in panel[to..][..ROWS].iter_mut().zip(values) {
                            *to = value as f32;
                        }
                    }
                }
            }
        });
    all
}
