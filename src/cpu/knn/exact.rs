//! Exact distances: float64 sums of squared differences of the rows as read. Neighbours are ordered by these.

use super::rows::Rows;
use crate::ops::Kernel;
use crate::ops::near::PARALLEL;
use crate::simd::{F64_LANES, F64x8, LineF64};
use crate::tensor::{Value, ValueType};

/// Numbers of a row of halves that are widened at a time: eight rows stay in the first-level cache. Whole vectors.
const PIECE: usize = 256;

/// A query in float64, padded with zeros to whole vectors.
pub(super) struct Query {
    /// As read.
    raw: Vec<LineF64>,
    /// Scaled to length 1. Cosine only.
    unit: Vec<LineF64>,
    /// 1 / norm under cosine, else 1.
    factor: f64,
    /// `[F64_LANES, PIECE]` parts of rows that are halves, widened. Empty while there is none.
    wide: Vec<f32>,
}

impl Query {
    pub(super) fn new(dim: usize) -> Self {
        let zeros = vec![LineF64::ZERO; dim.div_ceil(F64_LANES)];
        Self {
            raw: zeros.clone(),
            unit: zeros,
            factor: 1.0,
            wide: Vec::new(),
        }
    }

    /// Becomes row `row` of `queries` in `group`.
    #[inline(always)]
    pub(super) fn set(&mut self, queries: &Rows, group: usize, row: usize) {
        let values = queries.row(group, row);
        let step = self.step(values.value_type(), values.len());
        for first in (0..values.len()).step_by(step) {
            let piece = values.slice(first..values.len().min(first + step));
            let lines = self.raw[first / F64_LANES..].iter_mut();
            for (line, values) in lines.zip(piece.widen(&mut self.wide).chunks(F64_LANES)) {
                for (to, &x) in line.0.iter_mut().zip(values) {
                    *to = f64::from(x);
                }
            }
        }
        if queries.kernel == Kernel::Cosine {
            self.factor = queries.inverse_norm(group, row);
            for (unit, raw) in self.unit.iter_mut().zip(&self.raw) {
                *unit = LineF64(raw.0.map(|x| x * self.factor));
            }
        }
    }

    /// Numbers of rows of `dim` that are taken at a time, and room to widen them.
    #[inline(always)]
    fn step(&mut self, values: ValueType, dim: usize) -> usize {
        match values {
            ValueType::F32 => dim.max(1),
            ValueType::F16 => {
                self.wide.resize(F64_LANES * PIECE, 0.0);
                PIECE
            }
        }
    }

    /// Squared distances from [`F64_LANES`] rows of `points` in `group`, whose values are `values`; `2 - 2 cos`
    /// under cosine. The order of the sum depends on the dimension only, and no multiply-add is fused, so that
    /// every instruction set gives the same bits. `distance(x, y)` and `distance(y, x)` have the same bits too.
    #[inline(always)]
    pub(super) fn sq_distances<D: F64x8, T: Value>(
        &mut self,
        points: &Rows,
        group: usize,
        rows: [usize; F64_LANES],
        values: [&[T]; F64_LANES],
    ) -> D {
        match points.kernel {
            Kernel::Gaussian => {
                self.sums::<D, T, false>(values, [D::splat(1.0); F64_LANES])
                    .0
            }
            Kernel::Cosine => {
                let mut factors = [D::splat(1.0); F64_LANES];
                let mut line = LineF64::ZERO;
                for ((factor, line), row) in factors.iter_mut().zip(&mut line.0).zip(rows) {
                    *line = points.inverse_norm(group, row);
                    *factor = D::splat(*line);
                }
                let (differences, products) = self.sums::<D, T, true>(values, factors);
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
    fn sums<D: F64x8, T: Value, const COSINE: bool>(
        &mut self,
        values: [&[T]; F64_LANES],
        factors: [D; F64_LANES],
    ) -> (D, D) {
        let dim = values[0].len();
        let step = self.step(T::TYPE, dim);
        let mut sums = [D::splat(0.0); F64_LANES];
        let mut products = [D::splat(0.0); F64_LANES];
        for first in (0..dim).step_by(step) {
            let lines = first / F64_LANES..;
            let raw = &self.raw[lines.clone()];
            let own = if COSINE { &self.unit[lines] } else { raw };
            let mut whole = [&[][..]; F64_LANES];
            let mut rest = [&[][..]; F64_LANES];
            let mut wide = self.wide.chunks_exact_mut(PIECE);
            for ((values, whole), rest) in values.into_iter().zip(&mut whole).zip(&mut rest) {
                let piece = T::values(&values[first..dim.min(first + step)]);
                let piece = piece.widen(wide.next().unwrap_or_default());
                (*whole, *rest) = piece.as_chunks::<F64_LANES>();
            }
            for (i, query) in own[..whole[0].len()].iter().enumerate() {
                let query = D::load(query);
                for l in 0..F64_LANES {
                    let mut value = D::widen(&whole[l][i]);
                    if COSINE {
                        products[l] = products[l] + D::load(&raw[i]) * value;
                        value = value * factors[l];
                    }
                    let difference = query - value;
                    sums[l] = sums[l] + difference * difference;
                }
            }
            let last = whole[0].len();
            if rest[0].is_empty() {
                continue;
            }
            let query = D::load(&own[last]);
            for l in 0..F64_LANES {
                let mut value = D::widen_part(rest[l]);
                if COSINE {
                    products[l] = products[l] + D::load(&raw[last]) * value;
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
