//! Overlaps of at most 64 channels, by vectors of bytes.
//!
//! Each sample of a query gets a row of bytes, with a 1 for every channel whose support has the sample. The sum of the
//! rows of one channel's support is its intersection with all channels at once. The cost per member of a support is one
//! look-up in a hash table and one vector addition for each 16 channels.

use crate::ops::{OverlapSums, Supports};
use rayon::prelude::*;

/// The largest number of channels.
const CHANNELS: usize = 64;
/// Queries of one task.
const TASK: usize = 256;

/// Whether this method can count so many channels, and supports of at most `k` members: counts must fit a byte.
pub(super) fn fits(channels: usize, k: usize) -> bool {
    channels <= CHANNELS && k <= usize::from(u8::MAX)
}

/// Adds the intersections of all pairs of channels to the upper triangle of `sums`.
pub(super) fn meet(supports: &Supports<'_>, sums: &mut OverlapSums) {
    match supports.channels {
        0..=16 => add::<16>(supports, sums),
        17..=32 => add::<32>(supports, sums),
        _ => add::<CHANNELS>(supports, sums),
    }
}

fn add<const W: usize>(supports: &Supports<'_>, sums: &mut OverlapSums) {
    let tasks = supports.queries.div_ceil(TASK);
    let total = (0..tasks)
        .into_par_iter()
        .fold(
            || Worker::<W>::new(supports),
            |mut worker, task| {
                let first = task * TASK;
                for query in first..supports.queries.min(first + TASK) {
                    worker.collect(supports, query);
                    worker.meet();
                }
                worker
            },
        )
        .reduce_with(|mut a, b| {
            for (a, b) in a.sums.iter_mut().zip(&b.sums) {
                *a = [a[0] + b[0], a[1] + b[1]];
            }
            a
        });
    let Some(total) = total else { return };
    let sums = sums.intersection.iter_mut().zip(&mut sums.jaccard_q40);
    for ((intersection, jaccard), own) in sums.zip(&total.sums) {
        *intersection += own[0];
        *jaccard += own[1];
    }
}

/// The supports of one query, and the sums of a thread, for at most `W` channels.
struct Worker<const W: usize> {
    channels: usize,
    /// Sums of the intersections and of the Jaccard indices of each pair of channels, as in [`OverlapSums`].
    sums: Vec<[u64; 2]>,
    /// Hash table of samples. The key is the number of the query and the sample's index in one number; the value is the
    /// sample's row.
    table: Vec<(u64, u32)>,
    /// The number of the query. Entries of earlier queries have another one, so the table need not be cleared.
    stamp: u64,
    /// For each sample, a 1 for every channel that has it.
    rows: Vec<[u8; W]>,
    /// The rows of the members of all supports, channel by channel.
    members: Vec<u32>,
    /// `[C + 1]`: where the members of each channel start.
    start: Vec<usize>,
}

impl<const W: usize> Worker<W> {
    fn new(supports: &Supports<'_>) -> Self {
        let c = supports.channels;
        Self {
            channels: c,
            sums: vec![[0; 2]; c * c],
            // The table is never more than half full.
            table: vec![(0, 0); (2 * c * supports.k).next_power_of_two().max(2)],
            stamp: 0,
            rows: Vec::new(),
            members: Vec::new(),
            start: Vec::new(),
        }
    }

    /// Fills the rows of a query's samples.
    fn collect(&mut self, supports: &Supports<'_>, query: usize) {
        let k = supports.k;
        let (c, last) = (self.channels, self.table.len() - 1);
        self.stamp += 1;
        self.members.clear();
        self.start.clear();
        self.start.push(0);
        self.rows.resize(c * k + 1, [0; W]);
        let mut found = 0;
        // The multiplication distributes neighbouring samples over the high bits, which are the hash.
        let shift = self.table.len().leading_zeros() + 1;
        for channel in 0..c {
            let at = channel * supports.queries + query;
            if !supports.degenerate[at] {
                let slots = supports.indices[at * k..(at + 1) * k].iter();
                for &sample in slots.filter(|&&i| i >= 0) {
                    let key = self.stamp << 32 | sample as u64;
                    let hash = (sample as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let mut place = (hash >> shift) as usize & last;
                    while self.table[place].0 >> 32 == self.stamp && self.table[place].0 != key {
                        place = (place + 1) & last;
                    }
                    // The next free row is cleared in any case, which avoids an unpredictable branch.
                    let entry = &mut self.table[place];
                    self.rows[found as usize] = [0; W];
                    let row = if entry.0 == key { entry.1 } else { found };
                    found += u32::from(entry.0 != key);
                    *entry = (key, row);
                    self.rows[row as usize][channel] = 1;
                    self.members.push(row);
                }
            }
            self.start.push(self.members.len());
        }
    }

    /// Adds the overlaps of the query to the sums.
    fn meet(&mut self) {
        let c = self.channels;
        let size = |channel: usize| (self.start[channel + 1] - self.start[channel]) as u64;
        for (channel, sums) in self.sums.chunks_exact_mut(c.max(1)).enumerate() {
            let own = &self.members[self.start[channel]..self.start[channel + 1]];
            if own.is_empty() {
                continue;
            }
            let mut common = [0u8; W];
            for &row in own {
                for (n, has) in common.iter_mut().zip(&self.rows[row as usize]) {
                    *n += has;
                }
            }
            for (other, sums) in sums.iter_mut().enumerate().skip(channel) {
                let both = u64::from(common[other]);
                if both > 0 {
                    let either = size(channel) + size(other) - both;
                    sums[0] += both;
                    sums[1] += (both << 40) / either;
                }
            }
        }
    }
}
