//! Halves go to the device as they are, and give the bits of the same values in `f32`.

use crate::knn::params;
use crate::support::halves::{halves, stored};
use crate::support::runs::{options, run_layer, same};
use crate::{Devices, Test};
use chanscope::device::Device;
use chanscope::gpu::{Gpu, Options};
use chanscope::measure::Context;
use chanscope::ops::{Backend, GraphBlock, GraphParams, Identical, Kernel, PointsBlock, Vectors};
use chanscope::tensor::{ValueType, Values};
use half::f16;

pub const TESTS: &[Test] = &[
    ("halves::all_are_widened_exactly", all_are_widened_exactly),
    (
        "halves::graphs_have_the_bits_of_f32",
        graphs_have_the_bits_of_f32,
    ),
    (
        "halves::half_the_bytes_are_uploaded",
        half_the_bytes_are_uploaded,
    ),
    (
        "halves::runs_have_the_bits_of_f32",
        runs_have_the_bits_of_f32,
    ),
];

fn points(
    gpu: &Gpu,
    data: Values<'_>,
    [groups, dim]: [usize; 2],
    kernel: Kernel,
) -> <Gpu as Backend>::Points {
    let rows = data.len() / (groups * dim);
    gpu.points(
        PointsBlock {
            data,
            groups,
            rows,
            dim,
            first: 0,
        },
        kernel,
    )
    .unwrap()
}

/// Every finite half, subnormal ones and both zeros among them, as the device holds them.
fn all_are_widened_exactly(devices: &Devices) {
    let finite = (0..=u16::MAX).map(f16::from_bits).filter(|v| v.is_finite());
    let x: Vec<f16> = finite.collect();
    // All rows but the query itself are its candidates.
    let (n, k) = (32, 31);
    let dim = x.len() / n;
    assert_eq!(n * dim, 63_488);
    let params = params(k, Kernel::Gaussian, Identical::Keep);
    for gpu in devices.all() {
        let points = points(gpu, Values::F16(&x), [1, dim], params.kernel);
        let mut found = gpu.candidates(1, n, k).unwrap();
        gpu.knn(&points, 0..n, &points, &params, &mut found)
            .unwrap();
        let (lists, _) = gpu.candidate_lists(&found, &points).unwrap();
        let mut into = gpu.gathered([1, n, k, dim], ValueType::F16).unwrap();
        gpu.gather(&points, &found, &mut into).unwrap();
        let got = gpu.download(&into).unwrap();
        let mut seen = vec![false; n];
        for (row, values) in lists.iter().zip(got.chunks_exact(dim)) {
            let row = *row as usize;
            seen[row] = true;
            let wanted = x[row * dim..][..dim].iter().map(|v| v.to_f32().to_bits());
            let got = values.iter().map(|v| v.to_bits());
            assert!(got.eq(wanted), "row {row}");
        }
        assert!(seen.iter().all(|&seen| seen));
    }
}

/// Rows of several groups: like activations, subnormal, or of every magnitude, in turn.
fn rows(groups: usize, n: usize, dim: usize) -> Vec<f16> {
    let mut noise = crate::support::noise((n * dim) as u64);
    let mut value = move |kind: usize| {
        let v = noise();
        match kind {
            0 => f16::from_f32((v - 0.2).max(0.0)),
            1 => f16::from_bits((v.abs() * 1024.0) as u16 | u16::from(v < 0.0) << 15),
            _ => f16::from_bits((v.abs() * 31_700.0) as u16 | u16::from(v < 0.0) << 15),
        }
    };
    (0..groups * n * dim)
        .map(|i| value(i / (n * dim) % 3))
        .collect()
}

