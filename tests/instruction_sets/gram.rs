use crate::oracle;
use crate::support::noise;
use chanscope::cpu::{Cpu, InstructionSet};
use chanscope::ops::{Backend, GramKind};
use proptest::prelude::*;

pub const ON_EACH_SET: chanscope::internals::OnEachSet = tests![
    any_shape,
    large_offset,
    several_blocks_and_chunks,
    extreme_scales,
];
pub const ONCE: crate::Once = tests![
    batches_and_threads_do_not_matter,
    equal_and_zero_vectors,
    misuse_is_refused,
];

fn gram(cpu: &Cpu, x: &[f32], shape: [usize; 3], kind: GramKind) -> Vec<f32> {
    let x = cpu.upload(&shape, x).unwrap();
    let out = cpu.gram(&x, kind).unwrap();
    assert_eq!(out.shape(), [shape[0], shape[1], shape[1]]);
    out.data().to_vec()
}

fn random(shape: [usize; 3], seed: u64) -> Vec<f32> {
    let mut next = noise(seed);
    (0..shape.iter().product()).map(|_| next()).collect()
}

/// Every value within `bound(oracle value, i, j)` and symmetric to the bit.
fn check(
    set: InstructionSet,
    x: &[f32],
    shape: [usize; 3],
    kind: GramKind,
    bound: impl Fn(f64, &[f32], &[f32]) -> f64,
) {
    let [groups, n, dim] = shape;
    let out = gram(&Cpu::with_instruction_set(2, set).unwrap(), x, shape, kind);
    for g in 0..groups {
        let rows = &x[g * n * dim..][..n * dim];
        let want = oracle::gram::gram(rows, n, dim, kind);
        for i in 0..n {
            for j in 0..n {
                let got = out[(g * n + i) * n + j];
                let want = want[i * n + j];
                let bound = bound(want, &rows[i * dim..][..dim], &rows[j * dim..][..dim]);
                assert!(
                    (f64::from(got) - want).abs() <= bound,
                    "{set} {kind:?} {shape:?} ({i}, {j}): {got} {want}"
                );
                assert_eq!(got.to_bits(), out[(g * n + j) * n + i].to_bits());
            }
        }
    }
}

/// Roundings of a sum of `dim` terms in chunks, as a relative error.
fn roundings(dim: usize) -> f64 {
    (dim.min(256) + dim / 256 + 4) as f64 * f64::from(f32::EPSILON) / 2.0
}

fn check_linear(set: InstructionSet, x: &[f32], shape: [usize; 3]) {
    check(set, x, shape, GramKind::Linear, |_, a, b| {
        let scale: f64 = a
            .iter()
            .zip(b)
            .map(|(&a, &b)| (f64::from(a) * f64::from(b)).abs())
            .sum();
        roundings(shape[2]) * scale + 1e-30
    });
}

fn check_cosine(set: InstructionSet, x: &[f32], shape: [usize; 3]) {
    check(set, x, shape, GramKind::Cosine, |_, _, _| {
        roundings(shape[2])
    });
}

/// The exponent has the relative error of a sum of squares.
fn check_gaussian(set: InstructionSet, x: &[f32], shape: [usize; 3], s: f64) {
    check(set, x, shape, GramKind::Gaussian(s), |want, _, _| {
        let exponent = -want.max(1e-300).ln();
        want * (2.0 * exponent * (roundings(shape[2]) + 1e-7) + 3e-7) + 3e-45
    });
}

fn any_shape(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(40), |(groups in 1usize..4, n in 1usize..80, dim in 1usize..70, s in 0.05f64..20.0, seed: u64)| {
        let shape = [groups, n, dim];
        let x = random(shape, seed);
        check_linear(set, &x, shape);
        check_cosine(set, &x, shape);
        check_gaussian(set, &x, shape, s);
    });
}

/// Differences are taken before anything is squared: a far mean does no harm.
fn large_offset(set: InstructionSet) {
    proptest!(ProptestConfig::with_cases(40), |(n in 1usize..40, dim in 1usize..40, exponent in -60i32..60, seed: u64)| {
        let factor = 2f32.powi(exponent);
        let x: Vec<f32> = random([1, n, dim], seed).iter().map(|v| (v + 1e4) * factor).collect();
        check_gaussian(set, &x, [1, n, dim], f64::from(factor));
    });
}

fn batches_and_threads_do_not_matter() {
    proptest!(ProptestConfig::with_cases(40), |(n in 1usize..300, dim in 1usize..40, seed: u64)| {
        let x = random([3, n, dim], seed);
        for kind in [GramKind::Linear, GramKind::Cosine, GramKind::Gaussian(0.7)] {
            let whole = gram(&Cpu::new(2).unwrap(), &x, [3, n, dim], kind);
            let one = gram(&Cpu::new(1).unwrap(), &x[n * dim..2 * n * dim], [1, n, dim], kind);
            prop_assert_eq!(&whole[n * n..2 * n * n], &one[..]);
        }
    });
}

fn several_blocks_and_chunks(set: InstructionSet) {
    for shape in [
        [1, 129, 3],
        [2, 260, 17],
        [1, 40, 256],
        [1, 40, 257],
        [1, 33, 1000],
    ] {
        let x = random(shape, 4);
        check_linear(set, &x, shape);
        check_cosine(set, &x, shape);
        check_gaussian(set, &x, shape, 2.0);
    }
}

fn equal_and_zero_vectors() {
    let mut x = random([1, 50, 6], 8);
    for i in (0..50).step_by(5) {
        x.copy_within(0..6, i * 6);
    }
    x[7 * 6..8 * 6].fill(0.0);
    x[9 * 6..10 * 6].fill(0.0);
    let cpu = Cpu::new(1).unwrap();
    let gaussian = gram(&cpu, &x, [1, 50, 6], GramKind::Gaussian(1e-3));
    let cosine = gram(&cpu, &x, [1, 50, 6], GramKind::Cosine);
    let zero = |i: usize| i == 7 || i == 9;
    for i in 0..50 {
        for j in 0..50 {
            let same = i == j || i % 5 == 0 && j % 5 == 0 || zero(i) && zero(j);
            assert_eq!(gaussian[i * 50 + j] == 1.0, same);
            let c = cosine[i * 50 + j];
            assert!((0.0..=1.0).contains(&c));
            assert!(!(zero(i) || zero(j)) || c == 0.0);
            assert!(i != j || zero(i) || c == 1.0);
        }
    }
}

/// Scales at which squares leave the range of f32.
fn extreme_scales(set: InstructionSet) {
    for factor in [1e30f32, 1e-30, 3e37, 1e-38] {
        let x: Vec<f32> = random([1, 30, 5], 6).iter().map(|v| v * factor).collect();
        check_gaussian(set, &x, [1, 30, 5], f64::from(factor));
        check_cosine(set, &x, [1, 30, 5]);
    }
    // Far apart, or all but equal, for the bandwidth.
    let x = random([1, 30, 5], 6);
    check_gaussian(set, &x, [1, 30, 5], 1e-30);
    check_gaussian(set, &x, [1, 30, 5], 1e30);
}

fn misuse_is_refused() {
    let cpu = Cpu::new(1).unwrap();
    let x = cpu.upload(&[1, 2, 2], &[1.0; 4]).unwrap();
    for s in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(cpu.gram(&x, GramKind::Gaussian(s)).is_err());
    }
    assert!(
        cpu.gram(&cpu.upload(&[2, 2], &[1.0; 4]).unwrap(), GramKind::Linear)
            .is_err()
    );
}
