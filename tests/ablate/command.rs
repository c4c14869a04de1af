//! `ablate` from outside: files, table and report, and what is refused.

use crate::formats::{f32_bytes, npy_bytes};
use crate::support::cli::{refused, succeed};
use crate::support::model::{Attribute, Model, Node};
use crate::support::noise;
use std::path::Path;
use tempfile::TempDir;

/// Samples.
const N: usize = 60;

/// `conv1` of 6 channels, `conv2` of 4, and `beside`, on which the classes do not depend; 60 images and their labels.
fn write(dir: &Path) {
    let mut next = noise(3);
    let mut random = |n: usize| (0..n).map(|_| next()).collect::<Vec<f32>>();
    let mut model = Model::new(&[2, 8, 8]);
    model.constant("conv1.weight", &[6, 2, 3, 3], &random(108));
    model.constant("conv2.weight", &[4, 6, 3, 3], &random(216));
    model.constant("beside.weight", &[2, 6, 3, 3], &random(108));
    model.constant("fc.weight", &[3, 4], &random(12));
    model.constant("fc.bias", &[3], &random(3));
    model.node(Node::new("Conv", "c1", &["input", "conv1.weight"], "a"));
    model.node(Node::new("Relu", "r1", &["a"], "b"));
    model.node(Node::new("Conv", "c2", &["b", "conv2.weight"], "c"));
    model.node(Node::new("Conv", "c3", &["b", "beside.weight"], "other"));
    model.node(Node::new("Relu", "r2", &["c"], "d"));
    model.node(Node::new("GlobalAveragePool", "p", &["d"], "e"));
    model.node(Node::new("Flatten", "f", &["e"], "g"));
    let gemm = Node::new("Gemm", "fc", &["g", "fc.weight", "fc.bias"], "classes");
    model.node(gemm.with(Attribute::int("transB", 1)));
    model.outputs(&["classes", "other"]);
    std::fs::write(dir.join("model.onnx"), model.encode()).unwrap();
    let images = npy_bytes("<f4", "(60, 2, 8, 8)", &f32_bytes(&random(N * 128)));
    std::fs::write(dir.join("images.npy"), images).unwrap();
    labels(dir, "labels.npy", &|i| i % 3);
    ranking(dir, "conv1.npy", &[5, 4, 3, 2, 1, 0]);
    ranking(dir, "second.npy", &[0, 1, 2, 3]);
}

fn integers(dir: &Path, name: &str, values: &[i64]) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = format!("({},)", values.len());
    std::fs::write(dir.join(name), npy_bytes("<i8", &shape, &bytes)).unwrap();
}

fn labels(dir: &Path, name: &str, label: &dyn Fn(usize) -> usize) {
    let values: Vec<i64> = (0..N).map(|i| label(i) as i64).collect();
    integers(dir, name, &values);
}

fn ranking(dir: &Path, name: &str, order: &[i64]) {
    integers(dir, name, order);
}

fn array(path: &Path) -> (Vec<u64>, Vec<i64>) {
    let bytes = std::fs::read(path).unwrap();
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

const RUN: [&str; 7] = [
    "ablate",
    "model.onnx",
    "images.npy",
    "--labels",
    "labels.npy",
    "--output",
    "classes",
];

fn with<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&RUN[..], rest].concat()
}

#[test]
fn a_run_leaves_curves_orders_and_a_report() {
    let dir = TempDir::new().unwrap();
    write(dir.path());
    let given = ["--ranking", "conv1.npy", "--ranking", "conv2=second.npy"];
    let options = [
        "--calibration",
        "30",
        "--dropped",
        "merge",
        "--seed",
        "4",
        "--out",
        "out",
    ];
    let text = succeed(&dir, &with(&[&given[..], &options[..]].concat()));
    for part in [
        "all layers at once",
        "conv1 (6)",
        "conv2 (4)",
        "fpgm",
        "beside",
        "90 %",
        "given",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let out = dir.path().join("out");
    let results = std::fs::read(out.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    let found = &results["ablation"];
    assert_eq!(
        (&found["dropped"], &found["samples"]),
        (&"merge".into(), &30.into())
    );
    assert_eq!(results["skipped"][0]["name"], "beside");
    let curves = |at: &serde_json::Value| at.as_array().unwrap().len();
    assert_eq!(curves(&found["layers"]), 2);
    for (layer, channels) in [(&found["layers"][0], 6), (&found["layers"][1], 4)] {
        assert_eq!(layer["channels"], channels);
        assert_eq!(curves(&layer["curves"]), 10);
        for curve in layer["curves"].as_array().unwrap() {
            let (name, ranking) = (
                layer["name"].as_str().unwrap(),
                curve["ranking"].as_str().unwrap(),
            );
            let (shape, order) = array(&out.join(format!("ablate/{name}/{ranking}.npy")));
            let draws = if ranking == "random" { vec![5] } else { vec![] };
            assert_eq!(shape, [draws, vec![channels]].concat());
            for order in order.chunks(channels as usize) {
                let mut sorted = order.to_vec();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..channels as i64).collect::<Vec<_>>());
            }
            assert_eq!(curves(&curve["points"]), 9);
            for point in curve["points"].as_array().unwrap() {
                let change =
                    point["accuracy"].as_f64().unwrap() - found["accuracy"].as_f64().unwrap();
                assert!((point["change"].as_f64().unwrap() - change).abs() < 1e-12);
            }
        }
    }
    assert_eq!(
        array(&out.join("ablate/conv1/given.npy")).1,
        [5, 4, 3, 2, 1, 0]
    );
    assert_eq!(found["together"][0]["points"][4]["kept"], 5);
    let (shape, calibration) = array(&out.join("ablate/calibration.npy"));
    assert_eq!(shape, [30]);
    assert!(calibration.is_sorted() && calibration[29] < N as i64);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for part in [
        "Accuracy without some channels",
        "All layers at once",
        "Published rankings",
    ] {
        assert!(page.contains(part), "{part}");
    }
    succeed(&dir, &["report", "out"]);
}

