//! Counting blocks that somebody else has read.

use super::count::Counts;
use super::{BLOCK, Scan};
use crate::tensor::LayerShape;
use rayon::prelude::*;
use std::ops::Range;

/// The counts of [`super::scan`], for a pass over a layer that does more than count.
///
/// Blocks may come in any order; each sample is to be added once.
pub struct Tally {
    shape: LayerShape,
    slots: usize,
    workers: Vec<Counts>,
}

impl Tally {
    /// Begins to count `channels` of a layer of this shape, on as many threads as the current pool has and
    /// `memory` bytes suffice for.
    pub fn new(shape: LayerShape, channels: &[usize], memory: u64) -> Self {
        let each = super::count::bytes(shape, channels.len()).max(1);
        let fit = usize::try_from(memory / each).unwrap_or(usize::MAX);
        let workers = rayon::current_num_threads().min(fit).max(1);
        Self {
            shape,
            slots: channels.len(),
            workers: (0..workers).map(|_| Counts::new(shape, channels)).collect(),
        }
    }

    /// Counts the samples `rows`, whose values are `block [rows, channels, H * W]`.
    pub fn add(&mut self, rows: Range<usize>, block: &[f32]) {
        let row_len = self.slots * self.shape.dim();
        if row_len == 0 || rows.is_empty() {
            return;
        }
        let share = rows.len().div_ceil(self.workers.len());
        let (slots, dim) = (self.slots, self.shape.dim());
        (self.workers.par_iter_mut())
            .zip(block.par_chunks(share * row_len))
            .enumerate()
            .for_each(|(worker, (counts, block))| {
                let first = rows.start + worker * share;
                count(counts, first, slots, dim, block);
            });
    }

    /// Whether a value that is not finite has been counted.
    pub fn found_bad(&self) -> bool {
        self.workers.iter().any(Counts::found_bad)
    }

    /// What was counted.
    pub fn finish(self) -> Scan {
        let mut workers = self.workers.into_iter();
        let first = workers.next().expect("a pool has at least one thread");
        workers.fold(first, Counts::merge).finish()
    }
}

/// Counts rows from `first` on in pieces that stay in the core's cache.
fn count(counts: &mut Counts, first: usize, slots: usize, dim: usize, block: &[f32]) {
    let row_len = slots * dim;
    if row_len > BLOCK {
        let step = (BLOCK / dim).max(1);
        for (row, values) in block.chunks_exact(row_len).enumerate() {
            for (piece, values) in values.chunks(step * dim).enumerate() {
                let start = piece * step;
                let row = first + row;
                counts.block(row..row + 1, start..start + values.len() / dim, values);
            }
        }
        return;
    }
    let step = BLOCK / row_len;
    for (piece, values) in block.chunks(step * row_len).enumerate() {
        let start = first + piece * step;
        counts.block(start..start + values.len() / row_len, 0..slots, values);
    }
}
