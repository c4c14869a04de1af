mod measure;
mod minimize;
mod study;

use crate::oracle::filters::Filters;
use crate::support::filters::{nearly_equal, random};
use chanscope::cpu::Cpu;
use chanscope::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels, Pairs};
use proptest::prelude::*;

/// For the oracle.
fn exact([m, c, h, w]: [usize; 4], k: &[f32]) -> Filters {
    let k = k.iter().map(|&x| f64::from(x)).collect();
    Filters { m, c, h, w, k }
}

fn check(cpu: &Cpu, shape: [usize; 4], k: &[f32]) {
    crate::support::filters::check(cpu, shape, k, 1e-6, 1e-14);
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
        // More filters than a group that sums are kept for.
        [33, 2, 2, 1],
        [70, 9, 3, 3],
    ] {
        let [m, c, h, w] = shape;
        check(&cpu, shape, &random(m, c, h, w, 3));
    }
}

#[test]
fn nearly_equal_filters() {
    let cpu = Cpu::new(2).unwrap();
    for (shape, k) in nearly_equal() {
        check(&cpu, shape, &k);
    }
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
                    let f = exact([4, 3, 3, 2], &moved);
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
        check(&Cpu::new(2).unwrap(), [m, c, h, w], &random(m, c, h, w, seed));
    }
}
