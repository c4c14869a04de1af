//! The int8 filter: scans all points for a batch of queries by products of bytes. Points that pass are measured
//! exactly. [`super::int8`] states the bound that keeps this exact.
//!
//! What is here decides about speed only:
//! - **Estimated thresholds.** A threshold follows from the k-th distance found so far, so a scan would start with
//!   thresholds that let everything pass. Instead the scores of a sample of tiles give an estimate of the
//!   threshold, with which the scan starts. An estimate may be too high and hide true neighbours (false
//!   negatives). That shows when the scan is over: the k-th distance found is an upper bound on the true one, and
//!   the threshold that follows from it is safe. Where it is below the estimate, the query is scanned again
//!   without one.
//! - **All scores.** Where exact distances take most of the time, all scores are kept in place of that ([`ranked`]).
//! - **Giving up.** Where too many points pass, the bytes are too coarse for the data; the batch is searched by the
//!   float32 filter instead, and so are later batches if most of them fare like this.

mod job;
mod near;
mod ranked;
mod sample;

pub(super) use job::Int8Job;
pub(super) use near::TreePlaces;
pub(super) use ranked::scores_bytes;

use super::int8::{Int8, PASS_ALL, PASS_NONE, Query};
use super::lists::{Job, Lists};
use super::products::{
    BUFFER, Block, CAPACITY, CHUNK, LaneMaxima, Survivors, nonzero, nth_largest,
};
use super::rows::Place;
use super::select::Candidate;
use crate::cpu::gemm::{COLS, ROWS};
use crate::ops::Kernel;
use crate::ops::near::PARALLEL;
use crate::simd::{Simd, SimdKernel};
use sample::Sample;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// Budget of points that may pass the filter per query, in multiples of `k`; on top of it one per
/// [`PAIRS_PER_DISTANCE`] pairs scanned. Above it the int8 filter is too coarse, and the search falls back to
/// float32.
const BUDGET: usize = 16;
/// Pairs scanned for which the int8 filter saves about as much time as one exact distance costs.
const PAIRS_PER_DISTANCE: usize = 32;

impl<'a> Int8Job<'a> {
    /// Searches a batch; `false`, and the lists are as they were, if the bytes are too coarse for it.
    pub(super) fn search(
        &'a self,
        rows: Vec<u32>,
        places: Option<TreePlaces<'a>>,
        entries: &'a mut [Candidate],
        lens: &'a mut [u32],
    ) -> bool {
        if self.is_too_coarse() {
            return false;
        }
        let batch = Int8Batch::new(self, rows, places, entries, lens);
        self.points.byte_products.run(batch)
    }
}

/// A batch of queries of one group, and the points that passed for them.
struct Int8Batch<'a> {
    job: &'a Int8Job<'a>,
    lists: Lists<'a>,
    /// Where the queries are in the points' tree, if there is one.
    places: Option<TreePlaces<'a>>,
    /// `[queries / ROWS, quads, ROWS]`.
    packed: Vec<i32>,
    queries: Vec<Query>,
    /// Estimated thresholds, [`PASS_ALL`] where there is none.
    estimates: Vec<i32>,
    /// Scores that a point must reach.
    thresholds: Vec<i32>,
    /// `[queries, CHUNK]` a bit for each point of a chunk of tiles that passed.
    bits: Vec<u32>,
    /// `[queries, COLS]` the highest scores of the sample, by lane.
    maxima: Vec<i32>,
    /// `[queries, CAPACITY]` rows that passed and are not measured yet.
    passed: Vec<i32>,
    /// Their number for each query.
    counts: Vec<u32>,
}

impl<'a> Int8Batch<'a> {
    fn new(
        job: &'a Int8Job<'a>,
        rows: Vec<u32>,
        places: Option<TreePlaces<'a>>,
        entries: &'a mut [Candidate],
        lens: &'a mut [u32],
    ) -> Self {
        let ascending = places.is_none() && !job.is_ranked();
        let lists = Lists::new(job.job, rows, ascending, entries, lens);
        let count = lists.count();
        let padded = count.next_multiple_of(ROWS);
        let quads = job.points.quads;
        let mut batch = Self {
            job,
            lists,
            places,
            packed: vec![0; padded * quads],
            queries: vec![Query::default(); padded],
            estimates: vec![PASS_ALL; padded],
            thresholds: vec![PASS_NONE; padded],
            bits: vec![0; padded * CHUNK],
            maxima: vec![i32::MIN; padded * COLS],
            passed: vec![0; padded * CAPACITY],
            counts: vec![0; padded],
        };
        let Job {
            queries,
            points,
            group,
            ..
        } = *job.job;
        for query in 0..count {
            let tile = &mut batch.packed[query / ROWS * ROWS * quads..][..ROWS * quads];
            let place = Place {
                points: queries,
                group,
                row: batch.lists.query_row(query),
            };
            let packed = &points.packed[group];
            // A query without direction keeps its threshold and an empty list.
            if let Some(one) = job.points.pack_query(place, packed, tile, query % ROWS) {
                batch.queries[query] = one;
                batch.update_threshold(query);
            }
        }
        batch
    }

