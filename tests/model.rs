//! Graphs, programs and the forward pass.

use crate::oracle::net as oracle;
use chanscope::cpu::Cpu;
use chanscope::model::forward::Session;
use chanscope::model::graph::Graph;
use chanscope::model::layers::Tap;
use chanscope::model::lenet::{Weight, lenet, weights};
use chanscope::model::resize::bilinear;
use chanscope::ops::Backend;

const NETS: [(&str, &[u8]); 2] = [
    ("lenet5", include_bytes!("../assets/lenet5.safetensors")),
    (
        "lenet5x10",
        include_bytes!("../assets/lenet5x10.safetensors"),
    ),
];

/// The first `count` digits as the network wants them, `[count, 1, 28, 28]`.
fn digits(count: usize) -> Vec<f32> {
    let file = include_bytes!("../assets/digits/images.npy");
    let pixels: Vec<f32> = file[128..][..count * 64]
        .iter()
        .map(|&p| f32::from(p) / 16.0)
        .collect();
    bilinear(&pixels, [8, 8], [28, 28]).unwrap()
}

fn net(bytes: &[u8]) -> (Vec<Weight>, Graph) {
    let weights = weights(bytes).unwrap();
    let graph = lenet(&weights).unwrap();
    (weights, graph)
}

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

fn weight(weights: &[Weight], name: &str) -> (Vec<f64>, Vec<usize>) {
    let w = weights.iter().find(|w| w.name == name).unwrap();
    (f64s(&w.data), w.shape.clone())
}

/// Every stage of LeNet in float64: conv1, pool1, conv2, pool2, fc1, fc2, fc3.
fn reference(w: &[Weight], images: &[f32], n: usize) -> Vec<Vec<f64>> {
    let mut x = f64s(images);
    let mut shape = [n, 1, 28, 28];
    let mut stages = vec![];
    for name in ["conv1", "conv2"] {
        let (k, ks) = weight(w, &format!("{name}.weight"));
        let (b, _) = weight(w, &format!("{name}.bias"));
        let ks = [ks[0], ks[1], ks[2], ks[3]];
        let (y, s) = oracle::conv2d(&x, shape, &k, ks, &b, [1, 1], [0; 4], [1, 1], 1);
        let y = oracle::relu(&y);
        let out = [s[2] / 2, s[3] / 2];
        let map = [s[2], s[3]];
        let max = oracle::Pool::Max;
        x = oracle::pool2d(&y, map, max, [2, 2], [2, 2], [0; 4], [1, 1], out);
        shape = [n, s[1], out[0], out[1]];
        stages.extend([y, x.clone()]);
    }
    for name in ["fc1", "fc2", "fc3"] {
        let (k, ks) = weight(w, &format!("{name}.weight"));
        let (b, _) = weight(w, &format!("{name}.bias"));
        x = oracle::linear(&x, &k, &b, ks[1]);
        if name != "fc3" {
            x = oracle::relu(&x);
        }
        stages.push(x.clone());
    }
    stages
}

fn assert_close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(g) - w).abs();
        assert!(error <= tolerance * scale, "{what}[{i}]: {g} for {w}");
    }
}

fn run(graph: &Graph, images: &[f32], n: usize, threads: usize) -> Vec<Vec<f32>> {
    let cpu = Cpu::new(threads).unwrap();
    let layers = graph.layers();
    let wanted = [
        layers[0].tap(Tap::Activation),
        layers[0].tap(Tap::Pool),
        layers[1].tap(Tap::Activation),
        layers[1].tap(Tap::Pool),
        graph.outputs()[0],
    ];
    let session = Session::new(&cpu, graph, &[graph.input()], &wanted).unwrap();
    let x = cpu.upload(&[n, 1, 28, 28], images).unwrap();
    let out = session.run(&[&x]).unwrap();
    out.iter().map(|t| cpu.download(t).unwrap()).collect()
}

#[test]
fn lenet_agrees_with_plain_loops() {
    for (name, bytes) in NETS {
        let (w, graph) = net(bytes);
        let n = if name == "lenet5" { 5 } else { 1 };
        let images = digits(n);
        let got = run(&graph, &images, n, 0);
        let want = reference(&w, &images, n);
        for (i, stage) in [0, 1, 2, 3, 6].into_iter().enumerate() {
            assert_close(
                &got[i],
                &want[stage],
                1e-5,
                &format!("{name} stage {stage}"),
            );
        }
    }
}

#[test]
fn lenet_agrees_with_pytorch() {
    let check: serde_json::Value =
        serde_json::from_str(include_str!("../assets/lenet5_check.json")).unwrap();
    for (name, bytes) in NETS {
        let (_, graph) = net(bytes);
        let samples = check[name].as_array().unwrap();
        let images = digits(samples.len());
        let got = run(&graph, &images, samples.len(), 0);
        let stages = ["conv1", "pool1", "conv2", "pool2", "fc3"];
        let all = stages.iter().zip(&got).chain([(&"input", &images)]);
        for (stage, values) in all {
            for (i, sample) in samples.iter().enumerate() {
                let want = &sample[stage];
                let len = values.len() / samples.len();
                let values = &values[i * len..(i + 1) * len];
                let scale = want["sum_of_squares"].as_f64().unwrap().sqrt();
                let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
                let error = (sum - want["sum"].as_f64().unwrap()).abs();
                assert!(error < 1e-4 * scale.max(1.0), "{name} {stage}: sum {sum}");
                let at = want["at"].as_array().unwrap();
                for (at, v) in at.iter().zip(want["values"].as_array().unwrap()) {
                    let got = f64::from(values[at.as_u64().unwrap() as usize]);
                    let error = (got - v.as_f64().unwrap()).abs();
                    assert!(error < 1e-5 * scale.max(1.0), "{name} {stage} {at}: {got}");
                }
            }
        }
    }
}

