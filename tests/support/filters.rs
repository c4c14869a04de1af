//! Convolutional Similarity of any backend against its definition.

use crate::oracle::filters::Filters;
use chanscope::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels, Pairs};

/// Filters in `[-1, 1)`.
pub fn random(m: usize, c: usize, h: usize, w: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
    };
    (0..m * c * h * w).map(|_| next()).collect()
}

/// Value, gradient and pairs of all four variants against the definition, to `tolerance` relative. Pairs of
/// filters that hardly meet also get `rounding`, relative to both filters.
pub fn check<B: FilterOps>(
    device: &B,
    shape: [usize; 4],
    k: &[f32],
    tolerance: f64,
    rounding: f64,
) {
    let [m, c, h, w] = shape;
    let exact = Filters {
        m,
        c,
        h,
        w,
        k: k.iter().map(|&x| f64::from(x)).collect(),
    };
    let filter_shape = FilterShape::new(&shape).unwrap();
    let mut scratch = B::FilterScratch::default();
    for channels in [InputChannels::Separate, InputChannels::Summed] {
        let summed = channels == InputChannels::Summed;
        for pairs in [Pairs::All, Pairs::Adjacent] {
            let adjacent = pairs == Pairs::Adjacent;
            let params = FilterParams {
                pairs,
                input_channels: channels,
            };
            let mut gradient = vec![f32::NAN; k.len()];
            let value = device
                .similarity(k, filter_shape, params, Some(&mut gradient), &mut scratch)
                .unwrap();
            let alone = device
                .similarity(k, filter_shape, params, None, &mut scratch)
                .unwrap();
            let expected = exact.value(adjacent, summed);
            for value in [value, alone] {
                assert!(
                    (value - expected).abs() <= tolerance * expected.abs(),
                    "{shape:?} {params:?}: {value} instead of {expected}"
                );
            }
            let expected = exact.gradient(adjacent, summed);
            // Relative to the filter's largest entry: single ones may cancel to nothing.
            for (i, (g, e)) in gradient
                .chunks(c * h * w)
                .zip(expected.chunks(c * h * w))
                .enumerate()
            {
                let scale = e.iter().fold(0.0f64, |m, x| m.max(x.abs()));
                for (&g, &e) in g.iter().zip(e) {
                    assert!(
                        (f64::from(g) - e).abs() <= tolerance * scale,
                        "{shape:?} {params:?}: filter {i} {g} instead of {e}"
                    );
                }
            }
        }
        let matrix = device.similarity_pairs(k, filter_shape, channels).unwrap();
        for i in 0..m {
            for j in 0..m {
                let expected = exact.pair(i, j, summed);
                let scale = (exact.pair(i, i, summed) * exact.pair(j, j, summed)).sqrt();
                assert!(
                    (matrix[i * m + j] - expected).abs() <= tolerance * expected + rounding * scale,
                    "{shape:?} {channels:?} {i} {j}: {} instead of {expected}",
                    matrix[i * m + j]
                );
                assert_eq!(matrix[i * m + j], matrix[j * m + i]);
            }
        }
    }
}

/// Filters whose shared part an identity that subtracts would lose: the same up to 1e-6; with one that
/// outweighs the others by 1e5; with zero filters among them.
pub fn nearly_equal() -> Vec<([usize; 4], Vec<f32>)> {
    let shape @ [m, c, h, w] = [6, 4, 3, 3];
    let base = random(1, c, h, w, 5);
    let noise = random(m, c, h, w, 6);
    let mut k: Vec<f32> = noise
        .iter()
        .enumerate()
        .map(|(i, n)| base[i % base.len()] + 1e-6 * n)
        .collect();
    let mut all = vec![(shape, k.clone())];
    for v in &mut k[..c * h * w] {
        *v *= 1e5;
    }
    all.push((shape, k.clone()));
    k[c * h * w..3 * c * h * w].fill(0.0);
    all.push((shape, k));
    all
}
