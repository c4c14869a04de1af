//! Lower bounds on squared distances of long rows, summed in float32. A point that such a bound puts beyond a query's radius
//! needs no exact distance.
//!
//! # Why no neighbour is lost
//! Let `D` be the sum of the squares of `dim` differences, `u = 2^-24`, and `L` the terms that a lane adds up. Rounding enlarges
//! a difference by a factor of at most `1 + u`, its square by another, and a term by one more for every addition that it takes
//! part in. So the sum `s` is at most `D (1 + u)^(L + 3)`, and `D >= s (1 - (L + 3) u)`. The bound takes `L + 8`, which leaves more
//! than float64 rounds in adding up the lanes and in the exact distance. A square or a sum below the normal numbers is off by at
//! most `2^-149` in place of that, for which the bound is lowered once for every number. A sum that overflows gives no bound.

use crate::simd::{F32, F32_LANES, Number, Simd, prefetch};

/// Rows that are summed together.
const ROWS: usize = 4;
/// Numbers between two prefetches.
const PIECE: usize = 128;

/// Shortest rows for which the bounds are computed.
pub(super) const LONG: usize = 256;

/// Keeps those of `rows`, which are rows of `all [rows, dim]`, that may be nearer to `query [dim]` than a squared distance;
/// returns how many these are. They stay in order, in the first places.
#[inline(always)]
pub(super) fn keep_near<S: Simd, T: Number>(
    query: &[f32],
    all: &[T],
    rows: &mut [usize],
    sq_radius: f64,
) -> usize {
    let mut kept = 0;
    for first in (0..rows.len()).step_by(ROWS) {
        let bounds = lower_bounds::<S, T>(
            query,
            four(all, rows, first, query.len()),
            four(all, rows, first + ROWS, query.len()),
        );
        for (i, bound) in (first..rows.len()).zip(bounds) {
            rows[kept] = rows[i];
            kept += usize::from(bound < sq_radius);
        }
    }
    kept
}

/// The four of the rows that begin with number `first`, the last one repeated.
#[inline(always)]
fn four<'a, T>(all: &'a [T], rows: &[usize], first: usize, dim: usize) -> [&'a [T]; ROWS] {
    let mut four = [&[][..]; ROWS];
    for (i, row) in (first..).zip(&mut four) {
        *row = &all[rows[i.min(rows.len() - 1)] * dim..][..dim];
    }
    four
}

/// Lower bounds on the squared distances of four rows from `query`, while the `next` rows are fetched.
#[inline(always)]
fn lower_bounds<S: Simd, T: Number>(
    query: &[f32],
    rows: [&[T]; ROWS],
    next: [&[T]; ROWS],
) -> [f64; ROWS] {
    let (lanes, dim) = (S::F32::LANES, query.len());
    let whole = dim - dim % lanes;
    let mut sums = [S::F32::splat(0.0); ROWS];
    for start in (0..whole).step_by(PIECE) {
        let end = whole.min(start + PIECE);
        for next in next {
            prefetch(&next[start..end]);
        }
        let [a, b, c, d] = rows.map(|row| row[start..end].chunks_exact(lanes));
        let others = a.zip(b).zip(c).zip(d);
        for (query, (((a, b), c), d)) in query[start..end].chunks_exact(lanes).zip(others) {
            add_squares::<S, T>(query, [a, b, c, d], &mut sums);
        }
    }
    if whole < dim {
        // As wide as the widest register.
        let mut last = [0.0; F32_LANES];
        last[..dim - whole].copy_from_slice(&query[whole..]);
        let mut rests = [[T::default(); F32_LANES]; ROWS];
        let mut values = [&[][..]; ROWS];
        for ((row, rest), values) in rows.iter().zip(&mut rests).zip(&mut values) {
            rest[..dim - whole].copy_from_slice(&row[whole..]);
            *values = &rest[..lanes];
        }
        add_squares::<S, T>(&last[..lanes], values, &mut sums);
    }
    let unit = f64::from(f32::EPSILON) / 2.0;
    let share = 1.0 - (dim.div_ceil(lanes) + 8) as f64 * unit;
    let underflow = dim as f64 * f64::from(f32::from_bits(1));
    let mut bounds = [f64::NEG_INFINITY; ROWS];
    for (bound, sum) in bounds.iter_mut().zip(sums) {
        let mut values = [0f32; F32_LANES];
        sum.copy_to(&mut values);
        let sum: f64 = values.iter().map(|&x| f64::from(x)).sum();
        if sum.is_finite() {
            *bound = sum * share - underflow;
        }
    }
    bounds
}

