//! Files that are not what a command wants, from outside: what is said, and what is measured all the same.

use crate::formats::safetensors::file_bytes;
use crate::formats::{f32_bytes, npy_bytes};
use crate::support::cli::{chanscope, succeed};
use crate::support::model::{Model, Node};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// The one line a command fails with.
fn refused(dir: &TempDir, args: &[&str]) -> String {
    let out = chanscope(dir, args);
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(!dir.path().join("chanscope-out").exists(), "{args:?}");
    stderr
}

fn results(dir: &TempDir, folder: &str) -> Value {
    let path = dir.path().join(folder).join("results.json");
    serde_json::from_slice(&std::fs::read(path).expect("results.json")).expect("JSON")
}

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin()).collect()
}

fn write(dir: &Path, name: &str, shape: &str, values: &[f32]) {
    std::fs::write(dir.join(name), npy_bytes("<f4", shape, &f32_bytes(values))).expect("write");
}

/// A folder `acts` with a sound layer, one that is cut, and a file that is none.
fn damaged() -> TempDir {
    let dir = TempDir::new().expect("folder");
    let acts = dir.path().join("acts");
    std::fs::create_dir(&acts).expect("folder");
    write(&acts, "good.npy", "(6, 2, 2, 2)", &wave(48));
    let bytes = npy_bytes("<f4", "(6, 2, 2, 2)", &f32_bytes(&wave(40)));
    std::fs::write(acts.join("cut.npy"), bytes).expect("write");
    std::fs::write(acts.join("odd.safetensors"), b"{}").expect("write");
    dir
}

