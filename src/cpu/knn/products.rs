//! Scores of the int8 filter: sums of products of bytes, and the points whose score reaches a threshold.
//!
//! See [`super::int8`] for what a score is and why comparing it with a threshold loses no neighbour.

use super::int8::PASS_NONE;
use crate::cpu::gemm::{COLS, ROWS};
use crate::simd::{I32_LANES, I32x16, Simd, SimdKernel};

/// Tiles whose survivors are noted together: as many as a word of [`nonzero`] has bits.
pub(super) const CHUNK: usize = 32;
/// Survivors in a query's buffer above which it is emptied. The number is small, so that thresholds rise early.
pub(super) const BUFFER: usize = 48;
/// Room in a buffer: one more tile, which is added whole before the buffer is emptied.
pub(super) const CAPACITY: usize = BUFFER + COLS;

/// Some queries against some tiles of points.
pub(super) struct Block<'a> {
    /// Groups of four bytes in a row.
    pub(super) quads: usize,
    /// `[queries / ROWS, quads, ROWS]`, four unsigned bytes each.
    pub(super) queries: &'a [i32],
    /// `[tiles, quads, COLS]`, four signed bytes each.
    pub(super) tiles: &'a [i32],
    /// `[tiles, COLS]` what the sums of the points start from.
    pub(super) offsets: &'a [[i32; COLS]],
    /// The tiles to scan, at most [`CHUNK`] for [`Survivors`].
    pub(super) which: &'a [u32],
    /// `[queries]`.
    pub(super) thresholds: &'a [i32],
}

/// Notes which points of the tiles reach the threshold of a query.
pub(super) struct Survivors<'a> {
    pub(super) block: Block<'a>,
    /// `[queries, CHUNK]` a word for each tile in `which`: bit `j` is set if point `j` of the tile survives.
    pub(super) bits: &'a mut [u32],
}

/// Notes the highest score in each of [`COLS`] lanes, over all of the tiles.
pub(super) struct LaneMaxima<'a> {
    pub(super) block: Block<'a>,
    /// `[queries, COLS]`, kept where it is higher than every score.
    pub(super) maxima: &'a mut [i32],
}

/// Keeps all scores.
pub(super) struct Scores<'a> {
    pub(super) block: Block<'a>,
    /// `[queries, tiles in which, COLS]`, kept where a query's threshold is [`PASS_NONE`] and so are those of its group.
    pub(super) scores: &'a mut [i32],
}

impl SimdKernel for Survivors<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let (words, _) = self.bits.as_chunks_mut::<CHUNK>();
        for (column, &tile) in self.block.which.iter().enumerate() {
            let (tile, offsets) = self.block.tile::<S>(tile);
            let groups = words.as_chunks_mut::<ROWS>().0;
            for ((queries, thresholds), words) in self.block.groups().zip(groups) {
                if thresholds == &[PASS_NONE; ROWS] {
                    for words in words {
                        words[column] = 0;
                    }
                    continue;
                }
                let scores = scores::<S>(queries, tile, offsets);
                // No branch for each query: which of them let a point pass is unpredictable.
                for ((&threshold, [low, high]), words) in thresholds.iter().zip(scores).zip(words) {
                    let threshold = S::I32x16::splat(threshold);
                    let (low, high) = (low.at_least(threshold), high.at_least(threshold));
                    words[column] = u32::from(low) | u32::from(high) << I32_LANES;
                }
            }
        }
    }
}

impl SimdKernel for LaneMaxima<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let (maxima, _) = self.maxima.as_chunks_mut::<I32_LANES>();
        for &tile in self.block.which {
            let (tile, offsets) = self.block.tile::<S>(tile);
            let groups = maxima.chunks_exact_mut(2 * ROWS);
            for ((queries, thresholds), maxima) in self.block.groups().zip(groups) {
                if thresholds == &[PASS_NONE; ROWS] {
                    continue;
                }
                let scores = scores::<S>(queries, tile, offsets);
                for (maximum, &score) in maxima.iter_mut().zip(scores.as_flattened()) {
                    S::I32x16::load(maximum).max(score).store(maximum);
                }
            }
        }
    }
}

impl SimdKernel for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let stride = self.block.which.len() * COLS;
        for (column, &tile) in self.block.which.iter().enumerate() {
            let (tile, offsets) = self.block.tile::<S>(tile);
            let groups = self.scores.chunks_exact_mut(ROWS * stride);
            for ((queries, thresholds), out) in self.block.groups().zip(groups) {
                if thresholds == &[PASS_NONE; ROWS] {
                    continue;
                }
                let scores = scores::<S>(queries, tile, offsets);
                for (scores, out) in scores.into_iter().zip(out.chunks_exact_mut(stride)) {
                    let (to, _) = out[column * COLS..].as_chunks_mut::<I32_LANES>();
                    scores[0].store(&mut to[0]);
                    scores[1].store(&mut to[1]);
                }
            }
        }
    }
}

