//! ONNX import: agreement with onnxruntime, and files that lie.

use crate::support::model::{self, Attribute, Model, Node};
use chanscope::cpu::Cpu;
use chanscope::model::forward::Session;
use chanscope::model::graph::Graph;
use chanscope::model::layers::Tap;
use chanscope::model::node::ValueId;
use chanscope::model::onnx;
use chanscope::ops::Backend;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Shape and elements of a float32 .npy file.
fn read(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let file = npyz::NpyFile::new(std::fs::File::open(path).unwrap()).unwrap();
    let shape = file.shape().iter().map(|&d| d as usize).collect();
    (shape, file.into_vec().unwrap())
}

fn nets() -> Vec<PathBuf> {
    let mut nets: Vec<PathBuf> = std::fs::read_dir("tests/data/onnx")
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    nets.sort();
    nets
}

fn assert_agrees(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1e-6);
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let error = (g - w).abs();
        assert!(error <= 1e-5 * scale, "{what}[{i}]: {g} for {w}");
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    (std::fs::read_dir(folder).unwrap())
        .map(|e| {
            e.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_string()
        })
        .collect()
}

#[test]
fn small_networks_agree_with_onnxruntime() {
    let cpu = Cpu::new(0).unwrap();
    let nets = nets();
    assert!(nets.len() >= 15);
    for net in nets {
        let graph = onnx::load(net.join("model.onnx"), None).unwrap();
        let (shape, input) = read(&net.join("input.npy"));
        let x = cpu.upload(&shape, &input).unwrap();
        let layers = graph.layers();
        let output = graph.outputs()[0];
        for (folder, tap) in [("conv", Tap::Conv), ("activation", Tap::Activation)] {
            if !net.join(folder).exists() {
                continue;
            }
            let found: BTreeSet<String> = layers.iter().map(|l| l.name.clone()).collect();
            assert_eq!(found, names(&net.join(folder)), "layers of {net:?}");
            let mut wanted: Vec<ValueId> = layers.iter().map(|l| l.tap(tap)).collect();
            wanted.push(output);
            let session = Session::new(&cpu, &graph, &[graph.input()], &wanted).unwrap();
            let got = session.run(&[&x]).unwrap();
            for (layer, got) in layers.iter().zip(&got) {
                let (shape, want) = read(&net.join(format!("{folder}/{}.npy", layer.name)));
                let what = format!("{net:?} {folder} {}", layer.name);
                assert_eq!(got.shape(), shape, "{what}");
                assert_agrees(got.data(), &want, &what);
            }
            let (_, want) = read(&net.join("output.npy"));
            let last = got.last().unwrap().data();
            assert_agrees(last, &want, &format!("{net:?} output"));
        }
        // Nothing asked for but the output: everything fuses.
        let session = Session::new(&cpu, &graph, &[graph.input()], &[output]).unwrap();
        let got = session.run(&[&x]).unwrap();
        let (_, want) = read(&net.join("output.npy"));
        assert_agrees(got[0].data(), &want, &format!("{net:?} fused"));
    }
}

#[test]
fn sample_by_sample_gives_the_same_bits() {
    let cpu = Cpu::new(1).unwrap();
    for net in nets() {
        let graph = onnx::load(net.join("model.onnx"), None).unwrap();
        let (shape, input) = read(&net.join("input.npy"));
        let session = Session::new(&cpu, &graph, &[graph.input()], graph.outputs()).unwrap();
        let x = cpu.upload(&shape, &input).unwrap();
        let whole = session.run(&[&x]).unwrap();
        let mut one = shape.clone();
        one[0] = 1;
        let mut parts = vec![];
        for sample in input.chunks(input.len() / shape[0]) {
            let x = cpu.upload(&one, sample).unwrap();
            parts.extend_from_slice(session.run(&[&x]).unwrap()[0].data());
        }
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(whole[0].data()), bits(&parts), "{net:?}");
    }
}

/// Loads a model from memory through a temporary file; the error without the path.
fn load(bytes: &[u8]) -> Result<Graph, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    let prefix = format!("{}: ", path.display());
    onnx::load(&path, None).map_err(|e| e.to_string().replace(&prefix, ""))
}

fn conv_model() -> Model {
    let mut m = Model::new(&[1, 6, 6]);
    m.constant("conv1.weight", &[2, 1, 3, 3], &[0.5; 18]);
    m.node(Node::new("Conv", "c", &["input", "conv1.weight"], "a"));
    m.node(Node::new("Relu", "r", &["a"], "b"));
    m.output("b");
    m
}

