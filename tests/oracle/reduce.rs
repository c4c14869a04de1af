//! Means and softmax along axes, and copies between strided views, one element at a time.

/// Position along each axis of the element `at` of a C-order array.
pub fn position(shape: &[usize], mut at: usize) -> Vec<usize> {
    let mut out = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        out[axis] = at % shape[axis];
        at /= shape[axis];
    }
    out
}

/// Mean over the axes from `first` up to and without `end`, the other axes in their order.
pub fn mean(x: &[f64], shape: &[usize], first: usize, end: usize) -> Vec<f64> {
    let kept = [&shape[..first], &shape[end..]].concat();
    let count: usize = shape[first..end].iter().product();
    let mut out = vec![0.0; kept.iter().product()];
    for (at, v) in x.iter().enumerate() {
        let place = position(shape, at);
        let mut to = 0;
        for axis in 0..shape.len() {
            if axis < first || axis >= end {
                to = to * shape[axis] + place[axis];
            }
        }
        out[to] += v / count as f64;
    }
    out
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
