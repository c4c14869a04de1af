//! Queries some of whose vectors are almost equal as the kernel sees them.
//!
//! The kernel of such a pair is 1 less a tiny number `E`, and float64 keeps `1 - E` only to an absolute 1e-16. What
//! decides between the candidates is `E`: with `E` near 1e-12, as under the cosine kernel where all maps have a large
//! common offset, four digits of it are left, and one support in ten is wrong. Here `E` itself is computed, to the
//! relative precision of float64, and the system with `K = 1 - E` is solved in double-double arithmetic, by Lawson and
//! Hanson's active-set algorithm (Solving Least Squares Problems, chapter 23).

use super::double::Double;
use super::source::Source;
use crate::cpu::knn::PARALLEL;
use crate::ops::Kernel;

/// The range of `E` for which a query is solved here. Above it float64 leaves eight digits of `E`; below it, vectors
/// count as equal, because rounding to float32 alone can move them as far apart.
pub(super) const RANGE: std::ops::Range<f64> = 0.25 * PARALLEL..2.5e-8;

/// The kernel value above which two vectors count as equal.
pub(super) const EQUAL: f64 = 1.0 - RANGE.start;

/// Relative error of a slope that rounding of `E` may cause.
const NOISE: f64 = 4e-15;
/// Smallest pivot of the Cholesky decomposition.
const PIVOT: f64 = 1e-28;

/// One problem and its solution.
#[derive(Default)]
pub(super) struct Near {
    n: usize,
    /// `E [n, n]` between candidates.
    pub(super) between: Vec<f64>,
    /// `E [n]` between candidates and the query.
    query: Vec<f64>,
    /// 1 / norm of every vector, the query last; 0 for a zero vector. Cosine only.
    inverse_norms: Vec<Double>,
    /// Members of the support, in the order of the factor's rows.
    support: Vec<usize>,
    /// Rows of the Cholesky factor of `K` on the support.
    factor: Vec<Vec<Double>>,
    /// Weights of all candidates.
    pub(super) theta: Vec<Double>,
    /// Candidates that entered without effect since the objective last fell.
    refused: Vec<bool>,
}

/// The value of the problem at its optimum, and the largest violation of the optimality (KKT) conditions.
pub(super) struct Optimum {
    pub(super) objective: f64,
    pub(super) residual: f64,
}

/// Bytes of a [`Near`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    let k = k as u64;
    8 * k * (k + 1) + 16 * k * k + 96 * k
}

impl Near {
    /// Builds the problem of a query and solves it.
    pub(super) fn solve(&mut self, source: &Source<'_>, kernel: Kernel) -> Optimum {
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

    fn build(&mut self, source: &Source<'_>, kernel: Kernel) {
        let n = source.vectors.len();
        self.n = n;
        self.between.clear();
        self.between.resize(n * n, 0.0);
        self.query.clear();
        self.query.resize(n, 0.0);
        if kernel == Kernel::Cosine {
            self.inverse_norms.clear();
            let vectors = source.vectors.iter().copied().chain([source.query]);
            self.inverse_norms.extend(vectors.map(inverse_norm));
        }
        let vector = |i: usize| source.vectors.get(i).copied().unwrap_or(source.query);
        let deficit = |i: usize, j: usize| match kernel {
            Kernel::Gaussian => {
                let terms = vector(i).iter().zip(vector(j));
                let sum: f64 = terms
                    .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
                    .sum();
                -(-source.gamma * sum).exp_m1()
            }
            Kernel::Cosine => {
                // Vectors scaled to length 1, to more digits than their difference loses.
                let (f, g) = (self.inverse_norms[i], self.inverse_norms[j]);
                let terms = vector(i).iter().zip(vector(j));
                let sum: f64 = terms
                    .map(|(&x, &y)| {
                        let (a, b) = (
                            f * Double::from(f64::from(x)),
                            g * Double::from(f64::from(y)),
                        );
                        ((a.hi - b.hi) + (a.lo - b.lo)).powi(2)
                    })
                    .sum();
                if sum < PARALLEL { 0.0 } else { 0.25 * sum }
            }
        };
        for i in 0..n {
            for j in 0..i {
                let value = deficit(i, j);
                (self.between[i * n + j], self.between[j * n + i]) = (value, value);
            }
            self.query[i] = deficit(i, n);
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

/// 1 / norm of a vector, 0 if it is zero. Squares of `f32` values are exact in float64.
fn inverse_norm(vector: &[f32]) -> Double {
    let squares = vector.iter().map(|&v| f64::from(v) * f64::from(v));
    let square = squares.fold(Double::ZERO, |sum, square| sum + Double::from(square));
    match square.hi > 0.0 {
        true => Double::ONE.over(square.sqrt()),
        false => Double::ZERO,
    }
}
