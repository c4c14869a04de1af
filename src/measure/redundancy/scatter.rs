//! How far overlaps scatter over the queries: what standard errors of sampled queries need beside
//! [`OverlapSums`] (docs/definitions.md#sampled-queries).
//!
//! The members of all supports of a query are sorted by sample, which brings the channels that share a sample together, so
//! the cost is proportional to the number of shared samples, as that of the overlaps themselves. Each task owns a row of the
//! matrices. Everything that is summed is an integer, in fixed point where it has to be.

use super::draw::Sampling;
use crate::ops::{OverlapSums, Supports};
use crate::stream::sum::FixedMoments;
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Members of supports that are sorted before they are counted, which bounds the working memory to about 20 MiB.
const MEMBERS: usize = 1 << 20;
/// `2^-40`, the resolution of Jaccard indices.
const Q40: f64 = 1.0 / (1u64 << 40) as f64;

/// Sums over queries. They do not depend on the order of the queries, and parts are added by [`Scatter::merge`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scatter {
    /// `[C, C]`, upper triangle: sums of squared intersections.
    pub intersection: Vec<u64>,
    /// `[C, C]`, upper triangle: sums of squared Jaccard indices, each index and each square rounded down to a multiple of
    /// 2^-40.
    pub jaccard_q40: Vec<u64>,
    /// Mean intersection over the pairs of different channels in which a query is not degenerate.
    pub overlap: FixedMoments,
    /// Mean Jaccard index over those of these pairs that have a neighbour.
    pub jaccard: FixedMoments,
}

/// Standard errors of what overlaps add up to.
pub(super) struct ScatterErrors {
    pub overlap: Array2<f64>,
    pub jaccard: Array2<f64>,
    pub overlap_mean: Option<f64>,
    pub jaccard_mean: Option<f64>,
}

impl Scatter {
    /// Sums over no query.
    pub fn new(channels: usize) -> Self {
        Self {
            intersection: vec![0; channels * channels],
            jaccard_q40: vec![0; channels * channels],
            overlap: FixedMoments::default(),
            jaccard: FixedMoments::default(),
        }
    }

    /// Adds the sums over other queries of the same channels.
    pub fn merge(&mut self, other: &Self) {
        let (own, others) = (&mut self.intersection, &other.intersection);
        own.iter_mut().zip(others).for_each(|(a, b)| *a += b);
        let (own, others) = (&mut self.jaccard_q40, &other.jaccard_q40);
        own.iter_mut().zip(others).for_each(|(a, b)| *a += b);
        self.overlap.merge(&other.overlap);
        self.jaccard.merge(&other.jaccard);
    }

    /// Bytes of the sums, and of the matrices that are made of them.
    pub(super) const fn bytes(channels: usize) -> u64 {
        let channels = channels as u64;
        channels.saturating_mul(channels).saturating_mul(32)
    }

    /// Adds the queries of a block.
    pub(super) fn add(&mut self, supports: &Supports<'_>) {
        let c = supports.channels;
        if c == 0 {
            return;
        }
        let step = (MEMBERS / (c * supports.k).max(1)).max(1);
        for first in (0..supports.queries).step_by(step) {
            let end = supports.queries.min(first + step);
            let queries: Vec<Query> = (first..end)
                .into_par_iter()
                .map(|query| Query::new(supports, query))
                .collect();
            let rows = self.intersection.par_chunks_exact_mut(c);
            let rows = rows.zip(self.jaccard_q40.par_chunks_exact_mut(c));
            let pairs = rows.enumerate().fold(
                || vec![Pairs::default(); queries.len()],
                |mut pairs, (channel, (intersection, jaccard))| {
                    meet(channel, &queries, intersection, jaccard, &mut pairs);
                    pairs
                },
            );
            let pairs = pairs.reduce(
                || vec![Pairs::default(); queries.len()],
                |mut a, b| {
                    a.iter_mut().zip(&b).for_each(|(a, b)| {
                        a.intersection += b.intersection;
                        a.jaccard_q40 += b.jaccard_q40;
                    });
                    a
                },
            );
            for (query, pairs) in queries.iter().zip(&pairs) {
                let (usable, unions) = query.pairs();
                if usable > 0 {
                    self.overlap.add(pairs.intersection as f64 / usable as f64);
                }
                if unions > 0 {
                    let jaccard = pairs.jaccard_q40 as f64 * Q40;
                    self.jaccard.add(jaccard / unions as f64);
                }
            }
        }
    }

