use crate::support::filters::{check, nearly_equal, random};
use crate::{Devices, Test};
use chanscope::gpu::{Gpu, Options, Wide};
use chanscope::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels, Pairs};

pub const TESTS: &[Test] = &[
    ("filters::every_variant", every_variant),
    ("filters::nearly_equal_filters", nearly_equal_filters),
    ("filters::any_magnitude", any_magnitude),
    ("filters::passes_give_the_same_bits", passes),
    ("filters::refused", refused),
];

/// Rounding of an inner product of autocorrelations.
fn rounding(gpu: &Gpu) -> f64 {
    match gpu.wide() {
        Wide::Float64 => 1e-14,
        Wide::DoubleFloat => 1e-12,
    }
}

fn every_variant(devices: &Devices) {
    for gpu in devices.all() {
        for shape in [
            [1, 1, 1, 1],
            [1, 3, 3, 3],
            [2, 1, 5, 5],
            [19, 9, 3, 3],
            [9, 8, 1, 1],
            [5, 17, 2, 3],
            [10, 2, 1, 7],
            [4, 3, 4, 1],
            [3, 2, 7, 7],
        ] {
            let [m, c, h, w] = shape;
            check(gpu, shape, &random(m, c, h, w, 3), 1e-6, rounding(gpu));
        }
    }
}

fn nearly_equal_filters(devices: &Devices) {
    for gpu in devices.all() {
        for (shape, k) in nearly_equal() {
            check(gpu, shape, &k, 1e-6, rounding(gpu));
        }
    }
}

/// Fourth powers of these leave the range of f32.
fn any_magnitude(devices: &Devices) {
    let k = random(4, 3, 3, 3, 8);
    for gpu in devices.all() {
        for factor in [1e-9f32, 1e9] {
            let k: Vec<f32> = k.iter().map(|v| v * factor).collect();
            check(gpu, [4, 3, 3, 3], &k, 1e-6, rounding(gpu));
        }
    }
}

/// Buffers that hold a few channels, or a few filters, at a time.
fn passes(devices: &Devices) {
    let shape = FilterShape::new(&[40, 70, 3, 3]).unwrap();
    let k = random(40, 70, 3, 3, 2);
    for gpu in devices.all() {
        let small = devices.reopen(&Options {
            wide: Some(gpu.wide()),
            max_buffer_bytes: Some(1 << 17),
            ..Options::default()
        });
        for input_channels in [InputChannels::Separate, InputChannels::Summed] {
            for pairs in [Pairs::All, Pairs::Adjacent] {
                let params = FilterParams {
                    pairs,
                    input_channels,
                };
                let run = |gpu: &Gpu| {
                    let mut gradient = vec![0.0; k.len()];
                    let value = gpu.similarity(&k, shape, params, Some(&mut gradient), &mut ());
                    (value.unwrap().to_bits(), gradient)
                };
                assert!(run(gpu) == run(&small), "{params:?}");
            }
        }
        let pairs = |gpu: &Gpu| gpu.similarity_pairs(&k, shape, InputChannels::Summed);
        assert!(pairs(gpu).unwrap() == pairs(&small).unwrap());
    }
}

fn refused(devices: &Devices) {
    let shape = FilterShape::new(&[2, 1, 3, 3]).unwrap();
    let params = FilterParams::default();
    let gpu = devices.gpu();
    let error = gpu.similarity(&[0.0; 17], shape, params, None, &mut ());
    assert!(error.unwrap_err().to_string().contains("17 elements"));
    assert!(
        gpu.similarity_pairs(&[0.0; 19], shape, InputChannels::Summed)
            .is_err()
    );
}
