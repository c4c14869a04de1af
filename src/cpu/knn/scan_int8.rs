//! The filter in bytes: all points past a tile of queries; what passes is measured exactly.

mod near;

pub(super) use near::Places;

use super::exact::PARALLEL;
use super::int8::{DONE, EXCLUDED, Int8, LOWEST_MARK, Query};
use super::lists::{Job, Lists};
use super::products::{BUFFER, Block, CAPACITY, CHUNK, nonzero, nth_largest, products};
use super::select::Candidate;
use super::tree::Sorted;
use crate::cpu::f64x8::F64x8;
use crate::cpu::gemm::{COLS, ROWS};
use crate::cpu::simd::{Simd, SimdOp};
use crate::ops::Kernel;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Points that may pass for a query, in multiples of `k`, and beyond that one in [`PAIRS`]: more, and the
/// bytes tell too little.
const EXPECTED: usize = 16;
/// An exact distance costs about as much as the byte filter saves on so many pairs.
const PAIRS: usize = 32;

/// Panels of which one may be in the sample that marks are guessed from.
const SAMPLES: [usize; 6] = [4, 8, 16, 32, 64, 128];
/// Lanes that a guess may rest on: of more hardly any is left to be told from the others.
const LANES: usize = COLS * 3 / 4;
/// One query in so many, of more than [`FEW`], may be misled by its guess before no more are made. Their
/// search is repeated, with those that are packed beside them.
const MISLED: usize = 16;
const FEW: usize = 256;
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
    /// Queries whose marks were guessed.
    guessed: AtomicUsize,
    /// Those of them whose guess was wrong.
    misled: AtomicUsize,
    /// What to guess marks from; none if they are not guessed.
    sample: Option<Sample>,
}

/// Panels whose scores marks are guessed from.
#[derive(Clone, Copy)]
struct Sample {
    /// One in so many.
    step: usize,
    /// Rank of the score, among the largest of each lane.
    rank: usize,
}

impl Sample {
    /// The sample after which a search should take least time.
    fn new(rows: usize, dim: usize, k: usize, outliers: &[u32]) -> Option<Self> {
        let seen = |step: usize| k as f64 / step as f64;
        // As many of the nearest are expected in the sample, give or take their spread; the query itself.
        let wanted = |step: usize| seen(step) + 3.0 * seen(step).sqrt() + 2.0;
        // In cycles: a product of a pair, an exact distance of what the guess lets pass.
        let cost = |step: usize| {
            let pairs = rows as f64 / step as f64 * (dim + 6) as f64 / 64.0;
            pairs + wanted(step) * step as f64 * (25 + dim / 2) as f64
        };
        let rank = |step: usize| {
            // So many scores fall into this many lanes.
            let lanes = COLS as f64;
            let rank = lanes * (1.0 - (-wanted(step) / lanes).exp());
            // What passes unseen is among the largest too.
            let in_sample = |place: &&u32| (**place as usize / COLS).is_multiple_of(step);
            rank.round() as usize + outliers.iter().filter(in_sample).count()
        };
        let steps = SAMPLES.into_iter().filter(|&step| rank(step) <= LANES);
        let step = steps.min_by(|a, b| cost(*a).total_cmp(&cost(*b)))?;
        let rank = rank(step);
        (rows >= ENOUGH * k).then_some(Self { step, rank })
    }
}

impl<'a> Int8Job<'a> {
    /// `None` where the points have no bytes, or the processor no instruction for them.
    pub(super) fn new(job: &'a Job<'a>) -> Option<Self> {
        let packed = &job.points.packed[job.group];
        let points = packed.int8.as_ref()?;
        let order = points.tree.as_ref().map(|tree| tree.order.as_slice());
        let starts = packed.without_copies(job.k, &points.starts, EXCLUDED, order);
        Some(Self {
            job,
            points,
            starts,
            guessed: AtomicUsize::new(0),
            misled: AtomicUsize::new(0),
            sample: Sample::new(job.points.rows, job.points.dim, job.k, &points.outliers),
            begun: AtomicUsize::new(0),
            blunt: AtomicUsize::new(0),
        })
    }

    /// The query rows in the order of the points' tree, if they have one.
    pub(super) fn sorted(&self, rows: Range<usize>) -> Option<Sorted> {
        let &Job {
            queries,
            points,
            group,
            ..
        } = self.job;
        let tree = self.points.tree.as_ref()?;
        Some(tree.sorted(queries, group, &points.packed[group], rows))
    }

