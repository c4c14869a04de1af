//! A disk that fills up: one clear line, nothing left behind.
//!
//! Each case runs in a child process, this very test binary, under a limit the child cannot exceed.

use crate::formats::folder;
use crate::formats::sink::tree;
use chanscope::io::sink::{Output, write_file};
use chanscope::io::spill::SupportStore;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Finished};

/// Tells the child where to write; without it the child's part passes as done by the parent.
const FOLDER: &str = "CHANSCOPE_TEST_FULL_DISK";

/// What the child does: tries every way of writing 8 MiB and prints what went wrong.
#[test]
fn in_the_child() {
    let Some(root) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let big = vec![1f32; 2 << 20];
    let out = root.join("out");
    let attempt = |write: &dyn Fn(&Output) -> chanscope::Result<()>| {
        let output = Output::create(&out, false).expect("a folder still fits");
        let error = write(&output).expect_err("8 MiB were written to a full disk");
        drop(output);
        assert!(!out.exists(), "something was left behind");
        println!("LINE {error}");
    };
    attempt(&|o| o.write("a.bin", bytemuck::cast_slice(&big)));
    attempt(&|o| o.array("a.npy", &[2 << 20], &big));
    let error = write_file(root.join("single"), false, |w| {
        w.write_all(bytemuck::cast_slice(&big))
            .map_err(|e| chanscope::Error::io("single", "write", e))
    });
    println!(
        "LINE {}",
        error.expect_err("8 MiB were written to a full disk")
    );
    let store = SupportStore::new(2, 1 << 20, 1, 0, &root);
    let error = store.and_then(|s| {
        let indices: Vec<i32> = vec![1; 1 << 20];
        s.put(0, 0, &indices, &vec![false; 1 << 20])
    });
    println!(
        "LINE {}",
        error.expect_err("8 MiB were written to a full disk")
    );
    assert_eq!(tree(&root), [] as [String; 0]);
    println!("DONE");
}

/// Runs the child under `sh -c script`; the script gets the test binary as `$0` and its arguments.
fn child(root: &Path, program: &str, options: &[&str], script: &str) -> std::io::Result<Finished> {
    Command::new(program)
        .args(options)
        .args(["sh", "-c", script])
        .arg(std::env::current_exe()?)
        .args(["--exact", "hostile::sink::in_the_child", "--nocapture"])
        .env(FOLDER, root)
        .output()
}

fn check(finished: &Finished, reason: &str) {
    let text = String::from_utf8_lossy(&finished.stdout);
    let errors = String::from_utf8_lossy(&finished.stderr);
    assert!(
        finished.status.success() && text.contains("DONE"),
        "{text}\n{errors}"
    );
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("LINE ")).collect();
    assert_eq!(lines.len(), 4, "{text}");
    for line in lines {
        assert!(
            line.contains(reason) && (line.contains("make room") || line.contains("single")),
            "{line}"
        );
    }
}

/// A limit on the size of files, which needs no rights.
#[cfg(unix)]
#[test]
fn a_file_size_limit() {
    let dir = folder();
    // 2048 blocks of 512 bytes; the signal that goes with the limit is ignored, so that the write fails.
    let finished = child(
        dir.path(),
        "env",
        &[],
        "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"",
    );
    check(&finished.expect("run the child"), "File too large");
}

/// A file system of 1 MiB, where unprivileged namespaces allow mounting one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let dir = folder();
    let mount = "mount -t tmpfs -o size=1m none \"$CHANSCOPE_TEST_FULL_DISK\"";
    let probe = child(dir.path(), "unshare", &["-rm"], mount);
    if !probe.is_ok_and(|p| p.status.success()) {
        eprintln!("skipped: a small file system cannot be mounted here (unshare -rm)");
        return;
    }
    let finished = child(
        dir.path(),
        "unshare",
        &["-rm"],
        &format!("{mount} && exec \"$0\" \"$@\""),
    );
    check(&finished.expect("run the child"), "No space left");
}
