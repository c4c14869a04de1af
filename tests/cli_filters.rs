//! `filters` from outside.

mod refused;

use crate::formats::f32_bytes;
use crate::formats::safetensors::file_bytes;
use crate::oracle::filters::Filters;
use crate::support::cli;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn chanscope(dir: &TempDir, args: &[&str]) -> std::process::Output {
    cli::chanscope(dir, &[&["filters"], args].concat())
}

fn succeed(dir: &TempDir, args: &[&str]) -> String {
    cli::succeed(dir, &[&["filters"], args].concat())
}

/// Fails with `code` and one line that holds all of `parts`, and leaves nothing behind.
fn refused(dir: &TempDir, args: &[&str], code: i32, parts: &[&str]) {
    let out = chanscope(dir, args);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    for part in parts {
        assert!(
            stderr.contains(part),
            "{args:?}: '{part}' is not in: {stderr}"
        );
    }
    assert!(
        !dir.path().join("chanscope-out").exists(),
        "{args:?} left a folder"
    );
    assert!(
        !dir.path().join("new.safetensors").exists(),
        "{args:?} left a file"
    );
}

fn array<T: npyz::Deserialize>(path: PathBuf) -> (Vec<u64>, Vec<T>) {
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = npyz::NpyFile::new(file).expect("npy");
    (file.shape().to_vec(), file.into_vec().expect("elements"))
}

fn json(path: PathBuf) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("results.json")).expect("JSON")
}

/// A value for every weight.
fn wave(len: usize, speed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * speed).sin()).collect()
}

/// A file of F32 tensors, one after the other.
fn weights(tensors: &[(&str, &[usize], Vec<f32>)]) -> Vec<u8> {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (key, shape, values) in tensors {
        let start = data.len();
        data.extend(f32_bytes(values));
        header.push(format!(
            "\"{key}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{}]}}",
            data.len()
        ));
    }
    let header = format!(
        "{{\"__metadata__\":{{\"by\":\"hand\"}},{}}}",
        header.join(",")
    );
    file_bytes(&header, &data)
}

/// A network with an ordinary, a 1x1, a grouped and an oblong convolution, and other things.
fn network() -> Vec<u8> {
    weights(&[
        ("features.0.weight", &[5, 3, 3, 3], wave(135, 0.7)),
        ("features.0.bias", &[5], wave(5, 1.1)),
        ("features.1.weight", &[4, 5, 1, 1], wave(20, 0.9)),
        ("grouped.weight", &[6, 2, 3, 3], wave(108, 1.3)),
        ("oblong.weight", &[3, 2, 1, 7], wave(42, 0.3)),
        ("text.weight", &[2, 3, 4], wave(24, 0.3)),
        ("single.weight", &[1, 2, 3, 3], wave(18, 0.5)),
        ("fc.weight", &[2, 3], wave(6, 0.4)),
    ])
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) {
    std::fs::write(dir.path().join(name), bytes).expect("write");
}

