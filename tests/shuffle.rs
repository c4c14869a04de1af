//! Shuffling: against the definition, on every small network, whatever the batch and memory.

use crate::support::noise;
use chanscope::Error;
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::io::array::ArrayLayer;
use chanscope::measure::shuffle::{Cosine, Mode, Tapped, check_permutation, seeded_permutation};
use chanscope::measure::{Context, Shuffle, ShuffleInput, ShuffleOptions, shuffle};
use chanscope::model::forward::Session;
use chanscope::model::graph::Graph;
use chanscope::model::layers::ConvLayer;
use chanscope::model::lenet::{lenet, weights};
use chanscope::model::node::ValueId;
use chanscope::model::onnx;
use chanscope::ops::Backend;
use chanscope::tensor::LayerShape;

fn network() -> Graph {
    let bytes = include_bytes!("../assets/lenet5.safetensors");
    lenet(&weights(bytes).unwrap()).unwrap()
}

fn images(n: usize, shape: &[usize]) -> (LayerShape, Vec<f32>) {
    let s = LayerShape::new(n, shape[0], shape[1], shape[2]).unwrap();
    let mut next = noise(7);
    (s, (0..s.len()).map(|_| next()).collect())
}

fn tapped(layer: &ConvLayer, value: ValueId) -> Tapped {
    Tapped {
        name: layer.name.clone(),
        value,
    }
}

/// Cosines `[K, M]` of `observe` (mean over samples; all samples as one vector) and accuracy `[K]`, each channel of `tensor` replaced on the
/// host and the rest run with every other value given.
fn brute_force(
    graph: &Graph,
    data: &[f32],
    n: usize,
    labels: &[u32],
    tensor: ValueId,
    observe: ValueId,
    source: impl Fn(usize, usize) -> (usize, usize),
) -> ([Vec<f64>; 2], Vec<f64>) {
    let cpu = Cpu::new(0).unwrap();
    let reached = graph.dependents(tensor);
    let mut given = vec![tensor];
    for node in graph.nodes() {
        if !reached[node.output.index()] {
            given.push(node.output);
        }
    }
    let output = graph.outputs()[0];
    let mut wanted = given.clone();
    wanted.push(observe);
    wanted.push(output);
    let x = cpu
        .upload(&[&[n], graph.input_shape()].concat(), data)
        .unwrap();
    let base = Session::new(&cpu, graph, &[graph.input()], &wanted).unwrap();
    let base = base.run(&[&x]).unwrap();
    given.push(graph.input());
    let tail = Session::new(&cpu, graph, &given, &[observe, output]).unwrap();
    let shape = base[0].shape().to_vec();
    let (c, d) = (shape[1], shape[2..].iter().product::<usize>());
    let before = base[wanted.len() - 2].data();
    let m = base[wanted.len() - 2].shape()[1];
    let (mut cosines, mut accuracy) = ([vec![], vec![]], vec![]);
    for k in 0..c {
        let original = base[0].data();
        let mut changed = original.to_vec();
        for i in 0..n {
            for p in 0..d {
                let (from, q) = source(i, p);
                changed[(i * c + k) * d + p] = original[(from * c + k) * d + q];
            }
        }
        let changed = cpu.upload(&shape, &changed).unwrap();
        let mut tensors = vec![&changed];
        tensors.extend(&base[1..wanted.len() - 2]);
        tensors.push(&x);
        let after = tail.run(&tensors).unwrap();
        let size = before.len() / (n * m);
        for channel in 0..m {
            let mut sum = 0.0;
            let mut all = [0.0; 3];
            for i in 0..n {
                let at = (i * m + channel) * size;
                let (a, b) = (&before[at..at + size], &after[0].data()[at..at + size]);
                let dot = |x: &[f32], y: &[f32]| -> f64 {
                    x.iter()
                        .zip(y)
                        .map(|(x, y)| f64::from(*x) * f64::from(*y))
                        .sum()
                };
                let one = [dot(a, b), dot(a, a), dot(b, b)];
                sum += cosine(one);
                all = [0, 1, 2].map(|j| all[j] + one[j]);
            }
            cosines[0].push(sum / n as f64);
            cosines[1].push(cosine(all));
        }
        let scores = after[1].data().chunks(after[1].data().len() / n);
        let right = scores.zip(labels).filter(|(row, l)| {
            let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().position(|&s| s == best) == Some(**l as usize)
        });
        accuracy.push(right.count() as f64 / n as f64);
    }
    (cosines, accuracy)
}

fn cosine([ab, aa, bb]: [f64; 3]) -> f64 {
    match (aa == 0.0, bb == 0.0) {
        (true, true) => 1.0,
        (false, false) => ab / (aa * bb).sqrt(),
        _ => 0.0,
    }
}

struct Setting {
    mode: Mode,
    cosine: Cosine,
    batch: usize,
    memory: u64,
    permutation: Option<Vec<i64>>,
}

const PLENTY: u64 = 1 << 32;

