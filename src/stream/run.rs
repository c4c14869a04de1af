//! Reading ahead: the next block comes off the disk while the last one is worked on.
//!
//! Where the device is not the host, a block can also be analysed ahead ([`read_blocks`]), so that three blocks are under way:
//!
//! ```text
//! reader     a thread      fills a buffer with block b + 2                                   (the disk)
//! analysis   a thread      looks at block b + 1, and keeps it until it is its turn            (the host's cores)
//! work       the caller    copies block b to the device, gives its buffer back, and waits     (the device)
//! ```
//!
//! Two buffers do for that, because the device has a copy of block b while it works on it: [`Block`] gives its buffer back
//! to the reader when it is dropped. A buffer has one owner at a time, handed on through channels without room. Where `work`
//! keeps the block until it is done, reading begins one block later, and the memory is the same.
//!
//! All that can fail, fails in the caller's thread or comes there in the order of the blocks: an error of reading block b + 1
//! is the caller's after its work on block b, as without the analysis, which has no errors. Whoever ends first, by an error, by
//! cancelling or because all is done, closes its channels, and the others end when they have finished the block in their
//! hands.

use crate::control::Control;
use crate::io::layer::{Layer, LayerValue};
use crate::tensor::{ValueBuffer, ValueType, Values};
use crate::{Error, Result};
use half::f16;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Builder;

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

/// What is found out about a block before it is its turn ([`read_blocks`]); `None` where nothing is.
pub type Analyse<'a, A> = &'a (dyn Fn(&Read, Values<'_>) -> Option<A> + Sync);

/// A block that was read. Its memory is the reader's again when it is dropped.
pub struct Block {
    data: ValueBuffer,
    back: Sender<ValueBuffer>,
}

impl Block {
    /// Its values.
    pub fn values(&self) -> Values<'_> {
        self.data.values()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let nothing = ValueBuffer::zeros(ValueType::F32, 0);
        // The reader may be done already: then nobody needs the buffer.
        let _ = self.back.send(std::mem::replace(&mut self.data, nothing));
    }
}

/// As [`read_ahead`], but hands values over as [`Layer::value_type`] says: `f16` as it is stored, so that both blocks take half
/// the memory. With `analyse`, every block is also analysed ahead, on another thread.
///
/// # Errors
/// As [`read_ahead`].
pub fn read_blocks<A: Send>(
    layer: &dyn Layer,
    selection: &[usize],
    layout: Layout,
    reads: impl Iterator<Item = Read> + Send,
    analyse: Option<Analyse<'_, A>>,
    control: &Control<'_>,
    mut work: impl FnMut(&Read, Block, Option<A>) -> Result<()>,
) -> Result<()> {
    let fresh = || ValueBuffer::zeros(layer.value_type(), 0);
    let fill = fill_values(layer, selection, layout);
    // No reading begins after the caller has cancelled, though its buffer came back.
    let fill = |read: &Read, data: &mut ValueBuffer| {
        control.check()?;
        fill(read, data)
    };
    // A browser has no other thread.
    if cfg!(target_family = "wasm") {
        let (back, empty) = channel();
        for read in reads {
            let mut data = empty.try_recv().unwrap_or_else(|_| fresh());
            fill(&read, &mut data)?;
            let back = back.clone();
            work(&read, Block { data, back }, None)?;
        }
        return Ok(());
    }
    std::thread::scope(|scope| {
        // Capacity 0: what a thread has ready waits in its hands, and no third buffer exists.
        let (full_tx, full_rx) = sync_channel(0);
        let (back, empty) = channel();
        let (fill, fresh) = (&fill, &fresh);
        let read_all = move || producer(reads, fill, fresh, &full_tx, &empty);
        (Builder::new().spawn_scoped(scope, read_all)).map_err(Error::no_thread)?;
        let mut take = |block: Result<(Read, ValueBuffer)>, analysis| {
            control.check()?;
            let ((read, data), back) = (block?, back.clone());
            work(&read, Block { data, back }, analysis)
        };
        let Some(analyse) = analyse else {
            return full_rx.into_iter().try_for_each(|block| take(block, None));
        };
        let (ready_tx, ready_rx) = sync_channel(0);
        let analyse_all = move || {
            for block in full_rx {
                let analysis = match &block {
                    Ok((read, data)) if control.check().is_ok() => analyse(read, data.values()),
                    _ => None,
                };
                if ready_tx.send((block, analysis)).is_err() {
                    return;
                }
            }
        };
        (Builder::new().spawn_scoped(scope, analyse_all)).map_err(Error::no_thread)?;
        let mut ready = ready_rx.into_iter();
        ready.try_for_each(|(block, analysis)| take(block, analysis))
    })
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
    let mut data = ValueBuffer::zeros(layer.value_type(), 0);
    fill_values(layer, selection, layout)(read, &mut data)?;
    Ok(data)
}

/// Reads a block into a buffer of the layer's type.
fn fill_values(
    layer: &dyn Layer,
    selection: &[usize],
    layout: Layout,
) -> impl Fn(&Read, &mut ValueBuffer) -> Result<()> + Sync {
    let halves = fill::<f16>(layer, selection, layout);
    let singles = fill::<f32>(layer, selection, layout);
    move |read, data| match data {
        ValueBuffer::F16(data) => halves(read, data),
        ValueBuffer::F32(data) => singles(read, data),
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
        let read_all = move || producer(reads, fill, &Vec::new, &full_tx, &empty_rx);
        (Builder::new().spawn_scoped(scope, read_all)).map_err(Error::no_thread)?;
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

/// Fills no more than two buffers, and those that come back through `empty`.
fn producer<R, D>(
    reads: impl Iterator<Item = R>,
    fill: &impl Fn(&R, &mut D) -> Result<()>,
    fresh: &impl Fn() -> D,
    full: &SyncSender<Result<(R, D)>>,
    empty: &Receiver<D>,
) {
    for (made, read) in reads.enumerate() {
        let mut data = match empty.try_recv() {
            Ok(buffer) => buffer,
            Err(_) if made < 2 => fresh(),
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
