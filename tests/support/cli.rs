//! The command line, run in a folder.

use assert_cmd::Command;
use std::process::Output;
use tempfile::TempDir;

/// Runs a command on the CPU.
pub fn chanscope(dir: &TempDir, args: &[&str]) -> Output {
    Command::cargo_bin("chanscope")
        .expect("binary")
        .current_dir(dir.path())
        .args(["--device", "cpu", "--quiet"])
        .args(args)
        .output()
        .expect("run")
}

/// What a command prints on stdout.
pub fn succeed(dir: &TempDir, args: &[&str]) -> String {
    let out = chanscope(dir, args);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {stderr}");
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// Fails with `code` and one line that holds all of `parts`; leaves no output folder.
pub fn refused(dir: &TempDir, args: &[&str], code: i32, parts: &[&str]) {
    let output = chanscope(dir, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    for part in parts {
        assert!(
            stderr.contains(part),
            "{args:?}: '{part}' is not in: {stderr}"
        );
    }
    assert!(output.stdout.is_empty(), "{args:?} printed on stdout");
    assert!(
        !dir.path().join("chanscope-out").exists(),
        "{args:?} left a folder"
    );
}