    /// Sets the threshold to what follows from the list's bound, or to the estimate if that is higher.
    fn update_threshold(&mut self, query: usize) {
        self.thresholds[query] = if self.lists.is_final(query) {
            PASS_NONE
        } else {
            self.safe_threshold(query).max(self.estimates[query])
        };
    }

    /// The threshold that follows from the list's bound: every neighbour reaches it.
    fn safe_threshold(&self, query: usize) -> i32 {
        (self.job.points).threshold(self.queries[query], self.radius(query))
    }

    /// Squared distance beyond which no point can be a neighbour.
    #[inline(always)]
    fn radius(&self, query: usize) -> f64 {
        match self.job.job.points.kernel {
            Kernel::Gaussian => self.lists.bound(query),
            // All distances below PARALLEL count as 0.
            Kernel::Cosine => self.lists.bound(query).max(PARALLEL),
        }
    }

    /// Whether an estimate may have hidden points that are as near as the list's bound.
    fn has_failed(&self, query: usize, estimate: i32) -> bool {
        estimate > PASS_ALL && self.safe_threshold(query) < estimate
    }

    /// Measures the buffered points of a query exactly, and raises its threshold.
    #[inline(always)]
    fn measure<S: Simd>(&mut self, query: usize) {
        let rows = &self.passed[query * CAPACITY..][..self.counts[query] as usize];
        self.lists
            .measure::<S>(query, rows.len(), |i| rows[i] as usize);
        self.counts[query] = 0;
        self.update_threshold(query);
    }

    /// Estimates thresholds from the scores of a sample, such that about as many points as are wanted reach them.
    #[inline(always)]
    fn estimate<S: Simd>(&mut self, sample: Sample) {
        let tiles = 0..self.tiles() as u32;
        let which: Vec<u32> = tiles.step_by(sample.step).collect();
        let byte_products = self.job.points.byte_products;
        let (block, _, maxima) = self.block(0..self.thresholds.len(), &which);
        byte_products.run(LaneMaxima { block, maxima });
        for query in 0..self.lists.count() {
            if self.thresholds[query] == PASS_NONE {
                continue;
            }
            let score = nth_largest::<S>(&self.maxima.as_chunks().0[query], sample.rank);
            let estimate = f64::from(score) - self.queries[query].margin();
            self.estimates[query] = (estimate as i32).max(PASS_ALL);
            self.thresholds[query] = self.thresholds[query].max(self.estimates[query]);
        }
    }

    /// The number of tiles of points.
    fn tiles(&self) -> usize {
        self.job.offsets.len() / COLS
    }

    /// Notes which points of some tiles pass for some queries.
    #[inline(always)]
    fn filter(&mut self, queries: Range<usize>, which: &[u32]) {
        let byte_products = self.job.points.byte_products;
        let (block, bits, _) = self.block(queries, which);
        // A call of its own, so that the loop over bytes is compiled once.
        byte_products.run(Survivors { block, bits });
    }