    /// Whether the bytes have told too little so far: neighbours much nearer than the rounding.
    pub(super) fn is_blunt(&self) -> bool {
        2 * self.blunt.load(Relaxed) > self.begun.load(Relaxed).max(1)
    }

    /// Whether guesses have been wrong too often, as they are where samples come in no random order.
    fn is_misleading(&self) -> bool {
        MISLED * self.misled.load(Relaxed) > self.guessed.load(Relaxed).max(FEW)
    }
}

/// A tile of queries of one group, and what is buffered for them.
pub(super) struct Int8Tile<'a> {
    job: &'a Int8Job<'a>,
    lists: Lists<'a>,
    /// Where the queries are in the points' tree.
    places: Option<Places<'a>>,
    /// `[queries / ROWS, quads, ROWS]`.
    packed: Vec<i32>,
    queries: Vec<Query>,
    /// Marks that were guessed.
    guesses: Vec<i32>,
    marks: Vec<i32>,
    /// `[queries, CHUNK]` a bit for each point of a chunk that passed.
    bits: Vec<u32>,
    /// `[queries, COLS]` the largest scores of a sample, by lane.
    largest: Vec<i32>,
    /// `[queries, CAPACITY]` rows that passed.
    passed: Vec<i32>,
    counts: Vec<u32>,
}

