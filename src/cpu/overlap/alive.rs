//! The queries behind each pair of channels.

use crate::ops::Supports;
use rayon::prelude::*;

/// Bit sets of queries, one of each kind for every channel.
pub(super) struct Alive {
    queries: usize,
    channels: Vec<Channel>,
}

struct Channel {
    /// The queries that are not degenerate in the channel.
    usable: Vec<u64>,
    /// Those of them whose support is not empty, and how many there are.
    filled: Vec<u64>,
    filled_count: usize,
}

impl Alive {
    pub(super) fn collect(supports: &Supports<'_>) -> Self {
        let (queries, k) = (supports.queries, supports.k);
        let lists = supports.indices.par_chunks_exact(queries * k);
        let channels = lists.zip(supports.degenerate.par_chunks_exact(queries));
        let channels = channels.map(|(indices, degenerate)| {
            let mut found = Channel {
                usable: vec![0; queries.div_ceil(64)],
                filled: vec![0; queries.div_ceil(64)],
                filled_count: 0,
            };
            let lists = indices.chunks_exact(k).zip(degenerate);
            for (query, (slots, &degenerate)) in lists.enumerate() {
                let (word, bit) = (query / 64, query % 64);
                let filled = !degenerate && slots.iter().any(|&i| i >= 0);
                found.usable[word] |= u64::from(!degenerate) << bit;
                found.filled[word] |= u64::from(filled) << bit;
                found.filled_count += usize::from(filled);
            }
            found
        });
        Self {
            queries,
            channels: channels.collect(),
        }
    }

    /// Adds the queries that are degenerate neither in `channel` nor in a later one, and those of them in which a support
    /// is not empty, to the row of `channel`, from the diagonal on.
    pub(super) fn count(&self, channel: usize, queries: &mut [u64], unions: &mut [u64]) {
        let own = &self.channels[channel];
        let row = queries.iter_mut().zip(unions).skip(channel);
        for ((queries, unions), other) in row.zip(&self.channels[channel..]) {
            let all = |c: &Channel| c.filled_count == self.queries;
            if all(own) && all(other) {
                *queries += self.queries as u64;
                *unions += self.queries as u64;
                continue;
            }
            let words = own.usable.iter().zip(&own.filled);
            for ((a, b), (x, y)) in words.zip(other.usable.iter().zip(&other.filled)) {
                *queries += u64::from((a & x).count_ones());
                *unions += u64::from((a & x & (b | y)).count_ones());
            }
        }
    }
}
