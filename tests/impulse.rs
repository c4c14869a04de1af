//! Impulse responses: against float64 loops, and what their options mean.

use crate::oracle::correlate::correlations;
use crate::oracle::net as oracle;
use chanscope::Error;
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::measure::impulse::{Bias, Response, Similar, compare, responses};
use chanscope::measure::{Context, Impulse, ImpulseOptions, impulse};
use chanscope::model::graph::Graph;
use chanscope::model::layers::Tap;
use chanscope::model::lenet::{Weight, lenet, weights};
use chanscope::model::onnx;

fn network() -> (Vec<Weight>, Graph) {
    let w = weights(include_bytes!("../assets/lenet5.safetensors")).unwrap();
    let graph = lenet(&w).unwrap();
    (w, graph)
}

fn cpu() -> Device {
    Device::Cpu(Cpu::new(0).unwrap())
}

fn at_tap(tap: Tap) -> ImpulseOptions {
    ImpulseOptions::default().with_tap(tap)
}

/// conv1 and conv2 of LeNet at their three taps in float64, `[layer][tap]`, for one image.
fn reference(w: &[Weight], image: &[f64], bias: bool, linear: bool) -> Vec<[Vec<f64>; 3]> {
    let get = |name: &str| {
        let w = w.iter().find(|w| w.name == name).unwrap();
        let data: Vec<f64> = w.data.iter().map(|&v| f64::from(v)).collect();
        (data, w.shape.clone())
    };
    let mut x = image.to_vec();
    let mut shape = [1, 1, 28, 28];
    let mut layers = vec![];
    for name in ["conv1", "conv2"] {
        let (k, s) = get(&format!("{name}.weight"));
        let b = get(&format!("{name}.bias")).0;
        let b: Vec<f64> = b.iter().map(|v| if bias { *v } else { 0.0 }).collect();
        let (conv, out) = oracle::conv2d(
            &x,
            shape,
            &k,
            [s[0], s[1], s[2], s[3]],
            &b,
            [1, 1],
            [0; 4],
            [1, 1],
            1,
        );
        let active = if linear {
            conv.clone()
        } else {
            oracle::relu(&conv)
        };
        let kind = if linear {
            oracle::Pool::First
        } else {
            oracle::Pool::Max
        };
        let (map, half) = ([out[2], out[3]], [out[2] / 2, out[3] / 2]);
        let pool = oracle::pool2d(&active, map, kind, [2, 2], [2, 2], [0; 4], [1, 1], half);
        shape = [1, out[1], half[0], half[1]];
        x = pool.clone();
        layers.push([conv, active, pool]);
    }
    layers
}

fn unit_image(y: usize, x: usize) -> Vec<f64> {
    let mut image = vec![0.0; 28 * 28];
    image[y * 28 + x] = 1.0;
    image
}

#[test]
fn responses_agree_with_plain_loops() {
    let (w, graph) = network();
    let device = cpu();
    let ctx = Context::new(&device);
    let taps = [Tap::Conv, Tap::Activation, Tap::Pool];
    for (at, y, x) in [(None, 14, 14), (Some([3, 20]), 3, 20)] {
        for linear in [false, true] {
            for bias in [Bias::Subtract, Bias::Zero, Bias::Keep] {
                let with_bias = bias != Bias::Zero;
                let answer = reference(&w, &unit_image(y, x), with_bias, linear);
                let silence = reference(&w, &[0.0; 784], with_bias, linear);
                for (t, tap) in taps.into_iter().enumerate() {
                    let options = at_tap(tap).with_at(at).with_bias(bias).with_linear(linear);
                    let got = responses(&ctx, &graph, &options).unwrap();
                    assert_eq!(got.len(), 2);
                    for (layer, r) in got.iter().enumerate() {
                        let off = if bias == Bias::Subtract { 1.0 } else { 0.0 };
                        let want: Vec<f64> = (answer[layer][t].iter())
                            .zip(&silence[layer][t])
                            .map(|(a, s)| a - off * s)
                            .collect();
                        let what = format!("{bias:?} linear {linear} {tap:?} {}", r.name);
                        assert_eq!(r.values.len(), want.len(), "{what}");
                        for (g, w) in r.values.iter().zip(&want) {
                            assert!((f64::from(*g) - w).abs() < 1e-5, "{what}: {g} for {w}");
                        }
                    }
                }
            }
        }
    }
}

