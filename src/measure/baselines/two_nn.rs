//! TwoNN intrinsic dimension.

use crate::stream::sum::FixedSum;

/// What a sample adds to TwoNN, from the ascending squared distances to its neighbours: `ln(r2 / r1)` of
/// the two nearest that are not copies of it. `None` without two.
pub fn log_ratio(sq_distances: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut apart = sq_distances.into_iter().filter(|&d| d > 0.0);
    let (first, second) = (apart.next()?, apart.next()?);
    Some(0.5 * (second / first).ln())
}

/// TwoNN intrinsic dimension (Facco et al., 2017), the unbiased maximum likelihood estimate
/// `(n - 1) / sum_i ln(r2_i / r1_i)`; `ratios` holds the [`log_ratio`] of the samples that have one. `None`
/// below two samples, and where all neighbours are equally far.
pub fn two_nn(ratios: &FixedSum) -> Option<f64> {
    let (n, sum) = (ratios.count(), ratios.sum());
    (n > 1 && sum > 0.0).then(|| (n - 1) as f64 / sum)
}
