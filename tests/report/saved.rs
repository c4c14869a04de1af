//! The page made from a folder of results: what is there, what is broken, and what the command says.

use super::html::{matrices, page, results};
use super::layer;
use chanscope::report::html::write_report;
use ndarray::ArrayD;
use std::path::Path;

fn save(dir: &Path, path: &str, array: &ArrayD<f64>) {
    use npyz::WriterBuilder;
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let shape: Vec<u64> = array.shape().iter().map(|&d| d as u64).collect();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&shape)
        .writer(std::fs::File::create(path).unwrap())
        .begin_nd()
        .unwrap();
    writer.extend(array.iter()).unwrap();
    writer.finish().unwrap();
}

fn saved(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, array) in matrices(name, 3, &[1]) {
        save(dir.path(), &path, &array);
    }
    let json = results(vec![layer(name)]).to_json(dir.path()).unwrap();
    std::fs::write(dir.path().join("results.json"), json).unwrap();
    dir
}

#[test]
fn a_folder_becomes_a_page() {
    let dir = saved("conv1");
    std::fs::write(dir.path().join("report.html"), "old").unwrap();
    assert_eq!(write_report(dir.path()).unwrap(), Vec::<String>::new());
    let html = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    let want = page(&results(vec![layer("conv1")]), &matrices("conv1", 3, &[1]));
    assert_eq!(html, want.html);
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["layers", "report.html", "results.json"],
        "no temporary file is left"
    );
}

#[test]
fn names_do_not_leave_the_folder() {
    let dir = saved("conv1");
    let inner = dir.path().join("inner");
    std::fs::create_dir_all(inner.join("layers")).unwrap();
    let json = results(vec![layer("../../layers/conv1")])
        .to_json(&inner)
        .unwrap();
    std::fs::write(inner.join("results.json"), json).unwrap();
    assert_eq!(
        write_report(&inner).unwrap().len(),
        2,
        "both count as missing"
    );
}

/// A `.npy` with this header and body.
fn npy(header: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16 + 1).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.push(b'\n');
    bytes.extend(body);
    bytes
}

#[test]
fn broken_arrays_are_named() {
    let header = |descr, order, shape| {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}")
    };
    for (content, want) in [
        (b"garbage".to_vec(), "no .npy file"),
        (
            npy(&header("<f8", "False", "(900000, 900000)"), &[0; 72]),
            "(900000, 900000)",
        ),
        (
            npy(&header("<f8", "True", "(3, 3)"), &[0; 72]),
            "Fortran order",
        ),
        (
            npy(&header("<f8", "False", "(3, 3)"), &[0; 71]),
            "truncated",
        ),
        (
            npy(&header("<u8", "False", "(3, 3)"), &[0; 72]),
            "another type",
        ),
        (
            npy(&header(">f8", "False", "(3, 3)"), &[0; 72]),
            "another type",
        ),
    ] {
        let dir = saved("conv1");
        std::fs::write(dir.path().join("layers/conv1/jaccard.npy"), content).unwrap();
        let message = write_report(dir.path()).unwrap_err().to_string();
        assert!(message.contains(want), "{message}");
        assert!(
            message.contains("jaccard.npy: ") && !message.contains('\n'),
            "{message}"
        );
        assert!(!dir.path().join("report.html").exists());
    }
}

#[test]
fn the_command_line_says_what_is_wrong_in_one_line() {
    let run = |dir: &Path| {
        let mut command = assert_cmd::Command::cargo_bin("chanscope").unwrap();
        command.arg("report").arg(dir).output().unwrap()
    };
    let dir = saved("conv1");
    let done = run(dir.path());
    assert!(done.status.success());
    assert!(
        String::from_utf8(done.stdout)
            .unwrap()
            .ends_with("report.html\n")
    );
    for (text, want) in [
        (None, "results.json: cannot read it"),
        (Some("{]"), "is not valid JSON"),
        (Some("{\"schema\": \"other/3\"}"), "has schema 'other/3'"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            std::fs::write(dir.path().join("results.json"), text).unwrap();
        }
        let failed = run(dir.path());
        let message = String::from_utf8(failed.stderr).unwrap();
        assert_eq!(failed.status.code(), Some(1));
        assert!(message.contains(want), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
