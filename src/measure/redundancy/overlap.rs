//! Second stage: how far the supports of different channels overlap, query block by query block.

use super::draw::Sampling;
use super::scatter::{Scatter, ScatterErrors};
use crate::control::{Control, Step};
use crate::io::spill::{SupportBlock, SupportStore};
use crate::io::supports::StoredSupports;
use crate::ops::{Backend, OverlapSums, Supports};
use crate::stream::plan::GraphJob;
use crate::stream::run::ranges;
use crate::stream::sum::FixedMoments;
use crate::{Error, Result};
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// `2^-40`, the resolution of [`OverlapSums::jaccard_q40`].
const Q40: f64 = 1.0 / (1u64 << 40) as f64;

/// The stage has one part in so many of the memory cap; other results are in memory beside it.
const SHARE: u64 = 2;

/// Refuses channels whose overlaps do not fit under the memory cap.
///
/// # Errors
/// [`Error::Memory`].
pub fn check_overlap_memory(channels: usize, k: usize, sampled: bool, memory: u64) -> Result<()> {
    let (fixed, per_query) = costs(channels, k, sampled);
    let needed = fixed.saturating_add(per_query).saturating_mul(SHARE);
    match needed > memory {
        true => Err(Error::Memory {
            what: format!("the overlap of {channels} channels"),
            needed,
            cap: memory,
        }),
        false => Ok(()),
    }
}

/// Bytes of the sums of all pairs, and of the supports of one query.
fn costs(channels: usize, k: usize, sampled: bool) -> (u64, u64) {
    let scatter = if sampled { Scatter::bytes(channels) } else { 0 };
    let (channels, k) = (channels as u64, k as u64);
    // Four sums of 8 bytes a pair, and as much again in a worker's counters and the final matrices. Of a query, the block
    // and its copy on the device or in the set of a worker.
    let pairs = channels.saturating_mul(channels).saturating_mul(64);
    let of_query = k
        .saturating_add(1)
        .saturating_mul(12)
        .saturating_mul(channels);
    (pairs.saturating_add(scatter), of_query)
}

/// Queries of which the supports, in every channel, and pair sums fit.
fn queries_at_a_time(channels: usize, k: usize, sampled: bool, memory: u64) -> usize {
    let (fixed, per_query) = costs(channels, k, sampled);
    let room = (memory / SHARE).saturating_sub(fixed) / per_query.max(1);
    usize::try_from(room).unwrap_or(usize::MAX).clamp(1, 4096)
}

/// Bytes that the stage takes as a rule under a cap of `memory`: the supports of a block of queries, and the sums.
pub(super) fn overlap_bytes(job: &GraphJob, memory: u64) -> u64 {
    let (channels, k, sampled) = (job.spaces, job.k, job.drawn);
    let queries = queries_at_a_time(channels, k, sampled, memory).min(job.queries);
    let scatter = if sampled { Scatter::bytes(channels) } else { 0 };
    let sums = 32 * channels as u64 * channels as u64;
    SupportStore::bytes(channels, queries, k) + sums + scatter
}

/// What the stage finds.
pub(super) struct Overlap {
    pub overlap: Array2<f64>,
    pub jaccard: Array2<f64>,
    pub pair_queries: Array2<u64>,
    pub redundancy: Option<f64>,
    pub recall: Option<f64>,
    /// Standard errors, where the queries were drawn; those of redundancy and recall last.
    pub errors: Option<(ScatterErrors, Option<f64>, Option<f64>)>,
}

/// Where the stage finds the supports of a block of queries.
pub trait SupportSource: Sync {
    /// Supports of `queries` in every channel.
    ///
    /// # Errors
    /// What reading them meets.
    fn get(&self, queries: Range<usize>) -> Result<SupportBlock>;
}

impl SupportSource for SupportStore {
    fn get(&self, queries: Range<usize>) -> Result<SupportBlock> {
        Self::get(self, queries)
    }
}

impl SupportSource for StoredSupports {
    fn get(&self, queries: Range<usize>) -> Result<SupportBlock> {
        Self::get(self, queries)
    }
}

/// Sums of the overlaps of some queries. All are integers, so that parts add up to the same bits in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlapPart {
    /// Sums of all pairs of channels.
    pub pairs: OverlapSums,
    /// Sums of what looks at all channels at once.
    pub unions: Unions,
    /// How far the overlaps scatter over the queries, where these were drawn.
    pub scatter: Option<Scatter>,
}

