//! Weighted sums along an axis against plain loops.

use crate::oracle::reduce::resample;
use crate::support::noise;
use chanscope::cpu::Cpu;
use chanscope::ops::Backend;
use chanscope::ops::net::{NetOps, Resampling};
use proptest::prelude::*;

proptest! {
    #[test]
    fn weighted_sums_agree_with_plain_loops(
        shape in prop::collection::vec(1usize..6, 1..5), axis in 0usize..4, terms in 1usize..5,
        out in 1usize..9, seed: u32,
    ) {
        let axis = axis % shape.len();
        let mut next = noise(seed.into());
        let x: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
        let index: Vec<u32> =
            (0..out * terms).map(|_| ((next().abs() * 1e4) as usize % shape[axis]) as u32).collect();
        let weight: Vec<f32> = (0..out * terms).map(|_| next()).collect();
        let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let want = resample(&wide, &shape, axis, terms, &index, &weight);
        let cpu = Cpu::new(2).unwrap();
        let by = Resampling { terms, index, weight };
        let got = cpu.resample(&cpu.upload(&shape, &x).unwrap(), axis, &by).unwrap();
        prop_assert_eq!(got.shape()[axis], out);
        prop_assert_eq!(got.data().len(), want.len());
        for (g, w) in got.data().iter().zip(want) {
            // Of at most four products below 1.
            prop_assert!((f64::from(*g) - w).abs() < 5e-7, "{} for {}", g, w);
        }
    }
}

#[test]
fn what_has_no_weight_may_be_infinite() {
    let cpu = Cpu::new(1).unwrap();
    let x = cpu
        .upload(&[1, 3], &[f32::INFINITY, 2.0, f32::NAN])
        .unwrap();
    let by = Resampling {
        terms: 2,
        index: vec![0, 1, 1, 2],
        weight: vec![0.0, 1.0, 0.5, 0.0],
    };
    assert_eq!(cpu.resample(&x, 1, &by).unwrap().data(), [2.0, 1.0]);
}
