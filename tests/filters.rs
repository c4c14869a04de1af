use crate::oracle::filters::Filters;
use chanscope::cpu::Cpu;
use chanscope::device::filters::{FilterOps, FilterParams, FilterShape, InputChannels, Pairs};
use proptest::prelude::*;

fn random(m: usize, c: usize, h: usize, w: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
    };
    (0..m * c * h * w).map(|_| next()).collect()
}

/// Value, gradient and pairs of all four variants against the definition, to `tolerance` relative.
fn check<B: FilterOps>(device: &B, shape: [usize; 4], k: &[f32], tolerance: f64) {
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
                    (matrix[i * m + j] - expected).abs() <= tolerance * expected + 1e-14 * scale,
                    "{shape:?} {channels:?} {i} {j}: {} instead of {expected}",
                    matrix[i * m + j]
                );
                assert_eq!(matrix[i * m + j], matrix[j * m + i]);
            }
        }
    }
}

#[test]
fn every_variant_equals_the_definition() {
    let cpu = Cpu::new(2).unwrap();
    for shape in [
        [1, 1, 1, 1],
        [1, 3, 3, 3],
        [2, 1, 5, 5],
        [7, 9, 3, 3],
        [9, 8, 1, 1],
        [5, 17, 2, 3],
        [10, 2, 1, 7],
        [4, 3, 4, 1],
        [3, 2, 7, 7],
    ] {
        let [m, c, h, w] = shape;
        check(&cpu, shape, &random(m, c, h, w, 3), 1e-6);
    }
}

#[test]
fn nearly_equal_filters() {
    // All filters the same up to 1e-6, and one that outweighs the others by 1e5: what an identity that
    // subtracts the filter from the whole would lose.
    let (m, c, h, w) = (6, 4, 3, 3);
    let base = random(1, c, h, w, 5);
    let noise = random(m, c, h, w, 6);
    let mut k: Vec<f32> = noise
        .iter()
        .enumerate()
        .map(|(i, n)| base[i % base.len()] + 1e-6 * n)
        .collect();
    let cpu = Cpu::new(2).unwrap();
    check(&cpu, [m, c, h, w], &k, 1e-6);
    for v in &mut k[..c * h * w] {
        *v *= 1e5;
    }
    check(&cpu, [m, c, h, w], &k, 1e-6);
    // Zero filters among them.
    k[c * h * w..3 * c * h * w].fill(0.0);
    check(&cpu, [m, c, h, w], &k, 1e-6);
}

#[test]
fn the_gradient_is_the_slope_of_the_value() {
    let cpu = Cpu::new(1).unwrap();
    let shape = FilterShape::new(&[4, 3, 3, 2]).unwrap();
    let k = random(4, 3, 3, 2, 9);
    let mut scratch = Default::default();
    for input_channels in [InputChannels::Separate, InputChannels::Summed] {
        for pairs in [Pairs::All, Pairs::Adjacent] {
            let params = FilterParams {
                pairs,
                input_channels,
            };
            let mut gradient = vec![0.0; k.len()];
            cpu.similarity(&k, shape, params, Some(&mut gradient), &mut scratch)
                .unwrap();
            for at in 0..k.len() {
                let step = 1.0 / 1024.0;
                let mut value = |d: f32| {
                    let mut moved = k.clone();
                    moved[at] += d;
                    let f = Filters {
                        m: 4,
                        c: 3,
                        h: 3,
                        w: 2,
                        k: moved.iter().map(|&x| f64::from(x)).collect(),
                    };
                    let value = cpu
                        .similarity(&moved, shape, params, None, &mut scratch)
                        .unwrap();
                    let exact = f.value(
                        pairs == Pairs::Adjacent,
                        input_channels == InputChannels::Summed,
                    );
                    assert!((value - exact).abs() <= 1e-12 * exact);
                    value
                };
                let slope = (value(step) - value(-step)) / f64::from(2.0 * step);
                assert!((slope - f64::from(gradient[at])).abs() <= 1e-3 * (1.0 + slope.abs()));
            }
        }
    }
}

#[test]
fn threads_give_the_same_bits_and_scratch_may_be_dirty() {
    let shape = FilterShape::new(&[11, 37, 3, 3]).unwrap();
    let k = random(11, 37, 3, 3, 4);
    for input_channels in [InputChannels::Separate, InputChannels::Summed] {
        let params = FilterParams {
            pairs: Pairs::All,
            input_channels,
        };
        let run = |threads: usize, dirty: bool| {
            let cpu = Cpu::new(threads).unwrap();
            let mut scratch = Default::default();
            let mut gradient = vec![0.0; k.len()];
            if dirty {
                let other = FilterShape::new(&[20, 9, 5, 5]).unwrap();
                let mut g = vec![0.0; other.len()];
                let k = random(20, 9, 5, 5, 1);
                cpu.similarity(&k, other, params, Some(&mut g), &mut scratch)
                    .unwrap();
            }
            let value = cpu
                .similarity(&k, shape, params, Some(&mut gradient), &mut scratch)
                .unwrap();
            (value.to_bits(), gradient)
        };
        let once = run(1, false);
        assert_eq!(run(3, false), once);
        assert_eq!(run(2, true), once);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_shape(m in 1usize..12, c in 1usize..12, h in 1usize..5, w in 1usize..5, seed: u64) {
        check(&Cpu::new(2).unwrap(), [m, c, h, w], &random(m, c, h, w, seed), 1e-6);
    }
}
