//! `inspect` from outside: what it finds in files, what it says a run would need.

use crate::formats::{f32_bytes, npy_bytes};
use assert_cmd::Command;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// What `inspect --json` prints; fails if it fails or writes a file.
fn inspect(dir: &Path, args: &[&str]) -> Value {
    let before = std::fs::read_dir(dir).expect("folder").count();
    let output = Command::cargo_bin("chanscope")
        .expect("binary")
        .current_dir(dir)
        .args(["--device", "cpu", "--quiet", "--json", "inspect"])
        .args(args)
        .output()
        .expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    let after = std::fs::read_dir(dir).expect("folder").count();
    assert_eq!(before, after, "{args:?} wrote a file");
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

fn write(dir: &Path, name: &str, descr: &str, shape: &str, data: &[u8]) {
    std::fs::write(dir.join(name), npy_bytes(descr, shape, data)).expect("write");
}

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin().max(0.0)).collect()
}

#[test]
fn counts_what_is_in_a_dump() {
    let dir = TempDir::new().expect("folder");
    // [6, 3, 2, 2]: channel 2 dead; NaN twice in sample 4, infinity once in sample 5.
    let mut values: Vec<f32> = (0..72).map(|i| i as f32 - 10.0).collect();
    for sample in 0..6 {
        values[sample * 12 + 8..sample * 12 + 12].fill(0.0);
    }
    values[4 * 12 + 4 + 3] = f32::NAN;
    values[4 * 12 + 6] = f32::NAN;
    values[5 * 12] = f32::NEG_INFINITY;
    write(
        dir.path(),
        "a.npy",
        "<f4",
        "(6, 3, 2, 2)",
        &f32_bytes(&values),
    );
    let found = inspect(dir.path(), &["a.npy"]);
    let layer = &found["layers"][0];
    for (key, wanted) in [
        ("name", json!("a")),
        ("shape", json!([6, 3, 2, 2])),
        ("dtype", json!("f32")),
        ("byte_order", json!("little")),
        ("bytes", json!(288)),
        ("nan", json!(2)),
        ("inf", json!(1)),
        ("bad_samples", json!(2)),
        ("dead_channels", json!([2])),
        (
            "first_bad",
            json!({"sample": 4, "channel": 1, "y": 1, "x": 0}),
        ),
        ("min", json!(-10.0)),
        ("max", json!(57.0)),
    ] {
        assert_eq!(layer[key], wanted, "{key}");
    }
    // The ramp passes through 0 inside the dead channel.
    assert_eq!(layer["zeros_share"], json!(24.0 / 72.0));
    assert_eq!(layer["channels"][1]["nan"], json!(2));
    assert_eq!(layer["channels"][0]["inf"], json!(1));
}

#[test]
fn names_other_types_and_orders() {
    let dir = TempDir::new().expect("folder");
    let big: Vec<u8> = wave(24).iter().flat_map(|v| v.to_be_bytes()).collect();
    write(dir.path(), "big.npy", ">f4", "(6, 4)", &big);
    let half: Vec<u8> = wave(24)
        .iter()
        .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
        .collect();
    write(dir.path(), "half.npy", "<f2", "(6, 1, 2, 2)", &half);
    let found = inspect(dir.path(), &["big.npy", "half.npy"]);
    assert_eq!(found["layers"][0]["byte_order"], json!("big"));
    assert_eq!(found["layers"][0]["shape"], json!([6, 1, 1, 4]));
    assert_eq!(found["layers"][1]["dtype"], json!("f16"));
    assert_eq!(found["layers"][1]["bytes"], json!(48));
}

