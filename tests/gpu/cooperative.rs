//! The kernels on cooperative matrices: the same results as without them, and as the oracles.

use crate::data::Random;
use crate::knn::{Data, check, params, search};
use crate::{Devices, Test, oracle};
use chanscope::gpu::{Gpu, Options, adapters};
use chanscope::ops::ceiling::Ceilings;
use chanscope::ops::{Backend, GramKind, Identical, Kernel};

pub const TESTS: &[Test] = &[
    ("cooperative::turned_on_and_off", turned_on_and_off),
    ("cooperative::without_them", without_them),
];

/// Ignored where the adapter has no cooperative matrices.
pub const WITH_MATRICES: &[Test] = &[
    ("cooperative::kernels_run", kernels_run),
    ("cooperative::knn_random_rows", knn_random_rows),
    ("cooperative::knn_relu_rows", knn_relu_rows),
    ("cooperative::knn_tight_clusters", knn_tight_clusters),
    ("cooperative::knn_aligned_rounding", knn_aligned_rounding),
    ("cooperative::knn_wide_ranges", knn_wide_ranges),
    ("cooperative::knn_duplicates", knn_duplicates),
    ("cooperative::knn_blocks", knn_blocks),
    ("cooperative::gram_matches_oracle", gram_matches_oracle),
    ("cooperative::gram_chooses_by_group", gram_chooses_by_group),
    ("cooperative::gram_at_any_scale", gram_at_any_scale),
];

const KERNELS: [Kernel; 2] = [Kernel::Gaussian, Kernel::Cosine];

fn open(devices: &Devices, gpu: &Gpu, cooperative_matrix: Option<bool>, profile: bool) -> Gpu {
    devices.reopen(&Options {
        wide: Some(gpu.wide()),
        cooperative_matrix,
        profile,
        ..Options::default()
    })
}

fn turned_on_and_off(devices: &Devices) {
    let gpu = devices.gpu();
    let listed = adapters();
    let own = listed.iter().find(|a| &a.info == gpu.info()).unwrap();
    assert_eq!(own.cooperative_matrix, gpu.cooperative_matrix());
    let measured = gpu.half_products().unwrap();
    assert_eq!(measured.is_some(), gpu.cooperative_matrix().is_some());
    let matrices = own.features.contains(&"cooperative-matrix");
    assert!(matrices || own.cooperative_matrix.is_none());
    let off = open(devices, gpu, Some(false), false);
    assert_eq!(off.cooperative_matrix(), None);
    let options = Options {
        cooperative_matrix: Some(true),
        ..Options::default()
    };
    let name = own.index.to_string();
    match (
        gpu.cooperative_matrix(),
        Gpu::open_with(Some(&name), &options),
    ) {
        (side, Ok(on)) => assert!(side.is_some() && on.cooperative_matrix() == side),
        (side, Err(error)) => {
            assert!(side.is_none());
            assert!(
                error.to_string().contains("cooperative matrices"),
                "{error}"
            );
        }
    }
}

/// An adapter that has them gives the right results when told not to use them.
fn without_them(devices: &Devices) {
    let off = open(devices, devices.gpu(), Some(false), false);
    let data = Data::random(1, 700, 20, 3);
    for kernel in KERNELS {
        let params = params(9, kernel, Identical::Keep);
        let lists = search(&off, &data, &params, &[], &[], false);
        check(&off, &data, &params, &lists, false);
    }
}

/// What is tested here is what runs.
fn kernels_run(devices: &Devices) {
    for on in [true, false] {
        let gpu = open(devices, devices.gpu(), Some(on), true);
        let data = Data::random(1, 600, 16, 3);
        let params = params(5, Kernel::Gaussian, Identical::Keep);
        search(&gpu, &data, &params, &[], &[], false);
        let x = gpu.upload(&[1, 70, 16], &[1.0; 70 * 16]).unwrap();
        gpu.gram(&x, GramKind::Linear).unwrap();
        let times = gpu.kernel_times();
        if times.is_empty() {
            continue; // No timestamps, no names.
        }
        for kernel in ["knn_pack", "knn_half", "gram_pack", "gram_half"] {
            assert_eq!(times.contains_key(kernel), on, "{kernel}");
        }
    }
}

/// The lists are the oracle's, and those without cooperative matrices, bit for bit.
fn same_lists(devices: &Devices, data: &Data, k: usize, kernel: Kernel, oracle: bool) {
    let params = params(k, kernel, Identical::Keep);
    for gpu in devices.all() {
        let off = open(devices, gpu, Some(false), false);
        let lists = search(gpu, data, &params, &[], &[], false);
        let without = search(&off, data, &params, &[], &[], false);
        for (query, (list, without)) in lists.iter().zip(&without).enumerate() {
            assert_eq!(list, without, "{kernel:?}, dim {}, query {query}", data.dim);
        }
        if oracle {
            check(gpu, data, &params, &lists, false);
        }
    }
}

