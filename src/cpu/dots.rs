//! Inner products of all pairs of rows in float64, for what the host adds up itself.

use super::f64x8::{self, LANES, Pack};
use super::filters::Products;
use super::simd::InstructionSet;
use rayon::prelude::*;

/// Rows of a task.
const ROWS: usize = 8;

/// Adds `<x_i, x_j>`, `j >= i`, of the `n` rows `x [n, d]` to the upper triangle of `out [n, n]`. Each sum
/// runs in the same order whatever the threads.
pub(crate) fn add_dots(x: &[f32], n: usize, out: &mut [f64]) {
    if n == 0 || x.is_empty() {
        return;
    }
    let (set, d) = (InstructionSet::detect(), x.len() / n);
    let depth = d.div_ceil(LANES);
    let mut rows = vec![Pack::ZERO; n * depth];
    for (packs, values) in rows.chunks_exact_mut(depth).zip(x.chunks_exact(d)) {
        for (pack, values) in packs.iter_mut().zip(values.chunks(LANES)) {
            for (lane, &v) in pack.0.iter_mut().zip(values) {
                *lane = f64::from(v);
            }
        }
    }
    let tasks = out.par_chunks_mut(ROWS * n).enumerate();
    tasks.for_each(|(t, out)| f64x8::dispatch(set, Products::new(&rows, depth, t * ROWS, out, n)));
}