/// Shuffles the tensor after layer `from` and observes all layers.
fn try_run(
    graph: &Graph,
    layer: &ArrayLayer<'_>,
    labels: Option<&[u32]>,
    s: &Setting,
    from: usize,
) -> chanscope::Result<Shuffle> {
    let device = Device::Cpu(Cpu::new(2)?);
    let layers = graph.layers();
    let observe: Vec<Tapped> = layers.iter().map(|l| tapped(l, l.activation)).collect();
    let tensor = tapped(&layers[from], layers[from].consumed);
    let input = ShuffleInput::new(graph, layer, &tensor, &observe)
        .with_labels(labels)
        .with_permutation(s.permutation.as_deref());
    let options = ShuffleOptions::default()
        .with_mode(s.mode)
        .with_cosine(s.cosine)
        .with_batch(s.batch)
        .with_seed(3);
    shuffle(
        &Context::new(&device).with_memory(s.memory),
        &input,
        &options,
    )
}

fn run(
    graph: &Graph,
    layer: &ArrayLayer<'_>,
    labels: Option<&[u32]>,
    s: &Setting,
    from: usize,
) -> Shuffle {
    try_run(graph, layer, labels, s, from).unwrap()
}

fn assert_close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "{what}[{i}]: {g} for {w}");
    }
}

#[test]
fn both_modes_agree_with_the_definition_on_lenet() {
    let graph = network();
    let n = 7;
    let (shape, data) = images(n, &[1, 28, 28]);
    let layer = ArrayLayer::new("images", shape, &data[..]).unwrap();
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
    let layers = graph.layers();
    let batch = 3;
    for mode in [Mode::Channel, Mode::Pixel] {
        let source = |i: usize, p: usize| match mode {
            Mode::Channel => {
                let first = i / batch * batch;
                let permutation = seeded_permutation(3, (i / batch) as u64, batch.min(n - first));
                (first + permutation[i - first] as usize, p)
            }
            Mode::Pixel => (i, seeded_permutation(3, i as u64, 144)[p] as usize),
        };
        let (cosines, accuracy) = brute_force(
            &graph,
            &data,
            n,
            &labels,
            layers[0].consumed,
            layers[1].activation,
            source,
        );
        for (cosine, want) in [Cosine::Sample, Cosine::Batch].into_iter().zip(&cosines) {
            let setting = Setting {
                mode,
                cosine,
                batch,
                memory: PLENTY,
                permutation: None,
            };
            let got = run(&graph, &layer, Some(&labels), &setting, 0);
            let what = format!("{} {}", mode.name(), cosine.name());
            assert_eq!(got.observed.len(), 1);
            assert_eq!(
                (got.observed[0].name.as_str(), got.observed[0].channels),
                ("conv2", 16)
            );
            assert_close(&got.observed[0].cosine, want, 1e-5, &what);
            assert_close(&got.accuracy.unwrap(), &accuracy, 0.0, &what);
            assert_eq!(got.short_batch, Some(1));
            assert!(
                want.iter().any(|&c| c < 0.99),
                "the shuffle changes something"
            );
        }
        let differ = cosines[0]
            .iter()
            .zip(&cosines[1])
            .any(|(a, b)| (a - b).abs() > 1e-3);
        assert!(differ, "the two cosines are not the same");
    }
}

/// Networks with images of odd sizes whose every layer can be shuffled.
fn small_networks() -> Vec<(String, Graph)> {
    let names = [
        "residual",
        "dense",
        "inception",
        "squeeze",
        "mbconv",
        "depthwise",
        "shuffled",
    ];
    (names.iter())
        .map(|name| {
            let path = format!("tests/data/onnx/{name}/model.onnx");
            ((*name).to_string(), onnx::load(path, None).unwrap())
        })
        .collect()
}

#[test]
fn skip_connections_and_branches_are_followed() {
    for (name, graph) in small_networks() {
        let n = 4;
        let (shape, data) = images(n, graph.input_shape());
        let layer = ArrayLayer::new("images", shape, &data[..]).unwrap();
        let labels = [1, 0, 2, 1];
        let layers = graph.layers();
        let last = layers.len() - 1;
        for from in [0, last / 2] {
            let source = |i: usize, p: usize| (3 - i, p);
            let (tensor, observe) = (layers[from].consumed, layers[last].activation);
            if !graph.dependents(tensor)[observe.index()] {
                continue;
            }
            let (cosines, accuracy) =
                brute_force(&graph, &data, n, &labels, tensor, observe, source);
            let setting = Setting {
                mode: Mode::Channel,
                cosine: Cosine::Sample,
                batch: 4,
                memory: PLENTY,
                permutation: Some(vec![3, 2, 1, 0]),
            };
            let got = run(&graph, &layer, Some(&labels), &setting, from);
            let what = format!("{name} from {}", layers[from].name);
            let tap = got
                .observed
                .iter()
                .find(|o| o.name == layers[last].name)
                .unwrap();
            assert_close(&tap.cosine, &cosines[0], 1e-5, &what);
            assert_close(&got.accuracy.unwrap(), &accuracy, 0.0, &what);
        }
    }
}

