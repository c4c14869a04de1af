//! Float64 distances by plain differences: what neighbours are finally ordered by.

use super::Points;
use crate::device::Kernel;

/// Below this `2 - 2 cos` vectors that were parallel before they were rounded to `f32` cannot be told
/// from others: the distance is taken as 0.
pub(super) const PARALLEL: f64 = 1e-14;

/// Squared distance of row `i` of `a` and row `j` of `b` in `group`; `2 - 2 cos` under cosine.
/// The order of the sum depends on the dimension only, and no product is fused, so that every
/// instruction set gives the same bits; `distance(x, y)` and `distance(y, x)` are the same too.
#[inline(always)]
pub(super) fn sq_distance(a: &Points, i: usize, b: &Points, j: usize, group: usize) -> f64 {
    let (x, y) = (a.row(group, i), b.row(group, j));
    match a.kernel {
        Kernel::Gaussian => sum_squares(x, y, |x, y| x - y),
        Kernel::Cosine => {
            let (s, t) = (a.inverse_norm(group, i), b.inverse_norm(group, j));
            let d = sum_squares(x, y, |x, y| x * s - y * t);
            if d < PARALLEL { 0.0 } else { d }
        }
    }
}

#[inline(always)]
fn sum_squares(x: &[f32], y: &[f32], difference: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0f64; LANES];
    let (xs, x_tail) = x.as_chunks::<LANES>();
    let (ys, y_tail) = y.as_chunks::<LANES>();
    for (x, y) in xs.iter().zip(ys) {
        for l in 0..LANES {
            let d = difference(f64::from(x[l]), f64::from(y[l]));
            sums[l] += d * d;
        }
    }
    for (l, (&x, &y)) in x_tail.iter().zip(y_tail).enumerate() {
        let d = difference(f64::from(x), f64::from(y));
        sums[l] += d * d;
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}
