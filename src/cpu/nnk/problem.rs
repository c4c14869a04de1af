//! One query's problem, as [`super::gram`] builds it and [`super::active_set`] solves it.

use crate::simd::{F64x8, LineF64, Simd};

/// A problem: `kernel [n, width]`, symmetric with ones on the diagonal, and `b [n]`.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) n: usize,
    pub(super) width: usize,
    pub(super) kernel: &'a [LineF64],
    pub(super) b: &'a [f64],
}

impl<'a> Problem<'a> {
    #[inline(always)]
    pub(super) fn row(&self, j: usize) -> &'a [LineF64] {
        &self.kernel[j * self.width..][..self.width]
    }

    /// The slope of the objective in `x_j`: `(K x - b)_j`.
    #[inline(always)]
    pub(super) fn slope<I: Simd>(&self, j: usize, x: &[LineF64]) -> f64 {
        dot::<I>(self.row(j), x) - self.b[j]
    }

    /// The largest entry of `b`: the scale of the solution and of its rounding errors.
    pub(super) fn scale(&self) -> f64 {
        self.b[..self.n].iter().fold(0.0, |m, &b| m.max(b))
    }
}

/// The inner product of two rows.
#[inline(always)]
pub(super) fn dot<I: Simd>(a: &[LineF64], b: &[LineF64]) -> f64 {
    let mut acc = I::F64x8::splat(0.0);
    for (a, b) in a.iter().zip(b) {
        acc = I::F64x8::load(a).mul_add(I::F64x8::load(b), acc);
    }
    acc.sum()
}