impl Block<'_> {
    /// The bytes and the thresholds of each [`ROWS`] queries.
    #[inline(always)]
    fn groups(&self) -> impl Iterator<Item = (&[i32], &[i32; ROWS])> {
        let thresholds = self.thresholds.as_chunks().0;
        self.queries.chunks_exact(self.quads * ROWS).zip(thresholds)
    }

    /// The bytes of a tile and the offsets of its points.
    #[inline(always)]
    fn tile<S: Simd>(&self, tile: u32) -> (&[[i32; I32_LANES]], [S::I32x16; 2]) {
        let (offsets, _) = self.offsets[tile as usize].as_chunks::<I32_LANES>();
        let size = self.quads * COLS;
        let bytes = &self.tiles[tile as usize * size..][..size];
        let offsets = [S::I32x16::load(&offsets[0]), S::I32x16::load(&offsets[1])];
        (bytes.as_chunks().0, offsets)
    }
}

/// Scores of [`ROWS`] queries, `[quads, ROWS]`, by the points of a tile, two vectors of sixteen for each query.
#[inline(always)]
fn scores<S: Simd>(
    queries: &[i32],
    tile: &[[i32; I32_LANES]],
    offsets: [S::I32x16; 2],
) -> [[S::I32x16; 2]; ROWS] {
    let mut sums = [offsets; ROWS];
    for (query, points) in queries
        .as_chunks::<ROWS>()
        .0
        .iter()
        .zip(tile.as_chunks::<2>().0)
    {
        let columns = [S::I32x16::load(&points[0]), S::I32x16::load(&points[1])];
        for (sums, &query) in sums.iter_mut().zip(query) {
            let query = S::I32x16::splat(query);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = sum.add_byte_products(query, column);
            }
        }
    }
    sums
}

/// Bit `i` is set if word `i` is not 0.
#[inline(always)]
pub(super) fn nonzero<S: Simd>(words: &[u32; CHUNK]) -> u32 {
    let words: &[[i32; I32_LANES]; 2] = bytemuck::cast_ref(words);
    let low = u32::from(S::I32x16::load(&words[0]).nonzero());
    low | u32::from(S::I32x16::load(&words[1]).nonzero()) << I32_LANES
}

/// The `rank`-th largest score, counted from 1: the smallest score that fewer than `rank` scores exceed.
/// Counting them for every score takes fewer cycles than the mispredicted branches of a selection.
#[inline(always)]
pub(super) fn nth_largest<S: Simd>(scores: &[i32; COLS], rank: usize) -> i32 {
    let one = S::I32x16::splat(1);
    let rank = S::I32x16::splat(rank as i32);
    let mut smallest = S::I32x16::splat(i32::MAX);
    for own in scores.as_chunks::<I32_LANES>().0 {
        let own = S::I32x16::load(own);
        let mut above = S::I32x16::splat(0);
        for &other in scores {
            let is_higher = own.lt(S::I32x16::splat(other));
            above = S::I32x16::select(is_higher, above + one, above);
        }
        let is_enough = above.lt(rank);
        smallest = S::I32x16::select(is_enough, smallest.min(own), smallest);
    }
    smallest.least()
}

#[cfg(feature = "internals")]
pub(in crate::cpu) mod tests {
    use super::*;
    use crate::internals::{OnEachSet, tests};
    use crate::simd::InstructionSet;

    /// The tests of this module.
    pub const PRODUCTS: OnEachSet = tests![
        scores_are_sums_of_single_bytes,
        ranks_are_met,
        words_are_found
    ];

    /// Runs a kernel's copy for an instruction set, and the one with byte products in one instruction if the set
    /// has that.
    fn on_every_copy<K: SimdKernel>(
        set: InstructionSet,
        mut kernel: impl FnMut() -> K,
        mut check: impl FnMut(K::Output),
    ) {
        check(set.run(kernel()));
        if let Some(byte_products) = set.byte_products() {
            check(byte_products.run(kernel()));
        }
    }

    /// The score of one query and one point, a byte at a time.
    fn score(block: &Block<'_>, query: usize, tile: u32, lane: usize) -> i32 {
        let quads = block.quads;
        let mut sum = block.offsets[tile as usize][lane];
        for i in 0..quads {
            let q = block.queries[(query / ROWS * quads + i) * ROWS + query % ROWS];
            let p = block.tiles[(tile as usize * quads + i) * COLS + lane];
            for (q, p) in q.to_le_bytes().into_iter().zip(p.to_le_bytes()) {
                sum += i32::from(q) * i32::from(p.cast_signed());
            }
        }
        sum
    }