impl OverlapPart {
    /// Sums over no query of `channels` channels.
    pub fn new(channels: usize) -> Self {
        let zeros = || vec![0; channels * channels];
        Self {
            pairs: OverlapSums {
                intersection: zeros(),
                jaccard_q40: zeros(),
                queries: zeros(),
                unions: zeros(),
            },
            unions: Unions::default(),
            scatter: None,
        }
    }

    /// Whether these can be sums over at most so many queries of so many channels, with supports of at most `k`. Those of
    /// another process may be anything.
    pub fn is_of(&self, channels: usize, queries: usize, k: usize) -> bool {
        let (queries, k) = (queries as u64, k as u64);
        let within = |sums: &[u64], each: u64| {
            let most = queries.saturating_mul(each);
            sums.len() == channels * channels && sums.iter().all(|&sum| sum <= most)
        };
        let scatter = self.scatter.as_ref().is_none_or(|s| {
            within(&s.intersection, k * k)
                && within(&s.jaccard_q40, 1 << 40)
                && s.overlap.is_of(queries)
                && s.jaccard.is_of(queries)
        });
        within(&self.pairs.intersection, k)
            && within(&self.pairs.jaccard_q40, 1 << 40)
            && within(&self.pairs.queries, 1)
            && within(&self.pairs.unions, 1)
            && self.unions.redundancy.is_of(queries)
            && self.unions.recall.is_of(queries)
            && scatter
    }

    /// Adds the sums over other queries of the same channels.
    pub fn merge(&mut self, other: &Self) {
        let (own, others) = (&mut self.pairs, &other.pairs);
        for (own, others) in [
            (&mut own.intersection, &others.intersection),
            (&mut own.jaccard_q40, &others.jaccard_q40),
            (&mut own.queries, &others.queries),
            (&mut own.unions, &others.unions),
        ] {
            own.iter_mut().zip(others).for_each(|(a, b)| *a += b);
        }
        self.unions.merge(&other.unions);
        match (&mut self.scatter, &other.scatter) {
            (Some(own), Some(other)) => own.merge(other),
            (own @ None, Some(other)) => *own = Some(other.clone()),
            (_, None) => {}
        }
    }
}

/// What the stage reads.
pub(super) struct OverlapStage<'a, B: Backend> {
    pub backend: &'a B,
    pub channels: usize,
    /// All samples, among which the members of supports are.
    pub samples: usize,
    /// The queries of this part.
    pub queries: Range<usize>,
    /// Whether the queries were drawn, so that means need standard errors.
    pub sampled: bool,
    pub k: usize,
    pub supports: &'a dyn SupportSource,
    pub aggregate: Option<&'a dyn SupportSource>,
    pub memory: u64,
    pub control: &'a Control<'a>,
    pub stage: String,
}

impl<B: Backend> OverlapStage<'_, B> {
    pub fn run(&self) -> Result<OverlapPart> {
        let mut part = OverlapPart::new(self.channels);
        part.scatter = self.sampled.then(|| Scatter::new(self.channels));
        let first = self.queries.start;
        for step in ranges(self.queries.len(), self.queries_at_a_time()?) {
            let queries = first + step.start..first + step.end;
            self.control.check()?;
            let block = self.supports.get(queries.clone())?;
            let supports = Supports {
                indices: &block.indices,
                degenerate: &block.degenerate,
                channels: self.channels,
                queries: queries.len(),
                k: self.k,
            };
            self.backend.overlap(supports, &mut part.pairs)?;
            if let Some(scatter) = &mut part.scatter {
                scatter.add(&supports);
            }
            let aggregate = match self.aggregate {
                Some(store) => Some(store.get(queries.clone())?.indices),
                None => None,
            };
            let unions = self.unions(&supports, aggregate.as_deref());
            part.unions.merge(&unions);
            self.control.report(Step {
                stage: &self.stage,
                done: step.end as u64,
                total: self.queries.len() as u64,
                unit: "queries",
            });
        }
        Ok(part)
    }

    /// Queries whose supports, in every channel, and pair sums fit.
    fn queries_at_a_time(&self) -> Result<usize> {
        let (channels, k, sampled, memory) = (self.channels, self.k, self.sampled, self.memory);
        check_overlap_memory(channels, k, sampled, memory)?;
        Ok(queries_at_a_time(channels, k, sampled, memory))
    }

    fn unions(&self, supports: &Supports<'_>, aggregate: Option<&[i32]>) -> Unions {
        (0..supports.queries)
            .into_par_iter()
            // A worker's set takes a bit a sample: 160 KB for all of ImageNet.
            .with_min_len(64)
            .fold(
                || (Unions::default(), vec![0; self.samples.div_ceil(64)]),
                |(mut out, mut seen), query| {
                    let own = aggregate.map(|a| &a[query * self.k..(query + 1) * self.k]);
                    out.add(supports, query, own, &mut seen);
                    (out, seen)
                },
            )
            .map(|(out, _)| out)
            .reduce(Unions::default, |mut a, b| {
                a.merge(&b);
                a
            })
    }
}