#[test]
fn shuffling_nothing_changes_nothing() {
    for (name, graph) in small_networks() {
        let (shape, data) = images(3, graph.input_shape());
        let layer = ArrayLayer::new("images", shape, &data[..]).unwrap();
        let setting = Setting {
            mode: Mode::Channel,
            cosine: Cosine::Sample,
            batch: 256,
            memory: PLENTY,
            permutation: Some(vec![0, 1, 2]),
        };
        let got = run(&graph, &layer, Some(&[0, 1, 2]), &setting, 0);
        assert!(!got.observed.is_empty(), "{name}");
        for tap in &got.observed {
            // A norm is rounded to f32, a cosine computed from three of them to a few units of that.
            assert!(
                tap.cosine.iter().all(|&c| (c - 1.0).abs() < 3e-7),
                "{name} {}",
                tap.name
            );
        }
        let accuracy = got.accuracy.unwrap();
        assert!(
            accuracy.iter().all(|&a| Some(a) == got.baseline_accuracy),
            "{name}"
        );
    }
}

#[test]
fn memory_changes_no_bit() {
    for (name, graph) in [("lenet5".to_string(), network())]
        .into_iter()
        .chain(small_networks())
    {
        let (shape, data) = images(9, graph.input_shape());
        let layer = ArrayLayer::new("images", shape, &data[..]).unwrap();
        let labels = [0u32; 9];
        let with = |memory, mode, cosine| {
            let setting = Setting {
                mode,
                cosine,
                batch: 5,
                memory,
                permutation: None,
            };
            run(&graph, &layer, Some(&labels), &setting, 0)
        };
        for (mode, cosine) in [
            (Mode::Channel, Cosine::Sample),
            (Mode::Pixel, Cosine::Batch),
        ] {
            let whole = with(PLENTY, mode, cosine);
            let tight = (1..64).map(|i| (i * 32) << 10).find(|&memory| {
                let setting = Setting {
                    mode,
                    cosine,
                    batch: 5,
                    memory,
                    permutation: None,
                };
                try_run(&graph, &layer, Some(&labels), &setting, 0).is_ok()
            });
            assert_eq!(with(tight.unwrap(), mode, cosine), whole, "{name}");
        }
    }
}

#[test]
fn permutations_that_leave_their_batch_are_refused() {
    let check = |p: &[i64]| check_permutation(p, 6, 4).map_err(|e| e.to_string());
    assert_eq!(check(&[3, 2, 1, 0, 5, 4]), Ok(()));
    let fail = |p: &[i64]| check(p).err().unwrap();
    assert_eq!(
        fail(&[3, 2, 1, 4, 5, 0]),
        "permutation[3] is 4, expected a sample of its mini-batch 0..4"
    );
    assert!(fail(&[0, 0, 1, 2, 4, 5]).contains("permutation[1] is 0 a second time"));
    assert!(fail(&[0, 1]).contains("permutation has 2 elements, expected 6"));
    assert!(fail(&[-1, 1, 2, 3, 4, 5]).contains("permutation[0] is -1"));
    assert!(fail(&[i64::MIN, 1, 2, 3, 4, 5]).contains("mini-batch 0..4"));
}

#[test]
fn labels_and_batches_that_do_not_fit_are_refused() {
    let graph = network();
    let (shape, data) = images(4, &[1, 28, 28]);
    let layer = ArrayLayer::new("images", shape, &data[..]).unwrap();
    let layers = graph.layers();
    let device = Device::Cpu(Cpu::new(1).unwrap());
    let ctx = Context::new(&device).with_memory(PLENTY);
    let tensor = tapped(&layers[0], layers[0].consumed);
    let observe = [tapped(&layers[1], layers[1].activation)];
    let base = ShuffleInput::new(&graph, &layer, &tensor, &observe);
    let options = ShuffleOptions::default();
    let fail = |ctx: &Context<'_>, input: &ShuffleInput<'_>, options: &ShuffleOptions| {
        let result = shuffle(ctx, input, options);
        result.expect_err("must fail").to_string()
    };
    let labels = [1, 2, 10, 3];
    assert_eq!(
        fail(&ctx, &base.with_labels(Some(&labels)), &options),
        "labels[2] is 10, expected one of the network's 10 classes"
    );
    assert_eq!(
        fail(&ctx, &base.with_labels(Some(&labels[..3])), &options),
        "labels has 3 elements, expected 4"
    );
    assert!(fail(&ctx, &base, &options.with_batch(1)).contains("batch is 1, expected at least 2"));
    let input = base.with_permutation(Some(&[0, 1, 2, 3]));
    assert!(fail(&ctx, &input, &options.with_mode(Mode::Pixel)).contains("mode channel"));
    let little = ctx.clone().with_memory(1000);
    let result = shuffle(&little, &base, &options);
    assert!(matches!(result, Err(Error::Memory { cap: 1000, .. })));
    // Nothing after the last layer, and no labels to lose.
    let last = tapped(&layers[1], layers[1].consumed);
    let input = ShuffleInput::new(&graph, &layer, &last, &observe);
    assert!(fail(&ctx, &input, &options).contains("no layer that depends on 'conv2'"));
}
