//! The copy by channels of a run in units: kept over a kill part by part, checked, shared, and gone when it is not needed.

use super::{cpu, left, reference, work_in_three_processes};
use crate::formats::{f32_bytes, folder, npy_bytes, write};
use crate::outputs::{chanscope, names, succeed};
use crate::support::runs::relu_layer;
use chanscope::control::Progress;
use chanscope::internals::signed_plan;
use chanscope::measure::Context;
use chanscope::measure::redundancy::RedundancyOptions;
use chanscope::units::{Request, Selection, Worked, merge, plan, status, work};
use chanscope::{Error, Result};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

/// Samples, channels, and bytes of a map.
const N: usize = 120;
const CHANNELS: usize = 24;
const MAP: usize = 36;
/// Samples of a part, of which there are five, and its bytes.
const PART: usize = 25;
const PARTS: usize = 5;
/// Bytes of the values.
const FILE: u64 = (N * CHANNELS * MAP) as u64;

/// Bytes of the samples of a part.
fn part_bytes(part: usize) -> u64 {
    (N.min((part + 1) * PART) - part * PART) as u64 * (CHANNELS * MAP) as u64
}

/// A layer of which every fifth channel is zero in its first half.
fn dump(dir: &Path) {
    let mut a = relu_layer(N, CHANNELS, 3, 61);
    for channel in (0..CHANNELS).step_by(5) {
        let half = ndarray::s![..N / 2, channel, .., ..];
        a.slice_mut(half).fill(0.0);
    }
    let values: Vec<f32> = a.iter().copied().collect();
    let shape = format!("({N}, {CHANNELS}, 3, 3)");
    write(dir, "a.npy", &npy_bytes("<f4", &shape, &f32_bytes(&values)));
}

/// A run of six units of graphs, with parts of [`PART`] samples. It is planned once for each dump.
pub(super) fn planned(dir: &Path, out: &str) -> PathBuf {
    let (planned, out) = (dir.join("planned"), dir.join(out));
    let path = planned.join("run.json");
    if !planned.exists() {
        let device = cpu(1);
        let request = Request::new(vec![dir.join("a.npy")], RedundancyOptions::default());
        plan(&Context::new(&device), &request, &planned, false, 6).expect("plan");
        let whole = set_parts(&planned, PART);
        assert_eq!(whole, [N], "a small layer has one part");
    }
    std::fs::create_dir_all(out.join("units")).expect("folders");
    std::fs::copy(path, out.join("run.json")).expect("copy");
    out
}

/// Makes the parts of all layers of a planned run of so many samples. Returns what they were.
pub(super) fn set_parts(out: &Path, part: usize) -> Vec<usize> {
    let path = out.join("run.json");
    let text = std::fs::read(&path).expect("read");
    let mut plan: Value = serde_json::from_slice(&text).expect("JSON");
    let layers = plan["layers"].as_array_mut().expect("layers");
    let set = |layer: &mut Value| std::mem::replace(&mut layer["part"], part.into());
    let were = layers.iter_mut().map(set);
    let were = were.map(|was| was.as_u64().expect("a number") as usize);
    let were = were.collect();
    let text = serde_json::to_vec(&plan).expect("JSON");
    std::fs::write(&path, signed_plan(&text).expect("a plan")).expect("write");
    were
}

/// Computes what is left in this process.
pub(super) fn go_on(out: &Path) -> Worked {
    let device = cpu(2);
    work(&Context::new(&device), out, &Selection::default()).expect("work")
}

