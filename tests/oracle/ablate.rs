//! Rankings, merged channels and accuracy, by the definition (docs/definitions.md#ablation).

/// Channels by falling score: each place goes to the largest that is left, of equal ones to the lower index.
pub fn by_score(scores: &[f64]) -> Vec<usize> {
    let mut order = vec![];
    while order.len() < scores.len() {
        let mut best: Option<usize> = None;
        for c in 0..scores.len() {
            let better = best.is_none_or(|b| scores[c] > scores[b]);
            if !order.contains(&c) && better {
                best = Some(c);
            }
        }
        order.extend(best);
    }
    order
}

/// L1 norm of each filter.
pub fn l1(filters: &[Vec<f64>]) -> Vec<f64> {
    let norm = |f: &Vec<f64>| f.iter().map(|w| w.abs()).sum();
    filters.iter().map(norm).collect()
}

/// Sum of distances of each filter to all of them.
pub fn fpgm(filters: &[Vec<f64>]) -> Vec<f64> {
    let mut sums = vec![0.0; filters.len()];
    for c in 0..filters.len() {
        for e in 0..filters.len() {
            let mut square = 0.0;
            for i in 0..filters[c].len() {
                square += (filters[c][i] - filters[e][i]) * (filters[c][i] - filters[e][i]);
            }
            sums[c] += square.sqrt();
        }
    }
    sums
}

/// Values of a channel in `maps[sample][channel][place]`.
fn values(maps: &[Vec<Vec<f64>>], c: usize) -> Vec<f64> {
    maps.iter().flat_map(|sample| sample[c].clone()).collect()
}

/// Mean of each channel.
pub fn means(maps: &[Vec<Vec<f64>>]) -> Vec<f64> {
    (0..maps[0].len())
        .map(|c| values(maps, c).iter().sum::<f64>() / values(maps, c).len() as f64)
        .collect()
}

/// Average percentage of zeros of each channel.
pub fn apoz(maps: &[Vec<Vec<f64>>]) -> Vec<f64> {
    let zeros = |c| values(maps, c).iter().filter(|v| **v == 0.0).count();
    (0..maps[0].len())
        .map(|c| zeros(c) as f64 / values(maps, c).len() as f64)
        .collect()
}

/// Absolute Pearson correlation of two channels; 0 where one is constant.
pub fn pearson(maps: &[Vec<Vec<f64>>], c: usize, e: usize) -> f64 {
    let means = means(maps);
    let (mut ce, mut cc, mut ee) = (0.0, 0.0, 0.0);
    for (x, y) in values(maps, c).into_iter().zip(values(maps, e)) {
        let (x, y) = (x - means[c], y - means[e]);
        ce += x * y;
        cc += x * x;
        ee += y * y;
    }
    match cc * ee > 0.0 {
        true => (ce / (cc * ee).sqrt()).abs(),
        false => 0.0,
    }
}

/// `alpha` and `beta` that make `alpha x + beta` nearest to `y` for channels `x` and `y`: the solution of the normal
/// equations `[sum x^2, sum x; sum x, n] [alpha, beta] = [sum x y, sum y]` by Cramer's rule.
pub fn line(maps: &[Vec<Vec<f64>>], x: usize, y: usize) -> (f64, f64) {
    let (xs, ys) = (values(maps, x), values(maps, y));
    let n = xs.len() as f64;
    let (mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0);
    for (x, y) in xs.iter().zip(&ys) {
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    let determinant = n * sxx - sx * sx;
    if determinant <= 1e-12 * n * sxx {
        return (0.0, sy / n);
    }
    (
        (n * sxy - sx * sy) / determinant,
        (sxx * sy - sx * sxy) / determinant,
    )
}

/// Mean and standard error: the root of the sample variance over the number of values.
pub fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}
