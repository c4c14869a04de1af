//! All pairs, all lags: against plain loops.

use crate::oracle::correlate::correlations;
use crate::support::noise;
use chanscope::cpu::{Cpu, InstructionSet};
use chanscope::ops::Backend;
use chanscope::ops::net::{Correlation, NetOps};
use proptest::prelude::*;

pub const ON_EACH_SET: chanscope::internals::OnEachSet = tests![
    threads_and_instruction_sets_change_no_bit,
    only_small_correlations_are_left_out,
];
pub const ONCE: crate::Once = tests![
    agrees_with_plain_loops,
    large_maps_too,
    a_moved_map_is_found_where_it_is,
    stacks_that_differ_in_inputs_are_refused,
];

/// Maps `[maps, inputs, h, w]` of unit norm.
fn random(shape: [usize; 4], seed: u64) -> Vec<f32> {
    let mut next = noise(seed);
    let row = shape[1] * shape[2] * shape[3];
    let mut data: Vec<f32> = (0..shape[0] * row).map(|_| next()).collect();
    for map in data.chunks_mut(row) {
        let norm = map.iter().map(|v| v * v).sum::<f32>().sqrt();
        map.iter_mut().for_each(|v| *v /= norm);
    }
    data
}

/// Errors are relative to norms of 1; a lag is right when the correlation there is the largest.
fn assert_agrees(got: &Correlation, x: &[f32], a: [usize; 4], y: &[f32], b: [usize; 4]) {
    assert_eq!(got.pairs, [a[0], b[0]]);
    let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let (x, y) = (wide(x), wide(y));
    let (row, row2) = (a[1] * a[2] * a[3], b[1] * b[2] * b[3]);
    for i in 0..a[0] {
        for j in 0..b[0] {
            let (x, y) = (&x[i * row..(i + 1) * row], &y[j * row2..(j + 1) * row2]);
            let all = correlations(x, [a[2], a[3]], y, [b[2], b[3]], a[1]);
            let max = all.iter().fold(f64::NEG_INFINITY, |m, v| m.max(v.1));
            let abs = all.iter().fold(0.0f64, |m, v| m.max(v.1.abs()));
            let at = i * b[0] + j;
            assert!(
                (f64::from(got.max[at]) - max).abs() < 2e-6,
                "max {i} {j}: {} for {max}",
                got.max[at]
            );
            assert!(
                (f64::from(got.max_abs[at]) - abs).abs() < 2e-6,
                "abs {i} {j}"
            );
            let there = all
                .iter()
                .find(|v| v.0 == got.lag[at])
                .expect("a lag in range")
                .1;
            assert!(
                max - there < 4e-6,
                "lag {i} {j}: {:?} has {there}, not {max}",
                got.lag[at]
            );
        }
    }
}

/// Among noise, copies of some maps, moved and disturbed: every pair that is large enough comes back to the bit, and the
/// others as they are or as 0.
fn only_small_correlations_are_left_out(set: InstructionSet) {
    let (a, b) = ([40, 2, 8, 7], [50, 2, 8, 8]);
    let (x, mut y) = (random(a, 3), random(b, 4));
    for (at, disturbed) in [(0, 0.0f32), (17, 0.1), (18, 0.3), (49, 0.2)] {
        let map = &mut y[at * 128..][..128];
        for (i, v) in map.iter_mut().enumerate() {
            let (input, row, column) = (i / 64, i / 8 % 8, i % 8);
            let copy = match column < 7 {
                true => x[((at % 40 * 2 + input) * 8 + row) * 7 + column],
                false => 0.0,
            };
            *v = copy + disturbed * *v;
        }
        let norm = map.iter().map(|v| v * v).sum::<f32>().sqrt();
        map.iter_mut().for_each(|v| *v /= norm);
    }
    let cpu = Cpu::with_instruction_set(2, set).unwrap();
    let (x, y) = (cpu.upload(&a, &x).unwrap(), cpu.upload(&b, &y).unwrap());
    let all = cpu.correlate(&x, Some(&y)).unwrap();
    for least in [0.3, 0.9, 0.95] {
        let found = cpu.correlate_above(&x, &y, least).unwrap();
        let mut left_out = 0;
        for at in 0..40 * 50 {
            let same = found.max[at] == all.max[at]
                && found.max_abs[at] == all.max_abs[at]
                && found.lag[at] == all.lag[at];
            let zero = found.max[at] == 0.0 && found.max_abs[at] == 0.0;
            assert!(same || zero && all.max[at] < least, "{least} {at}");
            left_out += usize::from(zero);
        }
        assert!(all.max.iter().filter(|v| **v >= least).count() >= 3);
        assert!(left_out > 1000 || least < 0.9, "{least}: {left_out}");
    }
}

