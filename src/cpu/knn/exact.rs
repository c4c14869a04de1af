//! Exact distances: float64 sums of squared differences of the rows as read. Neighbours are ordered by these.

use super::rows::Rows;
use crate::ops::Kernel;
use crate::ops::near::PARALLEL;
use crate::simd::{F64_LANES, F64x8, LineF64, Number, prefetch};
use crate::tensor::Values;

/// Lines of eight numbers between two prefetches: so few that these do not wait for each other.
const PIECE: usize = 8;

/// Eight rows that are measured together. They lie far apart in memory.
#[derive(Clone, Copy)]
pub(super) struct RowsOf<'a, T> {
    /// Their numbers among all rows.
    pub(super) rows: [usize; F64_LANES],
    /// `[dim]` each.
    pub(super) values: [&'a [T]; F64_LANES],
}

impl<T> RowsOf<'_, T> {
    /// Asks for the piece that begins with line `first` to be brought into the cache.
    #[inline(always)]
    pub(super) fn prefetch(&self, first: usize) {
        for values in self.values {
            let start = (first * F64_LANES).min(values.len());
            let end = values.len().min(start + PIECE * F64_LANES);
            prefetch(&values[start..end]);
        }
    }
}

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
    pub(super) fn set<D: F64x8>(&mut self, queries: &Rows, group: usize, row: usize) {
        match queries.row(group, row) {
            Values::F16(values) => widen::<D, _>(values, &mut self.raw),
            Values::F32(values) => widen::<D, _>(values, &mut self.raw),
        }
        if queries.kernel == Kernel::Cosine {
            self.factor = queries.inverse_norm(group, row);
            for (unit, raw) in self.unit.iter_mut().zip(&self.raw) {
                *unit = LineF64(raw.0.map(|x| x * self.factor));
            }
        }
    }

    /// Squared distances from [`F64_LANES`] rows of `points` in `group`, while the `next` ones are fetched; `2 - 2 cos` under
    /// cosine. The order of the sum depends on the dimension only, and no multiply-add is fused, so that
    /// every instruction set gives the same bits. `distance(x, y)` and `distance(y, x)` have the same bits too.
    #[inline(always)]
    pub(super) fn sq_distances<D: F64x8, T: Number>(
        &self,
        points: &Rows,
        group: usize,
        rows: RowsOf<'_, T>,
        next: Option<RowsOf<'_, T>>,
    ) -> D {
        let RowsOf { rows, values } = rows;
        match points.kernel {
            Kernel::Gaussian => {
                self.sums::<D, T, false>(values, [D::splat(1.0); F64_LANES], next)
                    .0
            }
            Kernel::Cosine => {
                let mut factors = [D::splat(1.0); F64_LANES];
                let mut line = LineF64::ZERO;
                for ((factor, line), row) in factors.iter_mut().zip(&mut line.0).zip(rows) {
                    *line = points.inverse_norm(group, row);
                    *factor = D::splat(*line);
                }
                let (differences, products) = self.sums::<D, T, true>(values, factors, next);
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
    fn sums<D: F64x8, T: Number, const COSINE: bool>(
        &self,
        values: [&[T]; F64_LANES],
        factors: [D; F64_LANES],
        next: Option<RowsOf<'_, T>>,
    ) -> (D, D) {
        let mut sums = [D::splat(0.0); F64_LANES];
        let mut products = [D::splat(0.0); F64_LANES];
        let own = if COSINE { &self.unit } else { &self.raw };
        let mut whole = [&[][..]; F64_LANES];
        let mut rest = [&[][..]; F64_LANES];
        let lines = values[0].len() / F64_LANES;
        for ((values, whole), rest) in values.into_iter().zip(&mut whole).zip(&mut rest) {
            let (lines_of, rest_of) = values.as_chunks::<F64_LANES>();
            (*whole, *rest) = (&lines_of[..lines], rest_of);
        }
        let (own_lines, raw_lines) = (&own[..lines], &self.raw[..lines]);
        for first in (0..lines).step_by(PIECE) {
            if let Some(next) = next.filter(|_| first + PIECE < lines) {
                next.prefetch(first + PIECE);
            }
            for i in first..lines.min(first + PIECE) {
                let query = D::load(&own_lines[i]);
                for l in 0..F64_LANES {
                    let mut value = T::line::<D>(&whole[l][i]);
                    if COSINE {
                        products[l] = products[l] + D::load(&raw_lines[i]) * value;
                        value = value * factors[l];
                    }
                    let difference = query - value;
                    sums[l] = sums[l] + difference * difference;
                }
            }
        }
        if !rest[0].is_empty() {
            let query = D::load(&own[lines]);
            for l in 0..F64_LANES {
                let mut value = T::part_of_line::<D>(rest[l]);
                if COSINE {
                    products[l] = products[l] + D::load(&self.raw[lines]) * value;
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

/// Writes a row in float64, the last line filled up with zeros.
#[inline(always)]
fn widen<D: F64x8, T: Number>(values: &[T], out: &mut [LineF64]) {
    let (whole, rest) = values.as_chunks::<F64_LANES>();
    for (line, values) in out.iter_mut().zip(whole) {
        T::line::<D>(values).store(line);
    }
    if let (Some(line), false) = (out.get_mut(whole.len()), rest.is_empty()) {
        T::part_of_line::<D>(rest).store(line);
    }
}
