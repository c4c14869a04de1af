//! The filter in bytes: all points past a tile of queries; what passes is measured exactly.

use super::int8::{DONE, EXCLUDED, Int8, LOWEST_MARK, Query};
use super::lists::{Job, Lists};
use super::select::Candidate;
use crate::cpu::f64x8::F64x8;
use crate::cpu::gemm::{COLS, ROWS};
use crate::cpu::simd::{Simd, SimdOp};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Rows buffered for a query before they are measured: few, so that marks rise early.
const BUFFER: usize = 48;
/// Entries of a buffer: a panel more, and the vector that the last of it is written with.
const CAPACITY: usize = BUFFER + COLS + 16;

/// Points that may pass for a query, in multiples of `k`, and beyond that one in [`PAIRS`]: more, and the
/// bytes tell too little.
const EXPECTED: usize = 16;
/// An exact distance costs about as much as the byte filter saves on so many pairs.
const PAIRS: usize = 32;

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
}

impl<'a> Int8Job<'a> {
    /// `None` where the points have no bytes, or the processor no instruction for them.
    pub(super) fn new(job: &'a Job<'a>) -> Option<Self> {
        let packed = &job.points.packed[job.group];
        let points = packed.int8.as_ref()?;
        let starts = packed.without_copies(job.k, &points.starts, EXCLUDED);
        Some(Self {
            job,
            points,
            starts,
            begun: AtomicUsize::new(0),
            blunt: AtomicUsize::new(0),
        })
    }

    /// Whether the bytes have told too little so far: neighbours much nearer than the rounding.
    pub(super) fn is_blunt(&self) -> bool {
        2 * self.blunt.load(Relaxed) > self.begun.load(Relaxed).max(1)
    }
}

/// A tile of queries of one group, and what is buffered for them.
pub(super) struct Int8Tile<'a> {
    job: &'a Int8Job<'a>,
    lists: Lists<'a>,
    /// `[queries / ROWS, quads, ROWS]`.
    packed: Vec<i32>,
    queries: Vec<Query>,
    marks: Vec<i32>,
    /// `[queries, CAPACITY]` rows.
    passed: Vec<u32>,
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

    /// Pass mark from the list's bound.
    fn raise_mark(&mut self, query: usize) {
        let bound = self.lists.bound(query);
        self.marks[query] = if bound == 0.0 {
            DONE
        } else {
            self.job.points.mark(self.queries[query], bound)
        };
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
}

impl SimdOp for Int8Tile<'_> {
    /// The first row that is still to be searched, by another filter.
    type Output = usize;

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(mut self) -> usize {
        let quads = self.job.points.quads;
        self.job.begun.fetch_add(1, Relaxed);
        let panels = self.job.points.panels.chunks_exact(quads * COLS);
        let starts = self.job.starts.as_chunks::<COLS>().0;
        let mut budget = self.lists.count() * EXPECTED * self.job.job.k.max(BUFFER);
        let mut spent = 0;
        let mut next = 0;
        for (panel, starts) in panels.zip(starts) {
            // SAFETY: the byte filter is chosen where the processor has its instructions.
            let full = unsafe {
                products(Block {
                    queries: &self.packed,
                    panel,
                    starts,
                    first: next as u32,
                    marks: &self.marks,
                    passed: &mut self.passed,
                    counts: &mut self.counts,
                })
            };
            next += COLS;
            budget += self.marks.len() * COLS / PAIRS;
            if full {
                for query in 0..self.lists.count() {
                    if self.counts[query] as usize > BUFFER {
                        spent += self.counts[query] as usize;
                        self.measure::<S::Doubles>(query);
                    }
                }
                if spent > budget {
                    self.job.blunt.fetch_add(1, Relaxed);
                    break;
                }
            }
        }
        for query in 0..self.lists.count() {
            self.measure::<S::Doubles>(query);
        }
        self.lists.finish();
        next
    }
}

/// A tile of queries by a panel of points.
struct Block<'a> {
    /// `[queries / ROWS, quads, ROWS]`.
    queries: &'a [i32],
    /// `[quads, COLS]`.
    panel: &'a [i32],
    starts: &'a [i32; COLS],
    /// The panel's first row.
    first: u32,
    marks: &'a [i32],
    passed: &'a mut [u32],
    counts: &'a mut [u32],
}

/// Buffers the rows of the panel that reach a query's mark; true if a buffer has more than [`BUFFER`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn products(block: Block<'_>) -> bool {
    use std::arch::x86_64::*;
    const LANES: usize = 16;
    let Block {
        queries,
        panel,
        starts,
        first,
        marks,
        passed,
        counts,
    } = block;
    let quads = panel.len() / COLS;
    let (panel, _) = panel.as_chunks::<LANES>();
    let (starts, _) = starts.as_chunks::<LANES>();
    let (passed, _) = passed.as_chunks_mut::<CAPACITY>();
    // SAFETY: an array of 16 integers is a vector; loads may be unaligned.
    let load = |from: &[i32; LANES]| unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
    let start = [load(&starts[0]), load(&starts[1])];
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let low = _mm512_add_epi32(lanes, _mm512_set1_epi32(first as i32));
    let rows = [low, _mm512_add_epi32(low, _mm512_set1_epi32(LANES as i32))];
    let mut full = false;
    for (((queries, marks), counts), passed) in queries
        .chunks_exact(quads * ROWS)
        .zip(marks.as_chunks::<ROWS>().0)
        .zip(counts.as_chunks_mut::<ROWS>().0)
        .zip(passed.as_chunks_mut::<ROWS>().0)
    {
        let mut sums = [start; ROWS];
        for (query, point) in queries
            .as_chunks::<ROWS>()
            .0
            .iter()
            .zip(panel.as_chunks::<2>().0)
        {
            let columns = [load(&point[0]), load(&point[1])];
            for (sums, &query) in sums.iter_mut().zip(query) {
                let query = _mm512_set1_epi32(query);
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_dpbusd_epi32(*sum, query, column);
                }
            }
        }
        let reached: [[__mmask16; 2]; ROWS] = std::array::from_fn(|r| {
            let mark = _mm512_set1_epi32(marks[r]);
            sums[r].map(|sum| _mm512_cmpge_epi32_mask(sum, mark))
        });
        for ((reached, count), passed) in reached.into_iter().zip(counts).zip(passed) {
            if reached == [0; 2] {
                continue;
            }
            let mut end = *count as usize;
            for (reached, rows) in reached.into_iter().zip(rows) {
                let to: &mut [u32; LANES] = passed[end..].first_chunk_mut().expect("room");
                let which = _mm512_maskz_compress_epi32(reached, rows);
                // SAFETY: room for 16 integers.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), which) };
                end += reached.count_ones() as usize;
            }
            *count = end as u32;
            full |= end > BUFFER;
        }
    }
    full
}