fn graph(
    gpu: &Gpu,
    data: Values<'_>,
    shape: [usize; 2],
    params: &GraphParams,
    drawn: bool,
) -> GraphBlock {
    let all = points(gpu, data, shape, params.kernel);
    let n = data.len() / (shape[0] * shape[1]);
    let samples: Vec<u32> = (0..n as u32).collect();
    let block = PointsBlock {
        data,
        groups: shape[0],
        rows: n,
        dim: shape[1],
        first: 0,
    };
    let listed = drawn.then(|| gpu.queries(block, &samples, params.kernel).unwrap());
    let own = listed.as_ref().unwrap_or(&all);
    let mut found = gpu.candidates(shape[0], n, params.k).unwrap();
    gpu.knn(own, 0..n, &all, params, &mut found).unwrap();
    gpu.nnk(own, 0..n, &found, Vectors::Points(&all), params)
        .unwrap()
}

fn graphs_have_the_bits_of_f32(devices: &Devices) {
    // Numbers of halves that fill whole words and that do not.
    for (groups, n, dim, k) in [
        (3, 61, 1, 5),
        (3, 41, 7, 9),
        (3, 90, 49, 12),
        (1, 75, 131, 25),
    ] {
        let x = rows(groups, n, dim);
        let wide: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
        for kernel in [Kernel::Gaussian, Kernel::Cosine] {
            let params = params(k, kernel, Identical::Keep);
            for (gpu, drawn) in devices
                .all()
                .iter()
                .flat_map(|gpu| [(gpu, false), (gpu, true)])
            {
                let of = |data| graph(gpu, data, [groups, dim], &params, drawn);
                assert_eq!(
                    of(Values::F16(&x)),
                    of(Values::F32(&wide)),
                    "{n} x {dim}, {kernel:?}"
                );
            }
        }
    }
}

/// A block of 12.5 million numbers goes in several pieces, the last of which ends within a word.
fn half_the_bytes_are_uploaded(devices: &Devices) {
    let gpu = devices.gpu();
    let (n, dim) = (51_021, 245);
    let x: Vec<f16> = (0..n * dim)
        .map(|i| f16::from_f32((i * 7 % 2048) as f32))
        .collect();
    let wide: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
    let uploaded = |data| {
        gpu.uploaded();
        let points = points(gpu, data, [1, dim], Kernel::Gaussian);
        (gpu.uploaded(), points)
    };
    let (half, points) = uploaded(Values::F16(&x));
    let (single, _) = uploaded(Values::F32(&wide));
    // Beside the values: a count for every row, the frame, and parameters of dispatches.
    let beside = 4 * (n + dim + 1) as u64;
    assert_eq!(single, 4 * (n * dim) as u64 + beside);
    let values = half - beside;
    assert!(
        (2 * n * dim) as u64 <= values && values < (2 * n * dim + 4096) as u64,
        "{half}"
    );
    // The last row, which is its own copy's neighbour.
    let params = params(1, Kernel::Gaussian, Identical::Keep);
    let mut found = gpu.candidates(1, 1, 1).unwrap();
    gpu.knn(&points, n - 1..n, &points, &params, &mut found)
        .unwrap();
    let (list, distances) = gpu.candidate_lists(&found, &points).unwrap();
    let row = |i: usize| wide[i * dim..][..dim].iter().map(|&v| f64::from(v));
    let distance = |i: usize| {
        row(i)
            .zip(row(n - 1))
            .map(|(a, b)| (a - b).powi(2))
            .sum::<f64>()
    };
    assert_eq!(distances[0], distance(list[0] as usize));
}

fn runs_have_the_bits_of_f32(devices: &Devices) {
    let a = halves(90, 4, 5, 61);
    let (half, single) = (stored(&a, "<f2"), stored(&a, "<f4"));
    let device = Device::Gpu(Box::new(devices.reopen(&Options::default())));
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let options = options(kernel, 6);
        let wanted = run_layer(&Context::new(&device), &*single, &options).unwrap();
        for memory in [64 << 20, 160 << 10, 100 << 10] {
            let ctx = Context::new(&device).with_memory(memory);
            same(&run_layer(&ctx, &*half, &options).unwrap(), &wanted);
        }
    }
}
