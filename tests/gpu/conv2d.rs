use crate::{Devices, Test, data::Random, oracle};
use chanscope::ops::{Activation, Backend, Conv2dParams};

pub const TESTS: &[Test] = &[
    ("conv2d::matches_oracle", matches_oracle),
    (
        "conv2d::batch_size_does_not_matter",
        batch_size_does_not_matter,
    ),
    ("conv2d::shapes_that_do_not_fit", shapes_that_do_not_fit),
];

const PLAIN: Conv2dParams = Conv2dParams {
    stride: [1, 1],
    padding: [0; 4],
    dilation: [1, 1],
    groups: 1,
    activation: Activation::Identity,
};

/// Shapes of `x` and `weight`, geometry.
fn cases() -> Vec<([usize; 4], [usize; 4], Conv2dParams)> {
    let same = |p: usize| Conv2dParams {
        padding: [p; 4],
        ..PLAIN
    };
    vec![
        ([2, 1, 28, 28], [6, 1, 5, 5], same(2)),
        ([1, 3, 9, 7], [40, 3, 3, 3], same(1)),
        ([3, 5, 11, 8], [70, 5, 3, 2], PLAIN),
        (
            [2, 4, 13, 12],
            [6, 4, 3, 3],
            Conv2dParams {
                stride: [2, 3],
                padding: [0, 2, 1, 3],
                dilation: [2, 1],
                activation: Activation::Relu,
                ..PLAIN
            },
        ),
        (
            [2, 12, 8, 8],
            [12, 1, 3, 3],
            Conv2dParams {
                groups: 12,
                activation: Activation::Clip(-0.25, 0.5),
                ..same(1)
            },
        ),
        (
            [2, 6, 8, 9],
            [60, 3, 3, 3],
            Conv2dParams {
                groups: 2,
                stride: [2, 1],
                activation: Activation::LeakyRelu(0.1),
                ..same(1)
            },
        ),
        ([1, 100, 1, 1], [30, 100, 1, 1], PLAIN),
        ([5, 2, 1, 6], [3, 2, 1, 6], PLAIN),
    ]
}

fn run(
    devices: &Devices,
    x: (&[f32], [usize; 4]),
    w: (&[f32], [usize; 4]),
    bias: Option<&[f32]>,
    params: &Conv2dParams,
) -> Vec<f32> {
    let gpu = devices.gpu();
    let x = gpu.upload(&x.1, x.0).unwrap();
    let w = gpu.upload(&w.1, w.0).unwrap();
    let bias = bias.map(|b| gpu.upload(&[b.len()], b).unwrap());
    let y = gpu.conv2d(&x, &w, bias.as_ref(), params).unwrap();
    gpu.download(&y).unwrap()
}

fn expected(
    (x, xs): (&[f32], [usize; 4]),
    (w, ws): (&[f32], [usize; 4]),
    bias: Option<&[f32]>,
    p: &Conv2dParams,
) -> Vec<f64> {
    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let bias = bias.map_or(vec![0.0; ws[0]], wide);
    let (x, w) = (wide(x), wide(w));
    let (sums, _) = oracle::net::conv2d(
        &x, xs, &w, ws, &bias, p.stride, p.padding, p.dilation, p.groups,
    );
    let activate = |v: f64| match p.activation {
        Activation::Identity => v,
        Activation::Relu => v.max(0.0),
        Activation::Clip(low, high) => v.clamp(f64::from(low), f64::from(high)),
        Activation::LeakyRelu(slope) => v.max(0.0) + f64::from(slope) * v.min(0.0),
    };
    sums.into_iter().map(activate).collect()
}

fn matches_oracle(devices: &Devices) {
    let mut random = Random(7);
    for (xs, ws, params) in cases() {
        let x = random.signed_vec(xs.iter().product());
        let w = random.signed_vec(ws.iter().product());
        let b = random.signed_vec(ws[0]);
        for bias in [None, Some(&b[..])] {
            let got = run(devices, (&x, xs), (&w, ws), bias, &params);
            let want = expected((&x, xs), (&w, ws), bias, &params);
            assert_eq!(got.len(), want.len());
            let terms = (ws[1] * ws[2] * ws[3]) as f64;
            for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                let bound = f64::from(f32::EPSILON) * (terms + 2.0) * (terms + 1.0).sqrt();
                assert!(
                    (f64::from(*g) - w).abs() <= bound,
                    "{xs:?} {ws:?} {i}: {g} {w}"
                );
            }
        }
    }
}

fn batch_size_does_not_matter(devices: &Devices) {
    let mut random = Random(8);
    for (xs, ws, params) in cases() {
        let x = random.signed_vec(xs.iter().product());
        let w = random.signed_vec(ws.iter().product());
        let all = run(devices, (&x, xs), (&w, ws), None, &params);
        let one = [1, xs[1], xs[2], xs[3]];
        let len = x.len() / xs[0];
        let parts: Vec<f32> = x
            .chunks(len)
            .flat_map(|x| run(devices, (x, one), (&w, ws), None, &params))
            .collect();
        assert!(all == parts, "{xs:?} {ws:?}");
    }
}

fn shapes_that_do_not_fit(devices: &Devices) {
    let gpu = devices.gpu();
    let zeros = |shape: &[usize]| gpu.zeros(shape).unwrap();
    let try_it = |x: &[usize], w: &[usize], params: &Conv2dParams| {
        let y = gpu.conv2d(&zeros(x), &zeros(w), None, params);
        y.map(|y| gpu.shape(&y).to_vec()).map_err(|e| e.to_string())
    };
    let grouped = Conv2dParams { groups: 2, ..PLAIN };
    let still = Conv2dParams {
        stride: [0, 1],
        ..PLAIN
    };
    assert!(try_it(&[1, 3, 4, 4], &[2, 2, 3, 3], &PLAIN).is_err());
    assert!(try_it(&[1, 4, 4, 4], &[3, 2, 3, 3], &grouped).is_err());
    assert!(try_it(&[1, 3, 2, 4], &[2, 3, 3, 3], &PLAIN).is_err());
    assert!(try_it(&[1, 3, 4, 4], &[2, 3, 3, 3], &still).is_err());
    assert!(try_it(&[3, 4, 4], &[2, 3, 3, 3], &PLAIN).is_err());
    let empty = try_it(&[0, 3, 4, 4], &[2, 3, 3, 3], &PLAIN);
    assert_eq!(empty, Ok(vec![0, 2, 2, 2]));
}
