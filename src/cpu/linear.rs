//! Fully connected layers, as matrix products.

use super::Tensor;
use super::disjoint::Disjoint;
use super::gemm::{CHUNK, COLS, ROWS, Target, pack, tile};
use crate::Result;
use crate::ops::{Activation, check_linear};
use crate::simd::{InstructionSet, Simd, SimdKernel};
use rayon::prelude::*;
use std::ops::Range;

/// The largest number of rows that share one pass over the weights.
const BLOCK: usize = 64;

/// Computes `activation(x [R, K] weight [K, M] + bias [M])`. Sums over `K` are taken in an order that depends on `K`
/// only, whatever rows are computed together.
///
/// # Errors
/// Those of [`check_linear`].
pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
    set: InstructionSet,
) -> Result<Tensor> {
    let [rows, k, m] = check_linear(x.shape(), weight.shape(), bias.map(Tensor::shape))?;
    if rows * m == 0 {
        return Tensor::zeros(&[rows, m]);
    }
    let mut out = Tensor::unwritten(&[rows, m])?;
    let threads = rayon::current_num_threads();
    let each = (rows.div_ceil(4 * threads).next_multiple_of(ROWS)).min(BLOCK);
    // If there are few rows, the columns are divided among the threads as well.
    let panels = m.div_ceil(COLS);
    let cuts = (2 * threads).div_ceil(rows.div_ceil(each)).clamp(1, panels);
    let wide = panels.div_ceil(cuts);
    let tasks: Vec<(Range<usize>, Range<usize>)> = (0..rows)
        .step_by(each)
        .flat_map(|r| (0..panels).step_by(wide).map(move |p| (r, p)))
        .map(|(r, p)| (r..(r + each).min(rows), p..(p + wide).min(panels)))
        .collect();
    let out_values = Disjoint::new(out.data_mut());
    tasks.into_par_iter().for_each(|(rows, panels)| {
        set.run(Block {
            x: &x.data()[rows.start * k..rows.end * k],
            weight: weight.data(),
            bias: bias.map(Tensor::data),
            activation,
            size: [k, m],
            rows,
            panels,
            out: &out_values,
        });
    });
    Ok(out)
}

/// Kernel: some rows by some panels of columns of the result.
struct Block<'a> {
    /// The rows of the input, `[rows, K]`.
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    activation: Activation,
    /// `K` and `M`.
    size: [usize; 2],
    rows: Range<usize>,
    panels: Range<usize>,
    out: &'a Disjoint<'a>,
}

impl SimdKernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let [k, m] = self.size;
        let rows = self.rows.len();
        let left = pack::<ROWS>(self.x, rows, k, k);
        let mut right = vec![0.0; CHUNK.min(k) * COLS];
        let mut sums = vec![0.0; rows.next_multiple_of(ROWS) * COLS];
        for panel in self.panels.clone() {
            let columns = COLS.min(m - panel * COLS);
            // The last panel is multiplied whole, so the columns it lacks must be finite.
            right.fill(0.0);
            for first in (0..k).step_by(CHUNK) {
                let len = CHUNK.min(k - first);
                for (i, to) in right.chunks_exact_mut(COLS).enumerate().take(len) {
                    let from = (first + i) * m + panel * COLS;
                    to[..columns].copy_from_slice(&self.weight[from..][..columns]);
                }
                for (r, sums) in sums.chunks_exact_mut(ROWS * COLS).enumerate() {
                    let target = Target {
                        to: sums,
                        stride: COLS,
                        add: first > 0,
                    };
                    let left = &left[(r * k + first) * ROWS..];
                    tile::<S, R, V, ROWS, false>(left, &right, COLS, len, target);
                }
            }
            for (row, sums) in self.rows.clone().zip(sums.chunks_exact(COLS)) {
                // SAFETY: only this task writes these columns of these rows.
                let out = unsafe { self.out.part(row * m + panel * COLS, columns) };
                out.copy_from_slice(&sums[..columns]);
                if let Some(bias) = self.bias {
                    let bias = &bias[panel * COLS..][..columns];
                    out.iter_mut().zip(bias).for_each(|(o, b)| *o += b);
                }
                out.iter_mut().for_each(|o| *o = self.activation.apply(*o));
            }
        }
    }
}