fn find(graph: &Graph, options: &ImpulseOptions) -> Impulse {
    let device = cpu();
    impulse(&Context::new(&device), graph, options).unwrap()
}

/// A channel's whole response, normalised as the definition has it.
fn unit(r: &Response, channel: usize, centred: bool) -> Vec<f64> {
    let row: usize = r.shape[1..].iter().product();
    let mut x: Vec<f64> = (r.values[channel * row..(channel + 1) * row].iter())
        .map(|&v| f64::from(v))
        .collect();
    if centred {
        let mean = x.iter().sum::<f64>() / row as f64;
        x.iter_mut().for_each(|v| *v -= mean);
    }
    let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
    if norm > 0.0 {
        x.iter_mut().for_each(|v| *v /= norm);
    }
    x
}

#[test]
fn correlations_agree_with_the_definition_on_whole_maps() {
    let residual = onnx::load("tests/data/onnx/residual/model.onnx", None).unwrap();
    for (graph, tap) in [
        (network().1, Tap::Pool),
        (network().1, Tap::Conv),
        (residual, Tap::Activation),
    ] {
        for centred in [false, true] {
            let options = at_tap(tap).with_centred(centred).with_threshold(0.5);
            let f = find(&graph, &options);
            let r = &f.responses;
            for (r, ncc) in r.iter().zip(&f.within) {
                let c = r.shape[0].min(6);
                for i in 0..c {
                    for j in 0..c {
                        check_pair(r, i, r, j, centred, |all, live| {
                            let at = i * ncc.channels + j;
                            let what = format!("{} {i} {j} centred {centred}", r.name);
                            assert_is_max(all, live, ncc.ncc[at], Some(ncc.lag[at]), &what);
                            let abs = all.iter().fold(0.0f64, |m, v| m.max(v.1.abs()));
                            assert!((ncc.ncc_abs[at] - abs).abs() < 1e-5, "{what}");
                        });
                    }
                }
            }
            // Across depth: the first two layers.
            for i in 0..r[0].shape[0].min(4) {
                for j in 0..r[1].shape[0].min(4) {
                    check_pair(&r[0], i, &r[1], j, centred, |all, live| {
                        let wanted = |m: &&chanscope::measure::impulse::Match| {
                            m.a == Similar {
                                layer: 0,
                                channel: i,
                            } && m.b
                                == Similar {
                                    layer: 1,
                                    channel: j,
                                }
                        };
                        let max = all.iter().fold(f64::NEG_INFINITY, |m, v| m.max(v.1));
                        match f.across.iter().find(wanted) {
                            Some(m) => assert_is_max(all, live, m.ncc, Some(m.lag), "across"),
                            None => assert!(!live || max < 0.5 + 1e-5, "missed {i} {j}: {max}"),
                        }
                    });
                }
            }
        }
    }
}

fn check_pair(
    a: &Response,
    i: usize,
    b: &Response,
    j: usize,
    centred: bool,
    check: impl Fn(&[([i32; 2], f64)], bool),
) {
    let (x, y) = (unit(a, i, centred), unit(b, j, centred));
    let live = x.iter().any(|&v| v != 0.0) && y.iter().any(|&v| v != 0.0);
    let sizes = ([a.shape[2], a.shape[3]], [b.shape[2], b.shape[3]]);
    check(&correlations(&x, sizes.0, &y, sizes.1, a.shape[1]), live);
}

fn assert_is_max(all: &[([i32; 2], f64)], live: bool, ncc: f64, lag: Option<[i32; 2]>, what: &str) {
    let max = all.iter().fold(f64::NEG_INFINITY, |m, v| m.max(v.1));
    let max = if live { max } else { 0.0 };
    assert!((ncc - max).abs() < 1e-5, "{what}: {ncc} for {max}");
    if let (true, Some(lag)) = (live, lag) {
        let there = all.iter().find(|v| v.0 == lag).expect("a lag in range").1;
        assert!(max - there < 1e-5, "{what}: at {lag:?} {there}, not {max}");
    }
}

