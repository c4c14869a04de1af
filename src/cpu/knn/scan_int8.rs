//! The filter in bytes: all points past a tile of queries; what passes is measured exactly.

use super::exact::PARALLEL;
use super::int8::{DONE, EXCLUDED, Int8, LOWEST_MARK, Query};
use super::lists::{Job, Lists};
use super::products::{BUFFER, Block, CAPACITY, products};
use super::select::Candidate;
use crate::cpu::f64x8::F64x8;
use crate::cpu::gemm::{COLS, ROWS};
use crate::cpu::simd::{Simd, SimdOp};
use crate::device::Kernel;
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Points that may pass for a query, in multiples of `k`, and beyond that one in [`PAIRS`]: more, and the
/// bytes tell too little.
const EXPECTED: usize = 16;
/// An exact distance costs about as much as the byte filter saves on so many pairs.
const PAIRS: usize = 32;

/// A rank may be missed by this part of it.
const SLACK: usize = 8;
/// Panels of which one is in the sample that marks are guessed from.
const SAMPLE: usize = 16;
/// Points per neighbour wanted that make a sample worth its while.
const ENOUGH: usize = 64;

/// Search of one group with the byte filter.
pub(super) struct Int8Job<'a> {
    job: &'a Job<'a>,
    points: &'a Int8,
    /// Those of the points, less needless copies.
    starts: Cow<'a, [i32]>,
    /// Tiles begun.
    begun: AtomicUsize,
    /// Tiles that let too much pass.
    blunt: AtomicUsize,
    /// Tiles for which a guess was wrong.
    misled: AtomicUsize,
    /// Which of a sample's scores to guess marks from; none if marks are not guessed.
    rank: Option<usize>,
}

impl<'a> Int8Job<'a> {
    /// `None` where the points have no bytes, or the processor no instruction for them.
    pub(super) fn new(job: &'a Job<'a>) -> Option<Self> {
        let packed = &job.points.packed[job.group];
        let points = packed.int8.as_ref()?;
        let starts = packed.without_copies(job.k, &points.starts, EXCLUDED);
        // As many of the nearest are expected in the sample, give or take their spread; the query itself,
        // and what passes unseen.
        let expected = job.k as f64 / SAMPLE as f64;
        let in_sample = |row: &&u32| (**row as usize / COLS).is_multiple_of(SAMPLE);
        let unseen = points.outliers.iter().filter(in_sample).count();
        let rank = (expected + 3.5 * expected.sqrt() + 2.0) as usize + unseen;
        let worth = job.points.rows >= ENOUGH * job.k && rank <= BUFFER / 2;
        Some(Self {
            job,
            points,
            starts,
            misled: AtomicUsize::new(0),
            rank: worth.then_some(rank),
            begun: AtomicUsize::new(0),
            blunt: AtomicUsize::new(0),
        })
    }

    /// Whether the bytes have told too little so far: neighbours much nearer than the rounding.
    pub(super) fn is_blunt(&self) -> bool {
        2 * self.blunt.load(Relaxed) > self.begun.load(Relaxed).max(1)
    }

    /// Whether guesses have been wrong too often, as they are where samples come in no random order.
    fn is_misleading(&self) -> bool {
        4 * self.misled.load(Relaxed) > self.begun.load(Relaxed).max(4)
    }
}

/// A tile of queries of one group, and what is buffered for them.
pub(super) struct Int8Tile<'a> {
    job: &'a Int8Job<'a>,
    lists: Lists<'a>,
    /// `[queries / ROWS, quads, ROWS]`.
    packed: Vec<i32>,
    queries: Vec<Query>,
    /// Marks that were guessed.
    guesses: Vec<i32>,
    marks: Vec<i32>,
    /// `[queries, CAPACITY]` rows, or scores of a sample.
    passed: Vec<i32>,
    counts: Vec<u32>,
}

