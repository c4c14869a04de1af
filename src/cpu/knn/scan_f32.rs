//! The float32 filter: scans all points for a batch of queries. Points that pass are buffered, measured exactly
//! and entered into the lists.
//!
//! With packed rows `q` and `p`, a squared distance is `|q|^2 - 2 s`, where `s = <q, p> - |p|^2 / 2`. The filter
//! computes a score `a` in float32 that is at least `s - gamma |q|^2` and at most
//! `s + 2.1 gamma (|p|^2 + |q|^2)`; see [`gamma`] for the error bound (its term in `|p|` is folded into the stored
//! norms). Therefore
//! - a point whose squared distance is below `t` has a score of at least `(|q|^2 - t) / 2 - gamma |q|^2`, the query's threshold;
//! - the k-th largest `a - 2.1 gamma (|p|^2 + |q|^2)` of the points seen so far bounds the k-th distance, and
//!   raises the threshold before anything is measured exactly.

mod block;

use super::lists::{Job, Lists};
use super::packed::{Floats, Packed, gamma};
use super::rows::Place;
use super::select::Candidate;
use crate::cpu::gemm::{COLS, ROWS};
use crate::ops::near::PARALLEL;
use crate::ops::{Identical, Kernel};
use crate::simd::{Simd, SimdKernel};
use block::Block;
use std::borrow::Cow;

/// Smallest normal float: what a product, or a packed value, may lose by underflow.
const UNDERFLOW: f64 = 1.0 / (1u128 << 126) as f64;

/// Bisection steps towards the k-th largest score, which need not be met but approached from below.
const BISECTIONS: usize = 12;

/// Queries of a batch. Their packed rows and buffers stay in the second-level cache.
pub(super) fn batch_rows(k: usize) -> usize {
    if k > 256 { 32 } else { 64 }
}

/// Search of one group with the float32 filter.
pub(super) struct FloatJob<'a> {
    job: &'a Job<'a>,
    floats: &'a Floats,
    /// The stored norms, with needless copies excluded.
    neg_half_norms: Cow<'a, [f32]>,
    gamma: f64,
    underflow: f64,
}

impl<'a> FloatJob<'a> {
    pub(super) fn new(job: &'a Job<'a>) -> Self {
        let packed = &job.points.packed[job.group];
        let floats = packed.floats(job.points, job.group);
        Self {
            job,
            floats,
            neg_half_norms: packed.without_copies(
                job.k,
                &floats.neg_half_norms,
                f32::NEG_INFINITY,
                None,
            ),
            gamma: gamma(job.points.dim),
            underflow: (job.points.dim as f64 + 20.0) * UNDERFLOW,
        }
    }

    fn packed(&self) -> &'a Packed {
        &self.job.points.packed[self.job.group]
    }
}

/// A point that passed the filter.
#[derive(Clone, Copy, Default)]
struct Passed {
    score: f32,
    row: u32,
}

/// A batch of queries of one group, and the points that passed for them.
pub(super) struct FloatBatch<'a> {
    job: &'a FloatJob<'a>,
    lists: Lists<'a>,
    /// `[queries / ROWS, dim, ROWS]`.
    packed: Vec<f32>,
    /// Squared norms of the packed queries.
    sq_norms: Vec<f64>,
    /// Scores that a point must reach; infinity where the list cannot improve any more, NaN where every point
    /// passes.
    thresholds: Vec<f32>,
    /// `[queries, capacity]` points that passed and are not measured yet.
    passed: Vec<Passed>,
    /// Their number for each query.
    counts: Vec<usize>,
    capacity: usize,
    /// Scratch of [`FloatBatch::raise_threshold_to_scores`].
    scores: Vec<f32>,
}

