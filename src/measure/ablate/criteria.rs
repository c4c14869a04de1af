//! The orders in which channels are kept, but for those by similarity ([`crate::measure::rank()`]).
//!
//! Every criterion gives a score per channel; the channel of the highest score is kept first, of equal ones that of the
//! lower index.

use super::options::RANDOM_DRAWS;
use crate::measure::shuffle::seeded_permutation;
use rayon::prelude::*;

/// Channels by falling score, of equal scores by rising index.
pub(super) fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// `[C]` L1 norms of filters of `len` weights each.
pub(super) fn l1(weights: &[f32], len: usize) -> Vec<f64> {
    let norm = |filter: &[f32]| filter.iter().map(|&w| f64::from(w).abs()).sum();
    weights.chunks_exact(len).map(norm).collect()
}

/// `[C]` sums of the Euclidean distances from each filter to all filters of the layer.
pub(super) fn fpgm(weights: &[f32], len: usize) -> Vec<f64> {
    let distance = |a: &[f32], b: &[f32]| -> f64 {
        let squares = a
            .iter()
            .zip(b)
            .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
        squares.sum::<f64>().sqrt()
    };
    (weights.par_chunks_exact(len))
        .map(|a| weights.chunks_exact(len).map(|b| distance(a, b)).sum())
        .collect()
}

/// `[C]` shares of the elements of `values [N, C, d]` that are not zero: 1 - APoZ.
pub(super) fn not_zero(values: &[f32], channels: usize, dim: usize) -> Vec<f64> {
    let elements = values.len() / channels.max(1);
    let count = |c: usize| {
        let maps = maps(values, channels, dim, c);
        let counts = maps.map(|map| map.iter().filter(|&&v| v != 0.0).count());
        counts.sum::<usize>() as f64 / elements as f64
    };
    (0..channels).into_par_iter().map(count).collect()
}

/// `[C]` means of `values [N, C, d]` over samples and places, summed in the order of the samples.
pub(super) fn means(values: &[f32], channels: usize, dim: usize) -> Vec<f64> {
    let count = values.len() / channels.max(1);
    let mean = |c: usize| {
        let maps = maps(values, channels, dim, c);
        let sums = maps.map(|map| map.iter().map(|&v| f64::from(v)).sum::<f64>());
        sums.sum::<f64>() / count as f64
    };
    (0..channels).into_par_iter().map(mean).collect()
}

/// The maps of channel `c` in `values [N, C, d]`, sample by sample.
pub(super) fn maps(
    values: &[f32],
    channels: usize,
    dim: usize,
    c: usize,
) -> impl Iterator<Item = &[f32]> {
    (values.chunks_exact(channels * dim)).map(move |sample| &sample[c * dim..(c + 1) * dim])
}

/// A random order: permutation `draw` of the layer at `place` among the network's layers.
pub(super) fn random(seed: u64, place: usize, draw: usize, channels: usize) -> Vec<usize> {
    let index = (RANDOM_DRAWS * place + draw) as u64;
    let order = seeded_permutation(seed, index, channels);
    order.into_iter().map(|c| c as usize).collect()
}
