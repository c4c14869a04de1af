//! Float64 distances by plain differences: what neighbours are finally ordered by.

use super::Points;
use crate::cpu::f64x8::{F64x8, LANES, Pack};
use crate::ops::Kernel;

/// Below this `2 - 2 cos` vectors that were parallel before they were rounded to `f32` cannot be told
/// from others: the distance is taken as 0.
pub(super) const PARALLEL: f64 = 1e-14;

/// A query in float64, normalised under cosine, zeros to whole vectors.
pub(super) struct Query(Vec<Pack>);

impl Query {
    pub(super) fn new(dim: usize) -> Self {
        Self(vec![Pack::ZERO; dim.div_ceil(LANES)])
    }

    /// Takes row `row` of `queries` in `group`.
    #[inline(always)]
    pub(super) fn set(&mut self, queries: &Points, group: usize, row: usize) {
        let factor = factor(queries, group, row);
        let values = queries.row(group, row).chunks(LANES);
        for (pack, values) in self.0.iter_mut().zip(values) {
            for (to, &x) in pack.0.iter_mut().zip(values) {
                *to = f64::from(x) * factor;
            }
        }
    }

    /// Squared distances from [`LANES`] rows of `points` in `group`, whose values are `values`;
    /// `2 - 2 cos` under cosine. The order of the sum depends on the dimension only, and no product is
    /// fused, so that every instruction set gives the same bits; `distance(x, y)` and `distance(y, x)`
    /// are the same too.
    #[inline(always)]
    pub(super) fn sq_distances<D: F64x8>(
        &self,
        points: &Points,
        group: usize,
        rows: [usize; LANES],
        values: [&[f32]; LANES],
    ) -> D {
        match points.kernel {
            Kernel::Gaussian => self.sums::<D, false>(values, [D::splat(1.0); LANES]),
            Kernel::Cosine => {
                let mut factors = [D::splat(1.0); LANES];
                for (factor, row) in factors.iter_mut().zip(rows) {
                    *factor = D::splat(points.inverse_norm(group, row));
                }
                let sums = self.sums::<D, true>(values, factors);
                let parallel = sums.lt(D::splat(PARALLEL));
                D::select(parallel, D::splat(0.0), sums)
            }
        }
    }

    #[inline(always)]
    fn sums<D: F64x8, const NORMALISE: bool>(
        &self,
        values: [&[f32]; LANES],
        factors: [D; LANES],
    ) -> D {
        let mut sums = [D::splat(0.0); LANES];
        let mut whole = [&[][..]; LANES];
        let mut rest = [&[][..]; LANES];
        for ((values, whole), rest) in values.into_iter().zip(&mut whole).zip(&mut rest) {
            (*whole, *rest) = values.as_chunks::<LANES>();
        }
        for (i, query) in self.0[..whole[0].len()].iter().enumerate() {
            let query = D::load(query);
            for l in 0..LANES {
                let mut value = D::widen(&whole[l][i]);
                if NORMALISE {
                    value = value.mul(factors[l]);
                }
                let difference = query.sub(value);
                sums[l] = sums[l].add(difference.mul(difference));
            }
        }
        if let Some(query) = self.0.get(whole[0].len()) {
            let query = D::load(query);
            for l in 0..LANES {
                let mut value = D::widen_part(rest[l]);
                if NORMALISE {
                    value = value.mul(factors[l]);
                }
                let difference = query.sub(value);
                sums[l] = sums[l].add(difference.mul(difference));
            }
        }
        D::sums(sums)
    }
}

/// What normalises a row.
fn factor(points: &Points, group: usize, row: usize) -> f64 {
    match points.kernel {
        Kernel::Gaussian => 1.0,
        Kernel::Cosine => points.inverse_norm(group, row),
    }
}
