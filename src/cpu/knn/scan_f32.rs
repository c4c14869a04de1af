//! The filter: all points past a tile of queries, the few that may win into buffers, and from there,
//! measured exactly, into the lists.
//!
//! With packed rows `q`, `p` a squared distance is `|q|^2 - 2 s`, `s = <q, p> - |p|^2 / 2`. The filter
//! computes a score `a` that is at least `s - gamma |q|^2` (see [`gamma`]; the term in `|p|` is folded
//! into the stored norms) and at most `s + 2.1 gamma (|p|^2 + |q|^2)`. So
//! - a point nearer than `t` has `a >= (|q|^2 - t) / 2 - gamma |q|^2`: the pass mark;
//! - the k-th largest `a - 2.1 gamma (..)` of points seen bounds the k-th distance, and raises the mark
//!   before anything is measured exactly.

use super::exact::PARALLEL;
use super::lists::{Job, Lists};
use super::points::{Packed, gamma};
use super::select::Candidate;
use crate::cpu::f64x8::F64x8;
use crate::cpu::gemm::{CHUNK, COLS, ROWS, dots};
use crate::cpu::simd::{Simd, SimdOp};
use crate::ops::{Identical, Kernel};
use std::borrow::Cow;

/// Products that might vanish below the smallest float, and packed values rounded there.
const UNDERFLOW: f64 = 1.0 / (1u128 << 126) as f64;

/// Steps towards the k-th largest score: it need not be met, only approached from below.
const HALVINGS: usize = 12;

/// Queries of a tile: its packed rows and buffers stay in the second-level cache.
pub(super) fn tile_rows(k: usize) -> usize {
    if k > 256 { 32 } else { 64 }
}

/// Search of one group with the filter in `f32`.
pub(super) struct FloatJob<'a> {
    job: &'a Job<'a>,
    /// Stored norms, less needless copies.
    neg_half_norms: Cow<'a, [f32]>,
    gamma: f64,
    underflow: f64,
}

impl<'a> FloatJob<'a> {
    pub(super) fn new(job: &'a Job<'a>) -> Self {
        let packed = &job.points.packed[job.group];
        Self {
            job,
            neg_half_norms: packed.without_copies(
                job.k,
                &packed.neg_half_norms,
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

/// A tile of queries of one group, and what is buffered for them.
pub(super) struct FloatTile<'a> {
    job: &'a FloatJob<'a>,
    lists: Lists<'a>,
    /// `[tiles, dim, ROWS]`.
    packed: Vec<f32>,
    /// Squared norms of the packed queries.
    sq_norms: Vec<f64>,
    /// Pass marks; infinity where nothing can be improved any more.
    marks: Vec<f32>,
    /// `[queries, capacity]`.
    passed: Vec<Passed>,
    counts: Vec<usize>,
    capacity: usize,
    scores: Vec<f32>,
}

impl SimdOp for FloatTile<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(mut self) {
        let dim = self.job.job.points.dim;
        let norms = &self.job.neg_half_norms;
        let panels = &self.job.packed().panels;
        let mut block = Block {
            scores: [[0.0; COLS]; ROWS],
            masks: [0; ROWS],
        };
        for (p, (panel, norms)) in panels
            .chunks_exact(dim * COLS)
            .zip(norms.chunks_exact(COLS))
            .enumerate()
        {
            for t in 0..self.marks.len() / ROWS {
                let queries = &self.packed[t * dim * ROWS..][..dim * ROWS];
                let marks = &self.marks[t * ROWS..][..ROWS];
                // SAFETY: `S` is there by the contract of `run`.
                if unsafe { block.filter::<S, R, V>(queries, panel, norms, marks, dim) } {
                    self.collect::<S>(&block, t * ROWS, p * COLS, norms);
                }
            }
        }
        for query in 0..self.lists.count() {
            self.cut(query);
            self.measure::<S::Doubles>(query);
        }
        self.lists.finish::<S::Doubles>();
    }
}

/// Scores of [`ROWS`] queries by [`COLS`] points.
struct Block {
    scores: [[f32; COLS]; ROWS],
    /// Bit `j` of row `i`: point `j` passes for query `i`.
    masks: [u32; ROWS],
}

impl Block {
    /// Fills the block; false, and scores undefined, if nothing passes.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn filter<S: Simd, const R: usize, const V: usize>(
        &mut self,
        queries: &[f32],
        panel: &[f32],
        norms: &[f32],
        marks: &[f32],
        dim: usize,
    ) -> bool {
        assert!(queries.len() == dim * ROWS && panel.len() == dim * COLS);
        assert!(norms.len() == COLS && marks.len() == ROWS);
        let mut any = 0;
        self.masks = [0; ROWS];
        for r0 in (0..ROWS).step_by(R) {
            for c0 in (0..COLS).step_by(V * S::LANES) {
                // SAFETY: lengths are asserted above, and R and V * LANES divide ROWS and COLS.
                unsafe {
                    let mut start = [S::splat(0.0); V];
                    for (v, start) in start.iter_mut().enumerate() {
                        *start = S::load(norms.as_ptr().add(c0 + v * S::LANES));
                    }
                    // Sums of CHUNK terms, so that rounding errors stay small in long rows.
                    let (q, p) = (queries.as_ptr().add(r0), panel.as_ptr().add(c0));
                    let mut acc = dots::<S, R, V, false>(q, p, COLS, CHUNK.min(dim), [start; R]);
                    for first in (CHUNK..dim).step_by(CHUNK) {
                        let (q, p) = (q.add(first * ROWS), p.add(first * COLS));
                        let zero = [[S::splat(0.0); V]; R];
                        let more = dots::<S, R, V, false>(q, p, COLS, CHUNK.min(dim - first), zero);
                        for (acc, more) in acc.iter_mut().zip(more) {
                            for (a, m) in acc.iter_mut().zip(more) {
                                *a = S::add(*a, m);
                            }
                        }
                    }
                    let mut any_here = 0;
                    for (r, row) in acc.iter().enumerate() {
                        let mark = S::splat(marks[r0 + r]);
                        let mut mask = 0;
                        for (v, &a) in row.iter().enumerate() {
                            mask |= S::not_less(a, mark) << (c0 + v * S::LANES);
                        }
                        self.masks[r0 + r] |= mask;
                        any_here |= mask;
                    }
                    if any_here != 0 {
                        for (r, row) in acc.iter().enumerate() {
                            for (v, &a) in row.iter().enumerate() {
                                S::store(
                                    self.scores[r0 + r].as_mut_ptr().add(c0 + v * S::LANES),
                                    a,
                                );
                            }
                        }
                    }
                    any |= any_here;
                }
            }
        }
        any != 0
    }
}

impl<'a> FloatTile<'a> {
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
        let mut tile = Self {
            job,
            lists,
            packed: vec![0.0; padded * dim],
            sq_norms: vec![0.0; padded],
            marks: vec![f32::INFINITY; padded],
            passed: vec![Passed::default(); count * capacity],
            counts: vec![0; count],
            capacity,
            scores: Vec::with_capacity(capacity),
        };
        for query in 0..count {
            let panel = &mut tile.packed[query / ROWS * ROWS * dim..][..ROWS * dim];
            let row = tile.lists.query_row(query);
            // A query without direction keeps an infinite mark and an empty list.
            if let Some(sq_norm) = job
                .packed()
                .pack_query(queries, group, row, panel, query % ROWS)
            {
                tile.sq_norms[query] = sq_norm;
                tile.marks[query] = if sq_norm < 2f64.powi(100) {
                    f32::MIN
                } else {
                    f32::NAN
                };
                tile.raise_mark_to_list(query);
            }
        }
        tile
    }

