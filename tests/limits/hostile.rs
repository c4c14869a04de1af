//! JSON that was made to take memory.

use super::{BEYOND, limited, write_layer};
use crate::formats::{folder, write};
use std::process::Command;

/// JSON that takes many times its size once it is understood is refused for what it will take.
#[test]
fn many_small_values() {
    let dir = folder();
    let many = |value: &str| format!("[{}0]", value.repeat(8_000_000 / value.len()));
    std::fs::create_dir_all(dir.path().join("r/units/00000")).expect("folder");
    for value in ["{\"\":0},", "[0],", "0,", "[],", "\"\","] {
        let results = format!(
            "{{\"schema\":\"chanscope/1\",\"version\":\"0\",\"command\":\"filters\",\"parameters\":{{\"x\":{}}}}}",
            many(value)
        );
        write(dir.path(), "r/results.json", results.as_bytes());
        assert!(!limited(dir.path(), 64, &["report", "r"]), "{value}");
        let version = env!("CARGO_PKG_VERSION");
        let plan = format!(
            "{{\"schema\":\"chanscope-run/1\",\"version\":\"{version}\",\"parameters\":{{\"x\":{}}}}}",
            many(value)
        );
        write(dir.path(), "r/run.json", plan.as_bytes());
        for command in ["status", "work", "merge"] {
            assert!(
                !limited(dir.path(), 64, &[command, "r"]),
                "{command} {value}"
            );
        }
        std::fs::remove_file(dir.path().join("r/run.json")).expect("remove");
    }
}

/// A list of files that is longer than any that a run writes is not believed.
#[test]
fn a_long_list_of_files() {
    let dir = folder();
    write_layer(dir.path());
    std::fs::create_dir(dir.path().join("r")).expect("folder");
    let names = "\"a\",".repeat(20_000_000);
    let text = format!("{{\"schema\":\"chanscope/1\",\"files\":[{names}\"b\"]}}");
    write(dir.path(), "r/results.json", text.as_bytes());
    let script = format!("ulimit -v {}; exec \"$@\"", (64 + BEYOND) << 10);
    let out = Command::new("sh")
        .current_dir(dir.path())
        .args(["-c", &script, "sh"])
        .arg(assert_cmd::cargo::cargo_bin("chanscope"))
        .args(["--device", "cpu", "--threads", "1", "--memory", "64MiB"])
        .args(["redundancy", "a.npy", "--out", "r", "--force"])
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("r holds results.json"), "{said}");
}