/// Computes until progress says so.
fn work_until(out: &Path, ended: impl Fn(&Progress<'_>) -> bool + Sync) -> Result<Worked> {
    let (device, cancel) = (cpu(2), AtomicBool::new(false));
    let show = |p: Progress<'_>| {
        if ended(&p) {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let ctx = Context::new(&device)
        .with_progress(&show)
        .with_cancel(&cancel);
    work(&ctx, out, &Selection::default())
}

/// Computes the survey and the first unit of graphs, and with it the copy.
fn first_unit(out: &Path) {
    let ended = work_until(out, |p| p.stage.starts_with("unit 2 "));
    assert_eq!(ended.expect_err("cancelled"), Error::Cancelled);
    assert_eq!(status(out).expect("status").done, [0, 1]);
    assert_eq!(copies(out).len(), PARTS, "{:?}", copies(out));
}

/// Names of parts of copies, those in the making too.
fn copies(out: &Path) -> Vec<String> {
    let mut found = names(&out.join("units"));
    found.retain(|name| name.contains("copy-"));
    found
}

/// The work of a process that meets a fault.
pub(super) fn work_with(dir: &Path, fault: &str) -> Output {
    let mut command = chanscope(dir);
    command
        .args(["work", "out"])
        .env("CHANSCOPE_FAULT", fault)
        .output()
        .expect("run")
}

/// How many calls of a kind the units of a run make, and of these the survey.
fn calls(dir: &Path, kind: &str) -> (usize, usize) {
    let count = |args: &[&str]| {
        let mut command = chanscope(dir);
        command.args(args);
        command.env("CHANSCOPE_FAULT", format!("{kind}:0:trace"));
        let out = command.output().expect("run");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{said}");
        said.lines().filter(|l| l.starts_with("call ")).count()
    };
    planned(dir, "traced");
    let survey = count(&["work", "traced", "--unit", "0"]);
    let all = survey + count(&["work", "traced"]);
    std::fs::remove_dir_all(dir.join("traced")).expect("remove");
    (all, survey)
}

#[test]
fn a_kill_costs_the_part_that_was_being_written() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &["a.npy"]);
    // The survey, the five parts, and two units of graphs appear by a rename each.
    for at in 1..=PARTS + 3 {
        let out = planned(dir, "out");
        let killed = work_with(dir, &format!("rename:{at}:kill"));
        assert!(!killed.status.success(), "rename {at}");
        let there = copies(&out);
        let making = there.iter().filter(|name| name.starts_with('.')).count();
        let whole: Vec<usize> = (0..PARTS)
            .filter(|part| there.contains(&format!("copy-00000-{part:05}")))
            .collect();
        let copied = (at - 1).saturating_sub(1).min(PARTS);
        assert_eq!(whole.len(), copied, "rename {at}: {there:?}");
        assert_eq!(
            making,
            usize::from((2..2 + PARTS).contains(&at)),
            "{there:?}"
        );
        // What was copied is not read again.
        let rest: u64 = (0..PARTS)
            .filter(|part| !whole.contains(part))
            .map(part_bytes)
            .sum();
        let survey = if at == 1 { FILE } else { 0 };
        assert_eq!(go_on(&out).bytes_read, survey + rest, "rename {at}");
        assert_eq!(copies(&out), [] as [&str; 0], "rename {at}");
        merge(&out, false).expect("merge");
        assert!(left(&out) == expected, "rename {at}");
        std::fs::remove_dir_all(&out).expect("remove");
    }
}

#[test]
fn the_command_killed_in_a_copy_goes_on_with_it() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &["a.npy"]);
    let out = planned(dir, "out");
    let resume = ["redundancy", "a.npy", "--out", "out", "--resume"];
    let (_, survey) = calls(dir, "write");
    // In the middle of a part: two parts of at most 24 pieces and a marker are done.
    let mut command = chanscope(dir);
    let fault = format!("write:{}:kill", survey + 60);
    let killed = command.args(resume).env("CHANSCOPE_FAULT", fault).output();
    assert!(!killed.expect("run").status.success());
    let whole = |out: &Path| {
        let whole = copies(out)
            .into_iter()
            .filter(|name| !name.starts_with('.'));
        whole.count()
    };
    assert!((2..PARTS).contains(&whole(&out)), "{:?}", copies(&out));
    succeed(dir, &resume);
    assert!(left(&out) == expected);
}

/// Two layers of the samples that are finite in both, one copied after the other.
#[test]
fn a_kill_at_any_call_of_the_copies_of_two_layers_changes_no_bit() {
    let dir = folder();
    let dir = dir.path();
    for (name, seed) in [("a.npy", 63), ("b.npy", 64)] {
        let mut a = relu_layer(60, 16, 2, seed);
        a[[if seed == 63 { 7 } else { 31 }, 1, 0, 1]] = f32::NAN;
        let values: Vec<f32> = a.iter().copied().collect();
        let bytes = npy_bytes("<f4", "(60, 16, 2, 2)", &f32_bytes(&values));
        write(dir, name, &bytes);
    }
    let dumps = ["a.npy", "b.npy", "--nan", "skip", "-k", "5"];
    let expected = reference(dir, &dumps);
    let plan = ["--units", "10", "--out", "planned"];
    succeed(dir, &[&["plan"], &dumps[..], &plan].concat());
    assert_eq!(set_parts(&dir.join("planned"), 20), [58, 58]);
    let out = planned(dir, "out");
    let traced = work_with(dir, "any:0:trace");
    assert!(traced.status.success());
    let said = String::from_utf8_lossy(&traced.stderr).into_owned();
    let calls = said.lines().filter(|l| l.starts_with("call "));
    let renames = calls.enumerate().filter(|(_, l)| *l == "call Rename");
    let renames: Vec<usize> = renames.map(|(at, _)| at + 1).collect();
    // Those of both surveys, and of three parts and five units of each layer.
    let copies_of_both = [(renames[1], renames[4]), (renames[9], renames[12])];
    for (first, last) in copies_of_both {
        for at in (first..last).step_by(((last - first) / 5).max(1)) {
            std::fs::remove_dir_all(&out).expect("remove");
            planned(dir, "out");
            let killed = work_with(dir, &format!("any:{at}:kill"));
            assert!(!killed.status.success(), "call {at}");
            go_on(&out);
            assert_eq!(copies(&out), [] as [&str; 0], "call {at}");
            merge(&out, false).expect("merge");
            assert!(left(&out) == expected, "call {at}");
        }
    }
}

