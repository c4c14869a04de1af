//! The operations of a network: the same as the CPU's, which the oracles check.

use crate::support::functions::{FUNCTIONS, REDUCTIONS};
use crate::{Devices, Test, data::Random};
use chanscope::cpu::Cpu;
use chanscope::model::forward::Session;
use chanscope::model::layers::Tap;
use chanscope::model::node::ValueId;
use chanscope::model::onnx;
use chanscope::ops::net::{
    Binary, NetOps, Pool2dParams, PoolKind, Resampling, Shuffle, StridedCopy, Unary,
};
use chanscope::ops::{Activation, Backend};

pub const TESTS: &[Test] = &[
    ("net::pointwise", pointwise),
    ("net::functions", functions),
    ("net::pairs", pairs),
    ("net::broadcasting", broadcasting),
    ("net::pooling", pooling),
    ("net::reductions", reductions),
    ("net::normalisations", normalisations),
    ("net::resamplings", resamplings),
    ("net::copies", copies),
    ("net::linear_layers", linear_layers),
    ("net::shuffles", shuffles),
    ("net::correlations", correlations),
    ("net::small_networks", small_networks),
];

fn random(len: usize, seed: u64) -> Vec<f32> {
    Random(seed).signed_vec(len)
}

fn assert_close(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= tolerance * scale,
            "{what}[{i}]: {g} for {w}"
        );
    }
}

/// Runs the same on both backends and compares what comes back.
macro_rules! both {
    ($devices:expr, $tolerance:expr, $what:expr, |$b:ident| $work:expr) => {{
        let cpu = Cpu::new(0).unwrap();
        let want: Vec<f32> = {
            let $b = &cpu;
            $work
        };
        let got: Vec<f32> = {
            let $b = $devices.gpu();
            $work
        };
        assert_close(&got, &want, $tolerance, $what);
    }};
}

fn pointwise(devices: &Devices) {
    let x: Vec<f32> = (-3000..=3000).map(|i| i as f32 / 300.0).collect();
    for f in FUNCTIONS {
        both!(devices, 1e-6, &format!("{f:?}"), |b| {
            let t = b.upload(&[x.len()], &x).unwrap();
            b.download(&b.unary(&t, f).unwrap()).unwrap()
        });
        let gpu = devices.gpu();
        let t = gpu.upload(&[3], &[f32::NAN, -1e30, 1e30]).unwrap();
        let y = gpu.download(&gpu.unary(&t, f).unwrap()).unwrap();
        assert!(
            y[0].is_nan() && !y[1].is_nan() && !y[2].is_nan(),
            "{f:?}: {y:?}"
        );
    }
}