/// Adds the squared differences of a register of numbers of four rows.
#[inline(always)]
fn add_squares<S: Simd, T: Number>(query: &[f32], rows: [&[T]; ROWS], sums: &mut [S::F32; ROWS]) {
    let query = S::F32::from_slice(query);
    for (sum, row) in sums.iter_mut().zip(rows) {
        let difference = query - T::register::<S::F32>(row);
        *sum = difference.mul_add(difference, *sum);
    }
}

#[cfg(feature = "internals")]
pub(in crate::cpu) mod tests {
    use super::*;
    use crate::internals::{OnEachSet, tests};
    use crate::simd::{InstructionSet, SimdKernel};
    use half::f16;

    /// The tests of this module.
    pub const COARSE: OnEachSet = tests![bounds_are_low_and_close, far_rows_are_dropped];

    struct LowerBounds<'a, T>(&'a [f32], [&'a [T]; ROWS]);

    impl<T: Number> SimdKernel for LowerBounds<'_, T> {
        type Output = [f64; ROWS];
        #[inline(always)]
        fn run<S: Simd, const R: usize, const V: usize>(self) -> [f64; ROWS] {
            lower_bounds::<S, T>(self.0, self.1, self.1)
        }
    }

    struct KeepNear<'a>(&'a [f32], &'a [f32], &'a mut [usize], f64);

    impl SimdKernel for KeepNear<'_> {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd, const R: usize, const V: usize>(self) -> usize {
            keep_near::<S, f32>(self.0, self.1, self.2, self.3)
        }
    }

    /// Numbers from -1 to 1.
    fn random(state: &mut u64) -> f64 {
        *state = (state.wrapping_mul(6_364_136_223_846_793_005)).wrapping_add(1);
        (*state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn sq_distance(a: &[f32], b: impl Iterator<Item = f64>) -> f64 {
        let differences = a.iter().zip(b).map(|(&a, b)| f64::from(a) - b);
        differences.map(|d| d * d).sum()
    }

    /// No bound lies above the distance, of singles or halves; those of singles lie at most 0.02 % below it where no square leaves
    /// the range of normal numbers.
    fn bounds_are_low_and_close(set: InstructionSet) {
        let mut state = 1;
        for dim in [1, 7, 16, 129, 300, 5003] {
            // The squares of the last two underflow or overflow.
            for scale in [1.0, 3e-4, 1e15, 1e-23, 1e25] {
                let mut row = || -> Vec<f32> {
                    let values = (0..dim).map(|_| (random(&mut state) * scale) as f32);
                    values.collect()
                };
                let query = row();
                let rows: [Vec<f32>; ROWS] = std::array::from_fn(|_| row());
                let bounds = set.run(LowerBounds(&query, rows.each_ref().map(|row| &row[..])));
                for (bound, row) in bounds.into_iter().zip(&rows) {
                    let exact = sq_distance(&query, row.iter().map(|&x| x.into()));
                    assert!(bound <= exact, "{set} {dim} {scale}: {bound} of {exact}");
                    if (1e-4..1e16).contains(&scale) {
                        assert!(bound > exact * 0.9998, "{set} {dim} {scale}: {bound}");
                    }
                }
                let halves = rows.each_ref().map(|row| -> Vec<f16> {
                    let near = row.iter().map(|&x| f16::from_f32(x.clamp(-6e4, 6e4)));
                    near.collect()
                });
                let bounds = set.run(LowerBounds(&query, halves.each_ref().map(|row| &row[..])));
                for (bound, row) in bounds.into_iter().zip(&halves) {
                    let exact = sq_distance(&query, row.iter().map(|&x| x.into()));
                    assert!(bound <= exact, "{set} {dim} {scale}: {bound} of {exact}");
                }
            }
        }
    }

    /// Rows within the radius stay, in order, and a row that is a little beyond it goes.
    fn far_rows_are_dropped(set: InstructionSet) {
        let (dim, count) = (300, 11);
        let query = vec![0.0; dim];
        // Row `r` lies at the distance `r + 1`.
        let all: Vec<f32> = (0..count * dim)
            .map(|i| {
                if i % dim == i / dim {
                    (i / dim + 1) as f32
                } else {
                    0.0
                }
            })
            .collect();
        for wanted in 0..count {
            let mut rows: Vec<usize> = (0..count).rev().collect();
            let sq_radius = ((wanted + 1) as f64).powi(2) * 0.999;
            let kept = set.run(KeepNear(&query, &all, &mut rows, sq_radius));
            let near: Vec<usize> = (0..wanted).rev().collect();
            assert_eq!(&rows[..kept], near, "{set}");
        }
        // A sum that overflows says nothing.
        let all = vec![3e38; dim];
        assert_eq!(set.run(KeepNear(&query, &all, &mut [0], 1e70)), 1, "{set}");
    }
}
