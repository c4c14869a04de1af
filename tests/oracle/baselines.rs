//! Channel correlations, CKA and TwoNN from their definitions.

/// Mean over samples of the cosine between two channels' maps, samples with a zero map left out.
/// `a` and `b` are `[n, d]`.
pub fn cosine(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm(x) == 0.0 || norm(y) == 0.0 {
            continue;
        }
        let dot: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
        sum += dot / norm(x) / norm(y);
        count += 1.0;
    }
    sum / count
}

/// Pearson correlation over all samples and places.
pub fn pearson(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let flat = |v: &[Vec<f64>]| -> Vec<f64> { v.iter().flatten().copied().collect() };
    let centred = |v: Vec<f64>| -> Vec<f64> {
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        v.iter().map(|v| v - mean).collect()
    };
    let (x, y) = (centred(flat(a)), centred(flat(b)));
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
    dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()
}

/// Unbiased HSIC of two linear kernels as Song et al. write it (2012, equation 5), on one batch.
pub fn hsic(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
    let n = x.len();
    let gram = |x: &[Vec<f64>], i: usize, j: usize| -> f64 {
        if i == j {
            return 0.0;
        }
        x[i].iter().zip(&x[j]).map(|(a, b)| a * b).sum()
    };
    let (mut trace, mut sum_k, mut sum_l, mut product) = (0.0, 0.0, 0.0, 0.0);
    for i in 0..n {
        let (mut row_k, mut row_l) = (0.0, 0.0);
        for j in 0..n {
            let (k, l) = (gram(x, i, j), gram(y, i, j));
            trace += k * l;
            row_k += k;
            row_l += l;
        }
        sum_k += row_k;
        sum_l += row_l;
        product += row_k * row_l;
    }
    let m = n as f64;
    (trace + sum_k * sum_l / ((m - 1.0) * (m - 2.0)) - 2.0 / (m - 2.0) * product) / (m * (m - 3.0))
}

/// The samples of a batch about their mean, which the estimate does not depend on but its rounding does.
fn about_mean(x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let d = x[0].len();
    let mean = |p: usize| x.iter().map(|v| v[p] - x[0][p]).sum::<f64>() / x.len() as f64 + x[0][p];
    let means: Vec<f64> = (0..d).map(mean).collect();
    let centred = |v: &Vec<f64>| v.iter().zip(&means).map(|(v, m)| v - m).collect();
    x.iter().map(centred).collect()
}

/// CKA from the mean HSIC over batches.
pub fn cka(x: &[Vec<f64>], y: &[Vec<f64>], batch: usize) -> f64 {
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.chunks(batch).zip(y.chunks(batch)) {
        if x.len() > 3 {
            let (x, y) = (&about_mean(x), &about_mean(y));
            xy += hsic(x, y);
            xx += hsic(x, x);
            yy += hsic(y, y);
        }
    }
    xy / (xx * yy).sqrt()
}

/// TwoNN: `(n - 1) / sum ln(r2 / r1)` over samples with two others that are not copies.
pub fn two_nn(x: &[Vec<f64>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for a in x {
        let distance = |b: &Vec<f64>| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - b) * (a - b))
                .sum::<f64>()
                .sqrt()
        };
        let mut all: Vec<f64> = x.iter().map(distance).filter(|&d| d > 0.0).collect();
        all.sort_by(f64::total_cmp);
        if all.len() > 1 {
            sum += (all[1] / all[0]).ln();
            count += 1.0;
        }
    }
    (count - 1.0) / sum
}
