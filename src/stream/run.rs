//! Reading ahead: the next block comes off the disk while the last one is worked on.

use crate::Result;
use crate::control::Control;
use crate::io::layer::{Layer, LayerValue};
use crate::tensor::{ValueBuffer, ValueType, Values};
use half::f16;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

/// One block to read: some of the selected channels, some samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Positions in the selection of channels.
    pub channels: Range<usize>,
    /// Samples.
    pub rows: Range<usize>,
}

/// How a block is laid out in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[channels, rows, d]`: each channel a space of its own.
    ChannelMajor,
    /// `[rows, channels * d]`: all selected channels together, the aggregate.
    SampleMajor,
}

/// Reads `reads` in order as `f32` on a thread of its own, one block ahead, and hands each to `work`.
///
/// # Errors
/// The first error of reading or working; [`crate::Error::Cancelled`] between blocks.
pub fn read_ahead(
    layer: &dyn Layer,
    selection: &[usize],
    layout: Layout,
    reads: impl Iterator<Item = Read> + Send,
    control: &Control<'_>,
    work: impl FnMut(&Read, &[f32]) -> Result<()>,
) -> Result<()> {
    one_ahead(reads, fill(layer, selection, layout), control, work)
}

/// As [`read_ahead`], but hands values over as [`Layer::value_type`] says: `f16` as it is stored, so that both blocks take half
/// the memory.
///
/// # Errors
/// As [`read_ahead`].
pub fn read_values_ahead(
    layer: &dyn Layer,
    selection: &[usize],
    layout: Layout,
    reads: impl Iterator<Item = Read> + Send,
    control: &Control<'_>,
    mut work: impl FnMut(&Read, Values<'_>) -> Result<()>,
) -> Result<()> {
    match layer.value_type() {
        ValueType::F16 => {
            let work = |read: &Read, data: &[f16]| work(read, Values::F16(data));
            one_ahead(reads, fill(layer, selection, layout), control, work)
        }
        ValueType::F32 => {
            let work = |read: &Read, data: &[f32]| work(read, Values::F32(data));
            one_ahead(reads, fill(layer, selection, layout), control, work)
        }
    }
}

/// Reads one block, as [`Layer::value_type`] says.
///
/// # Errors
/// What reading meets.
pub fn read_values(
    layer: &dyn Layer,
    selection: &[usize],
    layout: Layout,
    read: &Read,
) -> Result<ValueBuffer> {
    match layer.value_type() {
        ValueType::F16 => {
            let mut data = Vec::new();
            fill(layer, selection, layout)(read, &mut data)?;
            Ok(ValueBuffer::F16(data))
        }
        ValueType::F32 => {
            let mut data = Vec::new();
            fill(layer, selection, layout)(read, &mut data)?;
            Ok(ValueBuffer::F32(data))
        }
    }
}

/// Reads a block into a buffer.
fn fill<T: LayerValue>(
    layer: &dyn Layer,
    selection: &[usize],
    layout: Layout,
) -> impl Fn(&Read, &mut Vec<T>) -> Result<()> + Sync {
    let dim = layer.shape().dim();
    move |read, data| {
        data.resize(read.channels.len() * read.rows.len() * dim, T::zeroed());
        let channels = &selection[read.channels.clone()];
        match layout {
            Layout::ChannelMajor => T::read_channels(layer, read.rows.clone(), channels, data),
            Layout::SampleMajor => T::read_rows(layer, read.rows.clone(), channels, data),
        }
    }
}

/// Fills a buffer for each of `reads`, in order, on a thread of its own and one ahead, and hands it to `work`.
pub(super) fn one_ahead<R: Send, T: Send>(
    reads: impl Iterator<Item = R> + Send,
    fill: impl Fn(&R, &mut Vec<T>) -> Result<()> + Sync,
    control: &Control<'_>,
    mut work: impl FnMut(&R, &[T]) -> Result<()>,
) -> Result<()> {
    // A browser has no other thread.
    if cfg!(target_family = "wasm") {
        return one_by_one(reads, fill, control, work);
    }
    std::thread::scope(|scope| {
        // Capacity 0: one block waits in the reader's hands, one is in use; no third exists.
        let (full_tx, full_rx) = sync_channel(0);
        let (empty_tx, empty_rx) = channel::<Vec<T>>();
        let fill = &fill;
        scope.spawn(move || producer(reads, fill, &full_tx, &empty_rx));
        for block in full_rx {
            control.check()?;
            let (read, data): (R, Vec<T>) = block?;
            work(&read, &data)?;
            // The reader may be done already: then nobody needs the buffer.
            let _ = empty_tx.send(data);
        }
        Ok(())
    })
}

/// The same on this thread, a block after the other.
fn one_by_one<R, T>(
    reads: impl Iterator<Item = R>,
    fill: impl Fn(&R, &mut Vec<T>) -> Result<()>,
    control: &Control<'_>,
    mut work: impl FnMut(&R, &[T]) -> Result<()>,
) -> Result<()> {
    let mut data = Vec::new();
    for read in reads {
        control.check()?;
        fill(&read, &mut data)?;
        work(&read, &data)?;
    }
    Ok(())
}

fn producer<R, T>(
    reads: impl Iterator<Item = R>,
    fill: &impl Fn(&R, &mut Vec<T>) -> Result<()>,
    full: &SyncSender<Result<(R, Vec<T>)>>,
    empty: &Receiver<Vec<T>>,
) {
    for (made, read) in reads.enumerate() {
        let mut data = match empty.try_recv() {
            Ok(buffer) => buffer,
            Err(_) if made < 2 => Vec::new(),
            Err(_) => match empty.recv() {
                Ok(buffer) => buffer,
                Err(_) => return,
            },
        };
        let result = fill(&read, &mut data);
        let failed = result.is_err();
        if full.send(result.map(|()| (read, data))).is_err() || failed {
            return;
        }
    }
}

impl Read {
    /// Whether the samples of this block are all there are.
    pub fn is_whole(&self, samples: usize) -> bool {
        self.rows == (0..samples)
    }
}

/// Splits `0..len` into ranges of `step`.
pub fn ranges(len: usize, step: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..len)
        .step_by(step.max(1))
        .map(move |start| start..(start + step).min(len))
}
