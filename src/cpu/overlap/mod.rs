//! Intersections and unions of supports for all pairs of channels (docs/definitions.md#overlap-and-jaccard-index).
//!
//! Comparing supports pair by pair would visit every pair of channels for every query. Instead the members of all
//! supports of a query are sorted by sample index, which brings the channels that share a sample together. The cost is
//! proportional to the number of shared samples. Each thread owns some rows of the sums and reads the sorted members of
//! all queries, so nothing has to be merged and the sums stay in the cache.
//!
//! For at most 64 channels, [`dense`] counts the channels that share a sample with vector additions, and each thread
//! has sums of its own.

mod dense;

use crate::Result;
use crate::ops::{OverlapSums, Supports, check_overlap};
use rayon::prelude::*;

/// Members of supports that are sorted before they are counted. This bounds the working memory to about 20 MiB.
const MEMBERS: usize = 1 << 20;
/// From this many members on a radix sort is faster than a comparison sort.
const RADIX: usize = 1024;
/// Bits of a digit of the radix sort.
const DIGIT: usize = 11;

/// Adds the overlaps of the queries in `supports` to `sums`, whose matrices `[C, C]` are symmetric and stay so.
///
/// # Errors
/// Those of [`check_overlap`].
pub(super) fn accumulate(supports: Supports<'_>, sums: &mut OverlapSums) -> Result<()> {
    let (c, k) = (supports.channels, supports.k);
    check_overlap(supports, sums)?;
    let dense = dense::fits(c, k);
    if dense {
        dense::meet(&supports, sums);
    }
    let step = (MEMBERS / (c * k).max(1)).clamp(1, supports.queries.max(1));
    for first in (0..supports.queries).step_by(step) {
        let count = step.min(supports.queries - first);
        let alive = Alive::collect(&supports, first, count);
        if dense {
            rows(sums, c)
                .into_par_iter()
                .for_each(|mut row| row.count(&alive));
            continue;
        }
        let members: Vec<Members> = (first..first + count)
            .into_par_iter()
            .map_init(Vec::new, |sort, q| Members::collect(&supports, q, sort))
            .collect();
        rows(sums, c).into_par_iter().for_each(|mut row| {
            row.meet(&members);
            row.count(&alive);
        });
    }
    for m in [
        &mut sums.intersection,
        &mut sums.jaccard_q40,
        &mut sums.queries,
        &mut sums.unions,
    ] {
        for a in 1..c {
            for b in 0..a {
                m[a * c + b] = m[b * c + a];
            }
        }
    }
    Ok(())
}

/// The supports of one query in all channels, sorted by sample instead of by channel. A *member* is a pair of a sample
/// index and a channel whose support has it; the *run* of a sample is the list of its channels.
struct Members {
    /// The channels of all members, sorted by (sample index, channel).
    channels: Vec<u32>,
    /// For each of `channels`, the end of its run.
    run_end: Vec<u32>,
    /// Indices into `channels`, grouped by channel.
    places: Vec<u32>,
    /// `[C + 1]`: where the group of each channel starts in `places`.
    start: Vec<u32>,
}

impl Members {
    fn collect(supports: &Supports<'_>, query: usize, sort: &mut Vec<u64>) -> Self {
        let (c, k) = (supports.channels, supports.k);
        let mut members = Vec::new();
        let mut start = Vec::with_capacity(c + 1);
        start.push(0);
        for channel in 0..c {
            let at = channel * supports.queries + query;
            if !supports.degenerate[at] {
                let slots = supports.indices[at * k..(at + 1) * k].iter();
                let used = slots.filter(|&&i| i >= 0);
                members.extend(used.map(|&i| (i as u64) << 32 | channel as u64));
            }
            start.push(members.len() as u32);
        }
        sort_members(&mut members, sort);
        let n = members.len();
        let mut run_end = vec![n as u32; n];
        for p in (1..n).rev() {
            let same = members[p] >> 32 == members[p - 1] >> 32;
            run_end[p - 1] = if same { run_end[p] } else { p as u32 };
        }
        let channels: Vec<u32> = members.iter().map(|&m| m as u32).collect();
        let mut places = vec![0; n];
        let mut next = start.clone();
        for (p, &channel) in channels.iter().enumerate() {
            let slot = &mut next[channel as usize];
            places[*slot as usize] = p as u32;
            *slot += 1;
        }
        Self {
            channels,
            run_end,
            places,
            start,
        }
    }

    #[inline(always)]
    fn size(&self, channel: usize) -> u32 {
        self.start[channel + 1] - self.start[channel]
    }
}

