//! Results are whole or not there, whatever happens: calls into the system that fail one by one, kills, signals, second
//! runs, inputs that change, and output folders of every kind.

#[cfg(unix)]
mod faults;
mod inputs;
mod memory;
mod place;
#[cfg(unix)]
mod signals;

use crate::formats::{f32_bytes, npy_bytes, safetensors::file_bytes, write};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The command, on the CPU and quiet, in a folder.
pub fn chanscope(dir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("chanscope"));
    command
        .current_dir(dir)
        .args(["--device", "cpu", "--quiet"]);
    command
}

/// Runs the command, which has to end well.
pub fn succeed(dir: &Path, args: &[&str]) {
    let out = chanscope(dir).args(args).output().expect("run");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {stderr}");
}

/// Runs the command, which has to fail with one line that holds all of `parts`.
pub fn refused(dir: &Path, args: &[&str], parts: &[&str]) {
    let out = chanscope(dir).args(args).output().expect("run");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(
        matches!(out.status.code(), Some(1 | 2)),
        "{args:?}: {:?} {stderr}",
        out.status
    );
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    for part in parts {
        assert!(
            stderr.contains(part),
            "{args:?}: '{part}' is not in: {stderr}"
        );
    }
}

/// Everything in a folder with its content, hidden files too; nothing where there is no folder.
pub fn content(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.expect("entry").path();
            let name = path.strip_prefix(root).expect("inside").to_path_buf();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else {
                found.insert(name, std::fs::read(&path).unwrap_or_default());
            }
        }
    }
    found
}

/// Names in a folder, sorted, hidden ones too.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("list")
        .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Inputs of small runs: `a.npy` `[12, 2, 1, 2]`, `w.safetensors` with a convolution.
fn inputs(dir: &Path) {
    let values: Vec<f32> = (0..48).map(|i| (i as f32 * 0.73).sin() + 1.0).collect();
    write(
        dir,
        "a.npy",
        &npy_bytes("<f4", "(12, 2, 1, 2)", &f32_bytes(&values)),
    );
    let header = r#"{"c.weight":{"dtype":"F32","shape":[3,2,2,2],"data_offsets":[0,96]}}"#;
    write(
        dir,
        "w.safetensors",
        &file_bytes(header, &f32_bytes(&values[..24])),
    );
}

/// A small network and its input.
fn network() -> [PathBuf; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx/depthwise");
    ["model.onnx", "input.npy"].map(|name| folder.join(name))
}