impl SimdKernel for FloatBatch<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self) {
        let dim = self.job.job.points.dim;
        let norms = &self.job.neg_half_norms;
        let tiles = &self.job.floats.tiles;
        let mut block = Block::EMPTY;
        for (t, (tile, norms)) in tiles
            .chunks_exact(dim * COLS)
            .zip(norms.chunks_exact(COLS))
            .enumerate()
        {
            for q in 0..self.thresholds.len() / ROWS {
                let queries = &self.packed[q * dim * ROWS..][..dim * ROWS];
                let thresholds = &self.thresholds[q * ROWS..][..ROWS];
                if block.filter::<S, R, V>(queries, tile, norms, thresholds, dim) {
                    self.collect::<S>(&block, q * ROWS, t * COLS, norms);
                }
            }
        }
        for query in 0..self.lists.count() {
            self.cut(query);
            self.measure::<S>(query);
        }
        self.lists.finish::<S::F64x8>();
    }
}

impl<'a> FloatBatch<'a> {
    pub(super) fn new(
        job: &'a FloatJob<'a>,
        rows: Vec<u32>,
        entries: &'a mut [Candidate],
        lens: &'a mut [u32],
    ) -> Self {
        let lists = Lists::new(job.job, rows, true, entries, lens);
        let count = lists.count();
        let padded = count.next_multiple_of(ROWS);
        let Job {
            queries,
            points,
            group,
            k,
            ..
        } = *job.job;
        let dim = points.dim;
        let capacity = k + k.max(128);
        let mut batch = Self {
            job,
            lists,
            packed: vec![0.0; padded * dim],
            sq_norms: vec![0.0; padded],
            thresholds: vec![f32::INFINITY; padded],
            passed: vec![Passed::default(); count * capacity],
            counts: vec![0; count],
            capacity,
            scores: Vec::with_capacity(capacity),
        };
        for query in 0..count {
            let tile = &mut batch.packed[query / ROWS * ROWS * dim..][..ROWS * dim];
            let place = Place {
                points: queries,
                group,
                row: batch.lists.query_row(query),
            };
            // A query without direction keeps an infinite threshold and an empty list.
            if let Some(sq_norm) = job.packed().pack_query(place, tile, query % ROWS) {
                batch.sq_norms[query] = sq_norm;
                batch.thresholds[query] = if sq_norm < 2f64.powi(100) {
                    f32::MIN
                } else {
                    f32::NAN
                };
                batch.raise_threshold_to_list(query);
            }
        }
        batch
    }

    /// Buffers the points of a block that passed.
    #[inline(always)]
    fn collect<S: Simd>(
        &mut self,
        block: &Block,
        first_query: usize,
        first_point: usize,
        norms: &[f32],
    ) {
        for (r, &mask) in block.masks.iter().enumerate() {
            let mut left = mask;
            while left != 0 {
                let lane = left.trailing_zeros() as usize;
                left &= left - 1;
                self.keep::<S>(
                    first_query + r,
                    first_point + lane,
                    block.scores[r][lane],
                    norms[lane],
                );
            }
        }
    }

    /// Buffers one point.
    #[inline(always)]
    fn keep<S: Simd>(&mut self, query: usize, row: usize, score: f32, norm: f32) {
        let threshold = self.thresholds[query];
        // Written so that a NaN score or threshold passes.
        if score < threshold
            || threshold == f32::INFINITY
            || norm == f32::NEG_INFINITY
            || self.lists.is_own(query, row)
        {
            return;
        }
        let count = self.counts[query];
        self.passed[query * self.capacity + count] = Passed {
            score,
            row: row as u32,
        };
        self.counts[query] = count + 1;
        if count + 1 == self.capacity {
            self.make_room::<S>(query);
        }
    }

    /// Drops points from a full buffer; measures the rest exactly if too few could be dropped.
    #[inline(always)]
    fn make_room<S: Simd>(&mut self, query: usize) {
        self.cut(query);
        if self.counts[query] > (self.job.job.k + self.capacity) / 2 {
            self.measure::<S>(query);
        }
    }

    /// Raises the threshold to the buffered scores and drops the points that no longer reach it.
    #[inline(always)]
    fn cut(&mut self, query: usize) {
        if self.counts[query] > self.job.job.k {
            self.raise_threshold_to_scores(query);
        }
        let threshold = self.thresholds[query];
        let passed = &mut self.passed[query * self.capacity..][..self.counts[query]];
        let mut kept = 0;
        for i in 0..passed.len() {
            // Without a branch, because which of them stay is unpredictable.
            let one = passed[i];
            passed[kept] = one;
            kept += usize::from(may_pass(one.score, threshold));
        }
        self.counts[query] = kept;
    }

