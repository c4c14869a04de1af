//! Names from files on the terminal: nothing in them is obeyed, and no message is endless.

use super::received;
use crate::formats::{f32_bytes, folder, npy_bytes, safetensors::file_bytes, write};
use std::path::Path;
use std::process::{Command, Output};

fn chanscope(dir: &Path, args: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin("chanscope"))
        .current_dir(dir)
        .args(["--device", "cpu"])
        .args(args)
        .output()
        .expect("run")
}

/// Both outputs as text, in which nothing may be obeyed by a terminal.
fn shown(out: &Output) -> [String; 2] {
    [&out.stdout, &out.stderr].map(|bytes| {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        let obeyed = text
            .chars()
            .find(|&c| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c));
        assert_eq!(obeyed, None, "{text:?}");
        text
    })
}

#[test]
fn names_of_tensors_are_escaped() {
    let dir = folder();
    let file = received("evil_skip.safetensors");
    let file = file.to_str().expect("path");
    let out = chanscope(dir.path(), &["filters", file, "--out", "o"]);
    assert!(out.status.success());
    let [text, _] = shown(&out);
    assert!(text.contains("\\u{1b}[31mRED"), "{text}");
    assert!(!text.lines().any(|l| l.starts_with("FAKE")), "{text}");
    shown(&chanscope(
        dir.path(),
        &["filters", file, "--out", "p", "--json"],
    ));
    shown(&chanscope(dir.path(), &["report", "o"]));
}

#[test]
fn json_stays_json() {
    let dir = folder();
    let name = "x\u{9b}31m\u{202e}\u{7f}";
    let header = format!(
        "{{\"c.weight\":{{\"dtype\":\"F32\",\"shape\":[2,1,1,2],\"data_offsets\":[0,16]}},\
         \"{name}\":{{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[16,32]}}}}"
    );
    write(
        dir.path(),
        "w.safetensors",
        &file_bytes(&header, &f32_bytes(&[1.0; 8])),
    );
    let out = chanscope(dir.path(), &["filters", "w.safetensors", "--json"]);
    let [text, _] = shown(&out);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["skipped"][0]["name"], name);
}

#[cfg(unix)]
#[test]
fn names_of_files_are_escaped() {
    let dir = folder();
    let values = f32_bytes(&[1.0, 2.0, 3.0, 4.0]);
    let evil = "a\u{1b}[2J\nchanscope: all is well\u{7}.npy";
    write(dir.path(), evil, &npy_bytes("<f4", "(2, 2)", &values));
    write(dir.path(), "b\u{1b}[2J.npy", b"no array");
    for args in [
        &["inspect", evil][..],
        &["redundancy", evil, "--out", "\u{1b}[31mout"],
        &["redundancy", "b\u{1b}[2J.npy"],
        &["redundancy", "missing\u{1b}[2J"],
        &["redundancy", evil, "--device", "gpu:\u{1b}[2J"],
        &["\u{1b}[2J"],
        &["report", "\u{1b}[2J"],
    ] {
        let [text, error] = shown(&chanscope(dir.path(), args));
        assert!(
            !text
                .lines()
                .chain(error.lines())
                .any(|l| l == "chanscope: all is well"),
            "{text}{error}"
        );
    }
}

#[test]
fn messages_are_bounded() {
    let dir = folder();
    let long = "n".repeat(3_000_000);
    let header =
        format!("{{\"{long}\":{{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}}}");
    write(
        dir.path(),
        "w.safetensors",
        &file_bytes(&header, &f32_bytes(&[1.0; 4])),
    );
    let header =
        format!("{{\"a\":{{\"dtype\":\"{long}\",\"shape\":[2,2],\"data_offsets\":[0,16]}}}}");
    write(
        dir.path(),
        "x.safetensors",
        &file_bytes(&header, &f32_bytes(&[1.0; 4])),
    );
    for file in ["w.safetensors", "x.safetensors"] {
        for command in ["filters", "redundancy", "inspect"] {
            let [text, error] = shown(&chanscope(dir.path(), &[command, file]));
            let longest = text
                .lines()
                .chain(error.lines())
                .map(|l| l.chars().count())
                .max();
            assert!(longest.unwrap_or(0) < 2100, "{command} {file}: {longest:?}");
        }
    }
}