#[test]
fn every_convolution_is_measured_and_the_rest_named() {
    let dir = TempDir::new().expect("folder");
    write(&dir, "net.safetensors", &network());
    let text = succeed(
        &dir,
        &[
            "net.safetensors",
            "--gradient",
            "--pairs",
            "adjacent",
            "--out",
            "out",
        ],
    );
    assert!(
        text.contains("features.0") && text.contains("skipped fc"),
        "{text}"
    );
    let out = dir.path().join("out");
    let results = json(out.join("results.json"));
    assert_eq!(results["command"], "filters");
    assert_eq!(results["parameters"]["pairs"], "adjacent");
    assert_eq!(results["parameters"]["input-channels"], "separate");
    let layers = results["filters"]["layers"].as_array().expect("layers");
    let shapes: [(&str, [usize; 4], f32); 5] = [
        ("features.0", [5, 3, 3, 3], 0.7),
        ("features.1", [4, 5, 1, 1], 0.9),
        ("grouped", [6, 2, 3, 3], 1.3),
        ("oblong", [3, 2, 1, 7], 0.3),
        ("single", [1, 2, 3, 3], 0.5),
    ];
    assert_eq!(layers.len(), shapes.len());
    for (layer, (name, [m, c, h, w], speed)) in layers.iter().zip(shapes) {
        assert_eq!(layer["name"], name);
        let k = wave(m * c * h * w, speed)
            .into_iter()
            .map(f64::from)
            .collect();
        let exact = Filters { m, c, h, w, k };
        for (key, adjacent) in [("value", false), ("value_adjacent", true)] {
            let (found, wanted) = (
                layer[key].as_f64().expect("number"),
                exact.value(adjacent, false),
            );
            assert!((found - wanted).abs() <= 1e-9 * wanted, "{name} {key}");
        }
        let folder = out.join("filters").join(name);
        let (shape, pairs) = array::<f64>(folder.join("pairs.npy"));
        assert_eq!(shape, [m as u64; 2]);
        for (at, p) in pairs.iter().enumerate() {
            let wanted = exact.pair(at / m, at % m, false);
            assert!((p - wanted).abs() <= 1e-9 * wanted.max(1e-3), "{name} {at}");
        }
        let (shape, gradient) = array::<f32>(folder.join("gradient.npy"));
        assert_eq!(shape, [m, c, h, w].map(|d| d as u64));
        for (g, wanted) in gradient.iter().zip(exact.gradient(true, false)) {
            assert!(
                (f64::from(*g) - wanted).abs() <= 1e-4 * wanted.abs().max(1.0),
                "{name}"
            );
        }
        let (shape, _) = array::<f64>(folder.join("cosine.npy"));
        assert_eq!(shape, [m as u64; 2]);
        assert_eq!(folder.join("weights.npy").exists(), h * w > 1);
    }
    assert_eq!(layers[4]["value"], 0.0);
    assert!(layers[4]["normalized_mean"].is_null());
    let skipped = results["skipped"].as_array().expect("skipped");
    let names: Vec<_> = skipped
        .iter()
        .map(|s| s["name"].as_str().expect("name"))
        .collect();
    assert_eq!(names, ["fc", "text"]);
    assert!(
        skipped[1]["reason"]
            .as_str()
            .expect("reason")
            .contains("3 dimensions")
    );
    assert!(out.join("report.html").exists());
    // Another variant, as one JSON document.
    let text = succeed(
        &dir,
        &[
            "net.safetensors",
            "--input-channels",
            "summed",
            "--json",
            "--out",
            "summed",
        ],
    );
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let k = wave(135, 0.7).into_iter().map(f64::from).collect();
    let exact = Filters {
        m: 5,
        c: 3,
        h: 3,
        w: 3,
        k,
    };
    let found = document["filters"]["layers"][0]["value"]
        .as_f64()
        .expect("number");
    assert!((found - exact.value(false, true)).abs() <= 1e-9 * found);
    assert!(
        !dir.path()
            .join("summed/filters/features.0/gradient.npy")
            .exists()
    );
}

#[test]
fn minimised_weights_replace_the_old_ones_and_nothing_else() {
    let dir = TempDir::new().expect("folder");
    let before = network();
    write(&dir, "net.safetensors", &before);
    let args = [
        "net.safetensors",
        "--minimize",
        "25",
        "--lr",
        "0.01",
        "--keep-norm",
        "--write",
        "new.safetensors",
        "--out",
        "out",
    ];
    succeed(&dir, &args);
    let results = json(dir.path().join("out/results.json"));
    for (key, value) in [("optimizer", "adam"), ("write", "new.safetensors")] {
        assert_eq!(results["parameters"][key], value);
    }
    assert_eq!(results["parameters"]["lr"], 0.01);
    for layer in results["filters"]["layers"].as_array().expect("layers") {
        let history = layer["history"].as_array().expect("history");
        assert_eq!(history.len(), 26);
        assert_eq!(history[0], layer["value"]);
        let last = history[25].as_f64().expect("number");
        assert!(last < history[0].as_f64().expect("number") || layer["name"] == "single");
    }
    // As the format's own crate reads it, which is what PyTorch loads with.
    let after = std::fs::read(dir.path().join("new.safetensors")).expect("new file");
    assert_eq!(before.len(), after.len());
    let old = safetensors::SafeTensors::deserialize(&before).expect("old");
    let new = safetensors::SafeTensors::deserialize(&after).expect("new");
    for (name, tensor) in old.iter() {
        let changed = new.tensor(name).expect("still there");
        assert_eq!(
            (tensor.shape(), tensor.dtype()),
            (changed.shape(), changed.dtype())
        );
        let minimised = tensor.shape().len() == 4 && name != "single.weight";
        assert_eq!(tensor.data() != changed.data(), minimised, "{name}");
    }
    // The header with its metadata too: all bytes up to the first convolution.
    let header = 8 + u64::from_le_bytes(before[..8].try_into().expect("eight")) as usize;
    assert_eq!(before[..header], after[..header]);
    // What was written is what the history ends with.
    succeed(&dir, &["new.safetensors", "--out", "again"]);
    let again = json(dir.path().join("again/results.json"));
    for at in 0..5 {
        let value = again["filters"]["layers"][at]["value"]
            .as_f64()
            .expect("number");
        let last = results["filters"]["layers"][at]["history"][25]
            .as_f64()
            .expect("number");
        assert!((value - last).abs() <= 1e-9 * last);
    }
    // An existing file stays without --force.
    let args: Vec<&str> = args
        .iter()
        .map(|a| if *a == "out" { "out2" } else { *a })
        .collect();
    let refusal = chanscope(&dir, &args);
    assert_eq!(refusal.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refusal.stderr).contains("--force"));
    assert!(!dir.path().join("out2").exists());
}