    /// Moves the buffer into the list, by exact distances.
    #[inline(always)]
    fn measure<S: Simd>(&mut self, query: usize) {
        let passed = &self.passed[query * self.capacity..][..self.counts[query]];
        self.counts[query] = 0;
        let row = |i: usize| passed[i].row as usize;
        self.lists.measure::<S>(query, passed.len(), row);
        self.raise_threshold_to_list(query);
    }

    /// Raises the threshold to the bound on the k-th distance.
    fn raise_threshold_to_list(&mut self, query: usize) {
        let bound = self.lists.bound(query);
        if bound == f64::INFINITY {
            return;
        }
        if bound == 0.0 {
            self.thresholds[query] = f32::INFINITY;
            return;
        }
        let scale = self.job.packed().scale;
        self.raise_threshold(query, 0.5 * (self.sq_norms[query] - bound * scale * scale));
    }

    /// Raises the threshold to about the k-th largest score, less the error by which scores may be too large.
    fn raise_threshold_to_scores(&mut self, query: usize) {
        let FloatJob {
            job,
            gamma,
            underflow,
            ..
        } = *self.job;
        // A point at distance 0 may not count towards the k when it will be replaced.
        if job.identical == Identical::Replace {
            return;
        }
        let norms = &self.job.neg_half_norms;
        let sq_norm = self.sq_norms[query];
        // |p|^2 is at most 2.5 times the stored half, which is shrunk a little. The terms below are bounded by the
        // norms, and their rounding by 0.2 gamma.
        let slack = 2.4 * gamma;
        let (per_norm, base) = ((2.5 * slack) as f32, (slack * sq_norm + underflow) as f32);
        self.scores.clear();
        self.scores.extend(
            self.passed[query * self.capacity..][..self.counts[query]]
                .iter()
                .map(|one| one.score + per_norm * norms[one.row as usize] - base),
        );
        let Some(kth) = at_most_kth_largest(&self.scores, job.k) else {
            return;
        };
        let floor = match job.points.kernel {
            Kernel::Gaussian => f64::INFINITY,
            // All distances below PARALLEL count as 0, so none of these points may be dropped.
            Kernel::Cosine => {
                let scale = self.job.packed().scale;
                0.5 * (sq_norm - 2.0 * PARALLEL * scale * scale)
            }
        };
        self.raise_threshold(query, f64::from(kth.next_down()).min(floor));
    }

    /// Raises the threshold to what the computed score reaches of every point whose true `s` is at least `score`.
    fn raise_threshold(&mut self, query: usize, score: f64) {
        let low = score - self.job.gamma * self.sq_norms[query] - self.job.underflow;
        let threshold = (low as f32).next_down().max(f32::MIN);
        // A NaN stays, for queries to which the filter does not apply.
        if threshold > self.thresholds[query] {
            self.thresholds[query] = threshold;
        }
    }
}

/// Whether a score reaches the threshold; true if one of them is NaN.
#[inline(always)]
fn may_pass(score: f32, threshold: f32) -> bool {
    score >= threshold || score.is_nan() || threshold.is_nan()
}

/// A value that at least `k` of `scores` reach, near the `k`-th largest of them. `None` if fewer than `k` are
/// finite.
fn at_most_kth_largest(scores: &[f32], k: usize) -> Option<f32> {
    let (mut low, mut high, mut finite) = (f32::INFINITY, f32::NEG_INFINITY, 0);
    for &score in scores {
        if score.is_finite() {
            low = low.min(score);
            high = high.max(score);
            finite += 1;
        }
    }
    if finite < k {
        return None;
    }
    // Bisection takes a dozen sweeps that are vectorised. A selection would mispredict a branch for every score.
    for _ in 0..BISECTIONS {
        let middle = low + 0.5 * (high - low);
        let reached: u32 = scores.iter().map(|&s| u32::from(s >= middle)).sum();
        if reached as usize >= k {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low)
}
