//! Every call into the file system fails once, or is the last one before the process is killed: afterwards the earlier
//! results are whole or the new ones are, and the next run works and leaves nothing behind.

use super::{chanscope, content, inputs, names, network, succeed};
use crate::formats::folder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A run that is disturbed.
struct Job {
    /// Arguments of the run that was there before, and of the one that is disturbed; without the output folder.
    old: Vec<String>,
    new: Vec<String>,
    /// The option that names the output folder.
    out: &'static str,
    /// Whether the run works in the folder that it replaces, so that the results are moved and not exchanged.
    within: bool,
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

fn redundancy(within: bool) -> Job {
    let input = if within { "../a.npy" } else { "a.npy" };
    Job {
        old: strings(&["redundancy", input, "-k", "3", "--save-graph"]),
        new: strings(&["redundancy", input, "-k", "4"]),
        out: "--out",
        within,
    }
}

fn filters() -> Job {
    Job {
        old: strings(&["filters", "w.safetensors"]),
        new: strings(&["filters", "w.safetensors", "--gradient"]),
        out: "--out",
        within: false,
    }
}

fn run() -> Job {
    let [model, data] = network().map(|p| p.to_str().expect("path").to_string());
    let args = |tap: &str| {
        [
            strings(&["run"]),
            vec![model.clone(), data.clone()],
            strings(&["--tap", tap]),
        ]
        .concat()
    };
    Job {
        old: args("conv"),
        new: args("activation"),
        out: "--dump",
        within: false,
    }
}

/// Arrays of a result, by name.
type Arrays = BTreeMap<PathBuf, Vec<u8>>;

impl Job {
    /// A folder with the inputs, and with the earlier results if wanted.
    fn folder(&self, existing: bool) -> tempfile::TempDir {
        let dir = folder();
        inputs(dir.path());
        if existing {
            std::fs::create_dir(dir.path().join("out")).expect("folder");
            let out = self.start(dir.path(), &self.old, false, None);
            assert!(
                out.status.success(),
                "{}",
                String::from_utf8_lossy(&out.stderr)
            );
        } else if self.within {
            std::fs::create_dir(dir.path().join("out")).expect("folder");
        }
        dir
    }

    fn start(&self, dir: &Path, args: &[String], force: bool, fault: Option<&str>) -> Output {
        let (at, out) = match self.within {
            true => (dir.join("out"), "."),
            false => (dir.to_path_buf(), "out"),
        };
        let mut command = chanscope(&at);
        command.args(args).args([self.out, out]);
        if force {
            command.arg("--force");
        }
        if let Some(fault) = fault {
            command.env("CHANSCOPE_FAULT", fault);
        }
        command.output().expect("run")
    }

    /// Arrays that a run of these arguments leaves.
    fn reference(&self, args: &[String]) -> Arrays {
        let dir = folder();
        inputs(dir.path());
        std::fs::create_dir(dir.path().join("out")).expect("folder");
        let out = self.start(dir.path(), args, false, None);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        arrays(dir.path()).expect("whole")
    }

    /// Disturbs the run at every `step`-th call of a kind. Gives back how often.
    fn disturb(&self, call: &str, what: &str, existing: bool, step: usize) -> usize {
        let (old, new) = (self.reference(&self.old), self.reference(&self.new));
        let calls = {
            let dir = self.folder(existing);
            let trace = Some(format!("{call}:0:trace"));
            let out = self.start(dir.path(), &self.new, existing, trace.as_deref());
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            text.lines().filter(|l| l.starts_with("call ")).count()
        };
        assert!(calls > 0, "{:?} makes no call {call}", self.new);
        let next = AtomicUsize::new(1);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(step, Ordering::Relaxed);
                        if n > calls {
                            return;
                        }
                        self.once(&format!("{call}:{n}:{what}"), existing, &old, &new);
                    }
                });
            }
        });
        calls.div_ceil(step)
    }

    fn once(&self, fault: &str, existing: bool, old: &Arrays, new: &Arrays) {
        let dir = self.folder(existing);
        let out = self.start(dir.path(), &self.new, existing, Some(fault));
        let said = format!(
            "{:?} with {fault}: {:?} {}",
            self.new,
            out.status,
            String::from_utf8_lossy(&out.stderr)
        );
        let is_old = |found: &Option<Arrays>| match existing {
            true => found.as_ref() == Some(old),
            false => found.is_none(),
        };
        if self.within {
            // Results are moved one by one: whoever opens the folder next completes that.
            let _ = chanscope(dir.path()).args(["report", "out"]).output();
        }
        let found = arrays(dir.path());
        let (is_old, is_new) = (is_old(&found), found.as_ref() == Some(new));
        assert!(
            is_old || is_new,
            "{said}: {:?}",
            found.map(|a| a.into_keys().collect::<Vec<_>>())
        );
        let tolerated = fault.ends_with("short") || fault.ends_with("interrupt");
        if tolerated {
            assert!(out.status.success(), "{said}");
        }
        if out.status.success() {
            assert!(is_new, "{said}: success without the new results");
        }
        // A failure that the process lived to report leaves nothing but results, unless the disk stays broken.
        if fault.ends_with("fail") && !out.status.success() && !is_new && !fault.contains("remove")
        {
            assert_eq!(leftovers(dir.path()), [] as [PathBuf; 0], "{said}");
        }
        let again = self.start(dir.path(), &self.new, is_new || existing, None);
        let error = String::from_utf8_lossy(&again.stderr);
        assert!(again.status.success(), "{said}: the next run: {error}");
        assert_eq!(
            arrays(dir.path()).as_ref(),
            Some(new),
            "{said}: the next run"
        );
        assert_eq!(
            leftovers(dir.path()),
            [] as [PathBuf; 0],
            "{said}: the next run"
        );
    }
}

