//! Output folders: whole or not at all.

use super::folder;
use chanscope::Error;
use chanscope::error::OutputProblem;
use chanscope::io::npy;
use chanscope::io::sink::{Output, write_file};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

fn results() -> Value {
    json!({"schema": "chanscope/1", "command": "test"})
}

/// Everything in a folder, hidden files too, relative.
pub fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("list") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(
                    path.strip_prefix(root)
                        .expect("inside")
                        .to_string_lossy()
                        .replace('\\', "/"),
                );
            }
        }
    }
    found.sort();
    found
}

fn finished(out: &Path, force: bool, names: &[&str]) {
    let output = Output::create(out, force).expect("create");
    for name in names {
        output.write(name, name.as_bytes()).expect("write");
    }
    output.finish(&results()).expect("finish");
}

#[test]
fn nothing_is_there_before_the_end_and_everything_after() {
    let dir = folder();
    let out = dir.path().join("a/b/out");
    let output = Output::create(&out, false).expect("create");
    output.write("report.html", b"<html>").expect("write");
    output
        .array(
            "layers/conv1/overlap.npy",
            &[2, 2],
            &[1.0f64, 2.0, 3.0, 4.0],
        )
        .expect("array");
    assert!(!out.join("report.html").exists() && !out.join("layers").exists());
    output.finish(&results()).expect("finish");
    assert_eq!(
        tree(&out),
        ["layers/conv1/overlap.npy", "report.html", "results.json"]
    );
    let text = std::fs::read_to_string(out.join("results.json")).expect("read");
    assert!(text.find("schema") < text.find("files"));
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        value["files"],
        json!(["layers/conv1/overlap.npy", "report.html"])
    );
}

#[test]
fn a_dropped_run_leaves_nothing_not_even_the_folders() {
    let dir = folder();
    let out = dir.path().join("a/b/out");
    let output = Output::create(&out, false).expect("create");
    output.write("layers/x/y.npy", b"1").expect("write");
    drop(output);
    assert!(!dir.path().join("a").exists());

    std::fs::create_dir_all(&out).expect("folder");
    drop(Output::create(&out, false).expect("create"));
    assert!(out.exists() && tree(&out).is_empty());
}

#[test]
fn a_folder_in_use_is_refused_and_untouched() {
    let dir = folder();
    let out = dir.path().join("out");
    finished(&out, false, &["a.npy"]);
    let line = Output::create(&out, false)
        .expect_err("refused")
        .to_string();
    assert!(
        line.contains("replace the results in it") && line.contains(&out.display().to_string()),
        "{line}"
    );
    assert_eq!(tree(&out), ["a.npy", "results.json"]);

    // A folder that is not ours is refused even with --force.
    let other = dir.path().join("home");
    std::fs::create_dir(&other).expect("folder");
    std::fs::write(other.join("thesis.tex"), "x").expect("write");
    let line = Output::create(&other, true)
        .expect_err("refused")
        .to_string();
    assert!(line.contains("thesis.tex"), "{line}");
    std::fs::write(other.join("results.json"), "{\"schema\": \"theirs/1\"}").expect("write");
    assert!(Output::create(&other, true).is_err());

    let file = dir.path().join("file");
    std::fs::write(&file, "x").expect("write");
    assert!(matches!(
        Output::create(&file, true),
        Err(Error::Output { .. })
    ));
}

#[test]
fn force_replaces_what_a_run_wrote_and_nothing_else() {
    let dir = folder();
    let out = dir.path().join("out");
    finished(
        &out,
        false,
        &["layers/old/a.npy", "layers/both/a.npy", "report.html"],
    );
    std::fs::write(out.join("layers/both/mine.txt"), "mine").expect("write");
    let before = tree(&out);
    let line = Output::create(&out, true).expect_err("refused").to_string();
    assert!(line.contains("layers/both/mine.txt"), "{line}");
    assert_eq!(tree(&out), before);
    std::fs::remove_file(out.join("layers/both/mine.txt")).expect("remove");

    let half = Output::create(&out, true).expect("create");
    half.write("layers/both/a.npy", b"new").expect("write");
    drop(half);
    assert_eq!(
        std::fs::read(out.join("layers/both/a.npy")).expect("read"),
        b"layers/both/a.npy"
    );

    finished(&out, true, &["layers/both/a.npy", "layers/new/a.npy"]);
    assert_eq!(
        tree(dir.path()),
        [
            "out/layers/both/a.npy",
            "out/layers/new/a.npy",
            "out/results.json"
        ]
    );
    assert!(!out.join("layers/old").exists());
}

