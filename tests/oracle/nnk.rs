//! Non-negative kernel regression from its definition, slow and certain.

/// Which kernel, with its bandwidth.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// `exp(-|x - y|^2 / (2 s^2))`.
    Gaussian(f64),
    /// `1/2 + 1/2 cos(x, y)`.
    Cosine,
}

/// Squared Euclidean distance.
pub fn sq_distance(x: &[f32], y: &[f32]) -> f64 {
    let mut sum = 0.0;
    for (&a, &b) in x.iter().zip(y) {
        sum += (f64::from(a) - f64::from(b)).powi(2);
    }
    sum
}

/// Cosine of the angle between two vectors.
pub fn cosine(x: &[f32], y: &[f32]) -> f64 {
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (&a, &b) in x.iter().zip(y) {
        let (a, b) = (f64::from(a), f64::from(b));
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    xy / (xx.sqrt() * yy.sqrt())
}

/// Similarity of two vectors.
pub fn kernel(kind: Kernel, x: &[f32], y: &[f32]) -> f64 {
    match kind {
        Kernel::Gaussian(s) => (-sq_distance(x, y) / (2.0 * s * s)).exp(),
        Kernel::Cosine => 0.5 + 0.5 * cosine(x, y),
    }
}

/// Kernel matrix of the candidates, and their similarities to the query.
pub fn problem(kind: Kernel, query: &[f32], candidates: &[&[f32]]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let matrix = candidates
        .iter()
        .map(|x| candidates.iter().map(|y| kernel(kind, x, y)).collect())
        .collect();
    let b = candidates.iter().map(|x| kernel(kind, x, query)).collect();
    (matrix, b)
}

/// `1/2 t'Kt - b't`.
pub fn objective(k: &[Vec<f64>], b: &[f64], theta: &[f64]) -> f64 {
    let mut sum = 0.0;
    for i in 0..b.len() {
        for j in 0..b.len() {
            sum += 0.5 * theta[i] * k[i][j] * theta[j];
        }
        sum -= b[i] * theta[i];
    }
    sum
}

/// `Kt - b`.
pub fn gradient(k: &[Vec<f64>], b: &[f64], theta: &[f64]) -> Vec<f64> {
    (0..b.len())
        .map(|i| k[i].iter().zip(theta).map(|(k, t)| k * t).sum::<f64>() - b[i])
        .collect()
}

/// Largest violation of the optimality conditions.
pub fn residual(k: &[Vec<f64>], b: &[f64], theta: &[f64]) -> f64 {
    let mut worst = 0.0f64;
    for (g, &t) in gradient(k, b, theta).into_iter().zip(theta) {
        assert!(t >= 0.0);
        worst = worst.max(if t > 0.0 { g.abs() } else { -g });
    }
    worst
}

/// Solves `K_SS t_S = b_S` by elimination with full pivoting; smallest pivot beside the solution.
/// Unknowns whose pivot vanishes are set to 0.
fn restricted(k: &[Vec<f64>], b: &[f64], support: &[usize]) -> (Vec<f64>, f64) {
    let n = support.len();
    let mut a: Vec<Vec<f64>> = support
        .iter()
        .map(|&i| {
            let mut row: Vec<f64> = support.iter().map(|&j| k[i][j]).collect();
            row.push(b[i]);
            row
        })
        .collect();
    let mut columns: Vec<usize> = (0..n).collect();
    let mut smallest = f64::INFINITY;
    let mut rank = n;
    for step in 0..n {
        let (mut best, mut at) = (0.0, (step, step));
        for i in step..n {
            for j in step..n {
                if a[i][j].abs() > best {
                    (best, at) = (a[i][j].abs(), (i, j));
                }
            }
        }
        smallest = smallest.min(best);
        if best < 1e-13 {
            rank = step;
            break;
        }
        a.swap(step, at.0);
        for row in &mut a {
            row.swap(step, at.1);
        }
        columns.swap(step, at.1);
        for i in step + 1..n {
            let factor = a[i][step] / a[step][step];
            for j in step..=n {
                a[i][j] -= factor * a[step][j];
            }
        }
    }
    let mut solution = vec![0.0; n];
    for i in (0..rank).rev() {
        let mut value = a[i][n];
        for j in i + 1..rank {
            value -= a[i][j] * solution[columns[j]];
        }
        solution[columns[i]] = value / a[i][i];
    }
    (solution, smallest)
}

/// An optimum.
#[derive(Clone, Debug)]
pub struct Optimum {
    /// Weights.
    pub theta: Vec<f64>,
    /// Objective.
    pub objective: f64,
    /// The support `{theta > 1e-6}` is the only optimal one, with room for rounding errors.
    pub unique: bool,
}

fn judged(k: &[Vec<f64>], b: &[f64], theta: Vec<f64>) -> Optimum {
    let support: Vec<usize> = (0..b.len()).filter(|&j| theta[j] > 0.0).collect();
    let (_, pivot) = restricted(k, b, &support);
    let g = gradient(k, b, &theta);
    let clear = (0..b.len()).all(|j| theta[j] > 1e-5 || (theta[j] == 0.0 && g[j] > 1e-9));
    Optimum {
        objective: objective(k, b, &theta),
        unique: clear && pivot > 1e-9,
        theta,
    }
}

/// Every support tried: the best feasible restricted minimum. For at most a dozen candidates.
pub fn exhaustive(k: &[Vec<f64>], b: &[f64]) -> Optimum {
    let n = b.len();
    assert!(n <= 12);
    let mut best = vec![0.0; n];
    let mut value = 0.0;
    for set in 1u32..1 << n {
        let support: Vec<usize> = (0..n).filter(|&j| set >> j & 1 == 1).collect();
        let (part, _) = restricted(k, b, &support);
        if part.iter().any(|&t| t < 0.0) {
            continue;
        }
        let mut theta = vec![0.0; n];
        for (&j, &t) in support.iter().zip(&part) {
            theta[j] = t;
        }
        let this = objective(k, b, &theta);
        if this < value - 1e-15 {
            (value, best) = (this, theta);
        }
    }
    judged(k, b, best)
}

/// Lawson and Hanson (1974, chapter 23), every system solved anew. The optimality conditions are
/// asserted, so a wrong answer cannot pass for an optimum.
pub fn lawson_hanson(k: &[Vec<f64>], b: &[f64]) -> Optimum {
    let n = b.len();
    let scale = b.iter().fold(0.0f64, |m, &x| m.max(x));
    let mut theta = vec![0.0; n];
    let mut passive: Vec<usize> = Vec::new();
    let mut refused = vec![false; n];
    for _ in 0..20 * n + 20 {
        let g = gradient(k, b, &theta);
        let entering = (0..n)
            .filter(|j| !passive.contains(j) && !refused[*j] && g[*j] < -1e-14 * scale)
            .min_by(|&i, &j| g[i].total_cmp(&g[j]));
        let Some(entering) = entering else {
            break;
        };
        passive.push(entering);
        let before = theta.clone();
        loop {
            let (z, _) = restricted(k, b, &passive);
            if z.iter().all(|&z| z > 0.0) {
                theta = vec![0.0; n];
                for (&j, &z) in passive.iter().zip(&z) {
                    theta[j] = z;
                }
                break;
            }
            let mut step = 1.0f64;
            for (&j, &z) in passive.iter().zip(&z) {
                if z <= 0.0 {
                    step = step.min(theta[j] / (theta[j] - z).max(1e-300));
                }
            }
            let mut stays = Vec::new();
            for (&j, &z) in passive.iter().zip(&z) {
                let limit = theta[j] / (theta[j] - z).max(1e-300);
                let leaves = z <= 0.0 && limit <= step;
                theta[j] = if leaves {
                    0.0
                } else {
                    theta[j] + step * (z - theta[j])
                };
                if !leaves {
                    stays.push(j);
                }
            }
            passive = stays;
        }
        if theta == before {
            refused[entering] = true;
        } else {
            refused.fill(false);
        }
    }
    assert!(
        residual(k, b, &theta) <= 1e-12 * scale.max(1e-300),
        "the oracle is not at the optimum: residual {:e}",
        residual(k, b, &theta)
    );
    judged(k, b, theta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn both_oracles_agree(values in prop::collection::vec(-3i8..4, 27..=27), gaussian: bool) {
            let x: Vec<f32> = values.iter().map(|&v| f32::from(v)).collect();
            let mut rows: Vec<&[f32]> = x.chunks(3).filter(|r| r.iter().any(|&v| v != 0.0)).collect();
            prop_assume!(rows.len() >= 2);
            let query = rows.pop().unwrap_or(&[]);
            let kind = if gaussian { Kernel::Gaussian(1.5) } else { Kernel::Cosine };
            let (k, b) = problem(kind, query, &rows);
            let (a, c) = (exhaustive(&k, &b), lawson_hanson(&k, &b));
            prop_assert!((a.objective - c.objective).abs() <= 1e-12, "{a:?} {c:?}");
        }
    }
}
