//! `run`, `shuffle` and `impulse` from outside.

use crate::support::cli::{chanscope, succeed};
use crate::support::model::{Attribute, Model, Node};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn net(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/onnx")
        .join(name)
}

fn array<T: npyz::Deserialize>(path: PathBuf) -> (Vec<u64>, Vec<T>) {
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = npyz::NpyFile::new(file).expect("npy");
    (file.shape().to_vec(), file.into_vec().expect("elements"))
}

fn json(path: PathBuf) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("results.json")).expect("JSON")
}

fn refused(dir: &TempDir, args: &[&str], code: i32, part: &str) {
    let out = chanscope(dir, args);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(
        stderr.contains(part),
        "{args:?}: '{part}' is not in: {stderr}"
    );
    assert!(
        !dir.path().join("chanscope-out").exists(),
        "{args:?} left a folder"
    );
}

#[test]
fn a_dump_holds_what_onnxruntime_computes() {
    let dir = TempDir::new().expect("folder");
    let folder = net("residual");
    let (model, data) = (folder.join("model.onnx"), folder.join("input.npy"));
    let (model, data) = (model.to_str().expect("path"), data.to_str().expect("path"));
    succeed(
        &dir,
        &["run", model, data, "--tap", "conv", "--dump", "dump"],
    );
    let mut files = 0;
    for entry in std::fs::read_dir(folder.join("conv")).expect("folder") {
        let want = entry.expect("entry").path();
        let (shape, want_values) = array::<f32>(want.clone());
        let (got_shape, got) = array::<f32>(
            dir.path()
                .join("dump")
                .join(want.file_name().expect("name")),
        );
        assert_eq!(got_shape, shape);
        let scale = want_values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(
            got.iter()
                .zip(&want_values)
                .all(|(g, w)| (g - w).abs() <= 1e-5 * scale)
        );
        files += 1;
    }
    assert!(files > 2);
    let (shape, _) = array::<f32>(dir.path().join("dump/output.npy"));
    assert_eq!(shape.len(), 2);
    // Half precision, one layer; and what is there is not overwritten.
    refused(&dir, &["run", model, data, "--dump", "dump"], 2, "dump");
    refused(
        &dir,
        &["run", model, data, "--dump", "d2", "--layers", "nope"],
        2,
        "has no layer 'nope'",
    );
    refused(
        &dir,
        &["run", model, data, "--dump", "d2", "--tap", "relu"],
        2,
        "unknown tap 'relu'",
    );
    assert!(!dir.path().join("d2").exists());
}

#[test]
fn shuffling_writes_a_curve_per_tensor() {
    let dir = TempDir::new().expect("folder");
    let folder = net("residual");
    let (model, data) = (folder.join("model.onnx"), folder.join("input.npy"));
    let (model, data) = (model.to_str().expect("path"), data.to_str().expect("path"));
    let (shape, _) = array::<f32>(folder.join("input.npy"));
    let labels: Vec<u8> = (0..shape[0])
        .flat_map(|i| ((i % 2) as i64).to_le_bytes())
        .collect();
    let header = format!("({},)", shape[0]);
    std::fs::write(
        dir.path().join("l.npy"),
        crate::formats::npy_bytes("<i8", &header, &labels),
    )
    .expect("write");
    succeed(
        &dir,
        &[
            "shuffle", model, data, "--labels", "l.npy", "--mode", "pixel", "--out", "out",
        ],
    );
    let out = dir.path().join("out");
    let results = json(out.join("results.json"));
    let tensors = results["shuffle"]["tensors"].as_array().expect("tensors");
    assert!(!tensors.is_empty());
    for t in tensors {
        let name = t["name"].as_str().expect("name");
        assert_eq!(t["mode"], "pixel");
        let channels = t["accuracy"].as_array().expect("accuracy").len();
        for o in t["observed"].as_array().expect("observed") {
            assert_eq!(
                o["cosine_mean"].as_array().expect("cosines").len(),
                channels
            );
            let tap = o["name"].as_str().expect("name");
            let (shape, values) =
                array::<f64>(out.join(format!("shuffle/{name}/{tap}.cosine.npy")));
            assert_eq!(shape[0], channels as u64);
            assert!(values.iter().all(|v| v.abs() <= 1.0 + 1e-9));
        }
        let (shape, _) = array::<f64>(out.join(format!("shuffle/{name}/accuracy.npy")));
        assert_eq!(shape, [channels as u64]);
    }
    refused(
        &dir,
        &["shuffle", model, data, "--batch", "0"],
        2,
        "--batch",
    );
    refused(
        &dir,
        &["shuffle", model, data, "--mode", "both"],
        2,
        "unknown mode 'both'",
    );
    refused(
        &dir,
        &["shuffle", model, data, "--cosine", "mean"],
        2,
        "unknown cosine 'mean'",
    );
}

