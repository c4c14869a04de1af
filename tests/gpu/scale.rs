//! Inputs times a power of two: whatever the definitions say does not depend on scale has the same bits,
//! from subnormal numbers to the largest. Inputs have few significant bits, so that scaling is exact.

use crate::knn::{Data, params, ranges, search};
use crate::nnk::graph;
use crate::support::scale::{self, integers, times};
use crate::{Devices, Test};
use chanscope::device::Device;
use chanscope::gpu::{Options, Wide};
use chanscope::ops::net::{NetOps, Reduction};
use chanscope::ops::{Backend, GramKind, GraphParams, Identical, Kernel, Sigma};
use chanscope::tensor::Values;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

pub const TESTS: &[Test] = &[
    ("scale::graphs", graphs),
    ("scale::blocks_of_different_magnitude", mixed_blocks),
    ("scale::far_apart_magnitudes_are_refused", refused),
    ("scale::redundancy", redundancy),
    ("scale::filters", filters),
    ("scale::responses", responses),
    ("scale::gram_matrices", gram_matrices),
    ("scale::reductions", reductions),
    ("scale::products_of_maps", products_of_maps),
];

/// Exponents around every change of representation, and any others.
fn exponents() -> impl Strategy<Value = i32> {
    prop_oneof![
        prop::sample::select(vec![-140, -130, -126, -63, -1, 1, 63, 100, 117, 120]),
        -140i32..=120,
    ]
}

#[derive(Clone, Debug)]
struct Case {
    data: Data,
    params: GraphParams,
    exponent: i32,
    gathered: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let size = (1usize..3, 2usize..50, 1usize..24, 1usize..14, 0u64..5);
    let how = (
        prop::sample::select(vec![Kernel::Gaussian, Kernel::Cosine]),
        prop::sample::select(vec![Identical::Keep, Identical::Drop, Identical::Replace]),
        prop::option::of(0.5f64..20.0),
    );
    (size, how, exponents(), any::<bool>(), any::<u64>()).prop_map(
        |((groups, n, dim, k, tails), (kernel, identical, sigma), exponent, gathered, seed)| {
            let x = integers(groups * n * dim, dim, tails, seed);
            Case {
                data: Data { x, groups, n, dim },
                params: GraphParams {
                    sigma: sigma.map_or(Sigma::KthThird, Sigma::Fixed),
                    ..params(k, kernel, identical)
                },
                exponent,
                gathered,
            }
        },
    )
}

/// The same case, scaled.
fn scaled(case: &Case) -> (Data, GraphParams) {
    let data = Data {
        x: times(&case.data.x, case.exponent),
        ..case.data
    };
    let sigma = match case.params.sigma {
        Sigma::Fixed(s) => Sigma::Fixed(s * f64::from(case.exponent).exp2()),
        other => other,
    };
    (
        data,
        GraphParams {
            sigma,
            ..case.params
        },
    )
}

/// What squared distances are multiplied by.
fn unit(kernel: Kernel, exponent: i32) -> f64 {
    match kernel {
        Kernel::Gaussian => f64::from(2 * exponent).exp2(),
        Kernel::Cosine => 1.0,
    }
}

/// Graphs, objectives and principal components, from vectors in place or gathered from blocks.
fn graphs(devices: &Devices) {
    let mut runner = TestRunner::new_with_rng(
        Config::with_cases(60),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let result = runner.run(&case(), |case| {
        for gpu in devices.all() {
            let (data, params) = scaled(&case);
            let rows = 0..data.n;
            let want = graph(gpu, &case.data, &case.params, rows.clone(), case.gathered);
            let got = graph(gpu, &data, &params, rows, case.gathered);
            prop_assert_eq!(&want.neighbors, &got.neighbors);
            prop_assert_eq!(&want.weights, &got.weights);
            prop_assert_eq!(&want.objective, &got.objective);
            prop_assert_eq!(&want.kkt_residual, &got.kkt_residual);
            prop_assert_eq!(&want.degenerate, &got.degenerate);
            prop_assert_eq!(&want.pca_dimension, &got.pca_dimension);
            let unit = unit(params.kernel, case.exponent);
            for (&want, &got) in want.sq_distances.iter().zip(&got.sq_distances) {
                prop_assert_eq!(want * unit, got);
            }
        }
        Ok(())
    });
    result.unwrap();
}

/// Blocks of points and queries of which some hold subnormal numbers and others none.
fn mixed_blocks(devices: &Devices) {
    for gpu in devices.all() {
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            let (n, dim) = (60, 5);
            let mut x = integers(n * dim, dim, 0, 77);
            // Later rows are larger, so that only the first block holds subnormal numbers.
            for (i, row) in x.chunks_exact_mut(dim).enumerate() {
                let factor = [1.0, 16.0, 256.0][i / 20];
                row.iter_mut().for_each(|v| *v *= factor);
            }
            let data = Data {
                x,
                groups: 1,
                n,
                dim,
            };
            let small = Data {
                x: times(&data.x, -128),
                ..data
            };
            let params = params(9, kernel, Identical::Keep);
            for own_blocks in [false, true] {
                let cuts = [20, 40];
                let want = search(gpu, &data, &params, &cuts, &cuts, own_blocks);
                let got = search(gpu, &small, &params, &cuts, &cuts, own_blocks);
                let unit = unit(kernel, -128);
                for (want, got) in want.iter().zip(&got) {
                    let want: Vec<_> = want.iter().map(|&(d, i)| (d * unit, i)).collect();
                    assert_eq!(&want, got, "{kernel:?} {own_blocks}");
                }
            }
            // Vectors of the candidates, gathered from these blocks.
            for gathered in [false, true] {
                let want = graph(gpu, &data, &params, 0..n, gathered);
                let got = graph(gpu, &small, &params, 0..n, gathered);
                assert_eq!(want.neighbors, got.neighbors);
                assert_eq!(want.weights, got.weights);
                assert_eq!(want.pca_dimension, got.pca_dimension);
            }
            // Queries of a block without subnormal numbers, among points that have some.
            let last = ranges(&[40], n).remove(1);
            let blocks = |data: &Data| {
                let queries = data.points(gpu, last.clone(), kernel);
                let points = data.points(gpu, 0..n, kernel);
                let mut found = gpu.candidates(1, last.len(), 9).unwrap();
                gpu.knn(&queries, 0..last.len(), &points, &params, &mut found)
                    .unwrap();
                let vectors = chanscope::ops::Vectors::Points(&points);
                gpu.nnk(&queries, 0..last.len(), &found, vectors, &params)
                    .unwrap()
            };
            let (want, got) = (blocks(&data), blocks(&small));
            assert_eq!(want.neighbors, got.neighbors);
            assert_eq!(want.weights, got.weights);
            assert_eq!(want.objective, got.objective);
            assert_eq!(want.pca_dimension, got.pca_dimension);
        }
    }
}

