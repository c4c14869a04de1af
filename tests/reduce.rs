//! Reductions, softmax and normalisation against plain loops.

use crate::oracle::reduce::{along, mean, softmax};
use crate::support::functions::REDUCTIONS;
use crate::support::noise;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, Reduction};
use proptest::prelude::*;

fn values(shape: &[usize], seed: u32) -> Vec<f32> {
    let mut next = noise(seed.into());
    (0..shape.iter().product()).map(|_| 5.0 * next()).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

fn exact(kind: Reduction, run: &[f64]) -> f64 {
    let sum = |f: fn(f64) -> f64| run.iter().map(|&v| f(v)).sum::<f64>();
    let largest = run.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match kind {
        Reduction::Mean => sum(|v| v) / run.len() as f64,
        Reduction::Sum => sum(|v| v),
        Reduction::SumAbs => sum(f64::abs),
        Reduction::SumSquares => sum(|v| v * v),
        Reduction::Norm => sum(|v| v * v).sqrt(),
        Reduction::Product => run.iter().product(),
        Reduction::Max => largest,
        Reduction::Min => run.iter().copied().fold(f64::INFINITY, f64::min),
        Reduction::LogSumExp => sum(f64::exp).ln(),
        Reduction::ArgMax => run.iter().position(|&v| v == largest).unwrap() as f64,
    }
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
        let got = cpu.reduce(&cpu.upload(&shape, &x).unwrap(), Reduction::Mean, first..end, &result).unwrap();
        prop_assert_eq!(got.shape(), &result[..]);
        for (g, w) in got.data().iter().zip(mean(&wide(&x), &shape, first, end)) {
            prop_assert!((f64::from(*g) - w).abs() < 1e-6, "{} for {}", g, w);
        }
    }

    #[test]
    fn reductions_agree_with_their_definitions(
        shape in prop::collection::vec(1usize..6, 1..5), from in 0usize..4, len in 1usize..4, seed: u32,
    ) {
        let first = from % shape.len();
        let end = (first + len).min(shape.len());
        let x = values(&shape, seed);
        let kept = [&shape[..first], &shape[end..]].concat();
        let cpu = Cpu::new(2).unwrap();
        let t = cpu.upload(&shape, &x).unwrap();
        let runs = along(&wide(&x), &shape, first, end);
        for kind in REDUCTIONS {
            let got = cpu.reduce(&t, kind, first..end, &kept).unwrap();
            for (g, run) in got.data().iter().zip(&runs) {
                let w = exact(kind, run);
                // A product may lie beyond f32 and is infinite then, as rounding makes it.
                let close = (f64::from(*g) - w).abs() <= 1e-7 * w.abs() && g.is_finite();
                prop_assert!(close || *g == w as f32, "{:?}: {} for {}", kind, g, w);
            }
        }
    }

    #[test]
    fn normalised_runs_have_mean_0_and_variance_1(
        runs in 1usize..5, len in 1usize..40, shift in -1e3f64..1e3, seed: u32,
    ) {
        let x: Vec<f32> = values(&[runs, len], seed).iter().map(|v| v + shift as f32).collect();
        let cpu = Cpu::new(2).unwrap();
        let got = cpu.normalise(&cpu.upload(&[runs, len], &x).unwrap(), len, 1e-3).unwrap();
        for (got, x) in got.data().chunks(len).zip(wide(&x).chunks(len)) {
            let mean = x.iter().sum::<f64>() / len as f64;
            let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / len as f64;
            for (g, v) in got.iter().zip(x) {
                let w = (v - mean) / (variance + f64::from(1e-3f32)).sqrt();
                prop_assert!((f64::from(*g) - w).abs() <= 1e-6 * w.abs().max(1e-3), "{} for {}", g, w);
            }
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
fn products_beyond_f32_are_infinite_or_zero() {
    let cpu = Cpu::new(1).unwrap();
    let x = [[-1e20, 1e20], [1e-30, -1e-30], [1e30, 1e-30]].concat();
    let x = cpu.upload(&[3, 2], &x).unwrap();
    let y = cpu.reduce(&x, Reduction::Product, 1..2, &[3]).unwrap();
    let inf = f32::INFINITY;
    assert_eq!(y.data()[..2], [-inf, 0.0]);
    assert!((y.data()[2] - 1.0).abs() < 1e-6);
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
    let got = cpu.reduce(
        &cpu.upload(&[1, 1 << 20], &x).unwrap(),
        Reduction::Mean,
        1..2,
        &[1],
    );
    assert!((f64::from(got.unwrap().data()[0]) - want).abs() < 1e-7 * want);
}

#[test]
fn exponentials_of_large_and_of_infinite_numbers_are_summed() {
    let cpu = Cpu::new(1).unwrap();
    let inf = f32::INFINITY;
    let x = [1e4, 1e4, -inf, -inf, inf, 0.0];
    let x = cpu.upload(&[1, 3, 2], &x).unwrap();
    let of = |shape: [usize; 2]| {
        let x = cpu.reshape(x.clone(), &[1, shape[0], shape[1]]).unwrap();
        let y = cpu.reduce(&x, Reduction::LogSumExp, 2..3, &[1, shape[0]]);
        y.unwrap().data().to_vec()
    };
    assert_eq!(of([3, 2]), [1e4 + std::f32::consts::LN_2, -inf, inf]);
    assert_eq!(of([2, 3]), [1e4 + std::f32::consts::LN_2, inf]);
}

#[test]
fn extremes_find_nan_and_the_first_of_equals() {
    let cpu = Cpu::new(1).unwrap();
    let x = [1.0, 3.0, 3.0, 0.0, f32::NAN, 9.0, f32::NAN, 9.0, 9.0];
    let x = cpu.upload(&[3, 3], &x).unwrap();
    let of = |kind| {
        let y = cpu.reduce(&x, kind, 1..2, &[3]).unwrap();
        y.data().to_vec()
    };
    let (max, min) = (of(Reduction::Max), of(Reduction::Min));
    assert_eq!((max[0], min[0]), (3.0, 1.0));
    assert!([max[1], max[2], min[1], min[2]].iter().all(|v| v.is_nan()));
    assert_eq!(of(Reduction::ArgMax), [1.0, 1.0, 0.0]);
}
