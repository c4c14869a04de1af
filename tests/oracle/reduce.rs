//! Reductions, softmax and weighted sums along axes, and copies between strided views, one element at a time.

/// Position along each axis of the element `at` of a C-order array.
pub fn position(shape: &[usize], mut at: usize) -> Vec<usize> {
    let mut out = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        out[axis] = at % shape[axis];
        at /= shape[axis];
    }
    out
}

/// The elements that the axes from `first` up to and without `end` hold, for each place along the other axes in
/// their order.
pub fn along(x: &[f64], shape: &[usize], first: usize, end: usize) -> Vec<Vec<f64>> {
    let kept = [&shape[..first], &shape[end..]].concat();
    let mut out = vec![vec![]; kept.iter().product()];
    for (at, &v) in x.iter().enumerate() {
        let place = position(shape, at);
        let mut to = 0;
        for axis in 0..shape.len() {
            if axis < first || axis >= end {
                to = to * shape[axis] + place[axis];
            }
        }
        out[to].push(v);
    }
    out
}

/// Mean over the axes from `first` up to and without `end`, the other axes in their order.
pub fn mean(x: &[f64], shape: &[usize], first: usize, end: usize) -> Vec<f64> {
    let mean = |v: &Vec<f64>| v.iter().sum::<f64>() / v.len() as f64;
    along(x, shape, first, end).iter().map(mean).collect()
}

/// Weighted sums along `axis`: `index` and `weight` are `[out, terms]`.
pub fn resample(
    x: &[f64],
    shape: &[usize],
    axis: usize,
    terms: usize,
    index: &[u32],
    weight: &[f32],
) -> Vec<f64> {
    let mut to = shape.to_vec();
    to[axis] = index.len() / terms;
    (0..to.iter().product())
        .map(|at| {
            let mut place = position(&to, at);
            let row = place[axis];
            let mut sum = 0.0;
            for t in row * terms..(row + 1) * terms {
                place[axis] = index[t] as usize;
                let from = place.iter().zip(shape).fold(0, |at, (p, n)| at * n + p);
                sum += f64::from(weight[t]) * x[from];
            }
            sum
        })
        .collect()
}

/// `e^x / sum e^x` along `axis`.
pub fn softmax(x: &[f64], shape: &[usize], axis: usize) -> Vec<f64> {
    let mut out = vec![];
    for (at, v) in x.iter().enumerate() {
        let place = position(shape, at);
        let mut sum = 0.0;
        for (other, w) in x.iter().enumerate() {
            let there = position(shape, other);
            if (0..shape.len()).all(|a| a == axis || place[a] == there[a]) {
                sum += (w - v).exp();
            }
        }
        out.push(1.0 / sum);
    }
    out
}
