//! The inner loop of the float32 filter: a tile of scores, compared with thresholds.

use crate::cpu::gemm::{CHUNK, COLS, ROWS, dots};
use crate::simd::{F32, Simd};

/// Scores of [`ROWS`] queries by [`COLS`] points.
pub(super) struct Block {
    pub(super) scores: [[f32; COLS]; ROWS],
    /// Bit `j` of row `i`: point `j` passes for query `i`.
    pub(super) masks: [u32; ROWS],
}

impl Block {
    pub(super) const EMPTY: Self = Self {
        scores: [[0.0; COLS]; ROWS],
        masks: [0; ROWS],
    };

    /// Fills the block and returns whether any point passes. If none does, the scores are left as they were.
    #[inline(always)]
    pub(super) fn filter<S: Simd, const R: usize, const V: usize>(
        &mut self,
        queries: &[f32],
        tile: &[f32],
        norms: &[f32],
        thresholds: &[f32],
        dim: usize,
    ) -> bool {
        assert!(queries.len() == dim * ROWS && tile.len() == dim * COLS);
        assert!(norms.len() == COLS && thresholds.len() == ROWS);
        let mut any = 0;
        self.masks = [0; ROWS];
        for r0 in (0..ROWS).step_by(R) {
            for c0 in (0..COLS).step_by(V * S::F32::LANES) {
                let mut start = [S::F32::splat(0.0); V];
                for (v, start) in start.iter_mut().enumerate() {
                    *start = S::F32::from_slice(&norms[c0 + v * S::F32::LANES..]);
                }
                // Sums of CHUNK terms, so that rounding errors stay small in long rows.
                let (q, p) = (queries.as_ptr(), tile.as_ptr());
                // SAFETY: both operands have `dim` rows, as asserted above; `R` divides `ROWS`, and `V` vectors divide
                // `COLS`.
                let mut acc = unsafe {
                    dots::<S, R, V, false>(q.add(r0), p.add(c0), COLS, CHUNK.min(dim), [start; R])
                };
                for first in (CHUNK..dim).step_by(CHUNK) {
                    let zero = [[S::F32::splat(0.0); V]; R];
                    // SAFETY: as above; these are the rows from `first < dim` on.
                    let more = unsafe {
                        let (q, p) = (q.add(first * ROWS + r0), p.add(first * COLS + c0));
                        dots::<S, R, V, false>(q, p, COLS, CHUNK.min(dim - first), zero)
                    };
                    for (acc, more) in acc.iter_mut().zip(more) {
                        for (a, m) in acc.iter_mut().zip(more) {
                            *a = *a + m;
                        }
                    }
                }
                let mut any_here = 0;
                for (r, row) in acc.iter().enumerate() {
                    let threshold = S::F32::splat(thresholds[r0 + r]);
                    let mut mask = 0;
                    for (v, &a) in row.iter().enumerate() {
                        mask |= a.not_less(threshold) << (c0 + v * S::F32::LANES);
                    }
                    self.masks[r0 + r] |= mask;
                    any_here |= mask;
                }
                if any_here != 0 {
                    for (r, row) in acc.iter().enumerate() {
                        for (v, &a) in row.iter().enumerate() {
                            a.copy_to(&mut self.scores[r0 + r][c0 + v * S::F32::LANES..]);
                        }
                    }
                }
                any |= any_here;
            }
        }
        any != 0
    }
}