#[test]
fn what_is_put_into_the_folder_during_the_run_is_not_replaced() {
    let dir = folder();
    let out = dir.path().join("out");
    finished(&out, false, &["a.npy"]);
    let output = Output::create(&out, true).expect("create");
    output.write("a.npy", b"new").expect("write");
    std::fs::write(out.join("mine.txt"), "mine").expect("write");
    let line = output.finish(&results()).expect_err("refused").to_string();
    assert!(line.contains("mine.txt"), "{line}");
    assert_eq!(
        tree(dir.path()),
        ["out/a.npy", "out/mine.txt", "out/results.json"]
    );
    assert_eq!(std::fs::read(out.join("a.npy")).expect("read"), b"a.npy");
}

#[test]
fn what_a_killed_run_left_is_cleared_away_but_not_a_living_run() {
    let dir = folder();
    let out = dir.path().join("out");
    // Beside the folder, inside of it, and of an unfinished file.
    for left in [
        ".out.chanscope-new/.chanscope/lock",
        "out/.chanscope/lock",
        "out/.chanscope/new/a.npy",
    ] {
        let path = dir.path().join(left);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(path, "").expect("write");
    }
    let living = Output::create(&out, false).expect("create");
    living.write("a.npy", b"1").expect("write");
    for force in [false, true] {
        let problem = Output::create(&out, force).expect_err("in use");
        let in_use = OutputProblem::InUse;
        assert!(matches!(problem, Error::Output { problem, .. } if problem == in_use));
    }
    living.finish(&results()).expect("finish");
    assert_eq!(tree(dir.path()), ["out/a.npy", "out/results.json"]);
}

#[test]
fn a_folder_beside_it_that_no_run_made_is_left_alone() {
    let dir = folder();
    let out = dir.path().join("out");
    let theirs = dir.path().join(".out.chanscope-new");
    std::fs::create_dir(&theirs).expect("folder");
    std::fs::write(theirs.join("mine.txt"), "mine").expect("write");
    for force in [false, true] {
        finished(&out, force, &["a.npy"]);
    }
    assert_eq!(
        tree(dir.path()),
        [
            ".out.chanscope-new/mine.txt",
            "out/a.npy",
            "out/results.json"
        ]
    );
}

#[test]
fn names_cannot_leave_the_folder_and_are_written_once() {
    let dir = folder();
    let output = Output::create(dir.path().join("out"), false).expect("create");
    for name in [
        "",
        "/etc/x",
        "../x",
        "a/../../x",
        "a\\b",
        ".",
        ".chanscope/lock",
    ] {
        assert!(
            matches!(output.write(name, b""), Err(Error::Output { .. })),
            "{name}"
        );
    }
    output.write("a", b"").expect("write");
    assert!(output.write("a", b"").is_err());
}

#[test]
fn a_hostile_results_file_cannot_make_force_remove_other_files() {
    let dir = folder();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).expect("folder");
    std::fs::write(dir.path().join("precious"), "x").expect("write");
    let evil = json!({"schema": "chanscope/1", "files": ["../precious", "/etc/hosts", ""]});
    std::fs::write(out.join("results.json"), evil.to_string()).expect("write");
    finished(&out, true, &["a.npy"]);
    assert!(dir.path().join("precious").exists());
    assert_eq!(tree(&out), ["a.npy", "results.json"]);
}