#[test]
fn a_layer_without_any_response_is_zero_and_not_nan() {
    let (mut w, _) = network();
    for v in &mut w
        .iter_mut()
        .find(|w| w.name == "conv1.weight")
        .unwrap()
        .data
    {
        *v = 0.0;
    }
    let graph = lenet(&w).unwrap();
    let f = find(&graph, &ImpulseOptions::default());
    for (r, ncc) in f.responses.iter().zip(&f.within) {
        assert!(r.norms.iter().all(|&n| n == 0.0));
        assert!(ncc.ncc.iter().all(|&v| v == 0.0) && ncc.mean(&r.norms).is_none());
    }
    assert!(f.across.is_empty() && f.groups.is_empty());
}

#[test]
fn copies_of_a_kernel_are_one_group() {
    let (mut w, _) = network();
    let copy = |w: &mut Weight, from: usize, to: usize, factor: f32| {
        let row = w.data.len() / w.shape[0];
        for p in 0..row {
            w.data[to * row + p] = factor * w.data[from * row + p];
        }
    };
    for w in &mut w {
        match w.name.as_str() {
            "conv1.weight" => copy(w, 1, 4, 2.0),
            "conv1.bias" => copy(w, 1, 4, 2.0),
            _ => {}
        }
    }
    let graph = lenet(&w).unwrap();
    let f = find(&graph, &at_tap(Tap::Conv).with_threshold(0.9999));
    let pair = [1, 4].map(|channel| Similar { layer: 0, channel });
    assert!(
        f.groups.iter().any(|g| pair.iter().all(|p| g.contains(p))),
        "{:?}",
        f.groups
    );
    let c = f.within[0].channels;
    assert!((f.within[0].ncc[c + 4] - 1.0).abs() < 1e-6);
    assert_eq!(f.within[0].lag[c + 4], [0, 0]);
}

#[test]
fn several_input_channels_answer_one_by_one() {
    let graph = onnx::load("tests/data/onnx/residual/model.onnx", None).unwrap();
    let inputs = graph.input_shape()[0];
    assert!(inputs > 1);
    let device = cpu();
    let r = responses(&Context::new(&device), &graph, &at_tap(Tap::Conv)).unwrap();
    assert_eq!(r[0].shape[1], inputs);
    // The first convolution is linear: the response at the impulse is a tap of its kernel.
    let norms = &r[0].norms;
    let row: usize = r[0].shape[1..].iter().product();
    for (channel, n) in norms.iter().enumerate() {
        let joint = (r[0].values[channel * row..(channel + 1) * row].iter())
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt();
        assert!((joint - n).abs() < 1e-9);
    }
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let device = cpu();
    let ctx = Context::new(&device);
    let (_, graph) = network();
    let options = ImpulseOptions::default();
    let fail = |ctx: &Context<'_>, graph: &Graph, options: ImpulseOptions| {
        responses(ctx, graph, &options).err().unwrap()
    };
    let outside = fail(&ctx, &graph, options.with_at(Some([28, 0])));
    assert_eq!(
        outside.to_string(),
        "at is 28,0, expected a pixel of the image of 28x28"
    );
    let little = ctx.clone().with_memory(1000);
    let error = fail(&little, &graph, options);
    assert!(matches!(error, Error::Memory { cap: 1000, .. }), "{error}");
    let gated = onnx::load("tests/data/onnx/mbconv/model.onnx", None).unwrap();
    let error = fail(&ctx, &gated, options.with_linear(true));
    assert!(
        error.to_string().contains("multiplies computed values"),
        "{error}"
    );
    assert!(responses(&ctx, &gated, &options).is_ok());
    let error = compare(&ctx, vec![], &options.with_threshold(0.0));
    assert!(matches!(
        error,
        Err(Error::Argument {
            name: "threshold",
            ..
        })
    ));
}