    /// Some queries against some tiles, and room for the survivors and the lane maxima of these queries.
    #[inline(always)]
    fn block<'b>(
        &'b mut self,
        queries: Range<usize>,
        which: &'b [u32],
    ) -> (Block<'b>, &'b mut [u32], &'b mut [i32]) {
        let Int8 { quads, tiles, .. } = self.job.points;
        let Range { start, end } = queries;
        let block = Block {
            quads: *quads,
            queries: &self.packed[start * quads..end * quads],
            tiles,
            offsets: self.job.offsets.as_chunks().0,
            which,
            thresholds: &self.thresholds[start..end],
        };
        let bits = &mut self.bits[start * CHUNK..end * CHUNK];
        (block, bits, &mut self.maxima[start * COLS..end * COLS])
    }

    /// Buffers the points from `place` on whose bits are set for a query; returns how many are buffered.
    #[inline(always)]
    fn buffer(&mut self, query: usize, place: usize, mut bits: u32) -> usize {
        let mut count = self.counts[query] as usize;
        let passed = &mut self.passed[query * CAPACITY..][..CAPACITY];
        while bits != 0 {
            let row = self.job.points.row(place + bits.trailing_zeros() as usize);
            passed[count] = row as i32;
            bits &= bits - 1;
            count += 1;
        }
        self.counts[query] = count as u32;
        count
    }

    /// Buffers the points of some tiles that passed for a query, and measures them whenever the buffer is full;
    /// returns how many it measured.
    #[inline(always)]
    fn take<S: Simd>(&mut self, query: usize, which: &[u32]) -> usize {
        let words: &[u32; CHUNK] = &self.bits.as_chunks().0[query];
        let passed = nonzero::<S>(words);
        // Words past the last tile are left from other tiles.
        let mut left = passed & (u32::MAX >> (CHUNK - which.len()));
        let mut measured = 0;
        while left != 0 {
            let column = left.trailing_zeros() as usize;
            left &= left - 1;
            let bits = self.bits[query * CHUNK + column];
            let count = self.buffer(query, which[column] as usize * COLS, bits);
            if count > BUFFER {
                measured += count;
                self.measure::<S>(query);
            }
        }
        measured
    }

    /// Scans all points; `false` if too many pass.
    #[inline(always)]
    fn scan<S: Simd>(&mut self) -> bool {
        let tiles = self.tiles();
        let mut budget = self.lists.count() * BUDGET * self.job.job.k.max(BUFFER);
        let mut spent = 0;
        // Chunks of tiles grow as thresholds rise.
        let (mut first, mut step) = (0, 2);
        while first < tiles {
            let len = step.min(tiles - first);
            let mut which = [0; CHUNK];
            for (which, tile) in which.iter_mut().zip(first..first + len) {
                *which = tile as u32;
            }
            self.filter(0..self.thresholds.len(), &which[..len]);
            budget += self.thresholds.len() * len * COLS / PAIRS_PER_DISTANCE;
            for query in 0..self.lists.count() {
                spent += self.take::<S>(query, &which[..len]);
            }
            if spent > budget {
                return false;
            }
            first += len;
            step = (2 * step).min(CHUNK);
        }
        for query in 0..self.lists.count() {
            self.measure::<S>(query);
        }
        true
    }

    /// Scans all points from estimated thresholds, and once more the queries whose estimates failed; `false` if
    /// too many points pass.
    #[inline(always)]
    fn scan_estimated<S: Simd>(&mut self) -> bool {
        let sample = self.job.sample.filter(|_| !self.job.estimates_fail());
        let Some(sample) = sample else {
            return self.scan::<S>();
        };
        self.estimate::<S>(sample);
        if !self.scan::<S>() {
            return false;
        }
        let failed = self.reset_failed();
        self.job.estimated.fetch_add(self.lists.count(), Relaxed);
        self.job.failed.fetch_add(failed, Relaxed);
        failed == 0 || self.scan::<S>()
    }

    /// Resets the queries whose estimates may have hidden neighbours, so that they can be scanned again, and
    /// closes the others; returns how many were reset.
    fn reset_failed(&mut self) -> usize {
        let mut failed = 0;
        for query in 0..self.lists.count() {
            let estimate = std::mem::replace(&mut self.estimates[query], PASS_ALL);
            if self.has_failed(query, estimate) {
                self.lists.reset(query);
                self.update_threshold(query);
                failed += 1;
            } else {
                self.thresholds[query] = PASS_NONE;
            }
        }
        failed
    }
}

impl SimdKernel for Int8Batch<'_> {
    /// Whether the search is done; if not, the lists are as they were.
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self) -> bool {
        self.job.begun.fetch_add(1, Relaxed);
        let done = match (self.places, &self.job.points.tree) {
            (Some(places), Some(tree)) => self.scan_near::<S>(places, tree),
            _ if self.job.is_ranked() => self.scan_ranked::<S>(),
            _ => self.scan_estimated::<S>(),
        };
        if done {
            self.lists.finish::<S::F64x8>();
        } else {
            self.job.given_up.fetch_add(1, Relaxed);
        }
        done
    }
}