/// What no power of two makes normal is refused, not taken for zero.
fn refused(devices: &Devices) {
    let gpu = devices.gpu();
    let data = [1e-40f32, 1e35, 1.0, 2.0];
    let block = chanscope::ops::PointsBlock {
        data: Values::F32(&data),
        groups: 1,
        rows: 2,
        dim: 2,
        first: 0,
    };
    let refused = gpu.points(block, Kernel::Gaussian).err().unwrap();
    let text = refused.to_string();
    assert!(text.contains("1e-38") && text.contains("CPU"), "{text}");
}

fn device(devices: &Devices, wide: Wide) -> Device {
    let options = Options {
        wide: Some(wide),
        ..Options::default()
    };
    Device::Gpu(Box::new(devices.reopen(&options)))
}

/// All figures of a layer.
fn redundancy(devices: &Devices) {
    for gpu in devices.all() {
        scale::redundancy(&device(devices, gpu.wide()));
    }
}

fn filters(devices: &Devices) {
    for gpu in devices.all() {
        scale::filters(&device(devices, gpu.wide()));
    }
}

fn responses(devices: &Devices) {
    scale::responses(&device(devices, devices.gpu().wide()));
}

/// Cosine matrices, and Gaussian ones whose bandwidth is scaled too.
fn gram_matrices(devices: &Devices) {
    let (groups, n, dim) = (2, 70, 17);
    let x = integers(groups * n * dim, dim, 3, 9);
    for gpu in devices.all() {
        let gram = |x: &[f32], kind| {
            let x = gpu.upload(&[groups, n, dim], x).unwrap();
            gpu.download(&gpu.gram(&x, kind).unwrap()).unwrap()
        };
        for e in [-140, -126, -64, 64, 120] {
            let scaled = times(&x, e);
            assert_eq!(
                gram(&x, GramKind::Cosine),
                gram(&scaled, GramKind::Cosine),
                "2^{e}"
            );
            let (s, small) = (8.0, 8.0 * f64::from(e).exp2());
            assert_eq!(
                gram(&x, GramKind::Gaussian(s)),
                gram(&scaled, GramKind::Gaussian(small)),
                "2^{e}"
            );
        }
    }
}

/// Means, norms and normalised runs whose sums or squares leave the range.
fn reductions(devices: &Devices) {
    let gpu = devices.gpu();
    let x: Vec<f32> = integers(3 * 200, 1, 0, 4).iter().map(|v| v.abs()).collect();
    let upload = |x: &[f32]| gpu.upload(&[3, 200], x).unwrap();
    let reduce = |x: &[f32], kind| {
        gpu.download(&gpu.reduce(&upload(x), kind, 1..2, &[3]).unwrap())
            .unwrap()
    };
    let normalise = |x: &[f32]| {
        gpu.download(&gpu.normalise(&upload(x), 200, 0.0).unwrap())
            .unwrap()
    };
    for e in [-126, -100, 60, 100, 124] {
        let scaled = times(&x, e);
        for kind in [Reduction::Mean, Reduction::Norm] {
            if kind == Reduction::Norm && e == 124 {
                continue; // Beyond the range.
            }
            for (want, got) in reduce(&x, kind).iter().zip(reduce(&scaled, kind)) {
                let want = f64::from(*want) * f64::from(e).exp2();
                assert!(
                    (f64::from(got) / want - 1.0).abs() < 1e-6,
                    "{kind:?} {got} {want}"
                );
            }
        }
        if e > 0 {
            for (want, got) in normalise(&x).iter().zip(normalise(&scaled)) {
                assert!((want - got).abs() < 1e-6, "{want} {got}");
            }
        }
    }
}

/// What cosines of shuffled maps come from.
fn products_of_maps(devices: &Devices) {
    let gpu = devices.gpu();
    let (x, y) = (
        integers(2 * 3 * 70, 70, 3, 5),
        integers(4 * 3 * 70, 70, 3, 6),
    );
    let dots = |x: &[f32], y: &[f32]| {
        let x = gpu.upload(&[2, 3, 70], x).unwrap();
        let y = gpu.upload(&[4, 3, 70], y).unwrap();
        gpu.channel_dots(&x, &y).unwrap()
    };
    let want = dots(&x, &y);
    for e in [-140, -126, -64, 64, 115] {
        let unit = f64::from(2 * e).exp2();
        let got = dots(&times(&x, e), &times(&y, e));
        let want: Vec<f64> = want.iter().map(|v| v * unit).collect();
        assert_eq!(want, got, "2^{e}");
    }
}