#[test]
fn looks_into_folders_labels_and_models() {
    let dir = TempDir::new().expect("folder");
    std::fs::create_dir(dir.path().join("dump")).expect("folder");
    let bytes = f32_bytes(&wave(80));
    write(dir.path(), "dump/conv1.npy", "<f4", "(10, 2, 2, 2)", &bytes);
    write(dir.path(), "dump/conv2.npy", "<f4", "(10, 8, 1, 1)", &bytes);
    let labels: Vec<u8> = [0i64, 1, 1, 3, 1, 0, 1, 3, 1, 0]
        .iter()
        .flat_map(|l| l.to_le_bytes())
        .collect();
    write(dir.path(), "dump/labels.npy", "<i8", "(10,)", &labels);
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/onnx/residual/model.onnx"
    );
    let found = inspect(dir.path(), &["dump", model]);
    let layers = found["models"][0]["layers"].as_array().expect("list");
    assert!(layers.len() > 2 && layers[0]["shape"].is_array());
    let names = found["layers"].as_array().expect("list").iter();
    let names: Vec<_> = names.map(|l| l["name"].clone()).collect();
    assert_eq!(names, [json!("conv1"), json!("conv2")]);
    let labels = &found["labels"][0];
    assert_eq!(labels["labels"], json!(10));
    assert_eq!(labels["classes"], json!(3));
    assert_eq!(labels["largest_class"], json!(5));
}

#[test]
fn says_what_a_run_would_need() {
    let dir = TempDir::new().expect("folder");
    // 1.6 MB in f32.
    write(
        dir.path(),
        "a.npy",
        "<f4",
        "(2000, 8, 5, 5)",
        &f32_bytes(&wave(400_000)),
    );
    let run = |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["a.npy"]).collect();
        inspect(dir.path(), &args)["layers"][0]["run"].clone()
    };
    let of = |run: &Value, key: &str| run[key].as_f64().expect("a number");
    let (few, many) = (run(&["-k", "5"]), run(&["-k", "200"]));
    for run in [&few, &many] {
        // Once for NaN, once or more for the graphs.
        assert!(of(run, "read_bytes") >= 2.0 * 1.6e6, "{run}");
        assert!(of(run, "seconds") > 0.0, "{run}");
    }
    assert!(of(&many, "memory_bytes") > of(&few, "memory_bytes"));
    let tight = run(&["-k", "200", "--memory", "64MiB"]);
    assert!(of(&tight, "memory_bytes") <= f64::from(64 << 20), "{tight}");
}

#[test]
fn says_why_a_run_is_not_possible() {
    let dir = TempDir::new().expect("folder");
    write(
        dir.path(),
        "one.npy",
        "<f4",
        "(1, 2, 2, 2)",
        &f32_bytes(&wave(8)),
    );
    let found = inspect(dir.path(), &["one.npy"]);
    let reason = found["layers"][0]["run"]["refused"].as_str().expect("text");
    assert!(reason.contains("at least 2"), "{reason}");
}

/// A layer with twice the samples of the others is the sign of a module whose calls were mixed.
#[test]
fn layers_of_different_length_are_named() {
    let dir = TempDir::new().expect("folder");
    std::fs::create_dir(dir.path().join("dump")).expect("folder");
    for (name, samples) in [("conv1", 30), ("conv2", 30), ("conv3", 30), ("relu", 60)] {
        let data = f32_bytes(&wave(samples * 8));
        let shape = format!("({samples}, 2, 2, 2)");
        write(
            &dir.path().join("dump"),
            &format!("{name}.npy"),
            "<f4",
            &shape,
            &data,
        );
    }
    let run = |args: &[&str]| {
        let output = Command::cargo_bin("chanscope")
            .expect("binary")
            .current_dir(dir.path())
            .args(["--device", "cpu", "--quiet"])
            .args(args)
            .output()
            .expect("run");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    for args in [
        &["inspect", "dump"][..],
        &["redundancy", "dump", "-k", "3", "--out", "out"],
    ] {
        let text = run(args);
        for part in ["30 in conv1 and 2 more", "60 in relu", "more than once"] {
            assert!(text.contains(part), "{text}");
        }
    }
    let results = std::fs::read(dir.path().join("out/results.json")).expect("results");
    let results: Value = serde_json::from_slice(&results).expect("JSON");
    assert_eq!(results["skipped"][0]["name"], "CKA between layers");
    assert_eq!(
        results["redundancy"]["layers"].as_array().map(Vec::len),
        Some(4)
    );
    // Layers of one length need no such word.
    std::fs::remove_file(dir.path().join("dump/relu.npy")).expect("remove");
    assert!(!run(&["inspect", "dump"]).contains("different numbers"));
}