#[test]
fn a_rank_run_is_ablated_and_json_is_printed() {
    let dir = TempDir::new().unwrap();
    write(dir.path());
    let model = ["model.onnx", "images.npy"];
    succeed(&dir, &[&["run"][..], &model, &["--dump", "dump"]].concat());
    succeed(
        &dir,
        &[
            "rank",
            "dump/conv1.npy",
            "--by",
            "pearson",
            "--out",
            "ranked",
        ],
    );
    let options = [
        "--layers",
        "conv1",
        "--ranking",
        "ranked/rank/conv1.npy",
        "--rankings",
        "given",
    ];
    let text = succeed(
        &dir,
        &with(&[&options[..], &["--keep", "0.5", "--json", "--out", "out"]].concat()),
    );
    let printed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let found = &printed["ablation"];
    assert_eq!(found["layers"][0]["curves"][0]["ranking"], "given");
    assert_eq!(
        (&found["calibration_samples"], found.get("together")),
        (&15.into(), None)
    );
    let order = array(&dir.path().join("ranked/rank/conv1.npy"));
    assert_eq!(array(&dir.path().join("out/ablate/conv1/given.npy")), order);
}

#[test]
fn what_does_not_fit_is_one_line() {
    let dir = TempDir::new().unwrap();
    write(dir.path());
    let fail = |rest: &[&str], code: i32, parts: &[&str]| refused(&dir, &with(rest), code, parts);
    for share in ["0", "1.5", "nan"] {
        let parts = ["--keep is ", "expected shares above 0 and at most 1"];
        fail(&["--keep", share, "--calibration", "30"], 2, &parts);
    }
    fail(
        &["--calibration", "10"],
        2,
        &["--calibration is 10 samples", "more than the 25 neighbours"],
    );
    fail(
        &[],
        2,
        &["--calibration is 15 samples", "more than the 25 neighbours"],
    );
    fail(
        &["--calibration", "59", "-k", "5"],
        2,
        &["at most 58", "left to measure accuracy on"],
    );
    fail(&["--rankings", "l2"], 2, &["unknown ranking 'l2'"]);
    fail(
        &["--rankings", "given"],
        2,
        &["--rankings given", "--ranking"],
    );
    fail(&["--dropped", "none"], 2, &["unknown dropped 'none'"]);
    fail(&["--layers", "conv9"], 2, &["--layers", "no layer 'conv9'"]);
    fail(
        &["--layers", "beside"],
        2,
        &["layer 'beside'", "does not depend"],
    );

    // Rankings of other layers and of other lengths.
    let l1 = ["--rankings", "l1", "--ranking"];
    let given =
        |rest: &[&str], code: i32, parts: &[&str]| fail(&[&l1[..], rest].concat(), code, parts);
    given(
        &["second.npy"],
        2,
        &[
            "'second' is none of the layers conv1, conv2",
            "LAYER=second.npy",
        ],
    );
    given(
        &["conv1=second.npy"],
        1,
        &["second.npy", "ranking", "4", "6"],
    );
    given(
        &["conv1.npy"],
        2,
        &["--ranking is rankings of conv1", "layer 'conv2' too"],
    );
    given(
        &["conv1.npy", "--ranking", "conv1=conv1.npy"],
        2,
        &["has a ranking already"],
    );
    ranking(dir.path(), "twice.npy", &[0, 1, 1, 3]);
    given(
        &["conv2=twice.npy"],
        1,
        &["twice.npy", "1 a second time, expected every channel once"],
    );
    given(
        &["conv2=images.npy"],
        1,
        &["images.npy", "a ranking is a 1-D array of integers"],
    );

    labels(dir.path(), "far.npy", &|i| i % 4);
    let far = [
        "ablate",
        "model.onnx",
        "images.npy",
        "--labels",
        "far.npy",
        "--output",
        "classes",
    ];
    refused(&dir, &far, 1, &["far.npy", "3", "classes"]);
    integers(dir.path(), "short.npy", &[0; 59]);
    let short = [
        "ablate",
        "model.onnx",
        "images.npy",
        "--labels",
        "short.npy",
        "--output",
        "classes",
    ];
    refused(&dir, &short, 1, &["short.npy", "59"]);
    refused(
        &dir,
        &["ablate", "model.onnx", "images.npy"],
        2,
        &["--labels"],
    );
    let several = [
        "ablate",
        "model.onnx",
        "images.npy",
        "--labels",
        "labels.npy",
    ];
    refused(&dir, &several, 2, &["--output"]);
}