#[test]
fn permutations_and_labels_that_do_not_fit_are_one_line() {
    let dir = TempDir::new().expect("folder");
    let folder = net("residual");
    let model = folder.join("model.onnx");
    let (model, data) = (model.to_str().expect("path"), "images.npy");
    let (mut shape, values) = array::<f32>(folder.join("input.npy"));
    shape[0] *= 3;
    let n = shape[0] as i64;
    let images: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let header = format!("({n}, {}, {}, {})", shape[1], shape[2], shape[3]);
    let file = crate::formats::npy_bytes("<f4", &header, &images.repeat(3));
    std::fs::write(dir.path().join(data), file).expect("write");
    let write = |name: &str, dtype: &str, bytes: Vec<u8>| {
        let size: usize = dtype[2..].parse().expect("size");
        let header = format!("({},)", bytes.len() / size);
        let file = crate::formats::npy_bytes(dtype, &header, &bytes);
        std::fs::write(dir.path().join(name), file).expect("write");
    };
    let whole = |values: Vec<i64>| values.into_iter().flat_map(i64::to_le_bytes).collect();
    let rotated: Vec<i64> = (0..n).map(|i| (i + 1) % n).collect();
    write("good.npy", "<i8", whole(rotated.clone()));
    write("float.npy", "<f4", vec![0; 4 * shape[0] as usize]);
    write("short.npy", "<i8", whole(rotated[1..].to_vec()));
    write("outside.npy", "<i8", whole(vec![99; shape[0] as usize]));
    write("twice.npy", "<i8", whole(vec![0; shape[0] as usize]));
    write("negative.npy", "<i8", whole((0..n).map(|i| -i).collect()));
    succeed(
        &dir,
        &[
            "shuffle",
            model,
            data,
            "--permutation",
            "good.npy",
            "--out",
            "out",
        ],
    );
    let cases: [(&[&str], &str); 7] = [
        (&["float.npy"], "of type f4"),
        (&["short.npy"], "short.npy"),
        (&["outside.npy"], "99, expected a sample of its mini-batch"),
        (&["twice.npy"], "a second time"),
        (&["negative.npy"], "negative.npy"),
        // The rotation stays within a mini-batch of all, not of four.
        (
            &["good.npy", "--batch", "4"],
            "a sample of its mini-batch 0..4",
        ),
        (&["gone.npy"], "gone.npy"),
    ];
    for (rest, part) in cases {
        let args = [&["shuffle", model, data, "--permutation"], rest].concat();
        refused(&dir, &args, 1, part);
    }
    let args = [
        "shuffle",
        model,
        data,
        "--mode",
        "pixel",
        "--permutation",
        "good.npy",
    ];
    refused(&dir, &args, 2, "--mode channel");
    write("far.npy", "<i8", whole(vec![1000; shape[0] as usize]));
    refused(
        &dir,
        &["shuffle", model, data, "--labels", "far.npy"],
        1,
        "far.npy: element 0: 1000",
    );
    refused(
        &dir,
        &["shuffle", model, data, "--labels", "short.npy"],
        1,
        "short.npy",
    );
    refused(
        &dir,
        &["shuffle", model, data, "--observe", "stem.0"],
        2,
        "none of the observed layers",
    );
    let wide = crate::formats::npy_bytes("<f4", "(1, 9, 8, 8)", &[0; 4 * 9 * 64]);
    std::fs::write(dir.path().join("wide.npy"), wide).expect("write");
    refused(
        &dir,
        &["shuffle", model, "wide.npy"],
        1,
        "holds samples of shape [9, 8, 8]",
    );
}

