//! The scan for long rows: all scores are kept, and the points with the highest scores are measured first.
//!
//! An exact distance of a long row takes as long as the scores of many points, so it is worth the memory to know all scores
//! before the first distance is computed. The points with the highest scores give a bound on the k-th distance that is nearly
//! final. What remains are the points that reach the threshold which follows from it, of which there are few.

use super::{BUDGET, BUFFER, Int8Batch, PAIRS_PER_DISTANCE, PASS_ALL, PASS_NONE};
use crate::cpu::gemm::COLS;
use crate::cpu::knn::products::Scores;
use crate::simd::{F64_LANES, I32_LANES, I32x16, Simd};

/// Rows from which all scores are kept.
const LONG: usize = 256;
/// Most scores that are kept for a query: those of a batch take 1 MiB.
const MAX_SCORES: usize = 4096;

/// Most bytes of the scores of `queries` queries, for rows of `dim` numbers.
pub(in crate::cpu::knn) fn scores_bytes(queries: usize, dim: usize) -> u64 {
    match dim >= LONG {
        true => (queries * MAX_SCORES * size_of::<i32>()) as u64,
        false => 0,
    }
}

/// Whether all scores of a search are kept, for rows of `dim` numbers and `tiles` tiles.
pub(super) fn is_ranked(dim: usize, tiles: usize) -> bool {
    dim >= LONG && tiles * COLS <= MAX_SCORES
}

impl Int8Batch<'_> {
    /// Scans all points; `false` if too many pass. The lists are in no order of indices.
    #[inline(always)]
    pub(super) fn scan_ranked<S: Simd>(&mut self) -> bool {
        let which: Vec<u32> = (0..self.tiles() as u32).collect();
        let stride = which.len() * COLS;
        let mut scores = vec![0; self.thresholds.len() * stride];
        let byte_products = self.job.points.byte_products;
        let (block, ..) = self.block(0..self.thresholds.len(), &which);
        byte_products.run(Scores {
            block,
            scores: &mut scores,
        });
        let pairs = self.lists.count() * stride;
        let budget =
            self.lists.count() * BUDGET * self.job.job.k.max(BUFFER) + pairs / PAIRS_PER_DISTANCE;
        let mut spent = 0;
        for (query, scores) in scores.chunks_exact(stride).enumerate() {
            if query == self.lists.count() {
                break;
            }
            if self.thresholds[query] == PASS_NONE {
                continue;
            }
            // The neighbours, the query itself, and what fills up the vectors of distances.
            let wanted = (self.job.job.k + 1).next_multiple_of(F64_LANES);
            let highest = nth_highest::<S>(scores, self.job.job.k + 1..wanted + F64_LANES);
            self.estimates[query] = highest;
            self.update_threshold(query);
            spent += self.measure_between::<S>(query, scores, i32::MAX);
            self.estimates[query] = PASS_ALL;
            self.update_threshold(query);
            spent += self.measure_between::<S>(query, scores, highest);
            if spent > budget {
                return false;
            }
        }
        true
    }

    /// Measures the points whose scores are at least the query's threshold, and below `end`; returns their number.
    #[inline(always)]
    fn measure_between<S: Simd>(&mut self, query: usize, scores: &[i32], end: i32) -> usize {
        let mut measured = 0;
        let mut threshold = S::I32x16::splat(self.thresholds[query]);
        let end = S::I32x16::splat(end);
        for (place, scores) in (0..).step_by(I32_LANES).zip(scores.as_chunks().0) {
            let scores = S::I32x16::load(scores);
            let bits = scores.at_least(threshold) & scores.lt(end);
            if bits == 0 {
                continue;
            }
            let count = self.buffer(query, place, bits.into());
            if count > BUFFER {
                measured += count;
                self.measure::<S>(query);
                threshold = S::I32x16::splat(self.thresholds[query]);
            }
        }
        measured += self.counts[query] as usize;
        self.measure::<S>(query);
        measured
    }
}

/// A score that as many scores reach as the range says, if there is one; else one that more reach, or [`PASS_ALL`].
#[inline(always)]
fn nth_highest<S: Simd>(scores: &[i32], wanted: std::ops::Range<usize>) -> i32 {
    let (lines, _) = scores.as_chunks::<I32_LANES>();
    let mut highest = S::I32x16::splat(PASS_ALL);
    for line in lines {
        highest = highest.max(S::I32x16::load(line));
    }
    let mut lanes = [0; I32_LANES];
    highest.store(&mut lanes);
    // At least `wanted.start` scores reach `low` (or it is the lowest of all), and fewer reach `high`.
    let (mut low, mut high) = (PASS_ALL, lanes.into_iter().fold(PASS_ALL, i32::max));
    while low + 1 < high {
        let middle = low.midpoint(high);
        let splat = S::I32x16::splat(middle);
        let mut count = 0;
        for line in lines {
            count += S::I32x16::load(line).at_least(splat).count_ones() as usize;
        }
        if count < wanted.start {
            high = middle;
        } else {
            low = middle;
            if count < wanted.end {
                break;
            }
        }
    }
    low
}
