//! Exact distances: float64 sums of squared differences of the rows as read. Neighbours are ordered by these.

use super::rows::Rows;
use crate::ops::Kernel;
use crate::ops::near::PARALLEL;
use crate::simd::{F64_LANES, F64x8, LineF64};

/// A query in float64, padded with zeros to whole vectors.
pub(super) struct Query {
    /// As read.
    raw: Vec<LineF64>,
    /// Scaled to length 1. Cosine only.
    unit: Vec<LineF64>,
    /// 1 / norm under cosine, else 1.
    factor: f64,
}

impl Query {
    pub(super) fn new(dim: usize) -> Self {
        let zeros = vec![LineF64::ZERO; dim.div_ceil(F64_LANES)];
        Self {
            raw: zeros.clone(),
            unit: zeros,
            factor: 1.0,
        }
    }

    /// Becomes row `row` of `queries` in `group`.
    #[inline(always)]
    pub(super) fn set(&mut self, queries: &Rows, group: usize, row: usize) {
        let values = queries.row(group, row).chunks(F64_LANES);
        for (line, values) in self.raw.iter_mut().zip(values) {
            for (to, &x) in line.0.iter_mut().zip(values) {
                *to = f64::from(x);
            }
        }
        if queries.kernel == Kernel::Cosine {
            self.factor = queries.inverse_norm(group, row);
            for (unit, raw) in self.unit.iter_mut().zip(&self.raw) {
                *unit = LineF64(raw.0.map(|x| x * self.factor));
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
            Kernel::Gaussian => self.sums::<D, false>(values, [D::splat(1.0); F64_LANES]).0,
            Kernel::Cosine => {
                let mut factors = [D::splat(1.0); F64_LANES];
                let mut line = LineF64::ZERO;
                for ((factor, line), row) in factors.iter_mut().zip(&mut line.0).zip(rows) {
                    *line = points.inverse_norm(group, row);
                    *factor = D::splat(*line);
                }
                let (differences, products) = self.sums::<D, true>(values, factors);
                // Where the angle is small `2 - 2 cos` cancels; where it is large, the squared difference would round
                // what is exactly 2 for orthogonal vectors.
                let cos = products * (D::load(&line) * D::splat(self.factor));
                let two = D::splat(2.0);
                let wide = two - (cos + cos);
                let parallel = differences.lt(D::splat(PARALLEL));
                let narrow = D::select(parallel, D::splat(0.0), differences);
                D::select(wide.lt(D::splat(1.0)), narrow, wide)
            }
        }
    }

    /// Sums of squared differences from eight rows, and for `COSINE` of rows scaled to length 1 by their factors
    /// and of products with the rows as they are.
    #[inline(always)]
    fn sums<D: F64x8, const COSINE: bool>(
        &self,
        values: [&[f32]; F64_LANES],
        factors: [D; F64_LANES],
    ) -> (D, D) {
        let mut sums = [D::splat(0.0); F64_LANES];
        let mut products = [D::splat(0.0); F64_LANES];
        let own = if COSINE { &self.unit } else { &self.raw };
        let mut whole = [&[][..]; F64_LANES];
        let mut rest = [&[][..]; F64_LANES];
        for ((values, whole), rest) in values.into_iter().zip(&mut whole).zip(&mut rest) {
            (*whole, *rest) = values.as_chunks::<F64_LANES>();
        }
        for (i, query) in own[..whole[0].len()].iter().enumerate() {
            let query = D::load(query);
            for l in 0..F64_LANES {
                let mut value = D::widen(&whole[l][i]);
                if COSINE {
                    products[l] = products[l] + D::load(&self.raw[i]) * value;
                    value = value * factors[l];
                }
                let difference = query - value;
                sums[l] = sums[l] + difference * difference;
            }
        }
        let last = whole[0].len();
        if let Some(query) = own.get(last) {
            let query = D::load(query);
            for l in 0..F64_LANES {
                let mut value = D::widen_part(rest[l]);
                if COSINE {
                    products[l] = products[l] + D::load(&self.raw[last]) * value;
                    value = value * factors[l];
                }
                let difference = query - value;
                sums[l] = sums[l] + difference * difference;
            }
        }
        let products = if COSINE {
            D::sums(products)
        } else {
            D::splat(0.0)
        };
        (D::sums(sums), products)
    }
}
