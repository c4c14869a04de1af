//! Exact distances: float64 sums of squared differences of the rows as read. Neighbours are ordered by these.

use super::rows::Rows;
use crate::ops::Kernel;
use crate::simd::{F64_LANES, F64x8, LineF64};

/// Cosine distances `2 - 2 cos` below this are taken as 0: rounding to `f32` alone can move parallel vectors so far
/// apart.
pub(super) const PARALLEL: f64 = 1e-14;

/// A query in float64, normalised under cosine, padded with zeros to whole vectors.
pub(super) struct Query(Vec<LineF64>);

impl Query {
    pub(super) fn new(dim: usize) -> Self {
        Self(vec![LineF64::ZERO; dim.div_ceil(F64_LANES)])
    }

    /// Becomes row `row` of `queries` in `group`.
    #[inline(always)]
    pub(super) fn set(&mut self, queries: &Rows, group: usize, row: usize) {
        let factor = factor(queries, group, row);
        let values = queries.row(group, row).chunks(F64_LANES);
        for (line, values) in self.0.iter_mut().zip(values) {
            for (to, &x) in line.0.iter_mut().zip(values) {
                *to = f64::from(x) * factor;
            }
        }
    }

    /// Squared distances from [`F64_LANES`] rows of `points` in `group`, whose values are `values`; `2 - 2 cos`
    /// under cosine. The order of the sum depends on the dimension only, and no multiply-add is fused, so that
    /// every instruction set gives the same bits. `distance(x, y)` and `distance(y, x)` have the same bits too.
    #[inline(always)]
    pub(super) fn sq_distances<D: F64x8>(
        &self,
        points: &Rows,
        group: usize,
        rows: [usize; F64_LANES],
        values: [&[f32]; F64_LANES],
    ) -> D {
        match points.kernel {
            Kernel::Gaussian => self.sums::<D, false>(values, [D::splat(1.0); F64_LANES]),
            Kernel::Cosine => {
                let mut factors = [D::splat(1.0); F64_LANES];
                for (factor, row) in factors.iter_mut().zip(rows) {
                    *factor = D::splat(points.inverse_norm(group, row));
                }
                let sums = self.sums::<D, true>(values, factors);
                let parallel = sums.lt(D::splat(PARALLEL));
                D::select(parallel, D::splat(0.0), sums)
            }
        }
    }

    /// Sums of squared differences from eight rows, each multiplied by its factor if `NORMALISE`.
    #[inline(always)]
    fn sums<D: F64x8, const NORMALISE: bool>(
        &self,
        values: [&[f32]; F64_LANES],
        factors: [D; F64_LANES],
    ) -> D {
        let mut sums = [D::splat(0.0); F64_LANES];
        let mut whole = [&[][..]; F64_LANES];
        let mut rest = [&[][..]; F64_LANES];
        for ((values, whole), rest) in values.into_iter().zip(&mut whole).zip(&mut rest) {
            (*whole, *rest) = values.as_chunks::<F64_LANES>();
        }
        for (i, query) in self.0[..whole[0].len()].iter().enumerate() {
            let query = D::load(query);
            for l in 0..F64_LANES {
                let mut value = D::widen(&whole[l][i]);
                if NORMALISE {
                    value = value * factors[l];
                }
                let difference = query - value;
                sums[l] = sums[l] + difference * difference;
            }
        }
        if let Some(query) = self.0.get(whole[0].len()) {
            let query = D::load(query);
            for l in 0..F64_LANES {
                let mut value = D::widen_part(rest[l]);
                if NORMALISE {
                    value = value * factors[l];
                }
                let difference = query - value;
                sums[l] = sums[l] + difference * difference;
            }
        }
        D::sums(sums)
    }
}

/// The factor that normalises a row under cosine, else 1.
fn factor(points: &Rows, group: usize, row: usize) -> f64 {
    match points.kernel {
        Kernel::Gaussian => 1.0,
        Kernel::Cosine => points.inverse_norm(group, row),
    }
}
