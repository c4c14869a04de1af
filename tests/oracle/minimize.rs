//! Minimising Convolutional Similarity in float64, weight by weight, from the optimisers' papers.

use super::filters::Filters;

/// Rule of a step.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    Adam {
        lr: f64,
    },
    Sgd {
        lr: f64,
        momentum: f64,
        nesterov: bool,
    },
}

/// Value before the first and after every step, and the last weights.
pub fn minimize(
    start: &Filters,
    steps: usize,
    rule: Rule,
    (adjacent, summed): (bool, bool),
    keep_norm: bool,
) -> (Vec<f64>, Vec<f64>) {
    let mut f = start.clone();
    let mut history = vec![f.value(adjacent, summed)];
    let mut m = vec![0.0; f.k.len()];
    let mut v = vec![0.0; f.k.len()];
    for t in 1..=steps {
        let mut g = f.gradient(adjacent, summed);
        let size = f.c * f.h * f.w;
        if keep_norm {
            // Only what is orthogonal to the filter.
            for i in 0..f.m {
                let (mut gk, mut kk) = (0.0, 0.0);
                for n in i * size..(i + 1) * size {
                    gk += g[n] * f.k[n];
                    kk += f.k[n] * f.k[n];
                }
                for n in i * size..(i + 1) * size {
                    g[n] -= gk / kk * f.k[n];
                }
            }
        }
        for i in 0..f.k.len() {
            match rule {
                Rule::Adam { lr } => {
                    m[i] = 0.9 * m[i] + 0.1 * g[i];
                    v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                    let mean = m[i] / (1.0 - 0.9f64.powf(t as f64));
                    let square = v[i] / (1.0 - 0.999f64.powf(t as f64));
                    f.k[i] -= lr * mean / (square.sqrt() + 1e-8);
                }
                Rule::Sgd {
                    lr,
                    momentum,
                    nesterov,
                } => {
                    m[i] = momentum * m[i] + g[i];
                    f.k[i] -= lr
                        * if nesterov {
                            g[i] + momentum * m[i]
                        } else {
                            m[i]
                        };
                }
            }
        }
        if keep_norm {
            for i in 0..f.m {
                let norm = |k: &[f64]| k.iter().map(|k| k * k).sum::<f64>().sqrt();
                let before = norm(&start.k[i * size..(i + 1) * size]);
                let after = norm(&f.k[i * size..(i + 1) * size]);
                for k in &mut f.k[i * size..(i + 1) * size] {
                    *k *= before / after;
                }
            }
        }
        history.push(f.value(adjacent, summed));
    }
    (history, f.k)
}
