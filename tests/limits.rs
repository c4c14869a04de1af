//! Every command under a real limit: with `--memory X`, X and 200 MiB of address space are enough, or the command is
//! refused with one line. None aborts.

mod hostile;

use crate::formats::{f32_bytes, folder, npy_bytes, safetensors::file_bytes, write};
use std::path::Path;
use std::process::Command;

/// MiB beyond the cap.
const BEYOND: u64 = 200;

/// Runs a command under a limit on its address space. Gives back whether it did its work.
fn limited(dir: &Path, mib: u64, args: &[&str]) -> bool {
    let script = format!("ulimit -v {}; exec \"$@\"", (mib + BEYOND) << 10);
    let out = Command::new("sh")
        .current_dir(dir)
        .args(["-c", &script, "sh"])
        .arg(assert_cmd::cargo::cargo_bin("chanscope"))
        .args([
            "--device",
            "cpu",
            "--quiet",
            "--threads",
            "2",
            "--memory",
            &format!("{mib}MiB"),
        ])
        .args(args)
        // Address space that the C library sets aside for other threads is not memory.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&out.stderr);
    match out.status.code() {
        Some(0) => true,
        Some(1) => {
            assert_eq!(said.lines().count(), 1, "{args:?} at {mib} MiB: {said}");
            let refusal = said.contains("--memory") && said.contains("is needed");
            assert!(refusal, "{args:?} at {mib} MiB: {said}");
            false
        }
        _ => panic!("{args:?} at {mib} MiB: {:?} {said}", out.status),
    }
}

/// A sparse file of this size with these first bytes.
fn sparse(dir: &Path, name: &str, first: &[u8], size: u64) {
    let path = write(dir, name, first);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("open");
    file.set_len(size).expect("a sparse file");
}

/// Which of three caps a command does its work under.
fn at_each(dir: &Path, args: &[&str]) -> [bool; 3] {
    [64, 256, 1024].map(|mib| limited(dir, mib, args))
}

#[test]
fn every_command_is_tested() {
    let out = Command::new(assert_cmd::cargo::cargo_bin("chanscope"))
        .arg("--help")
        .output()
        .expect("help");
    let help = String::from_utf8(out.stdout).expect("text");
    let list = help.split("Commands:").nth(1).expect("a list");
    let names = list.lines().skip(1).take_while(|l| l.starts_with("  "));
    // The lines of a long description are indented further.
    let names = names.filter(|l| !l.starts_with("   "));
    let names = names.filter_map(|l| l.split_whitespace().next());
    let missing: Vec<&str> = names
        .filter(|name| {
            *name != "help" && !include_str!("limits.rs").contains(&format!("\"{name}\""))
        })
        .collect();
    assert_eq!(missing, [] as [&str; 0], "{help}");
}

#[test]
fn inspect() {
    let dir = folder();
    // A file of 61 MB, and channels whose overlaps take 8 GiB.
    let first = npy_bytes("<f4", "(1000, 15, 32, 32)", &[]);
    sparse(
        dir.path(),
        "large.npy",
        &first,
        first.len() as u64 + 4 * 1000 * 15 * 1024,
    );
    assert_eq!(at_each(dir.path(), &["inspect", "large.npy"]), [true; 3]);
    let first = npy_bytes("<f4", "(3, 8192, 2, 2)", &[]);
    sparse(
        dir.path(),
        "wide.npy",
        &first,
        first.len() as u64 + 4 * 3 * 8192 * 4,
    );
    assert_eq!(at_each(dir.path(), &["inspect", "wide.npy"]), [true; 3]);
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/onnx/residual/model.onnx"
    );
    assert_eq!(at_each(dir.path(), &["inspect", model]), [true; 3]);
}

/// Writes `a.npy [30, 6, 96, 96]`.
fn write_layer(dir: &Path) {
    let values: Vec<f32> = (0..30 * 6 * 96 * 96)
        .map(|i| (i as f32 * 0.37).sin())
        .collect();
    write(
        dir,
        "a.npy",
        &npy_bytes("<f4", "(30, 6, 96, 96)", &f32_bytes(&values)),
    );
}

