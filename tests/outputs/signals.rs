//! SIGINT, SIGTERM and SIGHUP: what was begun is removed, the earlier results stay, and the process dies by the signal.

use super::{chanscope, content, inputs, names, network, succeed};
use crate::formats::{f32_bytes, folder, npy_bytes, write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Waits until a run has begun to write.
fn begun(dir: &Path, child: &mut Child) {
    let started = Instant::now();
    while !dir.join(".out.chanscope-new").is_dir() {
        assert!(
            child.try_wait().expect("status").is_none(),
            "ended before it was disturbed"
        );
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "nothing is written"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn send(child: &Child, signal: &str) {
    let kill = std::process::Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status();
    assert!(kill.expect("kill").success());
}

/// Starts a run into `out`, disturbs it after `wait`, and gives back how it ended and how long that took.
fn disturb(
    dir: &Path,
    args: &[&str],
    signal: &str,
    wait: Duration,
) -> (Option<i32>, Duration, String) {
    let mut command = chanscope(dir);
    // Tests that run under `nohup` ignore SIGHUP, and so would the program.
    // SAFETY: `signal` may be called between fork and exec, and touches no memory of the process.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut child = command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    begun(dir, &mut child);
    std::thread::sleep(wait);
    let sent = Instant::now();
    send(&child, signal);
    let out = child.wait_with_output().expect("wait");
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.signal(), sent.elapsed(), stderr)
}

/// A long redundancy run's and a long shuffle run's arguments.
fn long_runs(dir: &Path) -> [Vec<String>; 2] {
    let [samples, channels] = [30_000, 8];
    let values: Vec<f32> = (0..samples * channels * 16)
        .map(|i| (i as f32 * 0.37).sin())
        .collect();
    let shape = format!("({samples}, {channels}, 4, 4)");
    write(
        dir,
        "long.npy",
        &npy_bytes("<f4", &shape, &f32_bytes(&values)),
    );
    let [model, data] = network();
    let image = std::fs::read(&data).expect("input");
    let text: String = image[..128].iter().map(|&b| char::from(b)).collect();
    let shape = text
        .split("'shape': (")
        .nth(1)
        .expect("a shape")
        .split(')')
        .next()
        .expect("a shape");
    let dims: Vec<usize> = shape
        .split(',')
        .filter_map(|d| d.trim().parse().ok())
        .collect();
    let images: Vec<f32> = (0..2000 * dims[1..].iter().product::<usize>())
        .map(|i| (i as f32 * 0.1).cos())
        .collect();
    let shape = format!("(2000, {}, {}, {})", dims[1], dims[2], dims[3]);
    write(
        dir,
        "images.npy",
        &npy_bytes("<f4", &shape, &f32_bytes(&images)),
    );
    let strings = |args: &[&str]| args.iter().map(ToString::to_string).collect();
    [
        strings(&["redundancy", "long.npy", "--out", "out", "--force"]),
        strings(&[
            "shuffle",
            model.to_str().expect("path"),
            "images.npy",
            "--out",
            "out",
            "--force",
        ]),
    ]
}

#[test]
fn a_signal_keeps_the_earlier_results_and_ends_the_process_by_itself() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    succeed(dir, &["filters", "w.safetensors", "--out", "out"]);
    let runs = long_runs(dir);
    let (before, beside) = (content(&dir.join("out")), names(dir));
    let mut fastest = Duration::MAX;
    for args in &runs {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
            let (died, took, said) = disturb(dir, &args, signal, Duration::from_millis(100));
            assert_eq!(died, Some(number), "{args:?} {signal}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(content(&dir.join("out")) == before, "{args:?} {signal}");
            assert_eq!(names(dir), beside, "{args:?} {signal}");
            fastest = fastest.min(took);
        }
    }
    // Every one of them on an idle machine.
    assert!(fastest < Duration::from_millis(500), "{fastest:?}");
}

#[test]
fn a_process_that_ignores_sighup_goes_on() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    let binary = assert_cmd::cargo::cargo_bin("chanscope");
    let script = "trap '' HUP; \"$0\" --device cpu --quiet redundancy a.npy --out out & kill -s HUP $!; wait $!";
    let status = std::process::Command::new("sh")
        .current_dir(dir)
        .args(["-c", script])
        .arg(binary)
        .stdout(Stdio::null())
        .status()
        .expect("sh");
    assert!(status.success());
    assert!(dir.join("out/results.json").is_file());
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next_one() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    let [long, _] = long_runs(dir);
    let beside = names(dir);
    let args: Vec<&str> = long.iter().map(String::as_str).collect();
    let (died, ..) = disturb(dir, &args, "KILL", Duration::from_millis(50));
    assert_eq!(died, Some(9));
    assert!(dir.join(".out.chanscope-new").is_dir() && dir.join("out/.chanscope").is_dir());
    succeed(dir, &["redundancy", "a.npy", "--out", "out"]);
    assert_eq!(
        names(&dir.join("out")),
        ["layers", "report.html", "results.json"]
    );
    let expected: Vec<String> = beside.into_iter().chain(["out".into()]).collect();
    let mut expected = expected;
    expected.sort();
    assert_eq!(names(dir), expected);
}

#[test]
fn a_second_run_into_the_same_folder_is_refused_at_once() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    let [long, _] = long_runs(dir);
    let mut first = chanscope(dir)
        .args(&long)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start");
    begun(dir, &mut first);
    for force in [None, Some("--force")] {
        let out = chanscope(dir)
            .args(["redundancy", "a.npy", "--out", "out"])
            .args(force)
            .output()
            .expect("run");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("another run"), "{said}");
    }
    assert!(
        first.try_wait().expect("status").is_none(),
        "the first run goes on"
    );
    send(&first, "TERM");
    first.wait().expect("wait");
    assert!(!dir.join("out").exists(), "made by the run that was ended");
}

#[test]
fn pairs_of_runs_into_one_folder_leave_one_result() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    for _ in 0..20 {
        let start = || {
            let mut command = chanscope(dir);
            command.args(["redundancy", "a.npy", "--out", "out"]);
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("start")
        };
        let codes = [start(), start()].map(|mut c| c.wait().expect("wait").code());
        let done = codes.iter().filter(|c| **c == Some(0)).count();
        assert_eq!(done, 1, "{codes:?}");
        assert!(codes.contains(&Some(2)), "{codes:?}");
        assert_eq!(
            names(&dir.join("out")),
            ["layers", "report.html", "results.json"]
        );
        assert_eq!(names(dir), ["a.npy", "out", "w.safetensors"]);
        std::fs::remove_dir_all(dir.join("out")).expect("remove");
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_that_leaves_nothing() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    succeed(dir, &["redundancy", "a.npy", "--out", "out"]);
    let before = content(&dir.join("out"));
    let script = "ulimit -f 8; exec \"$0\" --device cpu --quiet redundancy a.npy --out out --force";
    let out = std::process::Command::new("sh")
        .current_dir(dir)
        .args(["-c", script])
        .arg(assert_cmd::cargo::cargo_bin("chanscope"))
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("File too large"), "{said}");
    assert!(content(&dir.join("out")) == before);
    assert_eq!(names(dir), ["a.npy", "out", "w.safetensors"]);
}