    /// Standard errors of `c` channels, once all queries are added here and to `sums`. NaN where there is none.
    pub(super) fn errors(&self, c: usize, sums: &OverlapSums, sampling: Sampling) -> ScatterErrors {
        let matrix = |deviations: &dyn Fn(usize, usize) -> (u64, f64)| {
            Array2::from_shape_fn((c, c), |(i, j)| {
                let (n, squares) = deviations(i.min(j) * c + i.max(j), i * c + j);
                sampling.standard_error(n, squares).unwrap_or(f64::NAN)
            })
        };
        let of = |moments: &FixedMoments| {
            sampling.standard_error(moments.count(), moments.squared_deviations())
        };
        ScatterErrors {
            overlap: matrix(&|upper, at| {
                let (n, sum) = (sums.queries[at], u128::from(sums.intersection[at]));
                let squares = u128::from(n) * u128::from(self.intersection[upper]);
                // Never negative, unless the sums were read from units that somebody made up.
                (
                    n,
                    squares.saturating_sub(sum * sum) as f64 / n.max(1) as f64,
                )
            }),
            jaccard: matrix(&|upper, at| {
                let (n, sum) = (sums.unions[at], u128::from(sums.jaccard_q40[at]));
                let squares = u128::from(self.jaccard_q40[upper]) << 40;
                // Rounding each square down may bring the sum of equal indices below that.
                let deviations = squares.saturating_sub(sum * sum / u128::from(n.max(1)));
                (n, deviations as f64 * Q40 * Q40)
            }),
            overlap_mean: of(&self.overlap),
            jaccard_mean: of(&self.jaccard),
        }
    }
}

/// Sums over the pairs of different channels of one query.
#[derive(Clone, Copy, Default)]
struct Pairs {
    intersection: u64,
    jaccard_q40: u128,
}

/// The supports of one query in all channels. A *member* is a pair of a sample and a channel whose support has it.
struct Query {
    /// Channels in which the query is not degenerate.
    usable: u64,
    /// Those of them in which it has a neighbour.
    filled: u64,
    /// The channels of all members, in order of (sample, channel).
    channels: Vec<u32>,
    /// For each of them, where the members of the same sample end.
    end: Vec<u32>,
    /// Places in `channels`, grouped by channel.
    places: Vec<u32>,
    /// `[C + 1]`: where the group of each channel starts in `places`.
    start: Vec<u32>,
}

impl Query {
    fn new(supports: &Supports<'_>, query: usize) -> Self {
        let (c, k) = (supports.channels, supports.k);
        let (mut usable, mut filled) = (0, 0);
        let mut members: Vec<(i32, u32)> = Vec::new();
        let mut start = Vec::with_capacity(c + 1);
        for channel in 0..c {
            start.push(members.len() as u32);
            let at = channel * supports.queries + query;
            if supports.degenerate[at] {
                continue;
            }
            let slots = supports.indices[at * k..][..k].iter();
            members.extend(slots.filter(|&&i| i >= 0).map(|&i| (i, channel as u32)));
            usable += 1;
            filled += u64::from(members.len() > start[channel] as usize);
        }
        start.push(members.len() as u32);
        members.sort_unstable();
        let n = members.len();
        let mut end = vec![n as u32; n];
        for at in (1..n).rev() {
            let same = members[at].0 == members[at - 1].0;
            end[at - 1] = if same { end[at] } else { at as u32 };
        }
        let channels: Vec<u32> = members.iter().map(|&(_, channel)| channel).collect();
        let (mut places, mut next) = (vec![0; n], start.clone());
        for (at, &channel) in channels.iter().enumerate() {
            let slot = &mut next[channel as usize];
            places[*slot as usize] = at as u32;
            *slot += 1;
        }
        Self {
            usable,
            filled,
            channels,
            end,
            places,
            start,
        }
    }

    fn size(&self, channel: usize) -> u64 {
        u64::from(self.start[channel + 1] - self.start[channel])
    }

    /// Pairs of channels in which the query is not degenerate, and those of them with a neighbour.
    fn pairs(&self) -> (u64, u64) {
        let pairs = |n: u64| n * n.saturating_sub(1) / 2;
        let (all, empty) = (pairs(self.usable), pairs(self.usable - self.filled));
        (all, all - empty)
    }
}

/// Adds what a channel has in common with itself and with all later channels.
fn meet(
    channel: usize,
    queries: &[Query],
    intersection: &mut [u64],
    jaccard: &mut [u64],
    pairs: &mut [Pairs],
) {
    let mut common = vec![0u32; intersection.len()];
    let mut met: Vec<u32> = Vec::new();
    for (query, pairs) in queries.iter().zip(pairs) {
        let size = query.size(channel);
        if size == 0 {
            continue;
        }
        let own = query.start[channel] as usize..query.start[channel + 1] as usize;
        for &place in &query.places[own] {
            let later = place as usize + 1..query.end[place as usize] as usize;
            for &other in &query.channels[later] {
                let n = &mut common[other as usize];
                if *n == 0 {
                    met.push(other);
                }
                *n += 1;
            }
        }
        for other in met.drain(..) {
            let other = other as usize;
            let both = u64::from(std::mem::take(&mut common[other]));
            let index = (both << 40) / (size + query.size(other) - both);
            intersection[other] += both * both;
            jaccard[other] += (u128::from(index).pow(2) >> 40) as u64;
            pairs.intersection += both;
            pairs.jaccard_q40 += u128::from(index);
        }
        intersection[channel] += size * size;
        jaccard[channel] += 1 << 40;
    }
}
