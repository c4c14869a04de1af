//! One pass over a layer: NaN, infinities, zeros and range of every channel. Blocks are read and counted by
//! several threads; the result is the same whatever their number and the block size.

use super::size::format_size;
use super::source::Layer;
use crate::control::{Control, Progress};
use crate::tensor::LayerShape;
use crate::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

mod count;
use count::Counts;

/// Numbers in a block: they stay in the core's second-level cache until they are counted, and are many
/// enough for one reading of the file.
const BLOCK: usize = 64 * 1024;

/// What one channel holds over all samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelScan {
    /// Index in the layer.
    pub channel: usize,
    /// Not-a-number values.
    pub nan: u64,
    /// Infinities, values too large for `f32` among them.
    pub inf: u64,
    /// Zeros of either sign.
    pub zeros: u64,
    /// Smallest finite value; infinity when there is none.
    pub min: f32,
    /// Largest finite value; minus infinity when there is none.
    pub max: f32,
}

/// Where a value is in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Sample.
    pub sample: usize,
    /// Channel.
    pub channel: usize,
    /// Row of the map.
    pub y: usize,
    /// Column of the map.
    pub x: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            sample,
            channel,
            y,
            x,
        } = self;
        write!(f, "sample {sample}, channel {channel}, y {y}, x {x}")
    }
}

/// What a layer holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Shape of the layer.
    pub shape: LayerShape,
    /// The channels asked for, in that order.
    pub channels: Vec<ChannelScan>,
    /// First value, by sample, channel, y, x, that is not finite.
    pub first_bad: Option<Position>,
    /// Samples with a value that is not finite in these channels, ascending.
    pub bad_samples: Vec<usize>,
}

impl Scan {
    /// Not-a-number values altogether.
    pub fn nan(&self) -> u64 {
        self.channels.iter().map(|c| c.nan).sum()
    }

    /// Infinities altogether.
    pub fn inf(&self) -> u64 {
        self.channels.iter().map(|c| c.inf).sum()
    }

    /// Channels that are zero everywhere, by their index in the layer.
    pub fn dead_channels(&self) -> Vec<usize> {
        let all = (self.shape.samples * self.shape.dim()) as u64;
        let dead = self.channels.iter().filter(|c| c.zeros == all);
        dead.map(|c| c.channel).collect()
    }

    /// Samples without NaN and infinities, ascending, for [`super::kept::Kept`].
    pub fn good_samples(&self) -> Vec<usize> {
        let mut bad = self.bad_samples.iter().peekable();
        let good = |i: &usize| bad.next_if_eq(&i).is_none();
        (0..self.shape.samples).filter(good).collect()
    }

    /// The error for `--nan reject`: count and first position. `None` when all values are finite.
    pub fn refusal(&self, layer: &dyn Layer) -> Option<Error> {
        let first = self.first_bad?;
        let what = format!(
            "layer {} holds {} NaN and {} infinite values in {} of {} samples, the first at {first}; dump it \
             again, or leave these samples out with --nan skip",
            layer.name(),
            self.nan(),
            self.inf(),
            self.bad_samples.len(),
            self.shape.samples
        );
        Some(match layer.path() {
            Some(path) => Error::data(path, what),
            None => Error::Shape(what),
        })
    }
}

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
            control.report(Progress {
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
                needed: format_size(each),
                cap: format_size(memory),
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