#[test]
fn models_are_read_without_the_rest_of_the_network() {
    let dir = TempDir::new().expect("folder");
    let nets = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx");
    // Names are those of `run`, one for one; here the dump of a network with grouped layers is at hand.
    for (net, grouped, shape) in [
        ("depthwise", "block1.1.0", [12, 1, 3, 3]),
        ("external", "features.0", [0; 4]),
        ("residual-folded", "wide.wide.0.Conv", [8, 2, 3, 3]),
    ] {
        let model = nets.join(net).join("model.onnx");
        let text = succeed(
            &dir,
            &[model.to_str().expect("path"), "--json", "--out", net],
        );
        let results: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let layers = results["filters"]["layers"].as_array().expect("layers");
        let mut names: Vec<_> = layers
            .iter()
            .map(|l| l["name"].as_str().expect("name").to_string())
            .collect();
        let dump = std::fs::read_dir(nets.join(net).join("conv")).expect("folder");
        let stem = |e: std::fs::DirEntry| {
            e.path()
                .file_stem()
                .expect("stem")
                .to_string_lossy()
                .into_owned()
        };
        let mut taps: Vec<_> = dump.map(|e| stem(e.expect("entry"))).collect();
        names.sort();
        taps.sort();
        assert!(
            taps.iter().all(|t| names.contains(t)),
            "{net}: {names:?} {taps:?}"
        );
        let layer = layers.iter().find(|l| l["name"] == grouped).expect("layer");
        if shape[0] > 0 {
            assert_eq!(layer["shape"], serde_json::json!(shape));
        }
    }
    let model = nets.join("depthwise/model.onnx");
    let model = model.to_str().expect("path");
    refused(
        &dir,
        &[model, "--minimize", "2", "--write", "new.safetensors"],
        2,
        &["--write", ".safetensors"],
    );
}

#[test]
fn half_precision_files_are_rounded_to() {
    let dir = TempDir::new().expect("folder");
    let values: Vec<u8> = (0..36u16)
        .flat_map(|i| (0x3000 + 37 * i).to_le_bytes())
        .collect();
    let header = "{\"c.weight\":{\"dtype\":\"F16\",\"shape\":[2,2,3,3],\"data_offsets\":[0,72]}}";
    write(&dir, "half.safetensors", &file_bytes(header, &values));
    succeed(
        &dir,
        &[
            "half.safetensors",
            "--minimize",
            "10",
            "--optimizer",
            "sgd",
            "--lr",
            "0.01",
            "--momentum",
            "0.9",
            "--nesterov",
            "--write",
            "new.safetensors",
            "--out",
            "out",
        ],
    );
    let new = std::fs::read(dir.path().join("new.safetensors")).expect("new file");
    assert_eq!(new.len(), 8 + header.len() + 72);
    assert_eq!(&new[8..8 + header.len()], header.as_bytes());
    assert_ne!(&new[8 + header.len()..], values.as_slice());
}

#[test]
fn the_study_prints_what_it_found() {
    let dir = TempDir::new().expect("folder");
    let found: serde_json::Value =
        serde_json::from_str(&succeed(&dir, &["--study", "--json"])).expect("JSON");
    assert_eq!(found["repetitions"], 100);
    let reduction = |key: &str| found["reduction"][key].as_f64().expect("number");
    assert!(
        reduction("cosine") < 0.3 && reduction("similarity") > 0.75,
        "{found}"
    );
    let relation = found["relation"].as_array().expect("paddings");
    assert_eq!(relation[0]["padding"], "full");
    assert!(relation[0]["error_max"].as_f64().expect("number") < 1e-14);
    let text = succeed(&dir, &["--study"]);
    assert!(
        text.contains("kernel cosine minimised") && text.contains("valid padding"),
        "{text}"
    );
    assert!(!dir.path().join("chanscope-out").exists());
}