#[test]
fn redundancy() {
    let dir = folder();
    write_layer(dir.path());
    let args = ["redundancy", "a.npy", "-k", "5", "--force"];
    assert_eq!(at_each(dir.path(), &args), [true; 3]);
    // Vectors of all channels do not fit under the smallest cap at once; the aggregate reads them in blocks.
    let more = [&args[..], &["--aggregate", "--save-graph"]].concat();
    assert_eq!(at_each(dir.path(), &more), [true; 3]);
}

/// What does not fit is refused at once, with the number that was given, and `inspect` says the same.
#[test]
fn overlaps_that_do_not_fit_are_refused_before_the_work() {
    let dir = folder();
    let first = npy_bytes("<f4", "(50000, 2000, 1, 1)", &[]);
    sparse(
        dir.path(),
        "wide.npy",
        &first,
        first.len() as u64 + 4 * 50_000 * 2000,
    );
    let run = |command: &str| {
        let out = Command::new(assert_cmd::cargo::cargo_bin("chanscope"))
            .current_dir(dir.path())
            .args([
                "--device", "cpu", "--quiet", "--memory", "64MiB", command, "wide.npy",
            ])
            .output()
            .expect("run");
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    };
    let said = run("redundancy");
    let reason =
        "--memory 64MiB is too small for the overlap of 2000 channels: at least 490MiB is needed";
    assert!(said.contains(reason), "{said}");
    assert!(!dir.path().join("chanscope-out").exists());
    let said = run("inspect");
    assert!(said.contains(reason), "{said}");
}

#[test]
fn filters() {
    let dir = folder();
    let tensor = |name: &str, shape: [u64; 4]| {
        let bytes = 4 * shape.iter().product::<u64>();
        let header = format!(
            "{{\"c.weight\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[0,{bytes}]}}}}"
        );
        let first = file_bytes(&header, &[]);
        sparse(dir.path(), name, &first, first.len() as u64 + bytes);
    };
    tensor("small.safetensors", [64, 32, 3, 3]);
    tensor("large.safetensors", [1024, 1024, 9, 16]);
    let args = [
        "filters",
        "small.safetensors",
        "--gradient",
        "--minimize",
        "2",
        "--write",
        "n.safetensors",
        "--force",
    ];
    assert_eq!(at_each(dir.path(), &args), [true; 3]);
    // 604 MB of weights.
    let large = [64, 256].map(|mib| {
        limited(
            dir.path(),
            mib,
            &["filters", "large.safetensors", "--force"],
        )
    });
    assert_eq!(large, [false; 2]);
}

/// Shape of a sample in a file of images.
fn onnx_input_shape(data: &str) -> Vec<usize> {
    let file = npyz::NpyFile::new(std::fs::File::open(data).expect("open")).expect("npy");
    file.shape()[1..].iter().map(|&d| d as usize).collect()
}

#[test]
fn networks() {
    let dir = folder();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx/depthwise");
    let [model, data] =
        ["model.onnx", "input.npy"].map(|n| folder.join(n).to_str().expect("path").to_string());
    assert_eq!(
        at_each(
            dir.path(),
            &["run", &model, &data, "--dump", "d", "--force"]
        ),
        [true; 3]
    );
    assert_eq!(
        at_each(dir.path(), &["impulse", &model, "--force"]),
        [true; 3]
    );
    assert_eq!(
        at_each(dir.path(), &["shuffle", &model, &data, "--force"]),
        [true; 3]
    );
    let shape = onnx_input_shape(&data);
    let values: Vec<f32> = (0..40 * shape.iter().product::<usize>())
        .map(|i| (i as f32 * 0.37).sin())
        .collect();
    let shape = format!("(40, {}, {}, {})", shape[0], shape[1], shape[2]);
    write(
        dir.path(),
        "images.npy",
        &npy_bytes("<f4", &shape, &f32_bytes(&values)),
    );
    write(
        dir.path(),
        "labels.npy",
        &npy_bytes("|u1", "(40,)", &[0; 40]),
    );
    let ablate = [
        "ablate",
        &model,
        "images.npy",
        "--labels",
        "labels.npy",
        "--force",
    ];
    let options = ["--keep", "0.5", "--dropped", "merge", "--calibration", "30"];
    assert_eq!(
        at_each(dir.path(), &[&ablate[..], &options[..]].concat()),
        [true; 3]
    );
}

