//! Means and softmax against plain loops.

use crate::oracle::reduce::{mean, softmax};
use crate::support::noise;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::NetOps;
use proptest::prelude::*;

fn values(shape: &[usize], seed: u32) -> Vec<f32> {
    let mut next = noise(seed.into());
    (0..shape.iter().product()).map(|_| 5.0 * next()).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

proptest! {
    #[test]
    fn means_agree_with_plain_loops(
        shape in prop::collection::vec(1usize..6, 1..5), from in 0usize..4, len in 1usize..4,
        keep: bool, seed: u32,
    ) {
        let first = from % shape.len();
        let end = (first + len).min(shape.len());
        let x = values(&shape, seed);
        let ones = vec![1; if keep { end - first } else { 0 }];
        let result = [&shape[..first], &ones, &shape[end..]].concat();
        let cpu = Cpu::new(2).unwrap();
        let got = cpu.mean(&cpu.upload(&shape, &x).unwrap(), first..end, &result).unwrap();
        prop_assert_eq!(got.shape(), &result[..]);
        for (g, w) in got.data().iter().zip(mean(&wide(&x), &shape, first, end)) {
            prop_assert!((f64::from(*g) - w).abs() < 1e-6, "{} for {}", g, w);
        }
    }

    #[test]
    fn softmax_agrees_with_plain_loops(
        shape in prop::collection::vec(1usize..5, 1..5), axis in 0usize..4, seed: u32,
    ) {
        let axis = axis % shape.len();
        let x = values(&shape, seed);
        let cpu = Cpu::new(2).unwrap();
        let got = cpu.softmax(&cpu.upload(&shape, &x).unwrap(), axis).unwrap();
        for (g, w) in got.data().iter().zip(softmax(&wide(&x), &shape, axis)) {
            prop_assert!((f64::from(*g) - w).abs() < 1e-6, "{} for {}", g, w);
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let cpu = Cpu::new(1).unwrap();
    let x = cpu.upload(&[1, 3], &[3e38, 3e38, -3e38]).unwrap();
    assert_eq!(cpu.softmax(&x, 1).unwrap().data(), [0.5, 0.5, 0.0]);
}

#[test]
fn a_long_mean_keeps_its_digits() {
    // Summed in f32, the small terms would drown in the large one.
    let mut x = vec![1e-3f32; 1 << 20];
    x[0] = 1e6;
    let want = mean(&wide(&x), &[1 << 20], 0, 1)[0];
    let cpu = Cpu::new(1).unwrap();
    let got = cpu.mean(&cpu.upload(&[1, 1 << 20], &x).unwrap(), 1..2, &[1]);
    assert!((f64::from(got.unwrap().data()[0]) - want).abs() < 1e-7 * want);
}
