//! Queries some of whose vectors are almost equal as the kernel sees them. Both backends solve them here, on the host.
//!
//! The kernel of such a pair is 1 less a tiny number `E`, and float64 keeps `1 - E` only to an absolute 1e-16. What
//! decides between the candidates is `E`: with `E` near 1e-12, as under the cosine kernel where all maps have a large
//! common offset, four digits of it are left, and one support in ten is wrong. Here `E` itself is computed, to the
//! relative precision of float64, and the system with `K = 1 - E` is solved in double-double arithmetic ([`double`]), by
//! Lawson and Hanson's active-set algorithm (Solving Least Squares Problems, chapter 23). Weights that candidates could
//! exchange without any effect, because they are equal in the kernel's eyes, are given to one of them by [`twins`].
//!
//! What counts as near, and what as equal, is defined here for both backends and their shaders: [`RANGE`], [`EQUAL`],
//! [`PARALLEL`].

mod double;
mod twins;

pub(crate) use twins::settle;

use super::{Kernel, Source};
use crate::tensor::Values;
use double::Double;

/// Cosine distances `2 - 2 cos` below this are taken as 0: rounding to `f32` alone can move parallel vectors so far
/// apart.
pub(crate) const PARALLEL: f64 = 1e-14;

/// The range of `E` for which a query is solved here. Above it float64 leaves eight digits of `E`; below it, vectors
/// count as equal, because rounding to float32 alone can move them as far apart.
pub(crate) const RANGE: std::ops::Range<f64> = 0.25 * PARALLEL..2.5e-8;

/// The kernel value above which two vectors count as equal.
pub(crate) const EQUAL: f64 = 1.0 - RANGE.start;

/// Relative error of a slope that rounding of `E` may cause.
const NOISE: f64 = 4e-15;
/// Smallest pivot of the Cholesky decomposition.
const PIVOT: f64 = 1e-28;
/// Numbers of each vector that are scaled at a time, so that those of all candidates stay in the cache.
const PIECE: usize = 64;

/// One problem and its solution.
#[derive(Default)]
pub(crate) struct Near {
    n: usize,
    /// `E [n, n]` between candidates.
    between: Vec<f64>,
    /// `E [n]` between candidates and the query.
    query: Vec<f64>,
    /// 1 / norm of every vector, the query last; 0 for a zero vector. Cosine only.
    inverse_norms: Vec<Double>,
    /// Some numbers of every vector, the query last, scaled to length 1: `[n + 1, PIECE]`. Cosine only.
    scaled: Vec<Double>,
    /// Members of the support, in the order of the factor's rows.
    support: Vec<usize>,
    /// Rows of the Cholesky factor of `K` on the support.
    factor: Vec<Vec<Double>>,
    /// Weights of all candidates.
    theta: Vec<Double>,
    /// Candidates that entered without effect since the objective last fell.
    refused: Vec<bool>,
}

/// The value of a problem at its optimum, and the largest violation of the optimality (KKT) conditions.
pub(crate) struct Optimum {
    pub(crate) objective: f64,
    pub(crate) residual: f64,
}

/// Bytes of a [`Near`] for `k` candidates.
pub(crate) fn bytes(k: usize) -> u64 {
    let k = k as u64;
    8 * k * (k + 1) + 16 * k * k + 96 * k + 16 * (k + 1) * PIECE as u64
}

impl Near {
    /// Builds the problem of a query and solves it.
    pub(crate) fn solve(&mut self, source: &Source<'_>, kernel: Kernel) -> Optimum {
        self.build(source, kernel);
        self.support.clear();
        self.factor.clear();
        self.theta.clear();
        self.theta.resize(self.n, Double::ZERO);
        self.refused.clear();
        self.refused.resize(self.n, false);
        // The limit is far above what exact arithmetic needs. If it were ever reached, the residual would show it.
        for _ in 0..10 * self.n + 100 {
            let Some(j) = self.steepest() else {
                break;
            };
            if self.enter(j) {
                self.descend();
            }
            match self.theta[j].hi > 0.0 {
                true => self.refused.fill(false),
                false => self.refused[j] = true,
            }
        }
        self.optimum()
    }

