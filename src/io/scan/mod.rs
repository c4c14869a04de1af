//! One pass over a layer: NaN, infinities, zeros and range of every channel. Blocks are read and counted by
//! several threads; the result is the same whatever their number and the block size.
//!
//! [`scan`] cuts the layer into blocks and hands them to the threads, `count` counts a block and adds up the
//! threads' counts, and `found` is the result.

use super::layer::Layer;
use crate::control::{Control, Step};
use crate::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

mod count;
mod found;
mod tally;

use count::Counts;
pub use found::{ChannelScan, Position, Scan};
pub use tally::Tally;

/// Numbers in a block: they stay in the core's second-level cache until they are counted, and are many
/// enough for one reading of the file.
const BLOCK: usize = 64 * 1024;

/// Reads `channels` of a layer once. `memory` bounds the buffers, in bytes.
///
/// # Errors
/// [`Error::Memory`] when not even one map fits; [`Error::Cancelled`]; whatever reading meets.
pub fn scan(
    layer: &dyn Layer,
    channels: &[usize],
    memory: u64,
    control: &Control<'_>,
) -> Result<Scan> {
    let shape = layer.shape();
    let plan = Plan::new(layer, channels, memory)?;
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let stage = format!("{}: looking for NaN", layer.name());
    let total = (shape.samples * channels.len() * shape.dim() * layer.dtype().size()) as u64;
    let work = |_| {
        let mut counts = Counts::new(shape, channels);
        let mut buffer = vec![0f32; plan.buffer];
        while let Some((rows, slots)) = plan.task(next.fetch_add(1, Ordering::Relaxed)) {
            control.check()?;
            let block = &mut buffer[..rows.len() * slots.len() * shape.dim()];
            layer.read_rows(rows.clone(), &channels[slots.clone()], block)?;
            counts.block(rows, slots, block);
            let bytes = (block.len() * layer.dtype().size()) as u64;
            control.report(Step {
                stage: &stage,
                done: done.fetch_add(bytes, Ordering::Relaxed) + bytes,
                total,
                unit: "bytes",
            });
        }
        Ok(counts)
    };
    (0..plan.workers)
        .into_par_iter()
        .with_max_len(1)
        .map(work)
        .try_reduce_with(|a, b| Ok(a.merge(b)))
        .unwrap_or_else(|| Ok(Counts::new(shape, channels)))
        .map(Counts::finish)
}

/// How the work is cut into blocks of rows and channels.
struct Plan {
    rows: usize,
    slots: usize,
    rows_per_block: usize,
    slots_per_block: usize,
    buffer: usize,
    workers: usize,
}

impl Plan {
    fn new(layer: &dyn Layer, channels: &[usize], memory: u64) -> Result<Self> {
        let shape = layer.shape();
        let (rows, slots, dim) = (shape.samples, channels.len(), shape.dim());
        let slots_per_block = (BLOCK / dim).clamp(1, slots.max(1));
        let rows_per_block = (BLOCK / (slots_per_block * dim)).clamp(1, rows);
        let buffer = rows_per_block * slots_per_block * dim;
        // Counters of a worker beside its block: a cell a channel, flags a sample.
        let each = 4 * buffer as u64 + count::bytes(shape, slots);
        if each > memory {
            return Err(Error::Memory {
                what: format!("reading layer {}", layer.name()),
                needed: each,
                cap: memory,
            });
        }
        let blocks = rows.div_ceil(rows_per_block) * slots.div_ceil(slots_per_block);
        let fit = usize::try_from(memory / each).unwrap_or(usize::MAX);
        Ok(Self {
            rows,
            slots,
            rows_per_block,
            slots_per_block,
            buffer,
            workers: rayon::current_num_threads().min(fit).min(blocks),
        })
    }

    /// Rows and slots of block `index`, in file order; `None` after the last.
    fn task(&self, index: usize) -> Option<(Range<usize>, Range<usize>)> {
        let across = self.slots.div_ceil(self.slots_per_block);
        let row = index.checked_div(across)? * self.rows_per_block;
        let slot = index % across * self.slots_per_block;
        (row < self.rows).then(|| {
            (
                row..self.rows.min(row + self.rows_per_block),
                slot..self.slots.min(slot + self.slots_per_block),
            )
        })
    }
}