impl<'a> Int8Tile<'a> {
    pub(super) fn new(
        job: &'a Int8Job<'a>,
        first: usize,
        entries: &'a mut [Candidate],
        lens: &'a mut [u32],
    ) -> Self {
        let lists = Lists::new(job.job, first, entries, lens);
        let count = lists.count();
        let padded = count.next_multiple_of(ROWS);
        let quads = job.points.quads;
        let mut tile = Self {
            job,
            lists,
            packed: vec![0; padded * quads],
            queries: vec![Query::default(); padded],
            guesses: vec![LOWEST_MARK; padded],
            marks: vec![DONE; padded],
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
            let panel = &mut tile.packed[query / ROWS * ROWS * quads..][..ROWS * quads];
            let row = tile.lists.query_row(query);
            let packed = &points.packed[group];
            // A query without direction keeps its mark and an empty list.
            if let Some(one) =
                job.points
                    .pack_query(queries, group, row, packed, panel, query % ROWS)
            {
                tile.queries[query] = one;
                tile.marks[query] = LOWEST_MARK;
                tile.raise_mark(query);
            }
        }
        tile
    }

    /// Pass mark from the list's bound, or the guess.
    fn raise_mark(&mut self, query: usize) {
        let bound = self.lists.bound(query);
        self.marks[query] = if bound == 0.0 {
            DONE
        } else {
            let mark = self.job.points.mark(self.queries[query], bound);
            mark.max(self.guesses[query])
        };
    }

    /// Whether a guess may have hidden points that are as near as the list's bound.
    fn is_misled(&self, query: usize, guess: i32) -> bool {
        let bound = match self.job.job.points.kernel {
            Kernel::Gaussian => self.lists.bound(query),
            // All distances below this count as 0, so that a hidden one may come before those listed.
            Kernel::Cosine => self.lists.bound(query).max(PARALLEL),
        };
        guess > LOWEST_MARK && self.job.points.mark(self.queries[query], bound) < guess
    }

    /// Moves a buffer into its list.
    #[inline(always)]
    fn measure<D: F64x8>(&mut self, query: usize) {
        let rows = &self.passed[query * CAPACITY..][..self.counts[query] as usize];
        self.lists
            .measure::<D>(query, rows.len(), |i| rows[i] as usize);
        self.counts[query] = 0;
        self.raise_mark(query);
    }

    /// Guesses marks from the scores of a sample: such that about as many points as wanted reach them.
    /// Whether they do shows in the end.
    #[inline(always)]
    fn guess(&mut self, rank: usize) {
        let marks = self.marks.clone();
        for p in (0..self.job.starts.len() / COLS).step_by(SAMPLE) {
            if self.filter::<true>(p) {
                for query in 0..self.lists.count() {
                    if self.counts[query] as usize > BUFFER {
                        self.keep_largest(query, rank);
                    }
                }
            }
        }
        for (query, mark) in marks.into_iter().enumerate() {
            if self.counts[query] as usize >= rank {
                self.keep_largest(query, rank);
                let guess = f64::from(self.marks[query]) - self.queries[query].margin();
                self.guesses[query] = (guess as i32).max(LOWEST_MARK);
            }
            self.counts[query] = 0;
            self.marks[query] = mark.max(self.guesses[query]);
        }
    }

    /// Raises the mark to the score of this rank or a little less, and drops scores below it.
    #[inline(always)]
    fn keep_largest(&mut self, query: usize, rank: usize) {
        let count = self.counts[query] as usize;
        let scores = &mut self.passed[query * CAPACITY..][..count];
        let mark = near_largest(scores, rank);
        let mut kept = 0;
        for i in 0..count {
            let score = scores[i];
            scores[kept] = score;
            kept += usize::from(score >= mark);
        }
        // There are more only of equal ones.
        self.counts[query] = kept.min(rank + rank / SLACK) as u32;
        self.marks[query] = mark;
    }

