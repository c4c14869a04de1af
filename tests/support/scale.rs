//! Measures of inputs times a power of two: whatever the definitions say does not depend on scale has the same
//! bits, from subnormal numbers to the largest. Inputs have few significant bits, so that scaling is exact.

use super::runs;
use chanscope::device::Device;
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::impulse::{ImpulseOptions, Response, compare};
use chanscope::measure::redundancy::LayerRedundancy;
use chanscope::measure::{
    CkaOptions, Context, FilterBank, FiltersOptions, cka, filters as measure_filters,
};
use chanscope::ops::Kernel;
use chanscope::ops::filters::{FilterParams, FilterShape, InputChannels};
use ndarray::{Array2, Array4};

/// `x` times `2^e`, exactly.
pub fn times(x: &[f32], e: i32) -> Vec<f32> {
    let scale = |&v: &f32| {
        let scaled = (f64::from(v) * f64::from(e).exp2()) as f32;
        assert_eq!(f64::from(scaled) * f64::from(-e).exp2(), f64::from(v));
        scaled
    };
    x.iter().map(scale).collect()
}

/// Integers of at most 7, and a fifth of zeros; rows `tails` powers of two larger or smaller.
pub fn integers(len: usize, row: usize, tails: u64, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut x = Vec::with_capacity(len);
    while x.len() < len {
        let factor = (next() % (2 * tails + 1)) as f32 - tails as f32;
        for _ in 0..row.min(len - x.len()) {
            let v = (next() % 15) as f32 - 7.0;
            let zero = next().is_multiple_of(5);
            x.push(if zero { 0.0 } else { v * factor.exp2() });
        }
    }
    x
}

/// All figures of a layer.
pub fn redundancy(device: &Device) {
    let a = runs::relu_layer(60, 4, 3, 5).mapv(|v| (v * 32.0).round());
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let options = runs::options(kernel, 7);
        let (want, graphs, aggregate) = runs::run(device, &a, &options).unwrap();
        for e in [-140, -127, -60, 60, 120] {
            let factor = f64::from(e).exp2();
            let scaled = a.mapv(|v| (f64::from(v) * factor) as f32);
            let (got, others, whole) = runs::run(device, &scaled, &options).unwrap();
            let context = format!("{kernel:?} 2^{e}");
            assert_eq!(want.per_channel, got.per_channel, "{context}");
            assert_eq!(want.aggregate, got.aggregate, "{context}");
            assert_eq!(want.jaccard_mean, got.jaccard_mean, "{context}");
            assert_eq!(want.redundancy, got.redundancy, "{context}");
            assert_eq!(want.recall, got.recall, "{context}");
            let similarity = |found: &LayerRedundancy| {
                let found = found.similarity.as_ref().unwrap();
                let bits = |m: &Array2<f64>| m.mapv(f64::to_bits);
                (bits(&found.cosine), bits(&found.pearson))
            };
            assert_eq!(similarity(&want), similarity(&got), "{context}");
            for (want, got) in [(&graphs, &others), (&aggregate, &whole)] {
                assert_eq!(want.neighbors, got.neighbors, "{context}");
                assert_eq!(want.weights, got.weights, "{context}");
                assert_eq!(want.objective, got.objective, "{context}");
            }
        }
    }
}

/// Linear CKA of layers at scales of their own.
pub fn layers(device: &Device) {
    let a = runs::relu_layer(300, 3, 3, 6).mapv(|v| (v * 32.0).round());
    let b = runs::relu_layer(300, 4, 2, 7).mapv(|v| (v * 32.0).round());
    let measure = |e: i32, f: i32| {
        let scaled =
            |a: &Array4<f32>, e: i32| a.mapv(|v| (f64::from(v) * f64::from(e).exp2()) as f32);
        let (a, b) = (scaled(&a, e), scaled(&b, f));
        let layers = [
            ArrayLayer::from_array("a", a.view()).unwrap(),
            ArrayLayer::from_array("b", b.view()).unwrap(),
        ];
        let chosen: [(&dyn Layer, &[usize]); 2] = [(&layers[0], &[0, 1, 2]), (&layers[1], &[2, 0])];
        let found = cka(&Context::new(device), &chosen, &CkaOptions::default()).unwrap();
        found.values[[0, 1]]
    };
    let want = measure(0, 0);
    assert!(want.is_finite());
    for (e, f) in [(-140, -140), (-140, 120), (-60, 3), (120, 120)] {
        assert_eq!(measure(e, f), want, "2^{e} 2^{f}");
    }
}

/// The normalised similarity and the cosines; values are of fourth degree.
pub fn filters(device: &Device) {
    let shape = FilterShape {
        filters: 6,
        channels: 3,
        height: 3,
        width: 2,
    };
    let weights = integers(shape.len(), 18, 3, 21);
    for input_channels in [InputChannels::Separate, InputChannels::Summed] {
        let options = FiltersOptions::default()
            .with_params(FilterParams {
                input_channels,
                ..FilterParams::default()
            })
            .with_matrices(true);
        let measure = |weights: &[f32]| {
            let bank = FilterBank {
                name: "conv",
                shape,
                weights,
            };
            measure_filters(&Context::new(device), &bank, &options).unwrap()
        };
        let want = measure(&weights);
        for e in [-140, -126, -64, 64, 120] {
            let got = measure(&times(&weights, e));
            let fourth = f64::from(4 * e).exp2();
            assert_eq!(want.value * fourth, got.value, "2^{e}");
            assert_eq!(want.value_adjacent * fourth, got.value_adjacent, "2^{e}");
            assert_eq!(want.pairs.as_ref().map(|p| p * fourth), got.pairs, "2^{e}");
            assert_eq!(want.normalized_mean, got.normalized_mean, "2^{e}");
            assert_eq!(want.cosine_mean, got.cosine_mean, "2^{e}");
            assert_eq!(want.cosine, got.cosine, "2^{e}");
        }
    }
}

/// Normalised cross-correlations of responses, within a layer and across depth.
pub fn responses(device: &Device) {
    let response = |name: &str, [m, i, h, w]: [usize; 4], e: i32, seed: u64| {
        let values = times(&integers(m * i * h * w, i * h * w, 2, seed), e);
        let norm = |map: &[f32]| {
            let squares = map.iter().map(|&v| f64::from(v).powi(2));
            squares.sum::<f64>().sqrt()
        };
        Response {
            name: name.into(),
            shape: [m, i, h, w],
            norms: values.chunks(i * h * w).map(norm).collect(),
            values,
        }
    };
    let measure = |e: i32, centred: bool| {
        let layers = vec![
            response("a", [5, 2, 6, 5], e, 1),
            response("b", [4, 2, 3, 4], e, 2),
        ];
        let options = ImpulseOptions::default()
            .with_threshold(0.3)
            .with_centred(centred);
        compare(&Context::new(device), layers, &options).unwrap()
    };
    for centred in [false, true] {
        let want = measure(0, centred);
        assert!(!want.across.is_empty());
        for e in [-140, -126, -60, 60, 115] {
            let got = measure(e, centred);
            assert_eq!(want.within, got.within, "2^{e}");
            assert_eq!(want.across, got.across, "2^{e}");
        }
    }
}