    /// Buffers what passed.
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
                self.pass::<S>(
                    first_query + r,
                    first_point + lane,
                    block.scores[r][lane],
                    norms[lane],
                );
            }
        }
    }

    #[inline(always)]
    fn pass<S: Simd>(&mut self, query: usize, row: usize, score: f32, norm: f32) {
        let mark = self.marks[query];
        // Written so that a NaN score or mark passes.
        if score < mark
            || mark == f32::INFINITY
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

    /// Cuts the buffer; measures exactly if that frees too little.
    #[inline(always)]
    fn make_room<S: Simd>(&mut self, query: usize) {
        self.cut(query);
        if self.counts[query] > (self.job.job.k + self.capacity) / 2 {
            self.measure::<S::Doubles>(query);
        }
    }

    /// Raises the mark to the buffered scores and drops what no longer passes.
    #[inline(always)]
    fn cut(&mut self, query: usize) {
        if self.counts[query] > self.job.job.k {
            self.raise_mark_to_scores(query);
        }
        let mark = self.marks[query];
        let passed = &mut self.passed[query * self.capacity..][..self.counts[query]];
        let mut kept = 0;
        for i in 0..passed.len() {
            // Without a branch: which of them stay is anyone's guess.
            let one = passed[i];
            passed[kept] = one;
            kept += usize::from(may_pass(one.score, mark));
        }
        self.counts[query] = kept;
    }

    /// Moves the buffer into the list, by exact distance.
    #[inline(always)]
    fn measure<D: F64x8>(&mut self, query: usize) {
        let passed = &self.passed[query * self.capacity..][..self.counts[query]];
        self.counts[query] = 0;
        let row = |i: usize| passed[i].row as usize;
        self.lists.measure::<D>(query, passed.len(), row);
        self.raise_mark_to_list(query);
    }

    /// Pass mark from the list's k-th distance.
    fn raise_mark_to_list(&mut self, query: usize) {
        let worst = self.lists.bound(query);
        if worst == f64::INFINITY {
            return;
        }
        if worst == 0.0 {
            self.marks[query] = f32::INFINITY;
            return;
        }
        let scale = self.job.packed().scale;
        self.raise_mark(query, 0.5 * (self.sq_norms[query] - worst * scale * scale));
    }

    /// Pass mark from about the k-th largest score, less what it may be too large by.
    fn raise_mark_to_scores(&mut self, query: usize) {
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
        // |p|^2 is at most 2.5 times the stored half, which is a little shrunk; rounding below, of terms that
        // the norms bound, is less than 0.2 gamma.
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
            // All distances below this count as 0, so that none of them may be dropped.
            Kernel::Cosine => {
                let scale = self.job.packed().scale;
                0.5 * (sq_norm - 2.0 * PARALLEL * scale * scale)
            }
        };
        self.raise_mark(query, f64::from(kth.next_down()).min(floor));
    }

    /// Raises the mark to what every point with a true score of at least `score` reaches.
    fn raise_mark(&mut self, query: usize, score: f64) {
        let low = score - self.job.gamma * self.sq_norms[query] - self.job.underflow;
        let mark = (low as f32).next_down().max(f32::MIN);
        // Stays NaN where the filter does not apply.
        if mark > self.marks[query] {
            self.marks[query] = mark;
        }
    }
}

/// Whether a score reaches the mark, as far as one can tell: a NaN does.
#[inline(always)]
fn may_pass(score: f32, mark: f32) -> bool {
    score >= mark || score.is_nan() || mark.is_nan()
}

/// A value that at least `k` of `scores` reach, near the `k`-th largest of them; NaN reaches nothing.
/// `None` if there are not `k` finite ones.
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
    // Halving takes a dozen sweeps that vectorise; selecting would take as many mispredicted branches as
    // there are scores.
    for _ in 0..HALVINGS {
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
