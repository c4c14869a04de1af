//! Fully connected layers against plain loops.

use crate::oracle::net::linear;
use crate::support::noise;
use chanscope::cpu::{Cpu, InstructionSet};
use chanscope::ops::net::NetOps;
use chanscope::ops::{Activation, Backend};
use proptest::prelude::*;

pub const ON_EACH_SET: chanscope::internals::OnEachSet = tests![agrees_with_plain_loops,];
pub const ONCE: crate::Once = tests![rows_and_threads_change_no_bit, misfits_are_refused,];

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut next = noise(seed);
    (0..len).map(|_| next()).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

fn transposed(w: &[f32], k: usize, m: usize) -> Vec<f64> {
    (0..m * k)
        .map(|i| f64::from(w[i % k * m + i / k]))
        .collect()
}

fn agrees_with_plain_loops(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(60), |(rows in 1usize..90, k in 1usize..600, m in 1usize..80, biased: bool, seed: u32)| {
        let (x, w, b) = (random(rows * k, seed.into()), random(k * m, 1), random(m, 2));
        let zero = vec![0.0; m];
        let want = linear(&wide(&x), &transposed(&w, k, m), &wide(if biased { &b } else { &zero }), k);
            let cpu = Cpu::with_instruction_set(2, set).unwrap();
            let (tx, tw) = (cpu.upload(&[rows, k], &x).unwrap(), cpu.upload(&[k, m], &w).unwrap());
            let tb = cpu.upload(&[m], &b).unwrap();
            let got = cpu.linear(&tx, &tw, biased.then_some(&tb), Activation::Relu).unwrap();
            for (g, w) in got.data().iter().zip(&want) {
                // Relative to the number of terms, each at most 1.
                prop_assert!((f64::from(*g) - w.max(0.0)).abs() < 2e-7 * k as f64, "{} for {}", g, w);
            }
    });
}

fn rows_and_threads_change_no_bit() {
    let (rows, k, m) = (77, 300, 45);
    let (x, w) = (random(rows * k, 1), random(k * m, 2));
    let run = |threads: usize, rows: std::ops::Range<usize>| {
        let cpu = Cpu::new(threads).unwrap();
        let tx = cpu
            .upload(&[rows.len(), k], &x[rows.start * k..rows.end * k])
            .unwrap();
        let tw = cpu.upload(&[k, m], &w).unwrap();
        let y = cpu.linear(&tx, &tw, None, Activation::Identity).unwrap();
        y.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    let whole = run(1, 0..rows);
    assert_eq!(run(3, 0..rows), whole);
    assert_eq!(
        [run(2, 0..1), run(1, 1..30), run(3, 30..rows)].concat(),
        whole
    );
}

fn misfits_are_refused() {
    let cpu = Cpu::new(1).unwrap();
    let zeros = |shape: &[usize]| cpu.zeros(shape).unwrap();
    let fits = |x: &[usize], w: &[usize], b: Option<&[usize]>| {
        let bias = b.map(zeros);
        cpu.linear(&zeros(x), &zeros(w), bias.as_ref(), Activation::Identity)
            .is_ok()
    };
    assert!(fits(&[2, 3], &[3, 4], Some(&[4])));
    assert!(!fits(&[2, 3], &[4, 3], None));
    assert!(!fits(&[2, 3], &[3, 4], Some(&[3])));
    assert!(!fits(&[6], &[3, 4], None));
}
