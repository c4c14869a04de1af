//! The operations of a network: the same as the CPU's, which the oracles check.

use crate::{Devices, Test, data::Random};
use chanscope::cpu::Cpu;
use chanscope::model::forward::Session;
use chanscope::model::layers::Tap;
use chanscope::model::node::ValueId;
use chanscope::model::onnx;
use chanscope::ops::net::{Binary, NetOps, Pool2dParams, PoolKind, Shuffle, StridedCopy, Unary};
use chanscope::ops::{Activation, Backend};

pub const TESTS: &[Test] = &[
    ("net::pointwise", pointwise),
    ("net::broadcasting", broadcasting),
    ("net::pooling", pooling),
    ("net::reductions", reductions),
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
    for f in [
        Unary::Activation(Activation::Identity),
        Unary::Activation(Activation::Relu),
        Unary::Activation(Activation::Clip(-0.5, 6.0)),
        Unary::Activation(Activation::LeakyRelu(0.1)),
        Unary::Elu(0.7),
        Unary::Sigmoid,
        Unary::HardSigmoid(0.2, 0.5),
        Unary::HardSwish,
        Unary::Tanh,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Erf,
    ] {
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
    for (axes, shape) in [
        (2..4, vec![3, 5]),
        (1..2, vec![3, 1, 7, 100]),
        (1..4, vec![3]),
    ] {
        both!(devices, 1e-5, &format!("mean {axes:?}"), |b| {
            let t = b.upload(&[3, 5, 7, 100], &x).unwrap();
            b.download(&b.mean(&t, axes.clone(), &shape).unwrap())
                .unwrap()
        });
    }
    for axis in 0..4 {
        both!(devices, 1e-6, &format!("softmax {axis}"), |b| {
            let t = b.upload(&[3, 5, 7, 100], &x).unwrap();
            b.download(&b.softmax(&t, axis).unwrap()).unwrap()
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
        b.channel_dots(&x, &variants).unwrap()
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