#[test]
fn impulses_write_responses_and_matrices() {
    let dir = TempDir::new().expect("folder");
    let model = net("residual").join("model.onnx");
    let model = model.to_str().expect("path");
    succeed(&dir, &["impulse", model, "--tap", "conv", "--out", "out"]);
    let out = dir.path().join("out");
    let results = json(out.join("results.json"));
    for layer in results["impulse"]["layers"].as_array().expect("layers") {
        let (name, c) = (
            layer["name"].as_str().expect("name"),
            layer["channels"].as_u64().expect("channels"),
        );
        let folder = out.join("impulse").join(name);
        let (shape, ncc) = array::<f64>(folder.join("ncc.npy"));
        assert_eq!(shape, [c, c]);
        assert!(ncc.iter().all(|v| (-1.0..=1.0).contains(v)));
        let (shape, _) = array::<i32>(folder.join("lag.npy"));
        assert_eq!(shape, [c, c, 2]);
        let (shape, _) = array::<f32>(folder.join("response.npy"));
        assert_eq!((shape.len(), shape[1]), (4, c));
    }
    refused(
        &dir,
        &["impulse", model, "--at", "1000,0"],
        2,
        "a pixel of the image",
    );
    refused(&dir, &["impulse", model, "--at", "3"], 2, "--at '3'");
    refused(&dir, &["impulse", "missing.onnx"], 1, "missing.onnx");
}

/// Writes a model and a float32 array of zeros and ones as its input.
fn write_model(dir: &TempDir, name: &str, model: &Model, shape: &[usize]) {
    std::fs::write(dir.path().join(name), model.encode()).expect("write");
    let count: usize = shape.iter().product();
    let values = (0..count).map(|i| f32::from(i % 3 == 0 || i % 7 == 2));
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let header = format!("{shape:?}").replace('[', "(").replace(']', ")");
    let file = crate::formats::npy_bytes("<f4", &header, &bytes);
    std::fs::write(dir.path().join("x.npy"), file).expect("write");
}

/// Channels last, two outputs, and an operator that is not supported behind one of three convolutions.
fn channels_last() -> Model {
    let weights =
        |n: usize| -> Vec<f32> { (0..n).map(|i| ((i * 37) % 19) as f32 / 9.0 - 1.0).collect() };
    let mut m = Model::new(&[6, 5, 3]);
    m.node(
        Node::new("Transpose", "t", &["input"], "x").with(Attribute::ints("perm", &[0, 3, 1, 2])),
    );
    m.constant("conv1.weight", &[4, 3, 3, 3], &weights(108));
    m.constant("conv2.weight", &[2, 4, 1, 1], &weights(8));
    m.constant("conv3.weight", &[2, 2, 1, 1], &weights(4));
    m.node(Node::new("Conv", "c1", &["x", "conv1.weight"], "a"));
    m.node(Node::new("Relu", "r1", &["a"], "b"));
    m.node(Node::new("Conv", "c2", &["b", "conv2.weight"], "d"));
    m.node(Node::new("GlobalAveragePool", "g", &["d"], "e"));
    m.node(Node::new("Flatten", "f", &["e"], "scores"));
    m.node(Node::new("LSTM", "rnn", &["b"], "h"));
    m.node(Node::new("Conv", "c3", &["h", "conv3.weight"], "boxes"));
    m.outputs(&["boxes", "scores", "d"]);
    m
}

