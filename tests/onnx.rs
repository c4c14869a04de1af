//! ONNX import: agreement with onnxruntime, and files that lie.

mod fold;
mod opsets;
mod parts;
mod support;
mod taps;
mod weights;

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
    m.opset = 6;
    assert_eq!(
        fail(&m),
        "opset 6 is not supported: export with opset 7 to 23"
    );

    let mut m = Model::new(&[1, 6, 6]);
    m.node(Node::new("LSTM", "rnn", &["input"], "a"));
    m.node(Node::new("Einsum", "e", &["a"], "b"));
    m.output("b");
    assert_eq!(fail(&m), "node 'rnn' (LSTM): is not supported");

    let mut m = conv_model();
    m.node(Node::new("Relu", "late", &["zzz"], "c"));
    let message = "node 'late' (Relu): reads 'zzz', which nothing before it writes";
    assert_eq!(fail(&m), message);

    let mut m = conv_model();
    m.node(Node::new("Relu", "again", &["b"], "a"));
    assert!(fail(&m).contains("'a' is defined twice"));

    let mut m = conv_model();
    m.output("nowhere");
    assert_eq!(fail(&m), "no node computes the output 'nowhere'");

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
    assert!(fail(&m).contains("has its batch at another axis than the first"));

    let mut m = Model::new(&[4, 5]);
    m.input_dims = vec![None, Some(4), None];
    m.node(Node::new("Relu", "r", &["input"], "a"));
    m.output("a");
    assert!(fail(&m).contains("leaves dimension 2 open"), "{}", fail(&m));

    // int8 networks, as a quantiser writes them.
    let mut m = conv_model();
    m.nodes.clear();
    m.node(Node::new(
        "QuantizeLinear",
        "q",
        &["input", "conv1.weight"],
        "a",
    ));
    m.node(Node::new("QLinearConv", "c", &["a"], "b"));
    assert_eq!(fail(&m), "node 'q' (QuantizeLinear): is not supported");

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
fn outside_data_are_read_only_beside_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    let path = model.join("m.onnx");
    let bytes: Vec<u8> = (0..18).flat_map(|i| (i as f32).to_le_bytes()).collect();
    std::fs::write(model.join("w.bin"), &bytes).unwrap();
    std::fs::write(folder.path().join("secret.bin"), &bytes).unwrap();
    let attempt = |tensors: &[(&str, usize)]| {
        let mut m = conv_model();
        m.constants.clear();
        for (i, (location, offset)) in tensors.iter().enumerate() {
            let name = if i == 0 {
                "conv1.weight".into()
            } else {
                format!("copy{i}")
            };
            m.outside(&name, &[2, 1, 3, 3], location, *offset, 72);
        }
        if tensors.len() > 1 {
            m.node(Node::new("Mul", "twice", &["b", "copy1"], "z"));
        }
        std::fs::write(&path, m.encode()).unwrap();
        onnx::load(&path, None).map_err(|e| e.to_string())
    };
    let data = |graph: &Graph, name: &str| {
        let values = (0..graph.nodes().len()).flat_map(|i| graph.nodes()[i].inputs.clone());
        let id = values.into_iter().find(|&id| graph.value(id).name == name);
        let data = graph.value(id.unwrap()).data.clone().unwrap();
        data.read().unwrap().into_owned()
    };
    let graph = attempt(&[("w.bin", 0)]).unwrap();
    let want: Vec<f32> = (0..18).map(|i| i as f32).collect();
    assert_eq!(*data(&graph, "conv1.weight"), *want);
    // Several tensors may name the same bytes, which are in memory once.
    assert!(attempt(&[("w.bin", 0), ("./w.bin", 0), ("w.bin", 0)]).is_ok());
    let message = |r: Result<Graph, String>| r.expect_err("must fail");
    assert!(
        message(attempt(&[("w.bin", 4)]))
            .contains("72 bytes at byte 4 where 72 are needed and the file has 72")
    );
    assert!(message(attempt(&[("gone.bin", 0)])).contains("gone.bin"));
    for outside in ["../secret.bin", "/etc/passwd", "a/../../secret.bin"] {
        assert!(message(attempt(&[(outside, 0)])).contains("outside the model's folder"));
    }
    std::fs::create_dir(model.join("folder.bin")).unwrap();
    assert!(message(attempt(&[("folder.bin", 0)])).contains("a regular file is needed"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink("w.bin", model.join("inside.bin")).unwrap();
        symlink("../secret.bin", model.join("link.bin")).unwrap();
        assert!(attempt(&[("inside.bin", 0)]).is_ok());
        let refused = message(attempt(&[("link.bin", 0)]));
        assert!(
            refused.contains("outside the model's folder, where a link leads"),
            "{refused}"
        );
    }
}

#[test]
fn parts_of_an_outside_file_that_overlap_claim_no_more_than_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(folder.path().join("w.bin"), vec![0u8; 100]).unwrap();
    let mut m = conv_model();
    m.constants.clear();
    for (i, name) in ["conv1.weight", "b", "c"].into_iter().enumerate() {
        m.outside(name, &[2, 1, 3, 3], "w.bin", 4 * i, 72);
    }
    std::fs::write(&path, m.encode()).unwrap();
    let message = onnx::load(&path, None).unwrap_err().to_string();
    assert!(
        message.contains("overlap, together more bytes than it has"),
        "{message}"
    );
}

#[cfg(unix)]
#[test]
fn pipes_are_refused_without_waiting_for_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let path = folder.path().join(name);
        let made = std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        path
    };
    let pipe = make("m.onnx");
    for message in [
        onnx::load(&pipe, None).unwrap_err().to_string(),
        onnx::filters(&pipe).unwrap_err().to_string(),
    ] {
        assert!(message.contains("is a pipe or device"), "{message}");
    }
    make("w.bin");
    let mut m = conv_model();
    m.constants.clear();
    m.outside("conv1.weight", &[2, 1, 3, 3], "w.bin", 0, 72);
    let path = folder.path().join("n.onnx");
    std::fs::write(&path, m.encode()).unwrap();
    let message = onnx::load(&path, None).unwrap_err().to_string();
    assert!(message.contains("is a pipe or device"), "{message}");
}

#[test]
fn sizes_that_the_file_does_not_back_are_refused() {
    for shape in [vec![1 << 40, 1 << 40], vec![1 << 30], vec![-1], vec![0, 3]] {
        let mut m = conv_model();
        m.constants.push(model::tensor("huge", &shape, &[1.0]));
        assert!(load(&m.encode()).is_err(), "{shape:?}");
    }
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
