//! The exact minimum of `1/2 x'Kx - b'x` over `x >= 0` for one query, by a primal active-set method.
//!
//! This is Lawson and Hanson's non-negative least squares (Solving Least Squares Problems, chapter 23) on the
//! Gram matrix, started from any feasible point. The support is the set of indices with `x_j > 0`, and a
//! Cholesky factor of `K` restricted to it is updated as indices enter and leave.
//!
//! The objective falls at every step, so no support occurs twice and the method terminates. Pivoting methods
//! may cycle where `K` is singular, which happens with equal points and with more candidates than dimensions.
//! An index whose column is numerically a linear combination of the support's columns is called *dependent*
//! here. It is never factorised: it is exchanged for the member of the support that a move along the null
//! direction drives to zero.

use super::layout::{flat, flat_mut, lines};
use super::problem::{Problem, dot};
use crate::simd::{F64_LANES, F64x8, LineF64, Simd};

/// Working memory for one problem.
#[derive(Default)]
pub(super) struct ActiveSet {
    /// Members of the support, in the order of the factor's rows.
    support: Vec<u32>,
    /// Rows of the Cholesky factor `L` without its diagonal, `[n, width]`, 0 to the right of it.
    factor: Vec<LineF64>,
    /// Diagonal of `L`.
    diagonal: Vec<f64>,
    /// `L^-1 K_Sj` of the index `j` that is about to enter.
    column: Vec<LineF64>,
    /// Solution of the triangular systems.
    solution: Vec<LineF64>,
    /// Indices that entered without effect since the objective last fell.
    refused: Vec<bool>,
    /// `K x - b`.
    pub(super) gradient: Vec<f64>,
}

/// Bytes of an [`ActiveSet`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    let (k, width) = (k as u64, lines(k) as u64);
    size_of::<LineF64>() as u64 * (k * width + 2 * width) + k * 21
}

/// Runs `sweeps` sweeps of projected coordinate descent on `x`. They are cheap and find most of the support.
#[inline(always)]
pub(super) fn descend<I: Simd>(problem: &Problem<'_>, sweeps: usize, x: &mut [LineF64]) {
    for _ in 0..sweeps {
        for j in 0..problem.n {
            let slope = problem.slope::<I>(j, x);
            let x = &mut flat_mut(x)[j];
            *x = (*x - slope).max(0.0);
        }
    }
}

/// Result of an attempt to add an index to the support.
enum Entry {
    /// The index is in the factor.
    Taken,
    /// The index is dependent on the support; `column` holds `L^-1 K_Sj`.
    Dependent,
}

impl ActiveSet {
    /// Moves the feasible `x [width]`, 0 from `n` on, to the optimum.
    #[inline(always)]
    pub(super) fn solve<I: Simd>(&mut self, problem: &Problem<'_>, x: &mut [LineF64]) {
        let n = problem.n;
        let scale = problem.scale();
        self.reset(problem);
        for j in 0..n {
            let x = &mut flat_mut(x)[j];
            if *x <= 1e-12 * scale {
                *x = 0.0;
            } else if let Entry::Dependent = self.enter::<I>(problem, j) {
                *x = 0.0;
            }
        }
        let mut entered = None;
        // The limit is far above what exact arithmetic needs. If it were ever reached, the residual in the
        // results would show it.
        for _ in 0..10 * n + 100 {
            self.descend_on_support::<I>(problem, x);
            match entered {
                // The objective fell, so indices that were refused before may help now.
                Some(j) if flat(x)[j] > 0.0 => self.refused.fill(false),
                Some(j) => self.refused[j] = true,
                None => {}
            }
            let Some(j) = self.steepest::<I>(problem, x, scale) else {
                return;
            };
            if let Entry::Dependent = self.enter::<I>(problem, j) {
                self.exchange::<I>(problem, j, x);
            }
            entered = Some(j);
        }
    }

    fn reset(&mut self, problem: &Problem<'_>) {
        let (n, width) = (problem.n, problem.width);
        self.support.clear();
        self.diagonal.clear();
        self.factor.resize(n * width, LineF64::ZERO);
        for v in [&mut self.column, &mut self.solution] {
            v.clear();
            v.resize(width, LineF64::ZERO);
        }
        self.refused.clear();
        self.refused.resize(n, false);
        self.gradient.clear();
        self.gradient.resize(n, 0.0);
    }

    /// The index outside the support with the most negative slope; `None` at the optimum.
    #[inline(always)]
    fn steepest<I: Simd>(
        &mut self,
        problem: &Problem<'_>,
        x: &[LineF64],
        scale: f64,
    ) -> Option<usize> {
        // Slopes carry rounding errors of a few ulp of b and of K x.
        let mut least = -4e-15 * scale;
        let mut found = None;
        for j in 0..problem.n {
            let slope = problem.slope::<I>(j, x);
            self.gradient[j] = slope;
            if slope < least && flat(x)[j] == 0.0 && !self.refused[j] {
                least = slope;
                found = Some(j);
            }
        }
        found
    }