/// Sorts by (sample index, channel), by a stable radix sort of the sample index: members come in ascending order of the
/// channel. `other` is working memory.
fn sort_members(members: &mut Vec<u64>, other: &mut Vec<u64>) {
    if members.len() < RADIX {
        members.sort_unstable();
        return;
    }
    let largest = members.iter().fold(0, |m, &x| m.max(x >> 32));
    other.resize(members.len(), 0);
    let mut shift = 32;
    while largest >> (shift - 32) > 0 {
        let digit = |m: u64| (m >> shift) as usize & ((1 << DIGIT) - 1);
        let mut next = [0u32; 1 << DIGIT];
        for &m in members.iter() {
            next[digit(m)] += 1;
        }
        let mut total = 0;
        for n in &mut next {
            total += std::mem::replace(n, total);
        }
        for &m in members.iter() {
            let n = &mut next[digit(m)];
            other[*n as usize] = m;
            *n += 1;
        }
        std::mem::swap(members, other);
        other.resize(members.len(), 0);
        shift += DIGIT;
    }
}

/// Bit sets of queries, `[C, words]`.
struct Alive {
    words: usize,
    /// The queries that are not degenerate in a channel.
    usable: Vec<u64>,
    /// Those of them whose support is not empty.
    filled: Vec<u64>,
}

impl Alive {
    fn collect(supports: &Supports<'_>, first: usize, count: usize) -> Self {
        let (words, k) = (count.div_ceil(64), supports.k);
        let mut usable = vec![0; supports.channels * words];
        let mut filled = usable.clone();
        for channel in 0..supports.channels {
            for q in 0..count {
                let at = channel * supports.queries + first + q;
                if !supports.degenerate[at] {
                    let (word, bit) = (channel * words + q / 64, 1 << (q % 64));
                    usable[word] |= bit;
                    if supports.indices[at * k..(at + 1) * k]
                        .iter()
                        .any(|&i| i >= 0)
                    {
                        filled[word] |= bit;
                    }
                }
            }
        }
        Self {
            words,
            usable,
            filled,
        }
    }

    #[inline(always)]
    fn of<'a>(&self, sets: &'a [u64], channel: usize) -> &'a [u64] {
        &sets[channel * self.words..][..self.words]
    }
}

/// One row of the matrices of sums.
struct Row<'a> {
    channel: usize,
    intersection: &'a mut [u64],
    jaccard_q40: &'a mut [u64],
    queries: &'a mut [u64],
    unions: &'a mut [u64],
}

fn rows(sums: &mut OverlapSums, c: usize) -> Vec<Row<'_>> {
    let c = c.max(1);
    let rows = sums
        .intersection
        .chunks_exact_mut(c)
        .zip(sums.jaccard_q40.chunks_exact_mut(c))
        .zip(sums.queries.chunks_exact_mut(c))
        .zip(sums.unions.chunks_exact_mut(c));
    let rows = rows.enumerate().map(
        |(channel, (((intersection, jaccard_q40), queries), unions))| Row {
            channel,
            intersection,
            jaccard_q40,
            queries,
            unions,
        },
    );
    rows.collect()
}

impl Row<'_> {
    /// Adds the overlaps of the channel with itself and with all later channels.
    fn meet(&mut self, members: &[Members]) {
        let c = self.channel;
        let mut common = vec![0u32; self.intersection.len()];
        let mut met: Vec<u32> = Vec::new();
        for m in members {
            let size = m.size(c);
            if size == 0 {
                continue;
            }
            for &p in &m.places[m.start[c] as usize..m.start[c + 1] as usize] {
                let run = p as usize + 1..m.run_end[p as usize] as usize;
                for &e in &m.channels[run] {
                    let n = &mut common[e as usize];
                    if *n == 0 {
                        met.push(e);
                    }
                    *n += 1;
                }
            }
            for e in met.drain(..) {
                let e = e as usize;
                let both = u64::from(std::mem::take(&mut common[e]));
                let either = u64::from(size) + u64::from(m.size(e)) - both;
                self.intersection[e] += both;
                self.jaccard_q40[e] += (both << 40) / either;
            }
            self.intersection[c] += u64::from(size);
            self.jaccard_q40[c] += 1 << 40;
        }
    }

    /// Counts the queries that are degenerate in neither channel, and those of them in which a support is not empty.
    fn count(&mut self, alive: &Alive) {
        let c = self.channel;
        let (usable, filled) = (alive.of(&alive.usable, c), alive.of(&alive.filled, c));
        for e in c..self.intersection.len() {
            let others = alive
                .of(&alive.usable, e)
                .iter()
                .zip(alive.of(&alive.filled, e));
            for ((a, b), (x, y)) in usable.iter().zip(filled).zip(others) {
                self.queries[e] += u64::from((a & x).count_ones());
                self.unions[e] += u64::from((a & x & (b | y)).count_ones());
            }
        }
    }
}
