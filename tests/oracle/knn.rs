//! Exact k nearest neighbours (docs/definitions.md#candidates): every distance, sorted.

use chanscope::ops::{Identical, Kernel};

/// `x [n, dim]`. The sorted (distance, index) of all candidates of `query`, not cut at k.
pub fn neighbors(
    x: &[f32],
    dim: usize,
    query: usize,
    kernel: Kernel,
    identical: Identical,
) -> Vec<(f64, usize)> {
    let row = |i: usize| &x[i * dim..(i + 1) * dim];
    let mut all = Vec::new();
    for j in 0..x.len() / dim {
        if j == query {
            continue;
        }
        let Some(d) = distance(row(query), row(j), kernel) else {
            continue;
        };
        if identical == Identical::Replace && d == 0.0 {
            continue;
        }
        all.push((d, j));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}

/// Squared distance, `2 - 2 cos` under cosine; `None` where a vector has no direction. Vectors parallel
/// up to rounding are at distance 0.
pub fn distance(x: &[f32], y: &[f32], kernel: Kernel) -> Option<f64> {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    match kernel {
        Kernel::Gaussian => Some(
            x.iter()
                .zip(y)
                .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
                .sum(),
        ),
        Kernel::Cosine => {
            let (xx, yy) = (dot(x, x), dot(y, y));
            if xx == 0.0 || yy == 0.0 {
                return None;
            }
            let d = 2.0 - 2.0 * dot(x, y) / (xx.sqrt() * yy.sqrt());
            Some(if d < 1e-14 { 0.0 } else { d })
        }
    }
}
