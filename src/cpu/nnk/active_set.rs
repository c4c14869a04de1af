//! The exact optimum of `1/2 x'Kx - b'x, x >= 0` for one query: a primal active-set method.
//!
//! Lawson and Hanson's algorithm on the Gram matrix, started from any feasible point. The objective
//! falls at every step, so no support comes twice and it always ends, which pivoting methods do not
//! where `K` is singular (equal points; more candidates than dimensions). An index whose column is
//! numerically a combination of the support's is never factorised: it is exchanged for the member
//! of the support that the move along the null direction drives to zero.

use super::gram::{flat, flat_mut, packs};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};

/// Room for the factor and vectors of one problem.
#[derive(Default)]
pub(super) struct ActiveSet {
    /// Members of the support, in the order of the factor's rows.
    support: Vec<u32>,
    /// Rows of the Cholesky factor without its diagonal, `[n, width]`, 0 right of it.
    factor: Vec<Pack>,
    /// Diagonal of the factor.
    diagonal: Vec<f64>,
    /// `L^-1 K_Sj` of the index about to enter.
    column: Vec<Pack>,
    /// Solution of the triangular systems.
    solution: Vec<Pack>,
    /// Indices refused since the objective last fell.
    refused: Vec<bool>,
    /// `K x - b`.
    pub(super) gradient: Vec<f64>,
}

/// Bytes of an [`ActiveSet`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    let (k, width) = (k as u64, packs(k) as u64);
    size_of::<Pack>() as u64 * (k * width + 2 * width) + k * 21
}

/// A problem: `kernel [n, width]` with ones on the diagonal, `b [n]`.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) n: usize,
    pub(super) width: usize,
    pub(super) kernel: &'a [Pack],
    pub(super) b: &'a [f64],
}

impl<'a> Problem<'a> {
    #[inline(always)]
    fn row(&self, j: usize) -> &'a [Pack] {
        &self.kernel[j * self.width..][..self.width]
    }

    /// `(K x - b)_j`.
    #[inline(always)]
    pub(super) fn slope<I: Isa>(&self, j: usize, x: &[Pack]) -> f64 {
        super::gram::dot::<I>(self.row(j), x) - self.b[j]
    }

    /// Largest entry of `b`, the scale of the solution and of its rounding errors.
    pub(super) fn scale(&self) -> f64 {
        self.b[..self.n].iter().fold(0.0, |m, &b| m.max(b))
    }
}

/// Sweeps of projected coordinate descent: cheap, and it finds most of the support.
#[inline(always)]
pub(super) fn descend<I: Isa>(problem: &Problem<'_>, sweeps: usize, x: &mut [Pack]) {
    for _ in 0..sweeps {
        for j in 0..problem.n {
            let slope = problem.slope::<I>(j, x);
            let x = &mut flat_mut(x)[j];
            *x = (*x - slope).max(0.0);
        }
    }
}

/// What happened to an index that should enter the support.
enum Entry {
    /// It is in the factor.
    Taken,
    /// It depends on the support; `column` holds `L^-1 K_Sj`.
    Dependent,
}

impl ActiveSet {
    /// Improves the feasible `x [width]` (0 from `n` on) to the optimum.
    #[inline(always)]
    pub(super) fn solve<I: Isa>(&mut self, problem: &Problem<'_>, x: &mut [Pack]) {
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
        // Far above what exact arithmetic needs; the residual tells if it was ever not enough.
        for _ in 0..10 * n + 100 {
            self.descend_on_support::<I>(problem, x);
            match entered {
                // The objective fell: what was refused before may be of use now.
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
        self.factor.resize(n * width, Pack::ZERO);
        for v in [&mut self.column, &mut self.solution] {
            v.clear();
            v.resize(width, Pack::ZERO);
        }
        self.refused.clear();
        self.refused.resize(n, false);
        self.gradient.clear();
        self.gradient.resize(n, 0.0);
    }

    /// The index outside the support with the most negative slope, `None` at the optimum.
    #[inline(always)]
    fn steepest<I: Isa>(&mut self, problem: &Problem<'_>, x: &[Pack], scale: f64) -> Option<usize> {
        // Rounding errors of a slope are a few ulp of b and of K x.
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

    /// Appends index `j` to the factor unless it depends on the support.
    #[inline(always)]
    fn enter<I: Isa>(&mut self, problem: &Problem<'_>, j: usize) -> Entry {
        let s = self.support.len();
        let row = flat(problem.row(j));
        self.column.fill(Pack::ZERO);
        for a in 0..s {
            let done = packs(a);
            let l = &self.factor[a * problem.width..][..done];
            let sum = super::gram::dot::<I>(l, &self.column[..done]);
            let value = (row[self.support[a] as usize] - sum) / self.diagonal[a];
            flat_mut(&mut self.column)[a] = value;
        }
        let pivot = row[j] - super::gram::dot::<I>(&self.column, &self.column);
        if pivot <= dependence(s) {
            return Entry::Dependent;
        }
        self.factor[s * problem.width..][..problem.width].copy_from_slice(&self.column);
        self.diagonal.push(pivot.sqrt());
        self.support.push(j as u32);
        Entry::Taken
    }

    /// Solves `L' z = solution` in place.
    #[inline(always)]
    fn back_substitute<I: Isa>(&mut self, width: usize) {
        for a in (0..self.support.len()).rev() {
            let value = flat(&self.solution)[a] / self.diagonal[a];
            flat_mut(&mut self.solution)[a] = value;
            let v = I::F64::splat(value);
            let l = &self.factor[a * width..][..packs(a)];
            for (l, z) in l.iter().zip(&mut self.solution) {
                v.neg_mul_add(I::F64::load(l), I::F64::load(z)).store(z);
            }
        }
    }

    /// Moves `x` to the minimum over the support, dropping what would become negative on the way.
    #[inline(always)]
    fn descend_on_support<I: Isa>(&mut self, problem: &Problem<'_>, x: &mut [Pack]) {
        while !self.support.is_empty() {
            self.solution.fill(Pack::ZERO);
            for a in 0..self.support.len() {
                let done = packs(a);
                let l = &self.factor[a * problem.width..][..done];
                let sum = super::gram::dot::<I>(l, &self.solution[..done]);
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
                // The last step of the loop lands exactly on the solution.
                for (&j, &goal) in self.support.iter().zip(z) {
                    x[j as usize] = goal;
                }
                return;
            };
            x[self.support[first] as usize] = 0.0;
            self.drop_zeros::<I>(problem, x);
        }
    }

    /// Removes the members of the support at 0 and factorises again from the first of them on.
    #[inline(always)]
    fn drop_zeros<I: Isa>(&mut self, problem: &Problem<'_>, x: &mut [f64]) {
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

    /// Exchanges the dependent index `j` (its `column` as left by [`Self::enter`]) for a member of
    /// the support, unless that would gain nothing.
    #[inline(always)]
    fn exchange<I: Isa>(&mut self, problem: &Problem<'_>, j: usize, x: &mut [Pack]) {
        // Along (-K_SS^-1 K_Sj, 1) the curvature is next to none: go on until a member is 0.
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
        // Kernel values are not negative, so some z is positive and the step finite; but the gain
        // may be lost in the curvature that rounding hides.
        if step * dependence(self.support.len()) > -self.gradient[j] {
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

/// A pivot of a matrix with unit diagonal is indistinguishable from 0 below this after `s` steps.
#[inline(always)]
pub(super) fn dependence(s: usize) -> f64 {
    8.0 * f64::EPSILON * (s + LANES) as f64
}