/// A run in units, from the plan to the results.
#[test]
fn units() {
    let dir = folder();
    write_layer(dir.path());
    let plan = [
        "plan",
        "a.npy",
        "-k",
        "5",
        "--aggregate",
        "--save-graph",
        "--units",
        "4",
        "--out",
        "run",
        "--force",
    ];
    for mib in [64, 256, 1024] {
        for args in [
            &plan[..],
            &["work", "run", "--stage", "graphs"],
            &["work", "run"],
            &["status", "run"],
            &["merge", "run"],
        ] {
            assert!(limited(dir.path(), mib, args), "{args:?} at {mib} MiB");
        }
    }
}

/// What a run of 1500 channels adds up does not fit under the smallest cap, which is said before anything is read.
#[test]
fn units_that_do_not_fit_are_refused_before_the_work() {
    let dir = folder();
    let first = npy_bytes("<f4", "(8, 1500, 1, 1)", &[]);
    let values: Vec<f32> = (0..8 * 1500).map(|i| (i as f32 * 0.37).sin()).collect();
    let bytes = [first, f32_bytes(&values)].concat();
    write(dir.path(), "wide.npy", &bytes);
    let plan = [
        "plan", "wide.npy", "-k", "2", "--units", "1", "--out", "run", "--force",
    ];
    assert_eq!(at_each(dir.path(), &plan), [false, false, true]);
    assert!(limited(dir.path(), 1024, &["work", "run"]));
    let merged = [64, 256, 1024].map(|mib| limited(dir.path(), mib, &["merge", "run"]));
    assert_eq!(merged, [false, false, true]);
}

#[test]
fn devices() {
    let dir = folder();
    assert_eq!(at_each(dir.path(), &["devices"]), [true; 3]);
}

#[test]
fn a_demo_that_does_not_fit_is_refused_before_the_work() {
    let dir = folder();
    for mib in [64, 256] {
        assert!(!limited(dir.path(), mib, &["demo"]), "{mib} MiB");
    }
    assert!(!dir.path().join("chanscope-out").exists());
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "the demo takes minutes without optimisation; cargo test --release runs it"
)]
fn demo() {
    let dir = folder();
    assert!(limited(dir.path(), 1024, &["demo"]));
}

/// What the kernels take does not depend on the cap.
#[test]
fn bench() {
    let dir = folder();
    assert_eq!(
        at_each(dir.path(), &["bench", "--only", "shuffle"]),
        [true; 3]
    );
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "all kernels take minutes without optimisation; cargo test --release runs it"
)]
fn bench_of_all_kernels() {
    let dir = folder();
    assert!(limited(dir.path(), 64, &["bench"]));
}

#[test]
fn report() {
    let dir = folder();
    // 24 MB of numbers, and a matrix of 200 MB.
    let means = "3.123456789012345,".repeat(1_300_000) + "1.0";
    let text = format!(
        "{{\"schema\":\"chanscope/1\",\"version\":\"0\",\"command\":\"filters\",\"filters\":{{\"layers\":[\
         {{\"name\":\"c\",\"shape\":[5000,1,1,1],\"value\":1.0,\"value_adjacent\":1.0,\"normalized_mean\":1.0,\
         \"filter_cosine_mean\":1.0,\"zero_filters\":[],\"history\":[{means}]}}]}}}}"
    );
    std::fs::create_dir_all(dir.path().join("r/filters/c")).expect("folder");
    write(dir.path(), "r/results.json", text.as_bytes());
    let first = npy_bytes("<f8", "(5000, 5000)", &[]);
    sparse(
        dir.path(),
        "r/filters/c/pairs.npy",
        &first,
        first.len() as u64 + 8 * 5000 * 5000,
    );
    let done = at_each(dir.path(), &["report", "r"]);
    assert!(!done[0] && done[2], "{done:?}");
}

