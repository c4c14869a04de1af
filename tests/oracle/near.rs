//! Non-negative kernel regression where vectors are so close that float64 does not hold `K` well enough: in terms of
//! `E = 1 - K`, computed from the vectors' differences.

use super::nnk::{Kernel, sq_distance};

/// Vectors whose `E` is smaller count as equal.
pub const EQUAL: f64 = 2.5e-15;

/// `1 - K` of two vectors. Under cosine it is a quarter of their squared distance at length 1, from the vectors'
/// differences: with `v = y / |y|` and `u = x / |x|`, `|u - v| = |x - y |x| / |y|| / |x|`, where the ratio of lengths comes
/// from the difference of the squares.
pub fn deficit(kernel: Kernel, x: &[f32], y: &[f32]) -> f64 {
    match kernel {
        Kernel::Gaussian(s) => -(-sq_distance(x, y) / (2.0 * s * s)).exp_m1(),
        Kernel::Cosine => {
            let e = cosine_deficit(x, y);
            if e < EQUAL { 0.0 } else { e }
        }
    }
}

fn cosine_deficit(x: &[f32], y: &[f32]) -> f64 {
    let square = |v: &[f32]| v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    let pairs = || x.iter().zip(y).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    // |x| / |y| - 1, accurate where both are nearly equal.
    let grown: f64 = pairs().map(|(a, b)| (a - b) * (a + b)).sum();
    let ratio = grown / square(y);
    let stretch = ratio / ((1.0 + ratio).sqrt() + 1.0);
    let sum: f64 = pairs().map(|(a, b)| (a - b - b * stretch).powi(2)).sum();
    sum / square(x) / 4.0
}

/// Solves `a x = b` by Gaussian elimination with pivoting.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for c in 0..n {
        let best = (c..n).max_by(|&i, &j| a[i][c].abs().total_cmp(&a[j][c].abs()));
        let best = best.unwrap();
        a.swap(c, best);
        b.swap(c, best);
        for r in c + 1..n {
            let factor = a[r][c] / a[c][c];
            let (top, row) = a.split_at_mut(r);
            for (x, t) in row[0].iter_mut().zip(&top[c]).skip(c) {
                *x -= factor * t;
            }
            b[r] -= factor * b[c];
        }
    }
    for c in (0..n).rev() {
        let sum: f64 = (c + 1..n).map(|j| a[c][j] * b[j]).sum();
        b[c] = (b[c] - sum) / a[c][c];
    }
    b
}

/// What belongs to a support.
pub struct Solution {
    /// The weights of its members.
    pub theta: Vec<f64>,
    /// `1/2 theta' K theta - b' theta`.
    pub objective: f64,
    /// The smallest slope of any candidate outside, relative to the largest `E` of a member and the query.
    pub least_slope: f64,
}

impl Solution {
    /// Whether the support is that of the optimum.
    pub fn is_optimal(&self, tolerance: f64) -> bool {
        self.theta.iter().all(|&t| t > 0.0) && self.least_slope >= -tolerance
    }
}

/// The minimum over a support. With `K = 1 - E` the conditions `K theta = k` on the support read
/// `E theta - lambda = e` with `lambda = sum theta - 1`, in which nothing cancels.
pub fn on_support(
    kernel: Kernel,
    vectors: &[&[f32]],
    query: &[f32],
    support: &[usize],
) -> Solution {
    let m = support.len();
    let e = |j: usize| deficit(kernel, vectors[j], query);
    let between = |i: usize, j: usize| {
        if i == j {
            0.0
        } else {
            deficit(kernel, vectors[i], vectors[j])
        }
    };
    // The unknowns are theta and lambda / unit; the last equation is sum theta - lambda = 1.
    let most = support.iter().map(|&j| e(j)).fold(0.0, f64::max);
    let unit = if most > 0.0 { most } else { 1.0 };
    let mut rows: Vec<Vec<f64>> = (support.iter())
        .map(|&i| {
            let mut row: Vec<f64> = support.iter().map(|&j| between(i, j) / unit).collect();
            row.push(-1.0);
            row
        })
        .collect();
    rows.push([vec![1.0; m], vec![-unit]].concat());
    let mut right: Vec<f64> = support.iter().map(|&i| e(i) / unit).collect();
    right.push(1.0);
    let solution = solve(rows, right);
    let (theta, lambda) = (&solution[..m], solution[m]);
    let slope = |j: usize| {
        let sum: f64 = (support.iter().zip(theta))
            .map(|(&l, theta)| between(j, l) / unit * theta)
            .sum();
        lambda - sum + e(j) / unit
    };
    let outside = (0..vectors.len()).filter(|j| !support.contains(j));
    // At the minimum 2 J = -b' theta, with b = 1 - e.
    let value = support.iter().zip(theta).map(|(&j, t)| t * (1.0 - e(j)));
    Solution {
        objective: -0.5 * value.sum::<f64>(),
        least_slope: outside.map(slope).fold(f64::INFINITY, f64::min),
        theta: theta.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::nnk::{lawson_hanson, problem};

    /// Where vectors are well apart, this is the plain oracle's optimum, and no other support is.
    #[test]
    fn it_agrees_with_the_plain_oracle() {
        let mut state = 7u64;
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        for kernel in [Kernel::Gaussian(0.8), Kernel::Cosine] {
            for _ in 0..20 {
                let rows: Vec<Vec<f32>> =
                    (0..9).map(|_| (0..4).map(|_| next()).collect()).collect();
                let vectors: Vec<&[f32]> = rows[1..].iter().map(Vec::as_slice).collect();
                let (k, b) = problem(kernel, &rows[0], &vectors);
                let best = lawson_hanson(&k, &b);
                let support: Vec<usize> = (0..8).filter(|&j| best.theta[j] > 1e-6).collect();
                let found = on_support(kernel, &vectors, &rows[0], &support);
                assert!(found.is_optimal(1e-9));
                assert!((found.objective - best.objective).abs() < 1e-12);
                for (&j, theta) in support.iter().zip(&found.theta) {
                    assert!((theta - best.theta[j]).abs() < 1e-9);
                }
                let less = on_support(kernel, &vectors, &rows[0], &support[1..]);
                assert!(!less.is_optimal(1e-9));
            }
        }
    }
}