#[test]
fn what_is_damaged_of_a_copy_is_not_used_and_made_again() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &["a.npy"]);
    let out = planned(dir, "out");
    first_unit(&out);
    let maps = |part: usize| out.join(format!("units/copy-00000-{part:05}/maps.bin"));
    let spoil = |part: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(maps(part)).expect("a part");
        change(&mut bytes);
        std::fs::write(maps(part), bytes).expect("write");
    };
    // A map of channel 6, which unit 2 reads; it is the last unit but four.
    spoil(1, &|bytes| bytes[(6 * PART + 7) * MAP + 3] ^= 0x40);
    spoil(3, &|bytes| bytes.truncate(bytes.len() - 1));
    let marker = maps(4).with_file_name("done.json");
    std::fs::write(marker, "{}").expect("write");
    // The channel's piece is read from the dump, with the small gaps between its maps, and then the part.
    let piece = part_bytes(1);
    let again = part_bytes(1) + part_bytes(3) + part_bytes(4);
    assert_eq!(go_on(&out).bytes_read, piece + again);
    assert_eq!(copies(&out), [] as [&str; 0]);
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected);
}

#[test]
fn a_disk_that_is_full_while_a_part_is_written_leaves_no_copy_and_the_same_results() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &["a.npy"]);
    for kind in ["write", "mkdir"] {
        let (all, survey) = calls(dir, kind);
        let mut copied = 0;
        for at in (survey + 1..=all).step_by((all / 8).max(1)) {
            let out = planned(dir, "out");
            let full = work_with(dir, &format!("{kind}:{at}:full"));
            let said = String::from_utf8_lossy(&full.stderr).into_owned();
            if full.status.success() {
                // The layer was read itself, a group of channels at a time.
                copied += 1;
                assert!(said.is_empty(), "{kind} {at}: {said}");
            } else {
                assert_eq!(said.lines().count(), 1, "{kind} {at}: {said}");
                assert!(said.contains("make room"), "{kind} {at}: {said}");
                go_on(&out);
            }
            assert_eq!(copies(&out), [] as [&str; 0], "{kind} {at}");
            merge(&out, false).expect("merge");
            assert!(left(&out) == expected, "{kind} {at}");
            std::fs::remove_dir_all(&out).expect("remove");
        }
        assert!(copied > 0, "{kind}: no write of a part was met");
    }
}

#[test]
fn processes_share_a_copy_and_leave_alone_what_another_one_writes() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &["a.npy"]);
    let out = planned(dir, "out");
    // One that was killed left a part, and another one is at work.
    let making = |random: &str| {
        let place = out.join(format!("units/.copy-00000-00002-{random}"));
        std::fs::create_dir(&place).expect("folder");
        File::create(place.join("maps.bin")).expect("file")
    };
    drop(making("0123456789abcdef"));
    let writing = making("fedcba9876543210");
    writing.lock().expect("a lock");
    work_in_three_processes(dir);
    go_on(&out);
    assert_eq!(copies(&out), [".copy-00000-00002-fedcba9876543210"]);
    drop(writing);
    merge(&out, true).expect("merge");
    assert_eq!(copies(&out), [] as [&str; 0]);
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected);
}

#[test]
fn a_copy_takes_room_only_for_what_is_not_zero_and_only_while_it_is_needed() {
    let dir = folder();
    let dir = dir.path();
    // Two channels that are not zero, of 100 KB each.
    let mut a = relu_layer(N, CHANNELS, 15, 62);
    a.slice_mut(ndarray::s![.., 2.., .., ..]).fill(0.0);
    let values: Vec<f32> = a.iter().copied().collect();
    let shape = format!("({N}, {CHANNELS}, 15, 15)");
    write(dir, "a.npy", &npy_bytes("<f4", &shape, &f32_bytes(&values)));
    let expected = reference(dir, &["a.npy"]);
    let out = planned(dir, "out");
    first_unit(&out);
    #[cfg(unix)]
    for part in 0..PARTS {
        use std::os::unix::fs::MetadataExt;
        let path = out.join(format!("units/copy-00000-{part:05}/maps.bin"));
        let meta = path.metadata().expect("a part");
        assert!(512 * meta.blocks() < meta.len() / 2, "{meta:?}");
    }
    // Kept beside its results, a run keeps its units, but no copy.
    go_on(&out);
    merge(&out, true).expect("merge");
    assert!(out.join("units/00001/done.json").is_file());
    assert_eq!(copies(&out), [] as [&str; 0]);
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected);
}