impl OverlapPart {
    /// The means, of `c` channels, and their standard errors where the queries were drawn.
    pub(super) fn finish(&self, c: usize, sampling: Option<Sampling>) -> Overlap {
        let errors = sampling.zip(self.scatter.as_ref());
        let errors = errors.map(|(sampling, scatter)| {
            let of = |moments: &FixedMoments| {
                sampling.standard_error(moments.count(), moments.squared_deviations())
            };
            (
                scatter.errors(c, &self.pairs, sampling),
                of(&self.unions.redundancy),
                of(&self.unions.recall),
            )
        });
        let sums = &self.pairs;
        let ratio = |numerator: f64, count: u64| match count {
            0 => f64::NAN,
            n => numerator / n as f64,
        };
        Overlap {
            overlap: matrix(c, |at| {
                ratio(sums.intersection[at] as f64, sums.queries[at])
            }),
            jaccard: matrix(c, |at| {
                ratio(sums.jaccard_q40[at] as f64 * Q40, sums.unions[at])
            }),
            pair_queries: matrix(c, |at| sums.queries[at]),
            redundancy: self.unions.redundancy.mean(),
            recall: self.unions.recall.mean(),
            errors,
        }
    }
}

/// Sums over queries that look at all channels at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unions {
    redundancy: FixedMoments,
    recall: FixedMoments,
}

impl Unions {
    /// `seen` holds a bit for each sample, all 0 before and after.
    fn add(
        &mut self,
        supports: &Supports<'_>,
        query: usize,
        aggregate: Option<&[i32]>,
        seen: &mut [u64],
    ) {
        let members = || {
            let supports = (0..supports.channels).map(|c| support(supports, c, query));
            supports.flat_map(inside)
        };
        let (mut total, mut distinct) = (0u64, 0);
        for sample in members() {
            let (word, bit) = (&mut seen[sample / 64], sample % 64);
            distinct += !*word >> bit & 1;
            *word |= 1 << bit;
            total += 1;
        }
        if distinct > 0 {
            self.redundancy.add(total as f64 / distinct as f64);
        }
        if let Some(own) = aggregate {
            let size = inside(own).count();
            if size > 0 {
                let found =
                    inside(own).filter(|sample| seen[sample / 64] >> (sample % 64) & 1 == 1);
                self.recall.add(found.count() as f64 / size as f64);
            }
        }
        for sample in members() {
            seen[sample / 64] = 0;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.redundancy.merge(&other.redundancy);
        self.recall.merge(&other.recall);
    }
}

fn range_of(supports: &Supports<'_>, channel: usize, query: usize) -> Range<usize> {
    let start = (channel * supports.queries + query) * supports.k;
    start..start + supports.k
}

fn support<'a>(supports: &Supports<'a>, channel: usize, query: usize) -> &'a [i32] {
    &supports.indices[range_of(supports, channel, query)]
}

/// The samples of a support, whose unused slots come last.
fn inside(support: &[i32]) -> impl Iterator<Item = usize> {
    support
        .iter()
        .take_while(|&&index| index >= 0)
        .map(|&index| index as usize)
}

/// A `[c, c]` matrix from a function of the flat index.
fn matrix<T>(c: usize, value: impl Fn(usize) -> T) -> Array2<T> {
    Array2::from_shape_fn((c, c), |(i, j)| value(i * c + j))
}
