//! Second stage: how far the supports of different channels overlap, query block by query block.

use crate::control::{Control, Progress};
use crate::io::spill::SupportStore;
use crate::ops::{Backend, OverlapSums, Supports};
use crate::stream::run::ranges;
use crate::stream::sum::FixedSum;
use crate::{Error, Result};
use ndarray::Array2;
use rayon::prelude::*;
use std::ops::Range;

/// `2^-40`, the resolution of [`OverlapSums::jaccard_q40`].
const Q40: f64 = 1.0 / (1u64 << 40) as f64;

/// The stage has one part in so many of the memory cap; other results are in memory beside it.
const SHARE: u64 = 2;

/// Refuses channels whose overlaps do not fit under the memory cap.
///
/// # Errors
/// [`Error::Memory`].
pub(super) fn check_memory(channels: usize, k: usize, memory: u64) -> Result<()> {
    let (fixed, per_query) = costs(channels, k);
    let needed = (fixed + per_query) * SHARE;
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
fn costs(channels: usize, k: usize) -> (u64, u64) {
    let (channels, k) = (channels as u64, k as u64);
    // Four sums of 8 bytes a pair, and as much again in a worker's counters and the final matrices. Of a query, the block
    // and its copy on the device or in the set of a worker.
    (64 * channels.pow(2), 3 * channels * (k + 1) * 4)
}

/// What the stage finds.
pub(super) struct Overlap {
    pub overlap: Array2<f64>,
    pub jaccard: Array2<f64>,
    pub pair_queries: Array2<u64>,
    pub redundancy: Option<f64>,
    pub recall: Option<f64>,
}

/// What the stage reads.
pub(super) struct OverlapStage<'a, B: Backend> {
    pub backend: &'a B,
    pub channels: usize,
    pub samples: usize,
    pub k: usize,
    pub supports: &'a SupportStore,
    pub aggregate: Option<&'a SupportStore>,
    pub memory: u64,
    pub control: &'a Control<'a>,
    pub stage: String,
}

impl<B: Backend> OverlapStage<'_, B> {
    pub fn run(&self) -> Result<Overlap> {
        let pairs = self.channels * self.channels;
        let mut sums = OverlapSums {
            intersection: vec![0; pairs],
            jaccard_q40: vec![0; pairs],
            queries: vec![0; pairs],
            unions: vec![0; pairs],
        };
        let mut unions = Unions::default();
        for queries in ranges(self.samples, self.queries_at_a_time()?) {
            self.control.check()?;
            let block = self.supports.get(queries.clone())?;
            let supports = Supports {
                indices: &block.indices,
                degenerate: &block.degenerate,
                channels: self.channels,
                queries: queries.len(),
                k: self.k,
            };
            self.backend.overlap(supports, &mut sums)?;
            let aggregate = match self.aggregate {
                Some(store) => Some(store.get(queries.clone())?.indices),
                None => None,
            };
            unions.merge(&self.unions(&supports, aggregate.as_deref()));
            self.control.report(Progress {
                stage: &self.stage,
                done: queries.end as u64,
                total: self.samples as u64,
                unit: "queries",
            });
        }
        Ok(self.finish(&sums, &unions))
    }

    /// Queries whose supports, in every channel, and pair sums fit.
    fn queries_at_a_time(&self) -> Result<usize> {
        let (fixed, per_query) = costs(self.channels, self.k);
        let room = (self.memory / SHARE).saturating_sub(fixed) / per_query.max(1);
        check_memory(self.channels, self.k, self.memory)?;
        Ok(usize::try_from(room).unwrap_or(usize::MAX).clamp(1, 4096))
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

    fn finish(&self, sums: &OverlapSums, unions: &Unions) -> Overlap {
        let c = self.channels;
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
            redundancy: unions.redundancy.mean(),
            recall: unions.recall.mean(),
        }
    }
}

/// Sums over queries that look at all channels at once.
#[derive(Default)]
struct Unions {
    redundancy: FixedSum,
    recall: FixedSum,
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