    /// The weights of all candidates.
    pub(crate) fn weights(&self) -> impl Iterator<Item = f64> {
        self.theta.iter().map(|theta| theta.hi)
    }

    /// Whether the kernel cannot tell two different candidates apart.
    pub(crate) fn equal(&self, i: usize, j: usize) -> bool {
        self.between[i * self.n + j] < RANGE.start
    }

    /// Computes `E` of all pairs.
    fn build(&mut self, source: &Source<'_>, kernel: Kernel) {
        self.n = source.vectors.len();
        let n = self.n;
        self.between.clear();
        self.between.resize(n * n, 0.0);
        self.query.clear();
        self.query.resize(n, 0.0);
        match kernel {
            Kernel::Gaussian => self.gaussian(source),
            Kernel::Cosine => self.cosine(source),
        }
        for i in 0..n {
            for j in 0..i {
                self.between[j * n + i] = self.between[i * n + j];
            }
        }
    }

    /// `E` of vector `i` and candidate `j < i`; the query is vector `n`.
    fn deficit(&mut self, i: usize, j: usize) -> &mut f64 {
        match i < self.n {
            true => &mut self.between[i * self.n + j],
            false => &mut self.query[j],
        }
    }

    fn gaussian(&mut self, source: &Source<'_>) {
        for (i, x) in vectors(source).enumerate() {
            let x = x.wide();
            for (j, y) in source.vectors[..i].iter().enumerate() {
                let y = y.wide();
                let terms = x.iter().zip(&*y);
                let squares = terms.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
                let sum: f64 = squares.sum();
                *self.deficit(i, j) = -(-source.gamma * sum).exp_m1();
            }
        }
    }

    /// A quarter of the squared distances of the vectors scaled to length 1, to more digits than their differences lose.
    fn cosine(&mut self, source: &Source<'_>) {
        self.inverse_norms.clear();
        self.inverse_norms.extend(vectors(source).map(inverse_norm));
        let dim = source.query.len();
        for first in (0..dim).step_by(PIECE) {
            let piece = first..dim.min(first + PIECE);
            let mut scaled = std::mem::take(&mut self.scaled);
            scaled.clear();
            for (vector, &factor) in vectors(source).zip(&self.inverse_norms) {
                let part = vector.slice(piece.clone()).wide();
                let part = part.iter();
                scaled.extend(part.map(|&x| factor * Double::from(f64::from(x))));
            }
            let row = |i: usize| &scaled[i * piece.len()..][..piece.len()];
            for i in 0..=self.n {
                for j in 0..i.min(self.n) {
                    let terms = row(i).iter().zip(row(j));
                    let squares = terms.map(|(a, b)| ((a.hi - b.hi) + (a.lo - b.lo)).powi(2));
                    let sum = self.deficit(i, j);
                    *sum = squares.fold(*sum, |sum, square| sum + square);
                }
            }
            self.scaled = scaled;
        }
        for sum in self.between.iter_mut().chain(&mut self.query) {
            *sum = if *sum < PARALLEL { 0.0 } else { 0.25 * *sum };
        }
    }

    /// `K` of two candidates.
    fn kernel(&self, i: usize, j: usize) -> Double {
        Double::ONE - Double::from(self.between[i * self.n + j])
    }

    /// The slope of the objective in the weight of `j`, and the magnitude of its terms:
    /// `sum theta - 1 - sum_l E_jl theta_l + e_j`.
    fn slope(&self, j: usize) -> (Double, f64) {
        let (mut sum, mut off) = (-Double::ONE, Double::ZERO);
        for &l in &self.support {
            sum = sum + self.theta[l];
            off = off + Double::from(self.between[j * self.n + l]) * self.theta[l];
        }
        let own = Double::from(self.query[j]);
        (sum - off + own, sum.hi.abs() + off.hi + own.hi)
    }

    /// The candidate outside the support with the most negative slope; `None` at the optimum.
    fn steepest(&self) -> Option<usize> {
        let mut least = 0.0;
        let mut found = None;
        for j in 0..self.n {
            if self.refused[j] || self.support.contains(&j) {
                continue;
            }
            let (slope, size) = self.slope(j);
            if slope.hi < -NOISE * size && slope.hi < least {
                least = slope.hi;
                found = Some(j);
            }
        }
        found
    }

