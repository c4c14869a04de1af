use crate::oracle::baselines as oracle;
use crate::support::runs::{measure, options, relu_layer};
use chanscope::Error;
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::{
    ChannelSimilarity, ChannelSimilarityOptions, CkaOptions, Context, channel_similarity, cka,
};
use chanscope::ops::Kernel;
use ndarray::{Array2, Array4, Axis, s};

fn cpu() -> Device {
    Device::open(&DeviceChoice::Cpu, 2).unwrap()
}

fn layer(a: &Array4<f32>) -> ArrayLayer<'_> {
    ArrayLayer::from_array("layer", a.view()).unwrap()
}

/// Maps of a channel, or whole samples, in float64.
fn rows(a: &Array4<f32>, channel: Option<usize>) -> Vec<Vec<f64>> {
    let sample = |i: usize| match channel {
        Some(c) => a.slice(s![i, c..c + 1, .., ..]),
        None => a.slice(s![i, .., .., ..]),
    };
    (0..a.shape()[0])
        .map(|i| sample(i).iter().map(|&v| f64::from(v)).collect())
        .collect()
}

fn similarity(a: &Array4<f32>, memory: u64) -> ChannelSimilarity {
    let device = cpu();
    let ctx = Context::new(&device).with_memory(memory);
    channel_similarity(&ctx, &layer(a), &ChannelSimilarityOptions::default()).unwrap()
}

fn compare(layers: &[&Array4<f32>]) -> Array2<f64> {
    let layers: Vec<ArrayLayer<'_>> = layers.iter().map(|a| layer(a)).collect();
    let channels: Vec<Vec<usize>> = (layers.iter())
        .map(|l| (0..l.shape().channels).collect())
        .collect();
    let layers: Vec<(&dyn Layer, &[usize])> = (layers.iter().zip(&channels))
        .map(|(l, c)| (l as &dyn Layer, c.as_slice()))
        .collect();
    let device = cpu();
    let found = cka(&Context::new(&device), &layers, &CkaOptions::default()).unwrap();
    found.values
}

fn close(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() <= 1e-12, "{what}: {a} instead of {b}");
}

#[test]
fn channels_compare_as_defined() {
    // The last channel is dead; others have zero maps and copies.
    let a = relu_layer(70, 9, 3, 21);
    let found = similarity(&a, 1 << 20);
    for i in 0..9 {
        for j in 0..9 {
            let at = [i, j];
            if i == 8 || j == 8 {
                assert!(found.cosine[at].is_nan() && found.pearson[at].is_nan());
                continue;
            }
            let (x, y) = (rows(&a, Some(i)), rows(&a, Some(j)));
            close(found.cosine[at], oracle::cosine(&x, &y), "cosine");
            close(found.pearson[at], oracle::pearson(&x, &y), "pearson");
        }
    }
}

/// Values about `mean` with a deviation of `spread`, two channels of which are related.
fn offset_layer(samples: usize, side: usize, mean: f64, spread: f64, seed: u64) -> Array4<f32> {
    let z = relu_layer(samples, 4, side, seed);
    Array4::from_shape_fn(z.dim(), |(i, c, y, x)| {
        let own = f64::from(z[[i, c, y, x]]);
        let value = if c == 1 {
            0.6 * own + 0.8 * f64::from(z[[i, 0, y, x]])
        } else {
            own
        };
        (mean + spread * value) as f32
    })
}

/// From a spread that float32 barely resolves beside the mean to no offset at all, and at every scale.
#[test]
fn a_large_mean_does_not_cancel() {
    for (seed, ratio) in [1e-7, 3e-7, 3e-6, 1e-4, 1.0, 1e3].into_iter().enumerate() {
        for scale in [1.0, 2f64.powi(-100), 2f64.powi(90)] {
            let seed = 40 + seed as u64;
            let a = offset_layer(600, 3, scale, scale * ratio, seed);
            let b = offset_layer(600, 2, -scale, scale * ratio, seed);
            let found = similarity(&a, 1 << 16);
            for (i, j) in [(0, 1), (0, 2), (1, 2)] {
                let expected = oracle::pearson(&rows(&a, Some(i)), &rows(&a, Some(j)));
                close(
                    found.pearson[[i, j]],
                    expected,
                    &format!("{ratio} {scale} {i} {j}"),
                );
            }
            assert!(found.pearson[[0, 0]] == 1.0);
            let cka = compare(&[&a, &b])[[0, 1]];
            let expected = oracle::cka(&rows(&a, None), &rows(&b, None), 256);
            assert!(
                (cka - expected).abs() <= 1e-9,
                "{ratio} {scale}: {cka} {expected}"
            );
        }
    }
}

/// Whether a channel varies is decided by its values, never by rounding in their sums.
#[test]
fn constants_are_told_from_values_that_hardly_vary() {
    let constants = [1.7, 3.4, 0.1, -7.3e30, 1e-40];
    let mut a = Array4::from_shape_fn((3000, 6, 1, 1), |(_, c, _, _)| {
        constants.get(c).copied().unwrap_or(1.0)
    });
    // One value of 3000 differs in its last bit.
    a[[1234, 5, 0, 0]] = 1.0 + f32::EPSILON;
    let found = similarity(&a, 1 << 20);
    for i in 0..5 {
        assert!(
            (0..6).all(|j| found.pearson[[i, j]].is_nan()),
            "{i}: {found:?}"
        );
    }
    assert_eq!(found.pearson[[5, 5]], 1.0);
    // The same value in another channel, and its mirror image.
    let single = |at: usize, step: f32| {
        Array4::from_shape_fn((3000, 1, 1, 1), |(i, ..)| {
            5.0 + if i == at { step } else { 0.0 }
        })
    };
    let of = |parts: &[Array4<f32>]| {
        let parts: Vec<_> = parts.iter().map(|p| p.view()).collect();
        ndarray::concatenate(Axis(1), &parts).unwrap()
    };
    let found = similarity(
        &of(&[single(7, 1e-6), single(7, -1e-6), single(8, 1e-6)]),
        1 << 20,
    );
    close(found.pearson[[0, 1]], -1.0, "opposite");
    close(found.pearson[[0, 2]], -1.0 / 2999.0, "different samples");
}

