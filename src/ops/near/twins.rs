//! Candidates that the kernel cannot tell apart, and what is done about weights that are not unique.
//!
//! Candidates with the kernel value 1 between them, such as maps that differ only in length under the cosine kernel,
//! can exchange weight without any effect on the objective. All of it goes to the longest of them, and to the lowest
//! index where several are equally long. So the support does not depend on the order of the samples, except between
//! exact copies.

use super::Source;
use crate::tensor::Values;

/// Moves the weights of candidates that are equal in the kernel's eyes to one of them. `equal(i, j)` says whether two
/// are; `indices` are their sample indices. Returns whether a weight above `threshold` could lie elsewhere.
pub(crate) fn settle(
    weights: &mut [f64],
    equal: impl Fn(usize, usize) -> bool,
    source: &Source<'_>,
    index: impl Fn(usize) -> u32,
    threshold: f64,
) -> bool {
    let mut not_unique = false;
    for j in 0..weights.len() {
        if weights[j] <= 0.0 {
            continue;
        }
        let (mut best, mut length) = (j, f64::NAN);
        for i in (0..weights.len()).filter(|&i| i != j) {
            if !equal(i, j) {
                continue;
            }
            if length.is_nan() {
                length = sq_length(source.vectors[j]);
            }
            let other = sq_length(source.vectors[i]);
            if other > length || (other == length && index(i) < index(best)) {
                (best, length) = (i, other);
            }
        }
        if length.is_nan() {
            continue;
        }
        let weight = std::mem::take(&mut weights[j]);
        weights[best] += weight;
        not_unique |= weights[best] > threshold;
    }
    not_unique
}

fn sq_length(vector: Values<'_>) -> f64 {
    let vector = vector.wide();
    let squares = vector.iter().map(|&v| f64::from(v) * f64::from(v));
    squares.sum()
}
