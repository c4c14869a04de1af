//! Gram matrices (docs/definitions.md#kernels).

use chanscope::ops::GramKind;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x [n, dim]` to `[n, n]`.
pub fn gram(x: &[f32], n: usize, dim: usize, kind: GramKind) -> Vec<f64> {
    let row =
        |i: usize| -> Vec<f64> { x[i * dim..][..dim].iter().map(|&v| f64::from(v)).collect() };
    let mut out = Vec::new();
    for i in 0..n {
        for j in 0..n {
            let (a, b) = (row(i), row(j));
            out.push(match kind {
                GramKind::Linear => dot(&a, &b),
                GramKind::Cosine => match dot(&a, &a) * dot(&b, &b) {
                    0.0 => 0.0,
                    squares => 0.5 + 0.5 * dot(&a, &b) / squares.sqrt(),
                },
                GramKind::Gaussian(s) => {
                    let d: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
                    (-dot(&d, &d) / (2.0 * s * s)).exp()
                }
            });
        }
    }
    out
}
