use crate::{Devices, Test, data::Random, oracle};
use chanscope::cpu::Cpu;
use chanscope::ops::{Backend, DotRows, GramKind};

pub const TESTS: &[Test] = &[
    ("gram::matches_oracle", matches_oracle),
    ("gram::far_from_origin", far_from_origin),
    ("gram::same_pair_same_bits", same_pair_same_bits),
    ("gram::empty", empty),
    (
        "gram::dots_have_the_bits_of_the_cpu",
        dots_have_the_bits_of_the_cpu,
    ),
];

const KINDS: [GramKind; 4] = [
    GramKind::Linear,
    GramKind::Cosine,
    GramKind::Gaussian(0.7),
    GramKind::Gaussian(3e-3),
];

fn run(devices: &Devices, x: &[f32], shape: [usize; 3], kind: GramKind) -> Vec<f32> {
    let gpu = devices.gpu();
    let x = gpu.upload(&shape, x).unwrap();
    gpu.download(&gpu.gram(&x, kind).unwrap()).unwrap()
}

/// Forward error bound of a sum of `dim` products in f32, and of exp for the exponents that matter.
pub fn check(x: &[f32], [groups, n, dim]: [usize; 3], kind: GramKind, got: &[f32]) {
    let eps = f64::from(f32::EPSILON);
    for g in 0..groups {
        let rows = &x[g * n * dim..][..n * dim];
        let want = oracle::gram::gram(rows, n, dim, kind);
        for i in 0..n {
            for j in 0..n {
                let (a, b) = (&rows[i * dim..][..dim], &rows[j * dim..][..dim]);
                let size: f64 = match kind {
                    GramKind::Linear => {
                        a.iter().zip(b).map(|(a, b)| f64::from((a * b).abs())).sum()
                    }
                    _ => 1.0,
                };
                let (got, want) = (f64::from(got[(g * n + i) * n + j]), want[i * n + j]);
                let bound = eps * (dim as f64 + 8.0) * size + 1e-38;
                assert!(
                    (got - want).abs() <= bound,
                    "{kind:?} {i} {j}: {got} {want}"
                );
            }
        }
    }
}

fn matches_oracle(devices: &Devices) {
    let mut random = Random(1);
    for shape in [
        [1, 1, 1],
        [3, 5, 7],
        [2, 64, 16],
        [1, 65, 33],
        [2, 130, 3],
        [1, 20, 300],
    ] {
        let mut x = random.signed_vec(shape.iter().product());
        // A zero row and two equal rows.
        if shape[1] >= 5 {
            x[2 * shape[2]..3 * shape[2]].fill(0.0);
            x.copy_within(0..shape[2], 4 * shape[2]);
        }
        for kind in KINDS {
            check(&x, shape, kind, &run(devices, &x, shape, kind));
        }
    }
}

fn far_from_origin(devices: &Devices) {
    let mut random = Random(2);
    let shape = [1, 40, 12];
    let x: Vec<f32> = (0..480).map(|_| 1000.0 + random.signed()).collect();
    let kind = GramKind::Gaussian(0.5);
    check(&x, shape, kind, &run(devices, &x, shape, kind));
    // Bandwidth and data that f32 squares cannot hold.
    let x: Vec<f32> = (0..480).map(|_| 1e25 * random.signed()).collect();
    let kind = GramKind::Gaussian(1e25);
    check(&x, shape, kind, &run(devices, &x, shape, kind));
    check(
        &x,
        shape,
        GramKind::Cosine,
        &run(devices, &x, shape, GramKind::Cosine),
    );
    let x: Vec<f32> = x.iter().map(|v| v * 1e-25 * 1e-25).collect();
    check(
        &x,
        shape,
        GramKind::Cosine,
        &run(devices, &x, shape, GramKind::Cosine),
    );
}

fn same_pair_same_bits(devices: &Devices) {
    let mut random = Random(3);
    let x = random.signed_vec(150 * 9);
    for kind in KINDS {
        let all = run(devices, &x, [1, 150, 9], kind);
        // The same rows at other places in other tiles.
        let some = run(devices, &x[83 * 9..], [1, 67, 9], kind);
        for i in 0..67 {
            for j in 0..67 {
                assert_eq!(
                    some[i * 67 + j].to_bits(),
                    all[(83 + i) * 150 + 83 + j].to_bits()
                );
                assert_eq!(some[i * 67 + j].to_bits(), some[j * 67 + i].to_bits());
            }
        }
    }
}

fn empty(devices: &Devices) {
    for shape in [[0, 4, 3], [2, 0, 3]] {
        assert!(run(devices, &[], shape, GramKind::Linear).is_empty());
    }
    let zeros = run(devices, &[], [1, 3, 0], GramKind::Linear);
    assert_eq!(zeros, [0.0; 9]);
    let gpu = devices.gpu();
    let x = gpu.upload(&[2, 2], &[0.0; 4]).unwrap();
    assert!(gpu.gram(&x, GramKind::Linear).is_err());
    let x = gpu.upload(&[1, 2, 2], &[0.0; 4]).unwrap();
    assert!(gpu.gram(&x, GramKind::Gaussian(0.0)).is_err());
}

/// Baselines are sums of these, and must not depend on the device.
fn dots_have_the_bits_of_the_cpu(devices: &Devices) {
    let (rows, dim) = (17, 45);
    let data = Random(11).signed_vec(rows * dim);
    let mut x = DotRows::new(rows, dim);
    x.fill(1, |_, row, out| {
        for (out, &v) in out.iter_mut().zip(&data[row * dim..][..dim]) {
            *out = f64::from(v);
        }
    });
    let run = |backend: &dyn Fn(&mut [f64])| {
        let mut out = vec![0.5; rows * rows];
        backend(&mut out);
        out
    };
    let cpu = Cpu::new(2).unwrap();
    let expected = run(&|out| cpu.add_dots(&x, out).unwrap());
    let found = run(&|out| devices.gpu().add_dots(&x, out).unwrap());
    assert_eq!(found, expected);
}
