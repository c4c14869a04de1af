//! Folders of results from somebody else: every one ends in a page or in one line.

use super::received;
use crate::formats::{folder, npy_bytes, write};
use crate::support::noise;
use chanscope::report::html::write_report;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// A folder with one layer of three channels, and these matrices.
fn results(dir: &Path, matrices: &[(&str, Vec<u8>)]) {
    let text = std::fs::read(received("asymmetric_run/results.json")).expect("results.json");
    write(dir, "results.json", &text);
    std::fs::create_dir_all(dir.join("layers/conv1")).expect("folder");
    for (name, bytes) in matrices {
        write(dir, &format!("layers/conv1/{name}.npy"), bytes);
    }
}

fn matrix(values: &[f64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    npy_bytes("<f8", "(3, 3)", &bytes)
}

#[test]
fn an_asymmetric_matrix_is_not_shown() {
    let dir = folder();
    let read = |name: &str| {
        std::fs::read(received("asymmetric_run/layers/conv1").join(name)).expect("matrix")
    };
    results(
        dir.path(),
        &[
            ("jaccard", read("jaccard.npy")),
            ("overlap", read("overlap.npy")),
        ],
    );
    let notes = write_report(dir.path()).expect("a page");
    assert!(
        notes
            .iter()
            .any(|n| n.contains("jaccard.npy is not symmetric")),
        "{notes:?}"
    );
}

#[test]
fn any_values_end_in_a_page() {
    let special = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        -0.0,
        1.0,
        0.5,
        5e-324,
    ];
    let mut next = noise(7);
    for round in 0..200 {
        let dir = folder();
        let mut value = || special[((next() + 1.0) * 4.5) as usize % special.len()];
        let mut values = [0.0; 9].map(|_| value());
        if round % 2 == 0 {
            // Symmetric, so that it is shown.
            for (i, j) in [(0, 1), (0, 2), (1, 2)] {
                values[3 * j + i] = values[3 * i + j];
            }
        }
        results(
            dir.path(),
            &[("jaccard", matrix(&values)), ("overlap", matrix(&values))],
        );
        write_report(dir.path()).expect("a page");
    }
}

/// A file of many gigabytes that takes no room on the disk.
#[test]
fn an_array_of_another_shape_is_not_read() {
    let dir = folder();
    let side = 40_000u64;
    let header = npy_bytes("<f8", &format!("({side}, {side})"), &[]);
    results(dir.path(), &[("overlap", header.clone())]);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("layers/conv1/overlap.npy"));
    file.and_then(|f| f.set_len(header.len() as u64 + side * side * 8))
        .expect("a sparse file");
    let started = Instant::now();
    let notes = write_report(dir.path()).expect("a page");
    assert!(
        notes.iter().any(|n| n.contains("[40000, 40000]")),
        "{notes:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(5), "it was read");
}

/// Twice as many tensors take about twice as long.
#[test]
fn many_tensors_take_linear_time() {
    let seconds = |count: usize| {
        let dir = folder();
        let networks: Vec<Value> = ["a", "b"].iter().map(|n| json!({"name": n})).collect();
        let name = |i: usize| format!("{}.t{}", ["a", "b"][i % 2], i / 2);
        let shuffled =
            (0..count).map(|i| json!({"name": name(i), "mode": "channel", "observed": []}));
        let layers = (0..count / 10).map(|i| {
            let mut layer: Value = serde_json::from_slice::<Value>(
                &std::fs::read(received("asymmetric_run/results.json")).expect("results.json"),
            )
            .expect("JSON")["redundancy"]["layers"][0]
                .take();
            layer["name"] = name(i).into();
            layer
        });
        let text = json!({
            "schema": "chanscope/1", "version": "0", "command": "shuffle", "networks": networks,
            "shuffle": {"tensors": shuffled.collect::<Vec<_>>()},
            "redundancy": {"layers": layers.collect::<Vec<_>>()},
        });
        write(dir.path(), "results.json", text.to_string().as_bytes());
        let started = Instant::now();
        write_report(dir.path()).expect("a page");
        started.elapsed().as_secs_f64()
    };
    let (few, many) = (seconds(5_000), seconds(20_000));
    assert!(
        many < 10.0 * few + 0.5,
        "5,000 tensors {few} s, 20,000 tensors {many} s"
    );
}