fn knn_random_rows(devices: &Devices) {
    for (groups, n, dim, k) in [
        (1, 300, 15, 3),
        (2, 700, 16, 10),
        (1, 641, 17, 1),
        (1, 1100, 31, 100),
        (1, 900, 64, 25),
        (1, 530, 97, 7),
        (1, 600, 200, 50),
        (3, 65, 33, 64),
        (1, 2, 40, 5),
    ] {
        let data = Data::random(groups, n, dim, 5);
        for kernel in KERNELS {
            same_lists(devices, &data, k, kernel, n < 1000);
        }
    }
    // As a channel of a real layer: many tiles.
    let data = Data::random(1, 6000, 24, 9);
    same_lists(devices, &data, 12, Kernel::Gaussian, false);
}

/// Behind a ReLU: most numbers are 0, many rows are.
fn knn_relu_rows(devices: &Devices) {
    let mut data = Data::random(2, 900, 36, 4);
    let shift = Random(8).signed_vec(900);
    for (i, row) in data.x.chunks_mut(36).enumerate() {
        row.iter_mut()
            .for_each(|v| *v = (*v - 0.3 - shift[i % 900]).max(0.0));
    }
    for kernel in KERNELS {
        same_lists(devices, &data, 20, kernel, true);
    }
}

/// Clusters far from the centre and tight for it: what f16 loses of a number is as large as distances
/// within a cluster, or far larger, so that all of a cluster passes the filter.
fn knn_tight_clusters(devices: &Devices) {
    for (spread, dim) in [(0.3, 24), (0.03, 33), (1e-3, 16), (1e-4, 100)] {
        for kernel in KERNELS {
            let mut data = Data::random(1, 800, dim, 6);
            let centres = Random(7).signed_vec(4 * dim);
            for (i, row) in data.x.chunks_mut(dim).enumerate() {
                let centre = &centres[i % 4 * dim..][..dim];
                row.iter_mut()
                    .zip(centre)
                    .for_each(|(v, c)| *v = *v * spread + c);
            }
            same_lists(devices, &data, 15, kernel, true);
        }
    }
    // A common offset, which the frame takes off, and scales.
    for exponent in [-60, 40] {
        let mut data = Data::random(1, 600, 20, 6);
        data.x
            .iter_mut()
            .for_each(|v| *v = (*v + 3e3) * 2f32.powi(exponent));
        same_lists(devices, &data, 15, Kernel::Gaussian, true);
    }
}

/// All numbers of a row lose the same to f16, in the direction of all other rows: products are off by as
/// much as they can be. (Most rows are 0, and so is the centre.)
fn knn_aligned_rounding(devices: &Devices) {
    let (n, dim) = (900, 33);
    let value = |row: usize| match row % 7 {
        0 | 2 => 1.0 + (row * 7 % n) as f32 / 8192.0,
        _ => 0.0,
    };
    let data = Data {
        x: (0..n * dim).map(|i| value(i / dim)).collect(),
        groups: 1,
        n,
        dim,
    };
    same_lists(devices, &data, 10, Kernel::Gaussian, true);
}

/// Numbers that f16 cannot hold: too large, subnormal, and a filter that is blind on some rows or on all.
fn knn_wide_ranges(devices: &Devices) {
    let mut small = Data::random(1, 700, 32, 2);
    let mut random = Random(12);
    for v in &mut small.x {
        *v *= 2f32.powi(-((random.next() % 40) as i32));
    }
    let mut large = Data::random(1, 700, 32, 2);
    for i in (0..700).step_by(13) {
        let factor = [1e3, 1e6, 1e12][i % 3];
        large.x[i * 32..][..32]
            .iter_mut()
            .for_each(|v| *v *= factor);
    }
    // Nothing is typical: each row has its own scale.
    let mut scaled = Data::random(1, 700, 32, 2);
    for (i, row) in scaled.x.chunks_mut(32).enumerate() {
        row.iter_mut()
            .for_each(|v| *v *= 2f32.powi(i as i32 % 60 - 30));
    }
    for data in [small, large, scaled] {
        for kernel in KERNELS {
            // Pairs of f32 cannot tell large rows from each other as exactly as the oracle does.
            same_lists(devices, &data, 11, kernel, false);
            let params = params(11, kernel, Identical::Keep);
            let lists = search(devices.gpu(), &data, &params, &[], &[], false);
            check(devices.gpu(), &data, &params, &lists, false);
        }
    }
}