#[test]
fn arrays_are_written_in_blocks_of_any_order_and_type() {
    let dir = folder();
    let out = dir.path().join("out");
    let output = Output::create(&out, false).expect("create");
    let writer = output
        .array_writer::<f32>("a.npy", &[4, 3])
        .expect("writer");
    std::thread::scope(|scope| {
        for row in [2usize, 0, 3, 1] {
            let writer = &writer;
            let values = [0, 1, 2].map(|i| (3 * row + i) as f32);
            scope.spawn(move || writer.write(3 * row, &values).expect("write"));
        }
    });
    assert!(writer.write(11, &[0.0, 0.0]).is_err());
    writer.finish().expect("finish");
    output.array("f64.npy", &[1, 1], &[0.1f64]).expect("array");
    output.array("i32.npy", &[2], &[-1i32, 7]).expect("array");
    output.array("i64.npy", &[1], &[-2i64]).expect("array");
    output
        .array("bool.npy", &[2], &[true, false])
        .expect("array");
    output
        .array("u8.npy", &[0, 3], &[] as &[u8])
        .expect("array");
    output
        .array("f16.npy", &[1, 1], &[half::f16::from_f32(1.5)])
        .expect("array");
    output.finish(&results()).expect("finish");

    let layer = npy::open(out.join("a.npy"), "a").expect("open");
    let mut back = [0f32; 12];
    layer.read_rows(0..4, &[0], &mut back).expect("read");
    assert_eq!(back.to_vec(), (0..12).map(|i| i as f32).collect::<Vec<_>>());
    for (name, dict, data) in [
        (
            "f64",
            "'<f8', 'fortran_order': False, 'shape': (1, 1), }",
            0.1f64.to_le_bytes().to_vec(),
        ),
        (
            "i32",
            "'<i4', 'fortran_order': False, 'shape': (2,), }",
            [255, 255, 255, 255, 7, 0, 0, 0].into(),
        ),
        (
            "i64",
            "'<i8', 'fortran_order': False, 'shape': (1,), }",
            (-2i64).to_le_bytes().to_vec(),
        ),
        (
            "bool",
            "'|b1', 'fortran_order': False, 'shape': (2,), }",
            vec![1, 0],
        ),
        (
            "u8",
            "'|u1', 'fortran_order': False, 'shape': (0, 3), }",
            vec![],
        ),
        (
            "f16",
            "'<f2', 'fortran_order': False, 'shape': (1, 1), }",
            vec![0x00, 0x3e],
        ),
    ] {
        let bytes = std::fs::read(out.join(format!("{name}.npy"))).expect("read");
        assert!(
            bytes.len().is_multiple_of(64) || bytes.len() % 64 == data.len(),
            "{name}"
        );
        let text: String = bytes.iter().map(|&b| char::from(b)).collect();
        assert!(
            text.starts_with("\u{93}NUMPY\u{1}\0v\0{'descr': "),
            "{name}: {text}"
        );
        assert!(text.contains(dict), "{name}: {text}");
        assert!(bytes.ends_with(&data), "{name}");
    }
}

#[test]
fn an_array_not_filled_is_no_output() {
    let dir = folder();
    let out = dir.path().join("out");
    let output = Output::create(&out, false).expect("create");
    let writer = output.array_writer::<i32>("a.npy", &[4]).expect("writer");
    writer.write(0, &[1, 2]).expect("write");
    let line = writer.finish().expect_err("half written").to_string();
    assert!(line.contains("2 of 4 elements"), "{line}");
    let line = output.finish(&results()).expect_err("refused").to_string();
    assert!(
        line.contains("a.npy") && line.contains("not written to its end"),
        "{line}"
    );
    assert!(!out.exists());
    assert!(
        Output::create(&out, false)
            .expect("create")
            .array_writer::<f64>("a", &[usize::MAX, 9])
            .is_err()
    );
}

#[test]
fn single_files_are_replaced_whole_or_not() {
    let dir = folder();
    let path: PathBuf = dir.path().join("a.bin");
    let fill = |text: &'static [u8]| {
        move |w: &mut dyn Write| {
            w.write_all(text)
                .map_err(|e| Error::io("a.bin", "write", e))
        }
    };
    write_file(&path, false, fill(b"one")).expect("write");
    assert!(matches!(
        write_file(&path, false, fill(b"two")),
        Err(Error::Output { .. })
    ));
    let fails = |w: &mut dyn Write| {
        let _ = w.write_all(b"half");
        Err(Error::Cancelled)
    };
    assert!(matches!(
        write_file(&path, true, fails),
        Err(Error::Cancelled)
    ));
    assert_eq!(std::fs::read(&path).expect("read"), b"one");
    write_file(&path, true, fill(b"three")).expect("write");
    assert_eq!(std::fs::read(&path).expect("read"), b"three");
    assert_eq!(tree(dir.path()), ["a.bin"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(dir.path().join("plain"), "").expect("write");
        let mode = |p: &Path| std::fs::metadata(p).expect("stat").permissions().mode();
        assert_eq!(mode(&path), mode(&dir.path().join("plain")));
    }
}