#[test]
fn parts_of_networks_with_several_outputs_and_channels_last_are_measured() {
    let dir = TempDir::new().expect("folder");
    write_model(&dir, "m.onnx", &channels_last(), &[4, 6, 5, 3]);
    let labels: Vec<u8> = (0..4i64).flat_map(|i| (i % 2).to_le_bytes()).collect();
    let file = crate::formats::npy_bytes("<i8", "(4,)", &labels);
    std::fs::write(dir.path().join("l.npy"), file).expect("write");
    let skipped = |folder: &str| {
        let results = json(dir.path().join(folder).join("results.json"));
        let all = results["skipped"].as_array().expect("skipped").clone();
        let text = |s: &serde_json::Value| (s["name"].to_string(), s["reason"].to_string());
        all.iter().map(text).collect::<Vec<_>>()
    };
    succeed(&dir, &["run", "m.onnx", "x.npy", "--dump", "dump"]);
    for (name, shape) in [
        ("conv1", &[4, 4, 4, 3][..]),
        ("conv2", &[4, 2, 4, 3]),
        ("scores", &[4, 2]),
        ("d", &[4, 2, 4, 3]),
    ] {
        assert_eq!(
            array::<f32>(dir.path().join(format!("dump/{name}.npy"))).0,
            shape
        );
    }
    assert!(!dir.path().join("dump/output.npy").exists());
    let lost = skipped("dump");
    let names: Vec<&str> = lost.iter().map(|l| l.0.as_str()).collect();
    assert_eq!(names, ["\"conv3\"", "\"boxes\""]);
    assert!(
        lost.iter()
            .all(|l| l.1.contains("node 'rnn' (LSTM), which is not supported"))
    );
    let args = [
        "run", "m.onnx", "x.npy", "--dump", "d2", "--layers", "conv3",
    ];
    refused(
        &dir,
        &args,
        2,
        "layer 'conv3' is not computed: it needs node 'rnn'",
    );

    succeed(&dir, &["impulse", "m.onnx", "--out", "impulse"]);
    let response = dir.path().join("impulse/impulse/conv1/response.npy");
    assert_eq!(array::<f32>(response).0, [3, 4, 4, 3]);
    assert_eq!(skipped("impulse").len(), 1);

    let shuffle = ["shuffle", "m.onnx", "x.npy", "--labels", "l.npy"];
    let with = |rest: &[&'static str]| [&shuffle[..], rest].concat();
    refused(
        &dir,
        &shuffle,
        2,
        "--output is not given, expected one of the network's outputs: 'boxes'",
    );
    refused(
        &dir,
        &with(&["--output", "boxes"]),
        1,
        "output 'boxes' is not computed",
    );
    succeed(&dir, &with(&["--output", "scores", "--out", "shuffled"]));
    let results = json(dir.path().join("shuffled/results.json"));
    assert!(results["shuffle"]["tensors"][0]["baseline_accuracy"].is_number());
}

#[test]
fn paddings_that_memory_does_not_hold_are_refused_before_they_are_made() {
    let dir = TempDir::new().expect("folder");
    let dilated = |dilation: i64| {
        let mut m = Model::new(&[3, 8, 8]);
        m.constant("conv1.weight", &[4, 3, 3, 3], &[0.5; 108]);
        let conv = Node::new("Conv", "c", &["input", "conv1.weight"], "y")
            .with(Attribute::text("auto_pad", "SAME_UPPER"))
            .with(Attribute::ints("dilations", &[dilation, dilation]));
        m.node(conv);
        m.output("y");
        m
    };
    let args = ["run", "m.onnx", "x.npy", "--dump", "d", "--memory", "64MiB"];
    write_model(&dir, "m.onnx", &dilated(2), &[2, 3, 8, 8]);
    succeed(&dir, &args);
    std::fs::remove_dir_all(dir.path().join("d")).expect("removed");
    write_model(&dir, "m.onnx", &dilated(8000), &[2, 3, 8, 8]);
    refused(
        &dir,
        &args,
        1,
        "--memory 64MiB is too small for one sample in this network",
    );
    write_model(&dir, "m.onnx", &dilated((1 << 32) - 1), &[2, 3, 8, 8]);
    refused(&dir, &args, 1, "are too large");
}

#[test]
fn an_open_size_is_asked_for_by_the_option_that_gives_it() {
    let dir = TempDir::new().expect("folder");
    let mut m = channels_last();
    m.input_dims = vec![None, None, None, Some(3)];
    write_model(&dir, "m.onnx", &m, &[4, 6, 5, 3]);
    refused(
        &dir,
        &["impulse", "m.onnx"],
        1,
        "give the size of the images with --size HxW",
    );
    refused(
        &dir,
        &["impulse", "m.onnx", "--size", "6"],
        2,
        "--size '6' is not a height and a width",
    );
    succeed(
        &dir,
        &["impulse", "m.onnx", "--size", "6x5", "--out", "impulse"],
    );
    let response = dir.path().join("impulse/impulse/conv1/response.npy");
    assert_eq!(array::<f32>(response).0, [3, 4, 4, 3]);
}