impl<'a> Int8Tile<'a> {
    pub(super) fn new(
        job: &'a Int8Job<'a>,
        rows: Vec<u32>,
        places: Option<Places<'a>>,
        entries: &'a mut [Candidate],
        lens: &'a mut [u32],
    ) -> Self {
        let lists = Lists::new(job.job, rows, places.is_none(), entries, lens);
        let count = lists.count();
        let padded = count.next_multiple_of(ROWS);
        let quads = job.points.quads;
        let mut tile = Self {
            job,
            lists,
            places,
            packed: vec![0; padded * quads],
            queries: vec![Query::default(); padded],
            guesses: vec![LOWEST_MARK; padded],
            marks: vec![DONE; padded],
            bits: vec![0; padded * CHUNK],
            largest: vec![i32::MIN; padded * COLS],
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
        self.marks[query] = if self.lists.is_final(query) {
            DONE
        } else {
            let mark = (self.job.points).mark(self.queries[query], self.reach(query));
            mark.max(self.guesses[query])
        };
    }

    /// Squared distance beyond which no point is wanted.
    #[inline(always)]
    fn reach(&self, query: usize) -> f64 {
        match self.job.job.points.kernel {
            Kernel::Gaussian => self.lists.bound(query),
            // All distances below this count as 0.
            Kernel::Cosine => self.lists.bound(query).max(PARALLEL),
        }
    }

    /// Whether a guess may have hidden points that are as near as the list's bound.
    fn is_misled(&self, query: usize, guess: i32) -> bool {
        guess > LOWEST_MARK
            && (self.job.points).mark(self.queries[query], self.reach(query)) < guess
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
    fn guess(&mut self, sample: Sample) {
        let panels = 0..self.panels() as u32;
        let which: Vec<u32> = panels.step_by(sample.step).collect();
        self.filter::<true>(0..self.marks.len(), &which);
        for query in 0..self.lists.count() {
            if self.marks[query] == DONE {
                continue;
            }
            // SAFETY: as for `filter`.
            let score = unsafe { nth_largest(&self.largest.as_chunks().0[query], sample.rank) };
            let guess = f64::from(score) - self.queries[query].margin();
            self.guesses[query] = (guess as i32).max(LOWEST_MARK);
            self.marks[query] = self.marks[query].max(self.guesses[query]);
        }
    }

    fn panels(&self) -> usize {
        self.job.starts.len() / COLS
    }

    /// Takes note of which points of some panels pass for some queries, or of the largest scores.
    #[inline(always)]
    fn filter<const LARGEST: bool>(&mut self, queries: Range<usize>, which: &[u32]) {
        let Int8 { quads, panels, .. } = self.job.points;
        let Range { start, end } = queries;
        let block = Block {
            quads: *quads,
            queries: &self.packed[start * quads..end * quads],
            panels,
            starts: self.job.starts.as_chunks().0,
            which,
            marks: &self.marks[start..end],
            bits: &mut self.bits[start * CHUNK..end * CHUNK],
            largest: &mut self.largest[start * COLS..end * COLS],
        };
        // SAFETY: the byte filter is chosen where the processor has its instructions.
        unsafe { products::<LARGEST>(block) }
    }

    /// Buffers the rows of some panels that passed for a query, and measures them whenever there are enough;
    /// returns how many it measured.
    #[inline(always)]
    fn take<D: F64x8>(&mut self, query: usize, which: &[u32]) -> usize {
        let words: &[u32; CHUNK] = &self.bits.as_chunks().0[query];
        // SAFETY: the byte filter is chosen where the processor has its instructions.
        let passed = unsafe { nonzero(words) };
        // The words beyond are those of other panels.
        let mut left = passed & (u32::MAX >> (CHUNK - which.len()));
        let mut measured = 0;
        while left != 0 {
            let column = left.trailing_zeros() as usize;
            left &= left - 1;
            let mut bits = self.bits[query * CHUNK + column];
            let place = which[column] as usize * COLS;
            let mut count = self.counts[query] as usize;
            let passed = &mut self.passed[query * CAPACITY..][..CAPACITY];
            while bits != 0 {
                let row = self.job.points.row(place + bits.trailing_zeros() as usize);
                passed[count] = row as i32;
                bits &= bits - 1;
                count += 1;
            }
            self.counts[query] = count as u32;
            if count > BUFFER {
                measured += count;
                self.measure::<D>(query);
            }
        }
        measured
    }

    /// All points past the queries; false if too many pass.
    #[inline(always)]
    fn pass<D: F64x8>(&mut self) -> bool {
        let panels = self.panels();
        let mut budget = self.lists.count() * EXPECTED * self.job.job.k.max(BUFFER);
        let mut spent = 0;
        // Chunks grow as marks rise.
        let (mut first, mut step) = (0, 2);
        while first < panels {
            let len = step.min(panels - first);
            let mut which = [0; CHUNK];
            for (which, panel) in which.iter_mut().zip(first..first + len) {
                *which = panel as u32;
            }
            self.filter::<false>(0..self.marks.len(), &which[..len]);
            budget += self.marks.len() * len * COLS / PAIRS;
            for query in 0..self.lists.count() {
                spent += self.take::<D>(query, &which[..len]);
            }
            if spent > budget {
                return false;
            }
            first += len;
            step = (2 * step).min(CHUNK);
        }
        for query in 0..self.lists.count() {
            self.measure::<D>(query);
        }
        true
    }

    /// Looks at all points, from marks that a sample gives; false if too many pass.
    #[inline(always)]
    fn all<D: F64x8>(&mut self) -> bool {
        let sample = self.job.sample.filter(|_| !self.job.is_misleading());
        let Some(sample) = sample else {
            return self.pass::<D>();
        };
        self.guess(sample);
        if !self.pass::<D>() {
            return false;
        }
        let misled = self.repeated();
        self.job.guessed.fetch_add(self.lists.count(), Relaxed);
        self.job.misled.fetch_add(misled, Relaxed);
        misled == 0 || self.pass::<D>()
    }

    /// Forgets the queries whose guess has hidden points that may be among the nearest, and shuts the
    /// others; how many there are.
    fn repeated(&mut self) -> usize {
        let mut misled = 0;
        for query in 0..self.lists.count() {
            let guess = std::mem::replace(&mut self.guesses[query], LOWEST_MARK);
            if self.is_misled(query, guess) {
                self.lists.reset(query);
                self.raise_mark(query);
                misled += 1;
            } else {
                self.marks[query] = DONE;
            }
        }
        misled
    }
}

impl SimdOp for Int8Tile<'_> {
    /// Whether the search is done; if not, the lists are as they were.
    type Output = bool;

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(mut self) -> bool {
        self.job.begun.fetch_add(1, Relaxed);
        let done = match (self.places, &self.job.points.tree) {
            (Some(places), Some(tree)) => self.near::<S::Doubles>(places, tree),
            _ => self.all::<S::Doubles>(),
        };
        if done {
            self.lists.finish::<S::Doubles>();
        } else {
            self.job.blunt.fetch_add(1, Relaxed);
        }
        done
    }
}