    /// Appends index `j` to the factor unless it is dependent on the support.
    #[inline(always)]
    fn enter<I: Simd>(&mut self, problem: &Problem<'_>, j: usize) -> Entry {
        let s = self.support.len();
        let row = flat(problem.row(j));
        self.column.fill(LineF64::ZERO);
        for a in 0..s {
            let done = lines(a);
            let l = &self.factor[a * problem.width..][..done];
            let sum = dot::<I>(l, &self.column[..done]);
            let value = (row[self.support[a] as usize] - sum) / self.diagonal[a];
            flat_mut(&mut self.column)[a] = value;
        }
        let pivot = row[j] - dot::<I>(&self.column, &self.column);
        if pivot <= pivot_tolerance(s) {
            return Entry::Dependent;
        }
        self.factor[s * problem.width..][..problem.width].copy_from_slice(&self.column);
        self.diagonal.push(pivot.sqrt());
        self.support.push(j as u32);
        Entry::Taken
    }

    /// Solves `L' z = solution` in place.
    #[inline(always)]
    fn back_substitute<I: Simd>(&mut self, width: usize) {
        for a in (0..self.support.len()).rev() {
            let value = flat(&self.solution)[a] / self.diagonal[a];
            flat_mut(&mut self.solution)[a] = value;
            let v = I::F64x8::splat(value);
            let l = &self.factor[a * width..][..lines(a)];
            for (l, z) in l.iter().zip(&mut self.solution) {
                v.neg_mul_add(I::F64x8::load(l), I::F64x8::load(z)).store(z);
            }
        }
    }

    /// Moves `x` to the minimum over the support. Members that would become negative on the way leave it.
    #[inline(always)]
    fn descend_on_support<I: Simd>(&mut self, problem: &Problem<'_>, x: &mut [LineF64]) {
        while !self.support.is_empty() {
            self.solution.fill(LineF64::ZERO);
            for a in 0..self.support.len() {
                let done = lines(a);
                let l = &self.factor[a * problem.width..][..done];
                let sum = dot::<I>(l, &self.solution[..done]);
                let value = (problem.b[self.support[a] as usize] - sum) / self.diagonal[a];
                flat_mut(&mut self.solution)[a] = value;
            }
            self.back_substitute::<I>(problem.width);
            let (x, z) = (flat_mut(x), flat(&self.solution));
            let mut step = 1.0f64;
            let mut first = None;
            for (a, &j) in self.support.iter().enumerate() {
                let (now, goal) = (x[j as usize], z[a]);
                if goal <= 0.0 {
                    let limit = now / (now - goal).max(f64::MIN_POSITIVE);
                    if first.is_none() || limit < step {
                        (step, first) = (limit, Some(a));
                    }
                }
            }
            for (&j, &goal) in self.support.iter().zip(z) {
                let x = &mut x[j as usize];
                *x = (*x + step * (goal - *x)).max(0.0);
            }
            let Some(first) = first else {
                // A full step lands on the solution; copying it avoids the rounding errors of the step.
                for (&j, &goal) in self.support.iter().zip(z) {
                    x[j as usize] = goal;
                }
                return;
            };
            x[self.support[first] as usize] = 0.0;
            self.drop_zeros::<I>(problem, x);
        }
    }

    /// Removes the members of the support with `x_j = 0` and factorises again from the first of them on.
    #[inline(always)]
    fn drop_zeros<I: Simd>(&mut self, problem: &Problem<'_>, x: &mut [f64]) {
        let keep = |j: u32, x: &[f64]| x[j as usize] > 0.0;
        let Some(from) = self.support.iter().position(|&j| !keep(j, x)) else {
            return;
        };
        let tail = self.support.split_off(from);
        self.diagonal.truncate(from);
        for j in tail {
            if keep(j, x)
                && let Entry::Dependent = self.enter::<I>(problem, j as usize)
            {
                x[j as usize] = 0.0;
            }
        }
    }

    /// Exchanges the dependent index `j`, whose `column` is as [`Self::enter`] left it, for a member of the
    /// support, unless that would gain nothing.
    #[inline(always)]
    fn exchange<I: Simd>(&mut self, problem: &Problem<'_>, j: usize, x: &mut [LineF64]) {
        // Along the direction (-K_SS^-1 K_Sj, 1) the objective has almost no curvature, so the step goes on
        // until a member of the support reaches 0.
        self.solution.copy_from_slice(&self.column);
        self.back_substitute::<I>(problem.width);
        let (x, z) = (flat_mut(x), flat(&self.solution));
        let mut step = f64::INFINITY;
        let mut leaving = 0;
        for (a, &l) in self.support.iter().enumerate() {
            if z[a] > 0.0 && x[l as usize] < step * z[a] {
                (step, leaving) = (x[l as usize] / z[a], a);
            }
        }
        // Kernel values are non-negative, so some z is positive and the step is finite. But the curvature that
        // rounding hides may outweigh the gain.
        if step * pivot_tolerance(self.support.len()) > -self.gradient[j] {
            return;
        }
        for (a, &l) in self.support.iter().enumerate() {
            let x = &mut x[l as usize];
            *x = (*x - step * z[a]).max(0.0);
        }
        x[self.support[leaving] as usize] = 0.0;
        self.drop_zeros::<I>(problem, x);
        if let Entry::Taken = self.enter::<I>(problem, j) {
            x[j] = step;
        }
    }
}

/// The pivot below which a column is dependent: after `s` columns of a matrix with unit diagonal, rounding
/// errors make smaller pivots indistinguishable from 0.
#[inline(always)]
pub(super) fn pivot_tolerance(s: usize) -> f64 {
    8.0 * f64::EPSILON * (s + F64_LANES) as f64
}