/// Arrays of complete results in `out`; `None` where there is nothing.
fn arrays(dir: &Path) -> Option<Arrays> {
    let mut found = content(&dir.join("out"));
    found.retain(|name, _| !name.starts_with(".chanscope"));
    if found.is_empty() {
        return None;
    }
    let text = found
        .remove(Path::new("results.json"))
        .expect("results.json");
    let results: serde_json::Value = serde_json::from_slice(&text).expect("whole results");
    let listed: Vec<PathBuf> = (results["files"].as_array().expect("files").iter())
        .map(|f| PathBuf::from(f.as_str().expect("a name")))
        .collect();
    found.remove(Path::new("report.html"));
    let arrays: Vec<&PathBuf> = listed
        .iter()
        .filter(|f| *f != Path::new("report.html"))
        .collect();
    assert_eq!(
        arrays,
        found.keys().collect::<Vec<_>>(),
        "what is there and what is listed"
    );
    Some(found)
}

/// Files and folders that a run works with, and that nothing but a killed run may leave.
fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let hidden = |at: &Path| {
        let names = if at.is_dir() { names(at) } else { Vec::new() };
        let at = at.to_path_buf();
        names
            .into_iter()
            .filter(|n| n.starts_with('.'))
            .map(move |n| at.join(n))
    };
    hidden(dir).chain(hidden(&dir.join("out"))).collect()
}

#[test]
fn a_failure_at_any_call_keeps_the_earlier_results_or_leaves_the_new_ones() {
    for job in [redundancy(false), filters(), run()] {
        for existing in [false, true] {
            job.disturb("any", "fail", existing, 1);
        }
    }
}

#[test]
fn a_disk_that_breaks_at_any_call_keeps_results_whole() {
    for job in [redundancy(false), filters()] {
        job.disturb("any", "broken", true, 1);
    }
    redundancy(false).disturb("any", "broken", false, 1);
}

#[test]
fn a_kill_before_any_call_keeps_results_whole() {
    for job in [redundancy(false), filters(), run()] {
        for existing in [false, true] {
            job.disturb("any", "kill", existing, 1);
        }
    }
}

#[test]
fn results_that_are_moved_one_by_one_are_completed_or_taken_back() {
    let job = redundancy(true);
    for what in ["fail", "broken", "kill"] {
        for existing in [false, true] {
            job.disturb("any", what, existing, 1);
        }
    }
}

#[test]
fn where_folders_cannot_be_exchanged_results_are_moved() {
    for job in [redundancy(false), filters(), run()] {
        for existing in [false, true] {
            job.disturb("exchange", "fail", existing, 1);
        }
    }
}

#[test]
fn interrupted_and_partial_reads_and_writes_change_nothing() {
    let job = redundancy(false);
    for what in ["short", "interrupt"] {
        for call in ["read", "write"] {
            job.disturb(call, what, true, 1);
        }
    }
    job.disturb("any", "interrupt", true, 3);
    filters().disturb("any", "interrupt", true, 3);
}

#[test]
fn a_full_disk_at_any_write_keeps_the_earlier_results() {
    for call in ["write", "reserve", "mkdir"] {
        run().disturb(call, "full", true, 1);
    }
}

#[test]
fn sigterm_at_any_call_cleans_up_or_comes_too_late() {
    for job in [redundancy(false), filters()] {
        job.disturb("any", "terminate", true, 4);
    }
}

#[test]
fn an_undisturbed_run_replaces_an_earlier_one() {
    let dir = folder();
    inputs(dir.path());
    succeed(dir.path(), &["filters", "w.safetensors", "--out", "out"]);
    assert_eq!(
        names(&dir.path().join("out")),
        ["filters", "report.html", "results.json"]
    );
    succeed(
        dir.path(),
        &["filters", "w.safetensors", "--out", "out", "--force"],
    );
    assert_eq!(names(dir.path()), ["a.npy", "out", "w.safetensors"]);
}
