//! Supports that no run wrote: one line, which names the file.

use super::{dumps, measured};
use crate::formats::npy_bytes;
use crate::support::cli::{refused, succeed};
use tempfile::TempDir;

/// Runs `compare` with a file of the layer `conv1` of run `b` changed, which has to be refused.
fn forged(dir: &TempDir, file: &str, change: &dyn Fn(&mut Vec<u8>), parts: &[&str]) {
    let path = dir.path().join("run-b/layers/conv1").join(file);
    let original = std::fs::read(&path).unwrap();
    let mut bytes = original.clone();
    change(&mut bytes);
    assert_ne!(bytes, original);
    std::fs::write(&path, bytes).unwrap();
    refused(
        dir,
        &["compare", "run-a", "run-b"],
        1,
        &[&[file], parts].concat(),
    );
    std::fs::write(&path, original).unwrap();
}

#[test]
fn supports_that_no_run_wrote_are_refused() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    measured(&dir);
    let (sizes, members) = ("support_sizes.npy", "supports.npy");
    // A header of 128 bytes, then sizes [60, 5] and members in bytes.
    let header = 128;
    forged(&dir, sizes, &|b| b.truncate(b.len() - 1), &["truncated"]);
    forged(&dir, members, &|b| b.truncate(b.len() - 1), &["truncated"]);
    forged(&dir, members, &|b| b.push(0), &["byte"]);
    forged(&dir, members, &|b| b.truncate(20), &["header"]);
    forged(&dir, members, &|b| b.clear(), &["empty"]);
    forged(&dir, sizes, &|b| b[header] = 6, &["6 members", "at most 5"]);
    forged(
        &dir,
        members,
        &|b| *b.last_mut().unwrap() = 60,
        &["sample 60 of 60"],
    );
    forged(&dir, members, &|b| b[header + 1] = b[header], &["ascend"]);
    forged(&dir, members, &|b| b[header] = 59, &["ascend"]);
    let shape = |what: &'static str, shape: &'static str, count: usize| {
        move |b: &mut Vec<u8>| *b = npy_bytes(what, shape, &vec![0; count])
    };
    forged(
        &dir,
        sizes,
        &shape("|u1", "(5, 60)", 300),
        &["[5, 60]", "[60, 5]"],
    );
    forged(&dir, sizes, &shape("|u1", "(300,)", 300), &["[300]"]);
    forged(
        &dir,
        sizes,
        &shape("<u2", "(60, 5)", 600),
        &["another type"],
    );
    forged(&dir, sizes, &shape("|u1", "(60, 5)", 300), &["counts 0"]);
    forged(&dir, members, &shape("|i1", "(7,)", 7), &["another type"]);
    forged(
        &dir,
        members,
        &shape("|u1", "(7, 1)", 7),
        &["one dimension"],
    );
    forged(&dir, members, &shape("|u1", "(7,)", 7), &["7 members"]);
    let path = dir.path().join("run-b/layers/conv1").join(members);
    std::fs::remove_file(&path).unwrap();
    refused(
        &dir,
        &["compare", "run-a", "run-b"],
        1,
        &["no supports of layer conv1"],
    );
    std::fs::create_dir(&path).unwrap();
    refused(
        &dir,
        &["compare", "run-a", "run-b"],
        1,
        &["no supports of layer conv1"],
    );
}

/// Numbers in `results.json` that no run has.
#[test]
fn results_that_no_run_wrote_are_refused() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    succeed(&dir, &["redundancy", "a", "-k", "5", "--out", "run"]);
    succeed(&dir, &["redundancy", "a", "-k", "5", "--out", "other"]);
    let path = dir.path().join("other/results.json");
    let original: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let with = |change: &dyn Fn(&mut serde_json::Value), parts: &[&str]| {
        let mut results = original.clone();
        change(&mut results);
        std::fs::write(&path, results.to_string()).unwrap();
        refused(&dir, &["compare", "run", "other"], 1, parts);
    };
    let huge = u64::MAX >> 1;
    with(&|r| r["parameters"]["k"] = 0.into(), &["no k from 1"]);
    with(&|r| r["parameters"]["k"] = huge.into(), &["no k from 1"]);
    with(&|r| r["parameters"]["k"] = 300.into(), &["another type"]);
    let layers = |r: &mut serde_json::Value, field: &str, value: serde_json::Value| {
        for layer in r["redundancy"]["layers"].as_array_mut().unwrap() {
            layer[field] = value.clone();
        }
    };
    for shape in [[0, 4, 2, 2], [huge, 4, 2, 2], [1 << 33, 4, 2, 2]] {
        with(
            &|r| layers(r, "shape", serde_json::json!(shape)),
            &["other"],
        );
    }
    with(
        &|r| layers(r, "shape", serde_json::json!([])),
        &["other/results.json"],
    );
    with(
        &|r| layers(r, "shape", serde_json::json!([60, huge, 2, 2])),
        &["is needed"],
    );
    with(
        &|r| layers(r, "shape", serde_json::json!([60, 100, 2, 2])),
        &["[60, 100]"],
    );
    with(
        &|r| layers(r, "samples_skipped", huge.into()),
        &["left out"],
    );
    with(&|r| layers(r, "samples_skipped", 1.into()), &["[59, 4]"]);
    with(&|r| layers(r, "queries", 61.into()), &["61 queries"]);
    with(
        &|r| r["redundancy"]["layers"] = serde_json::json!([]),
        &["no layers"],
    );
    with(
        &|r| r["redundancy"]["layers"][0]["name"] = "../a".into(),
        &["../a"],
    );
}
