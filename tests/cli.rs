//! The command line from outside: exit codes, one-line errors, nothing half written.

mod options;
mod tables;

use crate::formats::{f32_bytes, npy_bytes};
use crate::support::cli::refused;
use assert_cmd::Command;
use predicates::prelude::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn chanscope(dir: &Path) -> Command {
    let mut command = Command::cargo_bin("chanscope").expect("binary");
    command
        .current_dir(dir)
        .args(["--device", "cpu", "--quiet"]);
    command
}

/// `[n, c, 2, 2]` of wave-like values.
fn dump(dir: &Path, name: &str, n: usize, c: usize) -> PathBuf {
    let values: Vec<f32> = (0..n * c * 4)
        .map(|i| ((i as f32 * 0.37).sin() + 0.2).max(0.0))
        .collect();
    write_dump(dir, name, &format!("({n}, {c}, 2, 2)"), &values)
}

fn write_dump(dir: &Path, name: &str, shape: &str, values: &[f32]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, npy_bytes("<f4", shape, &f32_bytes(values))).expect("write");
    path
}

fn write_labels(dir: &Path, n: usize) {
    let labels: Vec<u8> = (0..n)
        .flat_map(|i| ((i % 3) as i64).to_le_bytes())
        .collect();
    std::fs::write(
        dir.join("labels.npy"),
        npy_bytes("<i8", &format!("({n},)"), &labels),
    )
    .expect("write");
}