    fn scores_are_sums_of_single_bytes(set: InstructionSet) {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as i32
        };
        for quads in [1, 2, 5, 64] {
            let queries: Vec<i32> = (0..3 * ROWS * quads).map(|_| next()).collect();
            let tiles: Vec<i32> = (0..4 * COLS * quads).map(|_| next()).collect();
            let offsets: Vec<[i32; COLS]> = (0..4)
                .map(|_| std::array::from_fn(|_| next() % 4096))
                .collect();
            let mut thresholds: Vec<i32> = (0..3 * ROWS).map(|_| next() % 65536).collect();
            thresholds[ROWS..2 * ROWS].fill(PASS_NONE);
            let which = [2, 0, 3];
            let block = || Block {
                quads,
                queries: &queries,
                tiles: &tiles,
                offsets: &offsets,
                which: &which,
                thresholds: &thresholds,
            };
            let (mut bits, mut maxima) =
                (vec![7; 3 * ROWS * CHUNK], vec![-20_000; 3 * ROWS * COLS]);
            for (query, &threshold) in thresholds.iter().enumerate() {
                for (column, &tile) in which.iter().enumerate() {
                    let scores: [i32; COLS] =
                        std::array::from_fn(|lane| score(&block(), query, tile, lane));
                    let reached = scores
                        .iter()
                        .zip(0..)
                        .map(|(&s, l)| u32::from(s >= threshold) << l);
                    bits[query * CHUNK + column] = reached.sum();
                    // Queries that want nothing are skipped.
                    if threshold != PASS_NONE {
                        for (maximum, score) in maxima[query * COLS..].iter_mut().zip(scores) {
                            *maximum = score.max(*maximum);
                        }
                    }
                }
            }
            let check = |run: &mut dyn FnMut(Survivors<'_>, LaneMaxima<'_>)| {
                let mut found = (vec![7; 3 * ROWS * CHUNK], vec![-20_000; 3 * ROWS * COLS]);
                let survivors = Survivors {
                    block: block(),
                    bits: &mut found.0,
                };
                let lane_maxima = LaneMaxima {
                    block: block(),
                    maxima: &mut found.1,
                };
                run(survivors, lane_maxima);
                assert!(found == (bits.clone(), maxima.clone()), "{quads} quads");
            };
            check(&mut |survivors, lane_maxima| {
                set.run(survivors);
                set.run(lane_maxima);
            });
            if let Some(byte_products) = set.byte_products() {
                check(&mut |survivors, lane_maxima| {
                    byte_products.run(survivors);
                    byte_products.run(lane_maxima);
                });
            }
        }
    }

    struct NthLargest<'a>(&'a [i32; COLS], usize);

    impl SimdKernel for NthLargest<'_> {
        type Output = i32;
        #[inline(always)]
        fn run<S: Simd, const R: usize, const V: usize>(self) -> i32 {
            nth_largest::<S>(self.0, self.1)
        }
    }

    fn ranks_are_met(set: InstructionSet) {
        let mut state = 7u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for case in 0..2000 {
            let levels = [3, 50, 1 << 20][case % 3];
            let mut scores: [i32; COLS] = std::array::from_fn(|_| random(levels) as i32 - 9);
            if case % 5 == 0 {
                scores[0] = i32::MIN;
                scores[COLS / 2] = i32::MAX;
            }
            let rank = 1 + random(COLS as u32) as usize;
            let mut sorted = scores;
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            on_every_copy(
                set,
                || NthLargest(&scores, rank),
                |found| assert_eq!(found, sorted[rank - 1]),
            );
        }
    }

    struct NonZero<'a>(&'a [u32; CHUNK]);

    impl SimdKernel for NonZero<'_> {
        type Output = u32;
        #[inline(always)]
        fn run<S: Simd, const R: usize, const V: usize>(self) -> u32 {
            nonzero::<S>(self.0)
        }
    }

    fn words_are_found(set: InstructionSet) {
        for seed in 0u32..200 {
            let words: [u32; CHUNK] = std::array::from_fn(|i| {
                let word = seed.wrapping_add(i as u32 * 77).wrapping_mul(0x9e37_79b9);
                if word >> 30 == 0 { 1 << (word & 31) } else { 0 }
            });
            let wanted = (0..CHUNK).filter(|&i| words[i] != 0);
            let wanted = wanted.fold(0, |bits, i| bits | 1 << i);
            on_every_copy(set, || NonZero(&words), |bits| assert_eq!(bits, wanted));
        }
    }
}