/// The largest difference from the CPU's value, in units in its last place, is checked number by number.
fn functions(devices: &Devices) {
    let positive: Vec<f32> = (-140..150)
        .map(|i| f32::powf(10.0, i as f32 / 4.0))
        .chain((1..2000).map(|i| i as f32 / 1000.0))
        .chain([f32::INFINITY, f32::MAX])
        .collect();
    let exponents: Vec<f32> = (-8690..=8870).map(|i| i as f32 / 100.0).collect();
    let angles: Vec<f32> = (0..5000)
        .map(|i| i as f32 * 0.01 - 25.0)
        .chain([1e3, -1e5, 1.5e7, 3.3e20, -f32::MAX, 1e-20])
        .collect();
    let near_one: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 1000.0).collect();
    let (cpu, gpu) = (Cpu::new(0).unwrap(), devices.gpu());
    for (f, x, units, least) in [
        (Unary::Sqrt, &positive, 3.0, 0.0),
        (Unary::Log, &positive, 4.0, 0.0),
        (Unary::Reciprocal, &positive, 3.0, f32::MIN_POSITIVE),
        (Unary::Exp, &exponents, 4.0, 0.0),
        (Unary::Sin, &angles, 4.0, 0.1),
        (Unary::Cos, &angles, 4.0, 0.1),
        (Unary::Erf, &near_one, 4.0, 0.0),
    ] {
        let want = cpu.unary(&cpu.upload(&[x.len()], x).unwrap(), f).unwrap();
        let got = gpu.unary(&gpu.upload(&[x.len()], x).unwrap(), f).unwrap();
        for ((&x, &w), g) in x.iter().zip(want.data()).zip(gpu.download(&got).unwrap()) {
            let unit = w.abs().max(least) * f32::EPSILON;
            let near = (g - w).abs() <= units * unit;
            // Devices may take numbers below the smallest normal one for 0.
            let tiny = w.abs() <= f32::MIN_POSITIVE && g.abs() <= f32::MIN_POSITIVE;
            assert!(near || g == w || tiny, "{f:?}({x}): {g} for {w}");
        }
    }
    let odd = [f32::NAN, -1.0, 0.0, 2.0, f32::INFINITY];
    let of = |f| {
        let y = gpu.unary(&gpu.upload(&[odd.len()], &odd).unwrap(), f);
        gpu.download(&y.unwrap()).unwrap()
    };
    assert_eq!(of(Unary::Not), [0.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(of(Unary::IsNan), [1.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(
        of(Unary::Sqrt)[1].is_nan() && of(Unary::Log)[1].is_nan() && of(Unary::Sin)[4].is_nan()
    );
    assert_eq!(of(Unary::Log)[2], f32::NEG_INFINITY);
    assert_eq!(of(Unary::Exp)[4], f32::INFINITY);
}

/// All pairs of special numbers, as the CPU has them.
fn pairs(devices: &Devices) {
    let special = [
        f32::NAN,
        f32::INFINITY,
        -f32::INFINITY,
        0.0,
        1.0,
        -1.0,
        0.5,
        -2.0,
        3.0,
        1e30,
        -7.5,
        70.0,
        0.99,
    ];
    let n = special.len();
    let (cpu, gpu) = (Cpu::new(0).unwrap(), devices.gpu());
    for f in [
        Binary::Pow,
        Binary::Min,
        Binary::Max,
        Binary::Less,
        Binary::LessOrEqual,
        Binary::Equal,
        Binary::Keep,
        Binary::Drop,
    ] {
        let want = {
            let (a, b) = (
                cpu.upload(&[n, 1], &special).unwrap(),
                cpu.upload(&[n], &special).unwrap(),
            );
            cpu.binary(&a, &b, f, Activation::Identity).unwrap()
        };
        let (a, b) = (
            gpu.upload(&[n, 1], &special).unwrap(),
            gpu.upload(&[n], &special).unwrap(),
        );
        let got = gpu
            .download(&gpu.binary(&a, &b, f, Activation::Identity).unwrap())
            .unwrap();
        for (i, (&g, &w)) in got.iter().zip(want.data()).enumerate() {
            let same = g == w || g.is_nan() && w.is_nan() || (g - w).abs() <= 1e-5 * w.abs();
            assert!(
                same,
                "{f:?}({}, {}): {g} for {w}",
                special[i / n],
                special[i % n]
            );
        }
    }
}

fn broadcasting(devices: &Devices) {
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[2, 3, 5, 7], &[2, 3, 5, 7]),
        (&[2, 3, 5, 7], &[3, 1, 1]),
        (&[2, 1, 5, 7], &[3, 5, 1]),
        (&[700], &[700]),
        (&[4, 1], &[1, 300]),
        (&[1], &[6, 1, 2]),
    ];
    for (sa, sb) in shapes {
        let (a, b2) = (
            random(sa.iter().product(), 1),
            random(sb.iter().product(), 2),
        );
        for f in [
            Binary::Add,
            Binary::Sub,
            Binary::Mul,
            Binary::Div,
            Binary::PRelu,
        ] {
            for activation in [
                Activation::Identity,
                Activation::Relu,
                Activation::LeakyRelu(0.2),
            ] {
                both!(devices, 1e-6, &format!("{f:?} {sa:?} {sb:?}"), |b| {
                    let (x, y) = (b.upload(sa, &a).unwrap(), b.upload(sb, &b2).unwrap());
                    b.download(&b.binary(&x, &y, f, activation).unwrap())
                        .unwrap()
                });
            }
        }
    }
}

fn pooling(devices: &Devices) {
    let x = random(2 * 3 * 11 * 9, 3);
    for kind in [
        PoolKind::Max,
        PoolKind::Average,
        PoolKind::AveragePadded,
        PoolKind::First,
    ] {
        for (kernel, stride, padding, dilation, output) in [
            ([2, 2], [2, 2], [0; 4], [1, 1], [5, 4]),
            ([3, 3], [2, 2], [1, 1, 1, 1], [1, 1], [6, 5]),
            ([3, 2], [1, 3], [1, 0, 0, 1], [2, 2], [8, 3]),
            ([11, 9], [1, 1], [0; 4], [1, 1], [1, 1]),
            ([2, 2], [2, 2], [0; 4], [1, 1], [6, 5]),
        ] {
            let p = Pool2dParams {
                kind,
                kernel,
                stride,
                padding,
                dilation,
                output,
            };
            both!(devices, 1e-6, &format!("{p:?}"), |b| {
                let t = b.upload(&[2, 3, 11, 9], &x).unwrap();
                b.download(&b.pool2d(&t, &p).unwrap()).unwrap()
            });
        }
    }
}

fn reductions(devices: &Devices) {
    let x = random(3 * 5 * 7 * 100, 4);
    for kind in REDUCTIONS {
        for (axes, shape) in [
            (2..4, vec![3, 5]),
            (1..2, vec![3, 1, 7, 100]),
            (1..4, vec![3]),
        ] {
            both!(devices, 1e-5, &format!("{kind:?} {axes:?}"), |b| {
                let t = b.upload(&[3, 5, 7, 100], &x).unwrap();
                b.download(&b.reduce(&t, kind, axes.clone(), &shape).unwrap())
                    .unwrap()
            });
        }
    }
    for axis in 0..4 {
        both!(devices, 1e-6, &format!("softmax {axis}"), |b| {
            let t = b.upload(&[3, 5, 7, 100], &x).unwrap();
            b.download(&b.softmax(&t, axis).unwrap()).unwrap()
        });
    }
}

fn normalisations(devices: &Devices) {
    for (runs, len, shift) in [
        (1, 1, 0.0),
        (7, 3, 1.0),
        (130, 64, 1000.0),
        (3, 5000, -20.0),
    ] {
        let x: Vec<f32> = random(runs * len, 14).iter().map(|v| v + shift).collect();
        both!(devices, 2e-6, &format!("normalise {runs} {len}"), |b| {
            let t = b.upload(&[runs, len], &x).unwrap();
            b.download(&b.normalise(&t, len, 1e-5).unwrap()).unwrap()
        });
    }
}

fn resamplings(devices: &Devices) {
    let x = random(3 * 4 * 50 * 6, 15);
    for (axis, source) in [(1, 4), (2, 50), (3, 6)] {
        let index: Vec<u32> = (0..3 * 70u32).map(|i| (i * 7 + i / 3) % source).collect();
        let by = Resampling {
            terms: 3,
            weight: random(index.len(), 16),
            index,
        };
        both!(devices, 1e-6, &format!("resample {axis}"), |b| {
            let t = b.upload(&[3, 4, 50, 6], &x).unwrap();
            b.download(&b.resample(&t, axis, &by).unwrap()).unwrap()
        });
    }
}

fn copies(devices: &Devices) {
    let x = random(4 * 6 * 10, 5);
    let transposed = StridedCopy {
        extents: vec![10, 4, 6],
        src_offset: 0,
        src_strides: vec![1, 60, 10],
        dst_offset: 0,
        dst_strides: vec![24, 6, 1],
    };
    let reversed = StridedCopy {
        extents: vec![4, 3, 5],
        src_offset: 59 - 20,
        src_strides: vec![60, -10, -2],
        dst_offset: 7,
        dst_strides: vec![50, 12, 2],
    };
    for c in [transposed, reversed] {
        both!(devices, 0.0, &format!("{c:?}"), |b| {
            let t = b.upload(&[4, 6, 10], &x).unwrap();
            let mut out = b.zeros(&[240]).unwrap();
            b.copy(&t, &mut out, &c).unwrap();
            b.download(&out).unwrap()
        });
    }
    let gpu = devices.gpu();
    let t = gpu.upload(&[4], &[0.0; 4]).unwrap();
    let mut out = gpu.zeros(&[4]).unwrap();
    let beyond = StridedCopy {
        extents: vec![4],
        src_offset: 1,
        src_strides: vec![1],
        dst_offset: 0,
        dst_strides: vec![1],
    };
    assert!(gpu.copy(&t, &mut out, &beyond).is_err());
}

fn linear_layers(devices: &Devices) {
    for (rows, k, m) in [(1, 1, 1), (3, 50, 7), (70, 33, 65), (5, 300, 10)] {
        let (x, w, bias) = (random(rows * k, 6), random(k * m, 7), random(m, 8));
        for with_bias in [false, true] {
            both!(devices, 1e-5, &format!("linear {rows} {k} {m}"), |b| {
                let (x, w) = (
                    b.upload(&[rows, k], &x).unwrap(),
                    b.upload(&[k, m], &w).unwrap(),
                );
                let bias = b.upload(&[m], &bias).unwrap();
                let bias = with_bias.then_some(&bias);
                b.download(&b.linear(&x, &w, bias, Activation::Relu).unwrap())
                    .unwrap()
            });
        }
    }
}

fn shuffles(devices: &Devices) {
    let (n, c, d) = (5, 3, 35);
    let shape = [n, c, 5, 7];
    let (x, other) = (random(n * c * d, 9), random(n * c * d, 10));
    let samples: Vec<u32> = vec![4, 2, 0, 1, 3];
    let pixels: Vec<u32> = (0..n * d).map(|i| ((i * 11 + i / d) % d) as u32).collect();
    for how in [Shuffle::Samples(&samples), Shuffle::Pixels(&pixels)] {
        both!(devices, 0.0, &format!("{how:?}"), |b| {
            let t = b.upload(&shape, &x).unwrap();
            b.download(&b.shuffle(&t, how).unwrap()).unwrap()
        });
    }
    both!(devices, 0.0, "substitute", |b| {
        let (x, y) = (
            b.upload(&shape, &x).unwrap(),
            b.upload(&shape, &other).unwrap(),
        );
        b.download(&b.substitute(&x, &y, 1..3).unwrap()).unwrap()
    });
    both!(devices, 1e-6, "channel_dots", |b| {
        let (x, y) = (
            b.upload(&shape, &x).unwrap(),
            b.upload(&shape, &other).unwrap(),
        );
        let variants = b.substitute(&x, &y, 0..2).unwrap();
        let dots = b.channel_dots(&x, &variants).unwrap();
        dots.into_iter().map(|d| d as f32).collect()
    });
}

fn correlations(devices: &Devices) {
    for (a, c) in [([5, 1, 4, 6], [7, 1, 3, 9]), ([20, 2, 8, 8], [3, 2, 1, 1])] {
        let (x, y) = (
            random(a.iter().product(), 11),
            random(c.iter().product(), 12),
        );
        for symmetric in [false, true] {
            both!(devices, 1e-5, "correlate", |b| {
                let (x, y) = (b.upload(&a, &x).unwrap(), b.upload(&c, &y).unwrap());
                let found = b.correlate(&x, (!symmetric).then_some(&y)).unwrap();
                let lags = found.lag.iter().flatten().map(|&v| v as f32);
                found
                    .max
                    .iter()
                    .chain(&found.max_abs)
                    .copied()
                    .chain(lags)
                    .collect()
            });
        }
    }
}

fn small_networks(devices: &Devices) {
    let gpu = devices.gpu();
    for net in [
        "residual",
        "dense",
        "inception",
        "mbconv",
        "shuffled",
        "activations-20",
        "pad-modes",
        "resizes",
        "normalisations",
        "transposed",
        "reductions",
        "functions",
        "attention",
        "lines",
        "tokens",
    ] {
        let graph = onnx::load(format!("tests/data/onnx/{net}/model.onnx"), None).unwrap();
        let shape = [&[2], graph.input_shape()].concat();
        let x = random(shape.iter().product(), 13);
        let mut wanted: Vec<ValueId> = graph.layers().iter().map(|l| l.tap(Tap::Conv)).collect();
        wanted.push(graph.outputs()[0]);
        wanted.sort_unstable();
        wanted.dedup();
        let cpu = Cpu::new(0).unwrap();
        let want = Session::new(&cpu, &graph, &[graph.input()], &wanted).unwrap();
        let want = want.run(&[&cpu.upload(&shape, &x).unwrap()]).unwrap();
        let got = Session::new(gpu, &graph, &[graph.input()], &wanted).unwrap();
        let got = got.run(&[&gpu.upload(&shape, &x).unwrap()]).unwrap();
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let got = gpu.download(got).unwrap();
            assert_close(&got, want.data(), 1e-4, &format!("{net} value {i}"));
        }
    }
}