    /// Adds `j` to the support, unless its column depends on the others.
    fn enter(&mut self, j: usize) -> bool {
        let mut row: Vec<Double> = Vec::with_capacity(self.support.len() + 1);
        let mut pivot = Double::ONE;
        for (a, &l) in self.support.iter().enumerate() {
            let products = row.iter().zip(&self.factor[a]);
            let rest = products.fold(self.kernel(j, l), |rest, (&x, &y)| rest - x * y);
            let value = rest.over(self.factor[a][a]);
            pivot = pivot - value * value;
            row.push(value);
        }
        if pivot.hi <= PIVOT {
            return false;
        }
        row.push(pivot.sqrt());
        self.support.push(j);
        self.factor.push(row);
        true
    }

    /// Moves to the minimum over the support; members that reach 0 on the way leave it.
    fn descend(&mut self) {
        loop {
            let goal = self.minimum();
            let mut step: Option<(Double, usize)> = None;
            for (a, (&j, &goal)) in self.support.iter().zip(&goal).enumerate() {
                if goal.hi <= 0.0 {
                    let now = self.theta[j];
                    let part = match now.hi > 0.0 {
                        true => now.over(now - goal),
                        false => Double::ZERO,
                    };
                    if step.is_none_or(|(least, _)| part < least) {
                        step = Some((part, a));
                    }
                }
            }
            let Some((step, out)) = step else {
                for (&j, &goal) in self.support.iter().zip(&goal) {
                    self.theta[j] = goal;
                }
                return;
            };
            for (&j, &goal) in self.support.iter().zip(&goal) {
                let moved = self.theta[j] + step * (goal - self.theta[j]);
                self.theta[j] = if moved.hi > 0.0 { moved } else { Double::ZERO };
            }
            self.leave(out);
        }
    }

    /// Removes a member and every other whose column then depends on those before it.
    fn leave(&mut self, at: usize) {
        let rest = self.support.split_off(at);
        self.factor.truncate(at);
        self.theta[rest[0]] = Double::ZERO;
        for &j in &rest[1..] {
            if !self.enter(j) {
                self.theta[j] = Double::ZERO;
            }
        }
    }

    /// The minimum over the support, without regard to signs.
    fn minimum(&self) -> Vec<Double> {
        let mut x: Vec<Double> = Vec::with_capacity(self.support.len());
        for (a, &j) in self.support.iter().enumerate() {
            let right = Double::ONE - Double::from(self.query[j]);
            let products = x.iter().zip(&self.factor[a]);
            let rest = products.fold(right, |rest, (&x, &l)| rest - x * l);
            x.push(rest.over(self.factor[a][a]));
        }
        for a in (0..x.len()).rev() {
            let rest = (a + 1..x.len()).fold(x[a], |rest, b| rest - x[b] * self.factor[b][a]);
            x[a] = rest.over(self.factor[a][a]);
        }
        x
    }

    fn optimum(&self) -> Optimum {
        let (mut objective, mut residual) = (Double::ZERO, 0.0f64);
        for j in 0..self.n {
            let (slope, theta) = (self.slope(j).0, self.theta[j]);
            let right = Double::ONE - Double::from(self.query[j]);
            // 2 J = sum_j theta_j (slope_j - b_j).
            objective = objective + theta * (slope - right);
            let excess = if theta.hi > 0.0 {
                slope.hi.abs()
            } else {
                -slope.hi
            };
            residual = residual.max(excess);
        }
        Optimum {
            objective: 0.5 * objective.hi,
            residual,
        }
    }
}

/// The candidates' vectors, and the query's at the end.
fn vectors<'a>(source: &Source<'a>) -> impl Iterator<Item = Values<'a>> {
    source.vectors.iter().copied().chain([source.query])
}

/// 1 / norm of a vector, 0 if it is zero. Squares of `f32` values are exact in float64.
fn inverse_norm(vector: Values<'_>) -> Double {
    let vector = vector.wide();
    let squares = vector.iter().map(|&v| f64::from(v) * f64::from(v));
    let square = squares.fold(Double::ZERO, |sum, square| sum + Double::from(square));
    match square.hi > 0.0 {
        true => Double::ONE.over(square.sqrt()),
        false => Double::ZERO,
    }
}