/// Equal rows, more than there is room for; rows that all are.
fn knn_duplicates(devices: &Devices) {
    let mut data = Data::random(1, 900, 18, 3);
    for i in 0..900 {
        if i % 3 != 0 {
            data.x.copy_within(i % 5 * 18..(i % 5 + 1) * 18, i * 18);
        }
    }
    let constant = Data {
        x: vec![2.5; 600 * 18],
        groups: 1,
        n: 600,
        dim: 18,
    };
    for kernel in KERNELS {
        same_lists(devices, &data, 30, kernel, true);
        same_lists(devices, &constant, 30, kernel, true);
    }
}

/// Where the work is cut, and how much fits in a buffer, does not matter.
fn knn_blocks(devices: &Devices) {
    let data = Data::random(2, 1000, 40, 14);
    for (gpu, kernel) in devices.all().iter().zip(KERNELS.into_iter().cycle()) {
        let params = params(21, kernel, Identical::Keep);
        let whole = search(gpu, &data, &params, &[], &[], false);
        for (queries, points, own) in [
            (&[1, 130][..], &[257, 300, 900][..], true),
            (&[999], &[3], false),
        ] {
            assert!(search(gpu, &data, &params, queries, points, own) == whole);
        }
        let small = devices.reopen(&Options {
            wide: Some(gpu.wide()),
            max_buffer_bytes: Some(700 << 10),
            ..Options::default()
        });
        assert!(search(&small, &data, &params, &[], &[], false) == whole);
    }
}

/// Numbers of 11 bits, as f16 holds, in `[-1, 1)`.
fn halves(len: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let mut next = || ((random.next() % 4096) as f32 - 2048.0) / 2048.0;
    (0..len).map(|_| next()).collect()
}

const KINDS: [GramKind; 2] = [GramKind::Linear, GramKind::Cosine];

fn gram(gpu: &Gpu, x: &[f32], shape: [usize; 3], kind: GramKind) -> Vec<f32> {
    let x = gpu.upload(&shape, x).unwrap();
    gpu.download(&gpu.gram(&x, kind).unwrap()).unwrap()
}

fn gram_matches_oracle(devices: &Devices) {
    for shape in [
        [1, 1, 16],
        [3, 5, 17],
        [2, 64, 16],
        [1, 65, 33],
        [2, 130, 48],
        [1, 200, 300],
    ] {
        let mut x = halves(shape.iter().product(), 3);
        if shape[1] >= 5 {
            x[2 * shape[2]..3 * shape[2]].fill(0.0);
            x.copy_within(0..shape[2], 4 * shape[2]);
        }
        for kind in KINDS {
            let got = gram(devices.gpu(), &x, shape, kind);
            crate::gram::check(&x, shape, kind, &got);
            for g in 0..shape[0] {
                let n = shape[1];
                let own = &got[g * n * n..][..n * n];
                for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
                    assert_eq!(own[i * n + j].to_bits(), own[j * n + i].to_bits());
                }
            }
        }
    }
}

/// Sums that are exact in f32 tell which kernel computed a group: none may differ, whatever the others
/// hold; and a value that f16 cannot hold keeps its group off the matrices.
fn gram_chooses_by_group(devices: &Devices) {
    let shape = [4, 70, 20];
    let size = shape[1] * shape[2];
    let mut x: Vec<f32> = halves(4 * size, 5)
        .iter()
        .map(|v| (v * 16.0).round())
        .collect();
    // Needs 12 bits; needs a wider range; is all zero.
    x[size + 17] = 2049.0;
    x[2 * size + 5] = 1e-12;
    x[3 * size..].fill(0.0);
    for kind in KINDS {
        let got = gram(devices.gpu(), &x, shape, kind);
        crate::gram::check(&x, shape, kind, &got);
        if kind == GramKind::Linear {
            for g in 0..4 {
                let rows = &x[g * size..][..size];
                let want = oracle::gram::gram(rows, shape[1], shape[2], kind);
                for (got, want) in got[g * 4900..][..4900].iter().zip(want) {
                    assert_eq!(f64::from(*got), want as f32 as f64, "group {g}");
                }
            }
        }
    }
}

/// A power of two changes nothing but the scale; subnormal f16 numbers are numbers too.
fn gram_at_any_scale(devices: &Devices) {
    let shape = [1, 70, 20];
    let mut x = halves(1400, 6);
    // The smallest number of f16 beside one of its large ones.
    (x[0], x[33]) = (2f32.powi(-24), 3.5);
    let plain = gram(devices.gpu(), &x, shape, GramKind::Linear);
    for exponent in [-50i32, -1, 3, 55] {
        let factor = 2f32.powi(exponent);
        let scaled: Vec<f32> = x.iter().map(|v| v * factor).collect();
        let got = gram(devices.gpu(), &scaled, shape, GramKind::Linear);
        for (got, plain) in got.iter().zip(&plain) {
            assert_eq!(*got, plain * factor * factor);
        }
        let got = gram(devices.gpu(), &scaled, shape, GramKind::Cosine);
        crate::gram::check(&scaled, shape, GramKind::Cosine, &got);
    }
}