fn agrees_with_plain_loops() {
    proptest!(ProptestConfig::with_cases(60), |(p in 1usize..20, q in 1usize..20, inputs in 1usize..4,
    h in 1usize..10, w in 1usize..10, h2 in 1usize..10, w2 in 1usize..10, seed in any::<u32>())| {
            let (a, b) = ([p, inputs, h, w], [q, inputs, h2, w2]);
            let (x, y) = (random(a, seed.into()), random(b, u64::from(seed) + 1));
            let cpu = Cpu::new(1).unwrap();
            let (tx, ty) = (cpu.upload(&a, &x).unwrap(), cpu.upload(&b, &y).unwrap());
            assert_agrees(&cpu.correlate(&tx, Some(&ty)).unwrap(), &x, a, &y, b);
            assert_agrees(&cpu.correlate(&tx, None).unwrap(), &x, a, &x, a);
        });
}

fn large_maps_too() {
    let cpu = Cpu::new(2).unwrap();
    for a in [[3, 1, 31, 17], [2, 2, 40, 49]] {
        let x = random(a, 5);
        let t = cpu.upload(&a, &x).unwrap();
        assert_agrees(&cpu.correlate(&t, None).unwrap(), &x, a, &x, a);
    }
}

fn a_moved_map_is_found_where_it_is() {
    let (mut x, mut y) = (vec![0.0; 49], vec![0.0; 49]);
    for (at, v) in [(0, 0.5), (1, -0.5), (8, 0.7)] {
        x[at] = v;
        y[at + 3 * 7 + 2] = v; // three rows down, two columns right
    }
    let cpu = Cpu::new(1).unwrap();
    let both: Vec<f32> = [x, y].concat();
    let t = cpu.upload(&[2, 1, 7, 7], &both).unwrap();
    let got = cpu.correlate(&t, None).unwrap();
    assert_eq!(got.lag, [[0, 0], [3, 2], [-3, -2], [0, 0]]);
    let square: f32 = 0.25 + 0.25 + 0.49;
    assert!(
        got.max.iter().all(|v| (v - square).abs() < 1e-6),
        "{:?}",
        got.max
    );
}

fn threads_and_instruction_sets_change_no_bit(set: InstructionSet) {
    let shape = [37, 2, 9, 11];
    let x = random(shape, 3);
    let first = {
        let cpu = Cpu::new(1).unwrap();
        cpu.correlate(&cpu.upload(&shape, &x).unwrap(), None)
            .unwrap()
    };
    for threads in [1, 2, 3] {
        let cpu = Cpu::with_instruction_set(threads, set).unwrap();
        let t = cpu.upload(&shape, &x).unwrap();
        assert_eq!(cpu.correlate(&t, None).unwrap(), first);
    }
    // One operand twice is the same as itself, up to the last bits.
    let cpu = Cpu::new(1).unwrap();
    let t = cpu.upload(&shape, &x).unwrap();
    let twice = cpu.correlate(&t, Some(&t)).unwrap();
    let difference = twice.max.iter().zip(&first.max).map(|(a, b)| (a - b).abs());
    assert!(difference.fold(0.0, f32::max) < 2e-6);
}

fn stacks_that_differ_in_inputs_are_refused() {
    let cpu = Cpu::new(1).unwrap();
    let (a, b) = (
        cpu.zeros(&[2, 1, 3, 3]).unwrap(),
        cpu.zeros(&[2, 2, 3, 3]).unwrap(),
    );
    assert!(cpu.correlate(&a, Some(&b)).is_err());
    assert!(cpu.correlate(&cpu.zeros(&[2, 9]).unwrap(), None).is_err());
}
