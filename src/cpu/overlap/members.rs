//! Supports by query instead of by channel, with ranks instead of sample indices.

use crate::ops::Supports;
use rayon::prelude::*;
use std::ops::Range;

/// Slots of supports in a block, about: they are reordered in the second-level cache.
const SLOTS: usize = 1 << 17;
/// Fewest queries in a block, so that a channel's part of it is read in one piece of some length.
const QUERIES: usize = 16;
/// No sample: a free entry of the hash table.
const FREE: i32 = -1;

/// The supports of a block of queries in all channels.
pub(super) struct Members {
    channels: usize,
    /// Members of all supports, query by query and channel by channel. The samples of a query are numbered from 0 in the
    /// order in which they first appear.
    ranks: Vec<u32>,
    /// `[queries * channels + 1]`: where the members of each support start.
    start: Vec<u32>,
    /// Different samples of each query.
    distinct: Vec<u32>,
    largest: usize,
}

impl Members {
    /// Blocks that cover `queries`, in their order.
    pub(super) fn collect(supports: &Supports<'_>, queries: Range<usize>) -> Vec<Self> {
        let step = (SLOTS / (supports.channels * supports.k)).max(QUERIES);
        let blocks = (queries.start..queries.end).into_par_iter().step_by(step);
        blocks
            .map_init(Vec::new, |table, first| {
                Self::block(supports, first..queries.end.min(first + step), table)
            })
            .collect()
    }

    fn block(supports: &Supports<'_>, queries: Range<usize>, table: &mut Vec<(i32, u32)>) -> Self {
        let (channels, k, count) = (supports.channels, supports.k, queries.len());
        // A channel's supports of these queries lie in one piece: they are counted, then copied.
        let slots = |channel: usize| {
            let lists = channel * supports.queries + queries.start..;
            let indices = &supports.indices[lists.start * k..][..count * k];
            let degenerate = &supports.degenerate[lists][..count];
            indices.chunks_exact(k).zip(degenerate).enumerate()
        };
        let mut start = vec![0u32; count * channels + 1];
        let mut largest = 0;
        for channel in 0..channels {
            for (q, (slots, degenerate)) in slots(channel) {
                let size = slots.iter().filter(|&&i| i >= 0).count();
                let size = if *degenerate { 0 } else { size };
                start[q * channels + channel + 1] = size as u32;
                largest = largest.max(size);
            }
        }
        let mut total = 0;
        for start in &mut start {
            total += *start;
            *start = total;
        }
        let mut ranks = vec![0u32; total as usize];
        for channel in 0..channels {
            for (q, (slots, _)) in slots(channel) {
                let at = q * channels + channel;
                let into = &mut ranks[start[at] as usize..start[at + 1] as usize];
                let used = slots.iter().filter(|&&i| i >= 0);
                for (member, &sample) in into.iter_mut().zip(used) {
                    *member = sample as u32;
                }
            }
        }
        let distinct = (0..count)
            .map(|q| {
                let [from, to] = [q, q + 1].map(|q| start[q * channels] as usize);
                rank(&mut ranks[from..to], table)
            })
            .collect();
        Self {
            channels,
            ranks,
            start,
            distinct,
            largest,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Members of the largest support.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// Different samples of each query.
    pub(super) fn distinct(&self) -> &[u32] {
        &self.distinct
    }

    /// The ranks in one support.
    #[inline(always)]
    pub(super) fn of(&self, query: usize, channel: usize) -> &[u32] {
        let at = query * self.channels + channel;
        &self.ranks[self.start[at] as usize..self.start[at + 1] as usize]
    }
}

/// Replaces sample indices by their ranks; returns how many different ones there are. `table` is working memory.
fn rank(members: &mut [u32], table: &mut Vec<(i32, u32)>) -> u32 {
    // At most half full.
    let len = (2 * members.len()).next_power_of_two().max(2);
    table.clear();
    table.resize(len, (FREE, 0));
    let shift = u64::from(len.leading_zeros() + 1);
    let mut found = 0;
    for member in members {
        let sample = *member as i32;
        // The multiplication distributes neighbouring samples over the high bits, which are the hash.
        let hash = u64::from(*member).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut place = (hash >> shift) as usize;
        while table[place].0 != FREE && table[place].0 != sample {
            place = (place + 1) & (len - 1);
        }
        // Written in any case, which avoids an unpredictable branch.
        let (known, rank) = table[place];
        let rank = if known == sample { rank } else { found };
        found += u32::from(known != sample);
        table[place] = (sample, rank);
        *member = rank;
    }
    found
}