#[test]
fn redundancy_names_a_file_that_cannot_be_read_or_skips_it() {
    let dir = damaged();
    let line = refused(&dir, &["redundancy", "acts", "-k", "3"]);
    assert!(line.contains("cut.npy: is truncated"), "{line}");
    let text = succeed(
        &dir,
        &["redundancy", "acts", "-k", "3", "--skip-unreadable"],
    );
    assert!(
        text.contains("skipped acts/cut.npy: is truncated"),
        "{text}"
    );
    let found = results(&dir, "chanscope-out");
    let layers = found["redundancy"]["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0]["name"], "good");
    let skipped = found["skipped"].as_array().expect("skipped");
    let names: Vec<_> = skipped.iter().map(|s| s["name"].clone()).collect();
    assert_eq!(
        names,
        [json!("acts/cut.npy"), json!("acts/odd.safetensors")]
    );
    assert_eq!(found["parameters"]["skip-unreadable"], json!(true));
}

#[test]
fn nothing_to_measure_is_an_error_also_when_skipping() {
    let dir = damaged();
    let args = ["redundancy", "acts/cut.npy", "--skip-unreadable"];
    assert!(refused(&dir, &args).contains("is truncated"));
    let args = [
        "redundancy",
        "acts/gone.npy",
        "acts/good.npy",
        "--skip-unreadable",
    ];
    assert!(refused(&dir, &args).contains("gone.npy: cannot open"));
}

#[test]
fn inspect_lists_what_cannot_be_read() {
    let dir = damaged();
    std::fs::write(dir.path().join("m.onnx"), b"no model").expect("write");
    std::fs::write(dir.path().join("labels.npy"), b"no labels").expect("write");
    assert!(refused(&dir, &["inspect", "acts"]).contains("cut.npy: is truncated"));
    let args = ["inspect", "m.onnx", "labels.npy", "acts"];
    let args = [&args[..], &["--skip-unreadable", "--json"]].concat();
    let found: Value = serde_json::from_str(&succeed(&dir, &args)).expect("JSON");
    assert_eq!(found["layers"][0]["name"], "good");
    let left_out = found["left_out"].as_array().expect("list");
    let names: Vec<_> = left_out.iter().map(|s| s["name"].clone()).collect();
    let expected = [
        "m.onnx",
        "labels.npy",
        "acts/cut.npy",
        "acts/odd.safetensors",
    ];
    assert_eq!(names, expected.map(|n| json!(n)));
    let text = succeed(&dir, &["inspect", "acts", "--skip-unreadable"]);
    assert!(
        text.contains("acts/cut.npy  left out: is truncated"),
        "{text}"
    );
    // What is not there is a slip of the hand, never passed over.
    let line = refused(&dir, &["inspect", "gone.npy", "acts", "--skip-unreadable"]);
    assert!(line.contains("gone.npy"), "{line}");
}

#[test]
fn filters_skips_layers_whose_weights_are_no_numbers_of_float32() {
    let dir = TempDir::new().expect("folder");
    let header = "{\"a.weight\":{\"dtype\":\"F64\",\"shape\":[2,1,1,2],\"data_offsets\":[0,32]},\
        \"b.weight\":{\"dtype\":\"F64\",\"shape\":[2,1,1,2],\"data_offsets\":[32,64]},\
        \"c.weight\":{\"dtype\":\"F64\",\"shape\":[2,1,1,2],\"data_offsets\":[64,96]}}";
    let values = [
        1.0,
        2.0,
        3.0,
        -1.0,
        1.0,
        1e39,
        3.0,
        4.0,
        f64::NAN,
        0.0,
        1.0,
        2.0,
    ];
    let data: Vec<u8> = values.iter().flat_map(|v: &f64| v.to_le_bytes()).collect();
    std::fs::write(dir.path().join("w.safetensors"), file_bytes(header, &data)).expect("write");
    let line = refused(&dir, &["filters", "w.safetensors"]);
    assert!(
        line.contains("w.safetensors: tensor 'b.weight' holds 1e39"),
        "{line}"
    );
    assert!(line.contains("beyond the range of float32"), "{line}");
    let text = succeed(&dir, &["filters", "w.safetensors", "--skip-unreadable"]);
    assert!(
        text.contains("skipped b: tensor 'b.weight' holds 1e39"),
        "{text}"
    );
    let found = results(&dir, "chanscope-out");
    let names = |at: &Value| -> Vec<String> {
        let list = at.as_array().expect("list").iter();
        list.map(|l| l["name"].as_str().expect("name").into())
            .collect()
    };
    assert_eq!(names(&found["filters"]["layers"]), ["a"]);
    assert_eq!(names(&found["skipped"]), ["b", "c"]);
}

#[test]
fn three_dimensions_are_lines_and_both_readings_are_told() {
    let dir = TempDir::new().expect("folder");
    write(dir.path(), "lines.npy", "(6, 4, 5)", &wave(120));
    let readings = [
        "[N, C, L]: 4 channels, each a line of 5 values",
        "[N, T, D], 4 tokens of 5 features",
        "a.transpose(0, 2, 1)",
        "a.reshape(-1, 5)",
    ];
    for text in [
        succeed(&dir, &["inspect", "lines.npy"]),
        succeed(&dir, &["redundancy", "lines.npy", "-k", "3"]),
    ] {
        for words in readings {
            assert!(text.contains(words), "'{words}' is not in: {text}");
        }
    }
    let found = results(&dir, "chanscope-out");
    assert_eq!(
        found["redundancy"]["layers"][0]["shape"],
        json!([6, 4, 1, 5])
    );
    let args = ["inspect", "lines.npy", "--json"];
    let found: Value = serde_json::from_str(&succeed(&dir, &args)).expect("JSON");
    assert_eq!(found["layers"][0]["axes"], "[N, C, L]");
    // The same numbers as maps of one row give the same graphs.
    write(dir.path(), "maps.npy", "(6, 4, 1, 5)", &wave(120));
    let text = succeed(
        &dir,
        &["redundancy", "maps.npy", "-k", "3", "--out", "maps"],
    );
    assert!(!text.contains("[N, T, D]"), "{text}");
    let array = |folder: &str, layer: &str| {
        let path = dir.path().join(folder).join("layers").join(layer);
        std::fs::read(path.join("overlap.npy")).expect("array")
    };
    assert_eq!(array("chanscope-out", "lines"), array("maps", "maps"));
}

#[test]
fn class_names_are_no_labels_and_the_advice_makes_numbers_of_them() {
    let dir = TempDir::new().expect("folder");
    write(dir.path(), "a.npy", "(3, 2)", &wave(6));
    let advice = "numpy.unique(a, return_inverse=True)[1]";
    for (descr, data) in [
        ("<U3", vec![0; 36]),
        ("|S3", vec![0; 9]),
        ("|O", vec![0; 24]),
    ] {
        let bytes = npy_bytes(descr, "(3,)", &data);
        std::fs::write(dir.path().join("names.npy"), bytes).expect("write");
        let args = ["redundancy", "a.npy", "-k", "2", "--labels", "names.npy"];
        let line = refused(&dir, &args);
        assert!(
            line.contains("names.npy") && line.contains(advice),
            "{line}"
        );
        assert!(descr == "|O" || !line.contains("astype"), "{line}");
    }
    std::fs::write(dir.path().join("names.csv"), "cat\ndog\ncat\n").expect("write");
    let args = ["redundancy", "a.npy", "-k", "2", "--labels", "names.csv"];
    assert!(refused(&dir, &args).contains("numpy.loadtxt"));
}

#[test]
fn finite_doubles_beyond_float32_are_not_called_infinite() {
    let dir = TempDir::new().expect("folder");
    let values: Vec<u8> = [1.0, 2.0, -1e39, 3.0, 4.0, 5.0]
        .iter()
        .flat_map(|v: &f64| v.to_le_bytes())
        .collect();
    let bytes = npy_bytes("<f8", "(3, 2)", &values);
    std::fs::write(dir.path().join("a.npy"), bytes).expect("write");
    let line = refused(&dir, &["redundancy", "a.npy", "-k", "2"]);
    assert!(
        line.contains("holds 1 values beyond the range of float32"),
        "{line}"
    );
    assert!(line.contains("divide the layer by a constant"), "{line}");
    assert!(!line.contains("infinite"), "{line}");
    let text = succeed(&dir, &["inspect", "a.npy"]);
    assert!(
        text.contains("0 NaN, 0 infinite, 1 beyond the range of float32"),
        "{text}"
    );
    let found: Value =
        serde_json::from_str(&succeed(&dir, &["inspect", "a.npy", "--json"])).expect("JSON");
    assert_eq!(found["layers"][0]["inf"], json!(1));
    assert_eq!(found["layers"][0]["beyond_float32"], json!(1));
}

/// A model of one convolution of 1x1 whose channels multiply the images by `scales`, and images of ones.
fn scaled(dir: &TempDir, scales: &[f32]) {
    let mut m = Model::new(&[1, 2, 2]);
    m.constant("conv.weight", &[scales.len() as i64, 1, 1, 1], scales);
    m.node(Node::new("Conv", "c", &["input", "conv.weight"], "a"));
    m.output("a");
    std::fs::write(dir.path().join("m.onnx"), m.encode()).expect("write");
    write(dir.path(), "x.npy", "(3, 1, 2, 2)", &[1.0; 12]);
}

#[test]
fn float16_is_refused_where_a_layer_is_too_small_for_it() {
    let dir = TempDir::new().expect("folder");
    let run = [
        "run", "m.onnx", "x.npy", "--dump", "d", "--dtype", "f16", "--force",
    ];
    let normal = 2f32.powi(-14);
    for scales in [[1e-9, 0.0], [-1e-9, 1e-12], [normal * 0.999, 0.0]] {
        scaled(&dir, &scales);
        let line = refused(&dir, &run);
        assert!(
            line.contains("layer 'conv': its largest magnitude"),
            "{line}"
        );
        assert!(line.contains("use --dtype f32"), "{line}");
        assert!(!dir.path().join("d").exists());
    }
    scaled(&dir, &[70000.0, 1.0]);
    let line = refused(&dir, &run);
    assert!(
        line.contains("70000") && line.contains("--dtype f32"),
        "{line}"
    );
    assert!(!dir.path().join("d").exists());
    // The smallest normal number is held, and so is a layer of zeros.
    for scales in [[normal, 0.0], [0.0, 0.0], [65504.0, -1.0]] {
        scaled(&dir, &scales);
        succeed(&dir, &run);
        assert_eq!(results(&dir, "d")["skipped"], Value::Null, "{scales:?}");
    }
}

#[test]
fn channels_too_small_for_float16_are_counted() {
    let dir = TempDir::new().expect("folder");
    scaled(&dir, &[1.0, 1e-9, 0.0, -2e-5, 3.0]);
    let run = ["run", "m.onnx", "x.npy", "--dump", "d", "--dtype", "f16"];
    let text = succeed(&dir, &run);
    assert!(
        text.contains("skipped conv: f16 loses digits of 2 of 5 channels"),
        "{text}"
    );
    let skipped = &results(&dir, "d")["skipped"][0];
    assert_eq!(skipped["name"], "conv");
    let reason = skipped["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("2 of 5 channels") && reason.contains("--dtype f32"),
        "{reason}"
    );
    let run = ["run", "m.onnx", "x.npy", "--dump", "e"];
    succeed(&dir, &run);
    assert_eq!(results(&dir, "e")["skipped"], Value::Null);
}