#[test]
fn weights_come_in_the_order_of_their_names_every_time() {
    // The demo lists layers in this order. Ten readings: a hash table would show another order in one.
    for (net, bytes) in NETS {
        for _ in 0..10 {
            let weights = weights(bytes).unwrap();
            let names: Vec<&str> = weights.iter().map(|w| w.name.as_str()).collect();
            assert!(names.is_sorted(), "{net}: {names:?}");
        }
    }
}

#[test]
fn a_batch_can_be_cut_anywhere() {
    let (_, graph) = net(NETS[0].1);
    let images = digits(7);
    let whole = run(&graph, &images, 7, 2);
    let single: Vec<Vec<Vec<f32>>> = (images.chunks(28 * 28))
        .map(|image| run(&graph, image, 1, 1))
        .collect();
    for (stage, whole) in whole.iter().enumerate() {
        let joined: Vec<f32> = single.iter().flat_map(|s| s[stage].clone()).collect();
        assert!(
            whole
                .iter()
                .map(|v| v.to_bits())
                .eq(joined.iter().map(|v| v.to_bits()))
        );
    }
}

#[test]
fn fusing_changes_nothing_and_taps_are_what_they_say() {
    let (_, graph) = net(NETS[0].1);
    let cpu = Cpu::new(0).unwrap();
    let x = cpu.upload(&[2, 1, 28, 28], &digits(2)).unwrap();
    let layer = &graph.layers()[0];
    assert_eq!(layer.name, "conv1");
    assert_eq!(layer.consumed, layer.pool);
    let fused = Session::new(&cpu, &graph, &[graph.input()], &[layer.activation]).unwrap();
    let plain = Session::new(
        &cpu,
        &graph,
        &[graph.input()],
        &[layer.conv, layer.activation],
    );
    let plain = plain.unwrap().run(&[&x]).unwrap();
    let relu: Vec<f32> = plain[0].data().iter().map(|v| v.max(0.0)).collect();
    assert!(plain[0].data().iter().any(|&v| v < 0.0));
    assert_eq!(plain[1].data(), relu);
    assert_eq!(fused.run(&[&x]).unwrap()[0].data(), relu);
}

#[test]
fn the_rest_of_a_network_runs_from_a_value_in_its_middle() {
    let (_, graph) = net(NETS[0].1);
    let cpu = Cpu::new(0).unwrap();
    let x = cpu.upload(&[3, 1, 28, 28], &digits(3)).unwrap();
    let layers = graph.layers();
    let (middle, output) = (layers[0].pool, graph.outputs()[0]);
    let head = Session::new(&cpu, &graph, &[graph.input()], &[middle, output]).unwrap();
    let head = head.run(&[&x]).unwrap();
    let tail = Session::new(&cpu, &graph, &[middle], &[output]).unwrap();
    assert_eq!(tail.run(&[&head[0]]).unwrap()[0].data(), head[1].data());
    // conv2 does not depend on conv1's shuffled input only; the input does not follow from conv2.
    let reached = graph.dependents(middle);
    assert_eq!(reached.iter().filter(|&&r| r).count(), 1 + 3 + 1 + 5);
    assert!(Session::new(&cpu, &graph, &[layers[1].conv], &[layers[0].conv]).is_err());
}

#[test]
fn misfits_are_named() {
    let (mut w, graph) = net(NETS[0].1);
    let cpu = Cpu::new(0).unwrap();
    let session = Session::new(&cpu, &graph, &[graph.input()], graph.outputs()).unwrap();
    let x = cpu.upload(&[2, 1, 27, 28], &[0.0; 2 * 27 * 28]).unwrap();
    let message = session.run(&[&x]).err().unwrap().to_string();
    assert_eq!(
        message,
        "input has shape [2, 1, 27, 28], expected [N, 1, 28, 28]"
    );
    w.retain(|w| w.name != "fc2.bias");
    let message = lenet(&w).err().unwrap().to_string();
    assert_eq!(message, "the weights hold no 'fc2.bias'");
    let fc3 = w.iter_mut().find(|w| w.name == "conv2.weight").unwrap();
    fc3.shape = vec![16, 5, 6, 5];
    let message = lenet(&w).err().unwrap().to_string();
    assert!(message.contains("'conv2' (Conv)"), "{message}");
}

#[test]
fn resizing_a_constant_keeps_it_and_a_ramp_stays_monotone() {
    let same = bilinear(&[0.25; 64], [8, 8], [28, 28]).unwrap();
    assert!(same.len() == 784 && same.iter().all(|&v| v == 0.25));
    let ramp: Vec<f32> = (0..8).map(|i| i as f32).collect();
    let wide = bilinear(&ramp, [1, 8], [1, 28]).unwrap();
    assert!(wide.windows(2).all(|p| p[0] <= p[1]));
    assert_eq!((wide[0], wide[27]), (0.0, 7.0));
    // Output 2 reads source (2.5 * 8/28) - 0.5 = 3/14.
    assert!((wide[2] - 3.0 / 14.0).abs() < 1e-6);
    assert!(bilinear(&ramp, [3, 3], [4, 4]).is_err());
}