/// A matrix is read whole, which is refused where there is no room for it.
#[test]
fn rank() {
    let dir = folder();
    let text = "{\"schema\":\"chanscope/1\",\"version\":\"0\",\"command\":\"filters\",\"filters\":{\"layers\":[\
         {\"name\":\"c\",\"shape\":[2200,1,1,1],\"value\":1.0,\"value_adjacent\":1.0,\"normalized_mean\":1.0,\
         \"filter_cosine_mean\":1.0,\"zero_filters\":[]}]}}";
    std::fs::create_dir_all(dir.path().join("r/filters/c")).expect("folder");
    write(dir.path(), "r/results.json", text.as_bytes());
    let first = npy_bytes("<f8", "(2200, 2200)", &[]);
    let size = first.len() as u64 + 8 * 2200 * 2200;
    sparse(dir.path(), "r/filters/c/pairs.npy", &first, size);
    let args = ["rank", "r", "--by", "filters", "--force"];
    assert_eq!(at_each(dir.path(), &args), [false, true, true]);
}

/// Two layers are compared at a time where all of them do not fit.
#[test]
fn compare() {
    let dir = folder();
    let values: Vec<f32> = (0..8 * 600).map(|i| (i as f32 * 0.37).sin()).collect();
    let bytes = npy_bytes("<f4", "(8, 600, 1, 1)", &f32_bytes(&values));
    std::fs::create_dir(dir.path().join("d")).expect("folder");
    write(dir.path(), "d/a.npy", &bytes);
    write(dir.path(), "d/b.npy", &bytes);
    let run = ["redundancy", "d", "-k", "2", "--no-baselines", "--out", "r"];
    assert!(limited(dir.path(), 1024, &run));
    // The overlaps of 1200 channels take 176 MiB.
    let args = ["compare", "r", "r", "--force"];
    assert_eq!(at_each(dir.path(), &args), [false, true, true]);
}

#[test]
fn no_memory_is_a_line_and_exit_code_one() {
    let dir = folder();
    write_layer(dir.path());
    let mut ended = Vec::new();
    // More is allowed than there is.
    for mib in (40..160).step_by(8) {
        let script = format!("ulimit -v {}; exec \"$@\"", mib << 10);
        let out = Command::new("sh")
            .current_dir(dir.path())
            .args(["-c", &script, "sh"])
            .arg(assert_cmd::cargo::cargo_bin("chanscope"))
            .args([
                "--device",
                "cpu",
                "--quiet",
                "--threads",
                "1",
                "--memory",
                "4GiB",
                "redundancy",
                "a.npy",
                "-k",
                "5",
            ])
            .env("MALLOC_ARENA_MAX", "1")
            .output()
            .expect("sh");
        let said = String::from_utf8_lossy(&out.stderr);
        match out.status.code() {
            Some(0) => break,
            Some(1) if said.starts_with("chanscope: ") => {
                assert_eq!(said.lines().count(), 1, "{mib} MiB: {said}");
                let left: Vec<_> = std::fs::read_dir(dir.path())
                    .expect("list")
                    .map(|e| e.expect("entry").file_name())
                    .collect();
                assert_eq!(left, ["a.npy"], "{mib} MiB: {said}");
                ended.push(mib);
            }
            // Too little to start the program.
            _ if ended.is_empty() && !said.contains("memory allocation") => {}
            _ => panic!("{mib} MiB: {:?} {said}", out.status),
        }
    }
    assert!(!ended.is_empty());
}