fn results(dir: &Path) -> serde_json::Value {
    let text = std::fs::read(dir.join("results.json")).expect("results.json");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn report_has_no_other_folder() {
    let dir = TempDir::new().expect("folder");
    chanscope(dir.path())
        .args(["report", "results", "--out", "elsewhere"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("leave out --out"));
}

#[test]
fn a_folder_of_activations_becomes_results_and_a_report() {
    let dir = TempDir::new().expect("folder");
    let acts = dir.path().join("acts");
    std::fs::create_dir(&acts).expect("folder");
    dump(&acts, "conv1.npy", 60, 4);
    dump(&acts, "conv2.npy", 60, 3);
    write_labels(&acts, 60);
    chanscope(dir.path())
        .args([
            "redundancy",
            "acts",
            "-k",
            "7",
            "--aggregate",
            "--save-graph",
            "--out",
            "out",
        ])
        .assert()
        .success()
        .stdout(predicate::str::contains("conv1").and(predicate::str::contains("Jaccard")));
    let out = dir.path().join("out");
    let json = results(&out);
    assert_eq!(json["schema"], "chanscope/1");
    assert_eq!(json["command"], "redundancy");
    assert_eq!(json["parameters"]["k"], 7);
    assert_eq!(json["device"]["backend"], "cpu");
    let layers = json["redundancy"]["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 2);
    for layer in layers {
        for key in [
            "name",
            "shape",
            "dead_channels",
            "degenerate_queries",
            "neighbors_mean",
            "pca_dimension_mean",
            "loo_error",
            "loo_soft_error",
            "overlap_mean",
            "jaccard_mean",
            "redundancy",
            "aggregate",
        ] {
            assert!(layer.get(key).is_some(), "{key}");
        }
    }
    let c = layers[0]["neighbors_mean"].as_array().map_or(0, Vec::len);
    assert_eq!(c, 4);
    for file in [
        "overlap",
        "jaccard",
        "neighbors",
        "sq_distances",
        "weights",
        "objective",
        "degenerate",
        "aggregate/neighbors",
        "aggregate/weights",
    ] {
        assert!(
            out.join(format!("layers/conv1/{file}.npy")).is_file(),
            "{file}"
        );
    }
    let neighbors = std::fs::metadata(out.join("layers/conv1/neighbors.npy")).expect("neighbors");
    assert_eq!(neighbors.len(), 128 + 4 * 60 * 7 * 4);
    let report = std::fs::read_to_string(out.join("report.html")).expect("report");
    assert!(report.contains("conv1") && report.contains("</html>"));
    let leftovers = std::fs::read_dir(&out).expect("folder").count();
    assert_eq!(
        leftovers, 3,
        "layers, report.html, results.json and nothing else"
    );
}

#[test]
fn json_on_stdout_is_the_results_file() {
    let dir = TempDir::new().expect("folder");
    dump(dir.path(), "a.npy", 30, 2);
    let output = chanscope(dir.path())
        .args(["redundancy", "a.npy", "--json"])
        .output()
        .expect("run");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let written = results(&dir.path().join("chanscope-out"));
    assert_eq!(shown["redundancy"], written["redundancy"]);
    assert_eq!(
        shown["redundancy"]["layers"][0]["loo_error"],
        serde_json::Value::Null
    );
}

#[test]
fn an_existing_output_folder_is_refused_and_replaced_only_by_force() {
    let dir = TempDir::new().expect("folder");
    dump(dir.path(), "a.npy", 30, 2);
    chanscope(dir.path())
        .args(["redundancy", "a.npy"])
        .assert()
        .success();
    let before = results(&dir.path().join("chanscope-out"));
    let again = chanscope(dir.path())
        .args(["redundancy", "a.npy", "-k", "3"])
        .output()
        .expect("run");
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    assert_eq!(results(&dir.path().join("chanscope-out")), before);
    chanscope(dir.path())
        .args(["redundancy", "a.npy", "-k", "3", "--force"])
        .assert()
        .success();
    assert_eq!(
        results(&dir.path().join("chanscope-out"))["parameters"]["k"],
        3
    );
}

#[test]
fn wrong_usage_is_exit_code_two_and_one_line() {
    let dir = TempDir::new().expect("folder");
    dump(dir.path(), "a.npy", 30, 2);
    let cases: &[(&[&str], &[&str])] = &[
        (&["redundancy", "a.npy", "-k", "0"], &["k is 0", "1024"]),
        (&["redundancy", "a.npy", "-k", "1025"], &["1025", "1024"]),
        (&["redundancy", "a.npy", "-k", "many"], &["many"]),
        (&["redundancy"], &["DUMP"]),
        (
            &["redundancy", "a.npy", "--kernel", "rbf"],
            &["rbf", "gaussian"],
        ),
        (&["redundancy", "a.npy", "--sigma", "-1"], &["-1"]),
        (
            &["redundancy", "a.npy", "--sigma", "nan"],
            &["nan", "kth/3"],
        ),
        (
            &["redundancy", "a.npy", "--channels", "0,7"],
            &["channel 7", "2"],
        ),
        (&["redundancy", "a.npy", "--channels", "3-1"], &["3-1"]),
        (&["redundancy", "a.npy", "--channels", "x"], &["x"]),
        (&["redundancy", "a.npy", "--threads", "0"], &["--threads"]),
        (&["redundancy", "a.npy", "--memory", "lots"], &["lots"]),
        (&["redundancy", "a.npy", "--device", "tpu"], &["tpu"]),
        (&["redundance", "a.npy"], &["redundance"]),
    ];
    for (args, parts) in cases {
        refused(&dir, args, 2, parts);
    }
}

#[test]
fn bad_files_are_exit_code_one_and_one_line_that_names_them() {
    let dir = TempDir::new().expect("folder");
    let good = dump(dir.path(), "good.npy", 30, 2);
    let bytes = std::fs::read(&good).expect("read");
    let put =
        |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).expect("write");
    put("short.npy", &bytes[..bytes.len() - 4]);
    put("long.npy", &[&bytes[..], &[0; 4]].concat());
    put("empty.npy", &[]);
    put("garbage.npy", b"not an array at all, only text");
    write_dump(dir.path(), "one.npy", "(1, 2, 2, 2)", &[1.0; 8]);
    let mut bad: Vec<f32> = vec![1.0; 240];
    bad[100] = f32::NAN;
    write_dump(dir.path(), "nan.npy", "(30, 2, 2, 2)", &bad);
    write_labels(dir.path(), 7);
    let cases: &[(&[&str], &[&str])] = &[
        (&["redundancy", "missing.npy"], &["missing.npy"]),
        (&["redundancy", "short.npy"], &["short.npy"]),
        (&["redundancy", "long.npy"], &["long.npy"]),
        (&["redundancy", "empty.npy"], &["empty.npy"]),
        (&["redundancy", "garbage.npy"], &["garbage.npy"]),
        (&["redundancy", "one.npy"], &["one", "at least 2"]),
        (
            &["redundancy", "nan.npy"],
            &["nan.npy", "1 NaN", "sample 12", "--nan skip"],
        ),
        (
            &["redundancy", "good.npy", "--labels", "labels.npy"],
            &["labels.npy", "30"],
        ),
        (
            &["redundancy", "good.npy", "--labels", "none.npy"],
            &["none.npy"],
        ),
        (
            &["redundancy", "good.npy", "--memory", "1MiB"],
            &["1MiB", "64"],
        ),
        (
            &["redundancy", "good.npy", "--device", "gpu:no-such-adapter"],
            &["no-such-adapter", "found"],
        ),
    ];
    for (args, parts) in cases {
        refused(&dir, args, 1, parts);
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let dir = TempDir::new().expect("folder");
    dump(dir.path(), "a.npy", 30, 2);
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("chanscope"))
        .current_dir(dir.path())
        .args([
            "redundancy",
            "a.npy",
            "--json",
            "--device",
            "cpu",
            "--quiet",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("start");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("wait");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn every_command_has_help_with_an_example() {
    let dir = TempDir::new().expect("folder");
    let top = chanscope(dir.path()).arg("--help").output().expect("run");
    let text = String::from_utf8_lossy(&top.stdout).into_owned();
    let commands: Vec<&str> = text
        .lines()
        .skip_while(|l| !l.starts_with("Commands:"))
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.strip_prefix("  ").filter(|l| !l.starts_with(' ')))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help" && c.chars().all(char::is_alphabetic))
        .collect();
    assert!(
        commands.contains(&"redundancy") && commands.contains(&"demo"),
        "{commands:?}"
    );
    for command in commands {
        chanscope(dir.path())
            .args([command, "--help"])
            .assert()
            .success()
            .stdout(predicate::str::contains(format!(
                "Example:  chanscope {command}"
            )));
    }
}

#[test]
fn memory_and_threads_change_no_byte_of_the_arrays() {
    let dir = TempDir::new().expect("folder");
    dump(dir.path(), "a.npy", 400, 5);
    let run = |out: &str, extra: &[&str]| {
        chanscope(dir.path())
            .args([
                "redundancy",
                "a.npy",
                "--aggregate",
                "--save-graph",
                "--out",
                out,
            ])
            .args(extra)
            .assert()
            .success();
        let folder = dir.path().join(out).join("layers/a");
        [
            "overlap",
            "jaccard",
            "neighbors",
            "weights",
            "aggregate/weights",
        ]
        .map(|name| std::fs::read(folder.join(format!("{name}.npy"))).expect("array"))
    };
    let reference = run("x", &[]);
    assert!(run("y", &["--threads", "1", "--memory", "64MiB"]) == reference);
}

#[test]
fn devices_lists_the_cpu_and_marks_what_auto_takes() {
    let dir = TempDir::new().expect("folder");
    let output = chanscope(dir.path())
        .args(["devices", "--json"])
        .output()
        .expect("run");
    assert!(output.status.success());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let devices = json["devices"].as_array().expect("devices");
    assert_eq!(devices[0]["device"], "cpu");
    let auto = devices.iter().filter(|d| d["auto"] == true);
    assert_eq!(auto.count(), 1);
    // A software adapter is there only for those who name it.
    assert!(
        devices
            .iter()
            .all(|d| d["kind"] != "software" || d["auto"] == false)
    );
}

#[test]
fn bench_measures_kernels_beside_ceilings() {
    let dir = TempDir::new().expect("folder");
    let run = chanscope(dir.path())
        .args(["bench", "--only", "correlate", "--json"])
        .assert()
        .success();
    let json: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert!(json["ceilings"]["gflops"].as_f64().unwrap() > 0.0);
    assert!(json["ceilings"]["gbytes_per_second"].as_f64().unwrap() > 0.0);
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["kernel"], "correlate");
    assert!(rows[0]["share_of_ceiling"].as_f64().unwrap() > 0.0);
    chanscope(dir.path())
        .args(["bench", "--only", "nothing"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("no kernel"));
}