#[test]
fn a_constant_channel_has_no_pearson_correlation() {
    let mut a = relu_layer(20, 4, 2, 3);
    a.index_axis_mut(Axis(1), 1).fill(0.7);
    let found = similarity(&a, 1 << 20);
    assert!(found.pearson[[1, 1]].is_nan() && found.pearson[[0, 1]].is_nan());
    close(found.cosine[[1, 1]], 1.0, "cosine");
    close(found.pearson[[0, 0]], 1.0, "pearson");
    assert!(ChannelSimilarity::mean(&found.pearson).is_some());
    let one = a.slice(s![.., ..1, .., ..]).to_owned();
    assert_eq!(
        ChannelSimilarity::mean(&similarity(&one, 1 << 20).cosine),
        None
    );
}

#[test]
fn blocks_and_threads_do_not_change_a_bit() {
    let a = relu_layer(300, 7, 5, 22);
    let bits = |s: &ChannelSimilarity| -> Vec<u64> {
        s.cosine
            .iter()
            .chain(&s.pearson)
            .map(|v| v.to_bits())
            .collect()
    };
    let reference = bits(&similarity(&a, 1 << 30));
    let b = relu_layer(300, 4, 4, 23);
    let layers = compare(&[&a, &b]);
    for (threads, memory) in [(1, 1), (2, 20_000), (3, 100_000)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            assert_eq!(bits(&similarity(&a, memory)), reference);
            assert_eq!(compare(&[&a, &b]), layers);
        });
    }
}

#[test]
fn layers_compare_as_defined() {
    let a = relu_layer(515, 3, 4, 24);
    let b = relu_layer(515, 5, 2, 25);
    // Related to the first, so that the estimate is not all noise.
    let c = a.mapv(|v| (v * 3.0).sin() + 2.0);
    let found = compare(&[&a, &b, &c]);
    let all = [&a, &b, &c].map(|l| rows(l, None));
    for i in 0..3 {
        for j in 0..3 {
            // 515 samples: two batches, and three left over that have no estimate.
            let expected = oracle::cka(&all[i], &all[j], 256);
            assert!(
                (found[[i, j]] - expected).abs() <= 1e-9,
                "{i} {j}: {} {expected}",
                found[[i, j]]
            );
        }
    }
    assert!(found[[0, 2]] > 0.5, "{found}");
}

/// Peers, failure 11: NaN or worse from tiny batches, where the estimate divides by n - 3.
#[test]
fn tiny_batches_are_defined() {
    for samples in [1, 2, 3] {
        let a = relu_layer(samples, 2, 2, 1);
        assert!(compare(&[&a, &a]).iter().all(|v| v.is_nan()));
    }
    // A last batch of one to three must not spoil the others.
    for samples in [4, 5, 256, 257, 258, 259, 260] {
        let a = relu_layer(samples, 2, 3, 2);
        let found = compare(&[&a, &a.mapv(|v| 2.0 * v)]);
        assert!(
            found.iter().all(|v| (v - 1.0).abs() <= 1e-12),
            "{samples}: {found}"
        );
    }
    // A layer that does not vary has none.
    let still = Array4::from_elem((20, 2, 2, 2), 0.3f32);
    let found = compare(&[&relu_layer(20, 2, 2, 4), &still]);
    assert!(found[[0, 0]] == 1.0 && found[[0, 1]].is_nan() && found[[1, 1]].is_nan());
    let (short, long) = (relu_layer(8, 1, 2, 1), relu_layer(9, 1, 2, 1));
    let layers = [layer(&short), layer(&long)];
    let device = cpu();
    let ctx = Context::new(&device);
    let unequal: [(&dyn Layer, &[usize]); 2] = [(&layers[0], &[0]), (&layers[1], &[0])];
    let error = cka(&ctx, &unequal, &CkaOptions::default());
    assert!(matches!(error, Err(Error::Layer { .. })));
    let error = cka(&ctx, &unequal[..1], &CkaOptions::default().with_batch(3));
    assert!(matches!(error, Err(Error::Argument { name: "batch", .. })));
}

#[test]
fn two_nearest_neighbours_give_the_dimension() {
    let a = relu_layer(200, 3, 3, 26);
    let device = cpu();
    let run = |kernel, k| {
        measure(
            &Context::new(&device),
            &layer(&a),
            None,
            &options(kernel, k),
        )
        .unwrap()
    };
    // More candidates than copies.
    let found = run(Kernel::Gaussian, 40);
    for c in 0..2 {
        let two_nn = found.per_channel[c].two_nn.unwrap();
        let expected = oracle::two_nn(&rows(&a, Some(c)));
        assert!(
            (two_nn / expected - 1.0).abs() <= 1e-6,
            "{two_nn} {expected}"
        );
    }
    assert_eq!(found.per_channel[2].two_nn, None);
    assert!(found.aggregate.unwrap().two_nn.is_some());
    // One neighbour, or angles instead of distances: no estimate.
    assert_eq!(run(Kernel::Gaussian, 1).per_channel[0].two_nn, None);
    assert_eq!(run(Kernel::Cosine, 15).per_channel[0].two_nn, None);
}
