//! kill -9 at any moment, and disks that are full at any write: the run goes on to the same bytes.
//!
//! The calls at which a run is killed are spread over its whole life. `CHANSCOPE_KILLS` sets how many; 100 take minutes.

use super::{ALL, dump, left, reference};
use crate::formats::{f32_bytes, folder, npy_bytes, write};
use crate::outputs::{chanscope, content, names, succeed};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn kills() -> usize {
    let asked = std::env::var("CHANSCOPE_KILLS").ok();
    asked.map_or(12, |text| text.parse().expect("CHANSCOPE_KILLS: a number"))
}

/// The run in units, with a fault if wanted.
fn start(dir: &Path, more: &[&str], fault: Option<&str>) -> Output {
    let mut command = chanscope(dir);
    command.args(["redundancy"]).args(ALL);
    command.args(["--out", "out", "--units", "3"]).args(more);
    if let Some(fault) = fault {
        command.env("CHANSCOPE_FAULT", fault);
    }
    command.output().expect("run")
}

/// How many calls of a kind an undisturbed run makes.
fn calls(kind: &str) -> usize {
    let dir = folder();
    dump(dir.path());
    let out = start(dir.path(), &[], Some(&format!("{kind}:0:trace")));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    said.lines().filter(|l| l.starts_with("call ")).count()
}

/// Names in a folder that a run works with.
fn hidden(dir: &Path) -> Vec<String> {
    let mut names = names(dir);
    names.retain(|name| name.starts_with('.'));
    names
}

#[test]
fn a_kill_at_any_moment_loses_no_finished_unit_and_no_bit() {
    let calls = calls("any");
    let step = (calls / kills()).max(1);
    let reference_dir = folder();
    dump(reference_dir.path());
    let expected = reference(reference_dir.path(), &ALL);
    for at in (1..=calls).step_by(step) {
        let dir = folder();
        let dir = dir.path();
        dump(dir);
        let killed = start(dir, &[], Some(&format!("any:{at}:kill")));
        // The number of calls differs a little from run to run: the last ones may never come.
        let late = at + step > calls;
        assert!(late || !killed.status.success(), "call {at}");
        let done = || {
            let units = content(&dir.join("out/units"));
            units
                .into_keys()
                .filter(|name| name.ends_with("done.json"))
                .count()
        };
        let (before, merged) = (done(), dir.join("out/results.json").is_file());
        // Killed again on the way, where there is still something to do.
        let again = start(dir, &["--resume"], Some(&format!("any:{}:kill", calls / 3)));
        assert!(
            again.status.success() || merged || done() >= before,
            "call {at}"
        );
        let last = start(dir, &["--resume"], None);
        let said = String::from_utf8_lossy(&last.stderr).into_owned();
        assert!(last.status.success(), "call {at}: {said}");
        assert!(left(&dir.join("out")) == expected, "call {at}");
        assert_eq!(hidden(dir), [] as [&str; 0], "call {at}");
        assert_eq!(hidden(&dir.join("out")), [] as [&str; 0], "call {at}");
    }
}

#[test]
fn a_disk_that_is_full_at_any_write_is_one_line_and_the_run_goes_on_later() {
    let reference_dir = folder();
    dump(reference_dir.path());
    let expected = reference(reference_dir.path(), &ALL);
    for kind in ["write", "reserve", "mkdir"] {
        let calls = calls(kind);
        for at in (1..=calls).step_by((calls / 5).max(1)) {
            let dir = folder();
            let dir = dir.path();
            dump(dir);
            let full = start(dir, &[], Some(&format!("{kind}:{at}:full")));
            let said = String::from_utf8_lossy(&full.stderr).into_owned();
            // Where new results cannot be made beside the folder, they are made in it.
            if !full.status.success() {
                assert_eq!(said.lines().count(), 1, "{kind} {at}: {said}");
                assert!(
                    said.contains("make room") || said.contains("space"),
                    "{kind} {at}: {said}"
                );
                let last = start(dir, &["--resume"], None);
                assert!(last.status.success(), "{kind} {at}");
            }
            assert!(left(&dir.join("out")) == expected, "{kind} {at}");
        }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_what_is_done_and_says_how_to_go_on() {
    use std::os::unix::process::ExitStatusExt;
    let dir = folder();
    let dir = dir.path();
    let values: Vec<f32> = (0..2000 * 8 * 4).map(|i| (i as f32 * 0.37).sin()).collect();
    let bytes = npy_bytes("<f4", "(2000, 8, 2, 2)", &f32_bytes(&values));
    write(dir, "long.npy", &bytes);
    let expected = reference(dir, &["long.npy"]);
    let args = ["redundancy", "long.npy", "--units", "8", "--out", "out"];
    let mut command = chanscope(dir);
    let mut child = command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    // The survey is done, and at least eight units are still to come.
    while !dir.join("out/units/00000").is_dir() {
        assert!(child.try_wait().expect("status").is_none(), "ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    let kill = Command::new("kill")
        .args(["-s", "INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill").success());
    let out = child.wait_with_output().expect("wait");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.signal(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("cancelled") && said.contains("--resume"),
        "{said}"
    );
    assert!(dir.join("out/run.json").is_file());
    assert!(!dir.join("out/results.json").exists());
    succeed(dir, &[&args[..], &["--resume"]].concat());
    assert!(left(&dir.join("out")) == expected);
}
