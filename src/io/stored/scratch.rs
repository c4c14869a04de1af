//! Threads that share a reading, and the buffers of each.

use crate::io::convert::ReadAs;
use crate::{Error, Result};
use std::cell::RefCell;
use std::thread::Builder;

/// Threads that share a run: what it takes to read from a fast disk, or from the system's memory, at full rate.
const MOST_THREADS: usize = 4;

/// Fills `out` on several threads if each gets at least `least` elements. `fill` is told where its part begins.
pub(super) fn in_parallel<T: Send>(
    out: &mut [T],
    least: usize,
    fill: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (out.len() / least.max(1)).min(cores.min(MOST_THREADS));
    if threads < 2 {
        return fill(0, out);
    }
    // Of bytes, parts of whole elements.
    let step = out.len().div_ceil(threads).next_multiple_of(64);
    std::thread::scope(|scope| {
        let parts = out.chunks_mut(step).enumerate();
        let parts = parts.map(|(i, part)| {
            let fill = &fill;
            Builder::new().spawn_scoped(scope, move || fill(i * step, part))
        });
        let parts: Vec<_> = parts.collect();
        let mut all = Ok(());
        for part in parts {
            let part = part.map_err(Error::no_thread)?;
            let done = part.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
            all = all.and(done);
        }
        all
    })
}

/// Buffers of one thread, reused: at most [`super::CHUNK`] elements as stored, and the same elements as values.
#[derive(Default)]
pub(super) struct Scratch {
    bytes: Vec<u64>,
    values: Vec<u64>,
}

thread_local! {
    pub(super) static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Aligned for every element type.
    pub(super) fn bytes(&mut self, len: usize) -> &mut [u8] {
        room(&mut self.bytes, len)
    }

    pub(super) fn both<T: ReadAs>(&mut self, bytes: usize, values: usize) -> (&mut [u8], &mut [T]) {
        let Self {
            bytes: stored,
            values: converted,
        } = self;
        (room(stored, bytes), room(converted, values))
    }
}

/// The beginning of a buffer, which grows where it is too small.
fn room<T: bytemuck::Pod>(buffer: &mut Vec<u64>, len: usize) -> &mut [T] {
    let words = (len * size_of::<T>()).div_ceil(8);
    if buffer.len() < words {
        buffer.resize(words, 0);
    }
    &mut bytemuck::cast_slice_mut(buffer)[..len]
}