    /// Buffers what passes of a panel, rows or their scores; true if a buffer is full.
    #[inline(always)]
    fn filter<const SCORES: bool>(&mut self, panel: usize) -> bool {
        let size = self.job.points.quads * COLS;
        let block = Block {
            queries: &self.packed,
            panel: &self.job.points.panels[panel * size..][..size],
            starts: &self.job.starts.as_chunks::<COLS>().0[panel],
            first: (panel * COLS) as i32,
            marks: &self.marks,
            passed: &mut self.passed,
            counts: &mut self.counts,
        };
        // SAFETY: the byte filter is chosen where the processor has its instructions.
        unsafe { products::<SCORES>(block) }
    }

    /// All points past the queries; false if too many pass.
    #[inline(always)]
    fn pass<D: F64x8>(&mut self) -> bool {
        let mut budget = self.lists.count() * EXPECTED * self.job.job.k.max(BUFFER);
        let mut spent = 0;
        for panel in 0..self.job.starts.len() / COLS {
            budget += self.marks.len() * COLS / PAIRS;
            if self.filter::<false>(panel) {
                for query in 0..self.lists.count() {
                    if self.counts[query] as usize > BUFFER {
                        spent += self.counts[query] as usize;
                        self.measure::<D>(query);
                    }
                }
                if spent > budget {
                    return false;
                }
            }
        }
        for query in 0..self.lists.count() {
            self.measure::<D>(query);
        }
        true
    }

    /// Forgets the queries whose guess has hidden points that may be among the nearest, and shuts the
    /// others; false if there are none.
    fn is_to_be_repeated(&mut self) -> bool {
        let mut any = false;
        for query in 0..self.lists.count() {
            let guess = std::mem::replace(&mut self.guesses[query], LOWEST_MARK);
            if self.is_misled(query, guess) {
                self.lists.reset(query);
                self.raise_mark(query);
                any = true;
            } else {
                self.marks[query] = DONE;
            }
        }
        any
    }
}

/// A score near the one of this rank and not above it, found by halving: selecting would mispredict a branch
/// for each score.
#[inline(always)]
fn near_largest(scores: &[i32], rank: usize) -> i32 {
    let (mut low, mut high) = (i32::MAX, i32::MIN);
    for &score in scores {
        low = low.min(score);
        high = high.max(score);
    }
    // `rank` scores or more reach `low`, fewer what is above `high`.
    while low < high {
        let middle = low.wrapping_add_unsigned(high.abs_diff(low).div_ceil(2));
        let reach: u32 = scores.iter().map(|&score| u32::from(score >= middle)).sum();
        let reach = reach as usize;
        if reach >= rank {
            low = middle;
            if reach <= rank + rank / SLACK {
                break;
            }
        } else {
            high = middle - 1;
        }
    }
    low
}

impl SimdOp for Int8Tile<'_> {
    /// Whether the search is done; if not, the lists are as they were.
    type Output = bool;

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(mut self) -> bool {
        self.job.begun.fetch_add(1, Relaxed);
        if let Some(rank) = self.job.rank
            && !self.job.is_misleading()
        {
            self.guess(rank);
        }
        let mut done = self.pass::<S::Doubles>();
        if done && self.is_to_be_repeated() {
            self.job.misled.fetch_add(1, Relaxed);
            done = self.pass::<S::Doubles>();
        }
        if done {
            self.lists.finish::<S::Doubles>();
        } else {
            self.job.blunt.fetch_add(1, Relaxed);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_met_from_below() {
        let mut state = 7u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for case in 0..2000 {
            let count = 1 + random(80) as usize;
            let levels = [3, 50, 1 << 20][case % 3];
            let mut scores: Vec<i32> = (0..count).map(|_| random(levels) as i32 - 9).collect();
            if case % 5 == 0 {
                scores[0] = i32::MIN;
                scores[count / 2] = i32::MAX;
            }
            let rank = 1 + random(count as u32) as usize;
            let mark = near_largest(&scores, rank);
            let reach = |mark: i32| scores.iter().filter(|&&s| s >= mark).count();
            assert!(reach(mark) >= rank, "{scores:?} {rank} {mark}");
            let spare = reach(mark) <= rank + rank / SLACK;
            assert!(spare || reach(mark + 1) < rank, "{scores:?} {rank} {mark}");
        }
    }
}
