//! Wrong input: one line each, and nothing is lost.

use super::{ALL, dump, left, reference};
use crate::formats::folder;
use crate::outputs::{content, refused, succeed};
use std::path::Path;

fn planned(dir: &Path) {
    dump(dir);
    succeed(
        dir,
        &[&["plan"], &ALL[..], &["--units", "2", "--out", "out"]].concat(),
    );
}

#[test]
fn shares_and_units_that_there_are_not() {
    let dir = folder();
    let dir = dir.path();
    planned(dir);
    let before = content(&dir.join("out"));
    for (args, part) in [
        (["--unit", "99"], "--unit is 99"),
        (["--unit", "1-x"], "--unit '1-x'"),
        (["--shard", "3/3"], "--shard '3/3'"),
        (["--shard", "1"], "--shard '1'"),
        (["--stage", "merge"], "--stage"),
        (["--out", "elsewhere"], "leave out --out"),
    ] {
        refused(dir, &[&["work", "out"], &args[..]].concat(), &[part]);
    }
    let plan = |units: &'static str| {
        [&["plan", "a.npy", "--units", units], &["--out", "new"][..]].concat()
    };
    refused(dir, &plan("0"), &["--units must be at least 1"]);
    refused(dir, &["work", "."], &["holds no planned run"]);
    refused(dir, &["status", "nowhere"], &["nowhere"]);
    refused(dir, &["merge", "out"], &["lacks units 0-"]);
    assert!(!dir.join("new").exists());
    assert!(content(&dir.join("out")) == before);
}

#[test]
fn a_plan_of_another_version_or_that_was_edited() {
    let dir = folder();
    let dir = dir.path();
    planned(dir);
    let path = dir.join("out/run.json");
    let text = std::fs::read_to_string(&path).expect("read");
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    std::fs::write(&path, text.replace(&version, "\"version\": \"9.9.9\"")).expect("write");
    for command in ["work", "status", "merge"] {
        refused(dir, &[command, "out"], &["9.9.9"]);
    }
    std::fs::write(&path, text.replace("\"k\": 5", "\"k\": 6")).expect("write");
    refused(
        dir,
        &["work", "out"],
        &["run.json", "not as it was written"],
    );
    std::fs::write(&path, &text[..text.len() / 2]).expect("write");
    refused(dir, &["work", "out"], &["run.json"]);
}

#[test]
fn a_folder_that_holds_an_unfinished_run() {
    let dir = folder();
    let dir = dir.path();
    planned(dir);
    let with =
        |args: &[&'static str]| [&["redundancy"], &ALL[..], &["--out", "out"], args].concat();
    let before = content(&dir.join("out"));
    refused(dir, &with(&[]), &["not finished", "--resume"]);
    refused(dir, &["filters", "a.npy", "--out", "out"], &[]);
    // The options that differ are named.
    let other = |from: &str, to: &'static str| {
        let mut args = with(&["--resume"]);
        let at = args.iter().position(|a| *a == from).expect("option");
        args[at + 1] = to;
        args
    };
    refused(dir, &other("-k", "6"), &["-k 5, not 6"]);
    refused(dir, &other("--sigma", "0.8"), &["--sigma 0.7, not 0.8"]);
    refused(dir, &other("--labels", "a.npy"), &["a.npy"]);
    let mut fewer = with(&["--resume"]);
    fewer.retain(|a| *a != "b.npy");
    refused(dir, &fewer, &["the input"]);
    assert!(content(&dir.join("out")) == before);
    // It can be finished, or replaced.
    let expected = reference(dir, &ALL);
    succeed(dir, &with(&["--resume"]));
    assert!(left(&dir.join("out")) == expected);
    refused(dir, &other("-k", "6"), &["-k 5, not 6"]);
    succeed(
        dir,
        &[
            &["plan"],
            &ALL[..],
            &["--units", "2", "--out", "out", "--force"],
        ]
        .concat(),
    );
    // Earlier results stay until the new ones are there.
    assert!(dir.join("out/results.json").is_file() && dir.join("out/run.json").is_file());
    refused(dir, &with(&[]), &["not finished"]);
    succeed(dir, &with(&["--force"]));
    assert!(left(&dir.join("out")) == expected);
}
