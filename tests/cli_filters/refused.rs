//! Bad weights, networks and options: one line each, and nothing written.

use super::*;

#[test]
fn bad_weights_and_options_are_refused_in_a_line() {
    let dir = TempDir::new().expect("folder");
    write(&dir, "net.safetensors", &network());
    let mut nan = wave(36, 0.3);
    nan[22] = f32::NAN;
    write(
        &dir,
        "nan.safetensors",
        &weights(&[("c.weight", &[2, 2, 3, 3], nan)]),
    );
    refused(
        &dir,
        &["nan.safetensors"],
        1,
        &["nan.safetensors", "'c'", "[1, 0, 1, 1]", "NaN"],
    );
    write(
        &dir,
        "mlp.safetensors",
        &weights(&[("fc.weight", &[2, 3], wave(6, 0.1))]),
    );
    refused(
        &dir,
        &["mlp.safetensors"],
        1,
        &["mlp.safetensors", "no 2-D convolution", "fc"],
    );
    write(
        &dir,
        "empty.safetensors",
        &weights(&[("c.weight", &[0, 3, 1, 1], vec![])]),
    );
    refused(
        &dir,
        &["empty.safetensors"],
        1,
        &["no 2-D convolution", "[0, 3, 1, 1]"],
    );
    write(&dir, "cut.safetensors", &network()[..700]);
    refused(&dir, &["cut.safetensors"], 1, &["cut.safetensors"]);
    write(&dir, "cut.onnx", &[8, 7, 58, 200]);
    refused(&dir, &["cut.onnx"], 1, &["cut.onnx"]);
    write(&dir, "empty.onnx", &[]);
    refused(&dir, &["empty.onnx"], 1, &["empty.onnx", "is empty"]);
    refused(&dir, &["net.npy"], 1, &["net.npy", "safetensors.numpy"]);
    write(&dir, "net.xyz", &[]);
    refused(
        &dir,
        &["net.xyz"],
        1,
        &["net.xyz", "neither .safetensors nor .onnx"],
    );
    refused(&dir, &["missing.safetensors"], 1, &["missing.safetensors"]);
    refused(&dir, &[], 2, &["WEIGHTS"]);
    let net = "net.safetensors";
    for (args, part) in [
        (&["--pairs", "some"][..], "unknown --pairs 'some'"),
        (
            &["--input-channels", "both"],
            "unknown --input-channels 'both'",
        ),
        (&["--write", "new.safetensors"], "--minimize"),
        (&["--keep-norm"], "--minimize"),
        (&["--minimize", "0"], "--minimize"),
        (&["--minimize", "3", "--lr", "-1"], "--lr"),
        (
            &["--minimize", "3", "--optimizer", "lbfgs"],
            "unknown optimizer 'lbfgs'",
        ),
        (&["--minimize", "3", "--momentum", "0.9"], "--optimizer sgd"),
        (
            &["--minimize", "3", "--optimizer", "sgd", "--nesterov"],
            "--nesterov",
        ),
        (&["--study"], "--study"),
    ] {
        let mut all = vec![net];
        all.extend(args);
        refused(&dir, &all, 2, &[part]);
    }
    // A run that explodes writes no weights.
    refused(
        &dir,
        &[
            net,
            "--minimize",
            "50",
            "--optimizer",
            "sgd",
            "--lr",
            "1e6",
            "--write",
            "new.safetensors",
        ],
        1,
        &["net.safetensors", "diverged", "--lr"],
    );
    // Without --write its history says so.
    let text = succeed(
        &dir,
        &[
            net,
            "--minimize",
            "50",
            "--optimizer",
            "sgd",
            "--lr",
            "1e6",
            "--json",
            "--out",
            "out",
        ],
    );
    let results: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let history = results["filters"]["layers"][0]["history"]
        .as_array()
        .expect("history");
    assert!(history.len() < 51 && history.last().expect("value").is_null());
}