#[test]
fn what_is_wrong_is_said_with_the_node() {
    let fail = |m: &Model| load(&m.encode()).expect_err("must fail");
    assert!(load(&conv_model().encode()).is_ok());

    let mut m = conv_model();
    m.opset = 12;
    assert_eq!(
        fail(&m),
        "opset 12 is not supported: export with opset 13 to 21"
    );

    let mut m = conv_model();
    m.node(Node::new("LSTM", "rnn", &["b"], "c"));
    m.node(Node::new("Einsum", "e", &["c"], "d"));
    assert_eq!(
        fail(&m),
        "node 'rnn' uses operator LSTM, which is not supported (and Einsum)"
    );

    let mut m = conv_model();
    m.node(Node::new("Relu", "late", &["zzz"], "c"));
    let message = "node 'late' (Relu): reads 'zzz', which nothing before it writes";
    assert_eq!(fail(&m), message);

    let mut m = conv_model();
    m.node(Node::new("Relu", "again", &["b"], "a"));
    assert!(fail(&m).contains("'a' is defined twice"));

    let mut m = conv_model();
    m.output("conv1.weight");
    assert_eq!(fail(&m), "no node computes the output 'conv1.weight'");

    let mut m = conv_model();
    m.nodes[0]
        .attributes
        .push(Attribute::ints("strides", &[0, 1]));
    assert!(fail(&m).contains("node 'c' (Conv): a window, stride or dilation is zero"));

    let mut m = conv_model();
    m.nodes[0]
        .attributes
        .push(Attribute::ints("pads", &[-1, 0, 0, 0]));
    assert!(fail(&m).contains("pads [-1, 0, 0, 0]"), "{}", fail(&m));

    let mut m = conv_model();
    m.nodes[0]
        .attributes
        .push(Attribute::ints("kernel_shape", &[9, 9]));
    assert!(fail(&m).contains("kernel_shape is not that of the weight"));

    let mut m = conv_model();
    m.nodes[0].attributes.push(Attribute::int("group", 3));
    assert!(
        fail(&m).contains("3 groups does not fit 1 channels"),
        "{}",
        fail(&m)
    );

    let mut m = Model::new(&[1, 2, 2]);
    m.constant("w", &[2, 1, 3, 3], &[0.5; 18]);
    m.node(Node::new("Conv", "c", &["input", "w"], "a"));
    m.output("a");
    assert!(fail(&m).contains("a window of 3x3 does not fit an input of 2x2"));

    let mut m = Model::new(&[4, 5]);
    m.nodes.push(Node::new("Transpose", "t", &["input"], "a"));
    m.nodes[0]
        .attributes
        .push(Attribute::ints("perm", &[1, 0, 2]));
    m.output("a");
    assert!(fail(&m).contains("moves the batch axis"));

    let mut m = Model::new(&[4, 5]);
    m.input_dims = vec![None, Some(4), None];
    m.node(Node::new("Relu", "r", &["input"], "a"));
    m.output("a");
    assert!(fail(&m).contains("leaves dimension 2 open"), "{}", fail(&m));

    assert_eq!(load(&[]).err().unwrap(), "is empty, not an ONNX model");
    assert!(load(b"PK\x03\x04 not a model at all").is_err());
}

#[test]
fn open_dimensions_take_those_of_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut m = conv_model();
    m.input_dims = vec![None, Some(1), None, None];
    std::fs::write(&path, m.encode()).unwrap();
    let graph = onnx::load(&path, Some(&[1, 7, 9])).unwrap();
    assert_eq!(graph.value(graph.outputs()[0]).shape, [2, 5, 7]);
    assert!(onnx::load(&path, Some(&[1, 7])).is_err());
}

#[test]
fn outside_data_are_read_only_beside_the_model_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(folder.path().join("w.bin"), vec![0u8; 72]).unwrap();
    let attempt = |location: &str, offset: usize, copies: usize| {
        let mut m = conv_model();
        m.constants.clear();
        m.outside("conv1.weight", &[2, 1, 3, 3], location, offset, 72);
        for i in 1..copies {
            m.outside(&format!("copy{i}"), &[2, 1, 3, 3], location, offset, 72);
        }
        std::fs::write(&path, m.encode()).unwrap();
        onnx::load(&path, None).map_err(|e| e.to_string())
    };
    assert!(attempt("w.bin", 0, 1).is_ok());
    let message = |r: Result<Graph, String>| r.expect_err("must fail");
    assert!(
        message(attempt("w.bin", 4, 1))
            .contains("72 bytes at byte 4 where 72 are needed and the file has 72")
    );
    assert!(message(attempt("w.bin", 0, 2)).contains("claim more bytes than the file has"));
    assert!(message(attempt("gone.bin", 0, 1)).contains("gone.bin"));
    for outside in ["../w.bin", "/etc/passwd", "a/../../w.bin"] {
        assert!(message(attempt(outside, 0, 1)).contains("outside the model's folder"));
    }
}

#[test]
fn sizes_that_the_file_does_not_back_are_refused() {
    for shape in [vec![1 << 40, 1 << 40], vec![1 << 30], vec![-1], vec![0, 3]] {
        let mut m = conv_model();
        m.constants.push(model::tensor("huge", &shape, &[1.0]));
        assert!(load(&m.encode()).is_err(), "{shape:?}");
    }
    // Repeated constants in two directions would make a square of them.
    let mut m = conv_model();
    m.constant("row", &[1, 3000], &[1.0; 3000]);
    m.constant("column", &[3000, 1], &[1.0; 3000]);
    m.node(Node::new("Mul", "outer", &["row", "column"], "square"));
    assert!(
        load(&m.encode())
            .err()
            .unwrap()
            .contains("both constants are repeated")
    );
    // Two bytes a node in the file, hundreds in memory.
    let nodes = 3_000_000;
    let mut bytes = vec![0x3a];
    bytes.extend(model::varint(2 * nodes));
    bytes.extend((0..nodes).flat_map(|_| [0x0a, 0x00]));
    assert!(
        load(&bytes)
            .err()
            .unwrap()
            .contains("too many to be a network")
    );
}

#[test]
fn every_truncation_is_an_error_and_none_a_panic() {
    let bytes = std::fs::read("tests/data/onnx/residual/model.onnx").unwrap();
    let step = (bytes.len() / 200).max(1);
    for cut in (0..bytes.len()).step_by(step) {
        assert!(load(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn damaged_models_never_panic(
        net in 0usize..15, hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = std::fs::read(nets()[net].join("model.onnx")).unwrap();
        // The structure is at the start and end; weights fill the middle.
        for (at, value) in hits {
            let i = at.index(bytes.len());
            bytes[i] = value;
        }
        if let Ok(graph) = load(&bytes) {
            let _ = graph.layers();
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = load(&bytes);
    }
}
