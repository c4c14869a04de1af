//! Runs that cannot be compared: one line, which names the difference.

use super::{N, dumps, layer};
use crate::formats::npy_bytes;
use crate::support::cli::{refused, succeed};
use std::path::Path;
use tempfile::TempDir;

/// The run `run` of dump `a` with `-k 5`, and another one, which cannot be compared with it.
fn differs(dir: &TempDir, args: &[&str], parts: &[&str]) {
    let other = dir.path().join("other");
    let _ = std::fs::remove_dir_all(&other);
    succeed(dir, &[args, &["--out", "other"]].concat());
    refused(
        dir,
        &["compare", "run", "other"],
        1,
        &[&["other/results.json"], parts].concat(),
    );
}

#[test]
fn options_and_samples_that_differ_are_named() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    let run = ["redundancy", "a", "-k", "5"];
    succeed(&dir, &[&run[..], &["--out", "run"]].concat());
    let with = |more: &[&'static str]| [&run[..], more].concat();
    differs(&dir, &["redundancy", "b", "-k", "6"], &["k 6", "k 5"]);
    differs(
        &dir,
        &with(&["--kernel", "cosine"]),
        &["kernel cosine", "kernel gaussian"],
    );
    differs(
        &dir,
        &with(&["--sigma", "0.5"]),
        &["sigma 0.5", "sigma kth/3"],
    );
    differs(
        &dir,
        &with(&["--identical", "drop"]),
        &["identical drop", "identical keep"],
    );
    differs(
        &dir,
        &with(&["--queries", "20"]),
        &["queries 20", "queries all"],
    );
    differs(
        &dir,
        &with(&["--no-supports"]),
        &["no supports", "conv1", "no-supports"],
    );
    layer(&dir.path().join("more/x.npy"), N + 1, 3, 9);
    differs(
        &dir,
        &["redundancy", "more", "-k", "5"],
        &["61 samples", "60"],
    );
    // Options that change no support may differ.
    succeed(
        &dir,
        &[
            &run[..],
            &[
                "--aggregate",
                "--channels",
                "2,0",
                "--no-baselines",
                "--out",
                "same",
            ],
        ]
        .concat(),
    );
    succeed(&dir, &["compare", "run", "same", "--out", "fine"]);
}

#[test]
fn other_draws_of_queries_are_named() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    let run = |seed: &'static str| {
        [
            "redundancy",
            "a",
            "-k",
            "5",
            "--queries",
            "20",
            "--seed",
            seed,
        ]
    };
    succeed(&dir, &[&run("3")[..], &["--out", "run"]].concat());
    differs(&dir, &run("4"), &["seed 4", "seed 3"]);
}

#[test]
fn other_samples_are_named() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    let write = |path: &str, bytes: &[u8]| std::fs::write(dir.path().join(path), bytes).unwrap();
    let labels = |last: i64| {
        let values: Vec<u8> = (0..N as i64)
            .flat_map(|i| if i + 1 == N as i64 { last } else { i % 3 }.to_le_bytes())
            .collect();
        npy_bytes("<i8", &format!("({N},)"), &values)
    };
    let ids = |last: usize| {
        (0..N)
            .map(|i| format!("{}\n", if i + 1 == N { last } else { i }))
            .collect::<String>()
    };
    write("a/labels.npy", &labels(1));
    write("a/ids.txt", ids(N).as_bytes());
    let run = ["redundancy", "a", "-k", "5"];
    succeed(&dir, &[&run[..], &["--out", "run"]].concat());
    write("b/labels.npy", &labels(2));
    differs(
        &dir,
        &["redundancy", "b", "-k", "5"],
        &["other labels", "run"],
    );
    // The same classes in another type are the same.
    let narrow: Vec<u8> = (0..N as u8)
        .map(|i| if usize::from(i) + 1 == N { 1 } else { i % 3 })
        .collect();
    write(
        "b/labels.npy",
        &npy_bytes("|u1", &format!("({N},)"), &narrow),
    );
    write("b/ids.txt", ids(0).as_bytes());
    differs(
        &dir,
        &["redundancy", "b", "-k", "5"],
        &["other ids", "ids.txt"],
    );
    write("b/ids.txt", ids(N).as_bytes());
    succeed(
        &dir,
        &["redundancy", "b", "-k", "5", "--out", "same", "--force"],
    );
    succeed(&dir, &["compare", "run", "same", "--out", "fine"]);
}

/// Samples that `--nan skip` left out have to be the same ones.
#[test]
fn other_samples_left_out_are_named() {
    let dir = TempDir::new().unwrap();
    let spoil = |name: &str, samples: &[usize]| {
        let path = dir.path().join(name).join("x.npy");
        layer(&path, N, 3, 5);
        let mut bytes = std::fs::read(&path).unwrap();
        let data = bytes.len() - N * 12 * 4;
        for sample in samples {
            bytes[data + sample * 48..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        std::fs::write(&path, bytes).unwrap();
        ["redundancy", "--nan", "skip", "-k", "5"]
            .map(String::from)
            .into_iter()
            .chain([name.to_string()])
            .collect::<Vec<_>>()
    };
    let text = |args: &[String], out: &str| {
        let args: Vec<&str> = args
            .iter()
            .map(String::as_str)
            .chain(["--out", out])
            .collect();
        succeed(&dir, &args);
    };
    text(&spoil("a", &[3]), "run");
    text(&spoil("c", &[3]), "same");
    succeed(&dir, &["compare", "run", "same", "--out", "fine"]);
    for samples in [&[4][..], &[], &[3, 4]] {
        let args = spoil("b", samples);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        differs(&dir, &args, &["left out"]);
    }
}

#[test]
fn what_is_no_run_of_redundancy_is_named() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    layer(&dir.path().join("mixed/x.npy"), N, 3, 5);
    layer(&dir.path().join("mixed/y.npy"), N - 1, 3, 5);
    succeed(&dir, &["redundancy", "a", "-k", "5", "--out", "run"]);
    refused(&dir, &["compare", "run"], 2, &["RUN"]);
    refused(&dir, &["compare", "run", "gone"], 1, &["gone"]);
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/lenet5.safetensors");
    succeed(
        &dir,
        &["filters", weights.to_str().unwrap(), "--out", "filters"],
    );
    refused(
        &dir,
        &["compare", "run", "filters"],
        1,
        &["filters/results.json", "chanscope redundancy"],
    );
    succeed(&dir, &["redundancy", "mixed", "-k", "5", "--out", "other"]);
    refused(
        &dir,
        &["compare", "run", "other"],
        1,
        &["different samples", "59", "60"],
    );
    // The folder of a run is not written into.
    refused(
        &dir,
        &["compare", "run", "run", "--out", "run", "--force"],
        2,
        &["run"],
    );
}
