//! Runs in units: the bytes of one run in one go, however they are cut, ordered, shared, killed or damaged.

mod copies;
mod damage;
mod kills;
mod reading;
mod refused;
mod surveys;

use crate::formats::{f32_bytes, folder, npy_bytes, write};
use crate::outputs::{chanscope, content, succeed};
use crate::support::runs::relu_layer;
use chanscope::device::{Device, DeviceChoice};
use chanscope::measure::Context;
use chanscope::measure::redundancy::{NonFinite, RedundancyOptions};
use chanscope::ops::{GraphParams, Identical, Kernel, Sigma};
use chanscope::units::{Request, Selection, Share, Stage, merge, plan, status, work};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Options of the command that ask for everything.
const ALL: [&str; 12] = [
    "a.npy",
    "b.npy",
    "--labels",
    "l.npy",
    "-k",
    "5",
    "--sigma",
    "0.7",
    "--nan",
    "skip",
    "--aggregate",
    "--save-graph",
];

/// Two layers of 45 samples, one of which is not finite, and labels.
fn dump(dir: &Path) {
    for (name, channels, seed) in [("a.npy", 6, 1), ("b.npy", 3, 2)] {
        let mut a = relu_layer(45, channels, 2, seed);
        if seed == 2 {
            a[[17, 1, 0, 1]] = f32::NAN;
        }
        let values: Vec<f32> = a.iter().copied().collect();
        let shape = format!("(45, {channels}, 2, 2)");
        write(dir, name, &npy_bytes("<f4", &shape, &f32_bytes(&values)));
    }
    let labels: Vec<u8> = (0..45i32).flat_map(|i| (i % 4).to_le_bytes()).collect();
    write(dir, "l.npy", &npy_bytes("<i4", "(45,)", &labels));
}

/// As [`ALL`], for the library.
fn request(dir: &Path) -> Request {
    let options = RedundancyOptions::default()
        .with_graph(GraphParams {
            k: 5,
            kernel: Kernel::Gaussian,
            sigma: Sigma::Fixed(0.7),
            identical: Identical::Keep,
            pca_dimension: true,
        })
        .with_aggregate(true)
        .with_non_finite(NonFinite::Skip);
    let mut request = Request::new(vec![dir.join("a.npy"), dir.join("b.npy")], options);
    request.labels = Some(dir.join("l.npy"));
    request.save_graph = true;
    request
}

/// What a run leaves, apart from times, bounds that change nothing, and the names of the input.
#[derive(Debug, PartialEq)]
struct Left {
    arrays: BTreeMap<PathBuf, Vec<u8>>,
    results: Value,
}

fn left(out: &Path) -> Left {
    let mut arrays = content(out);
    arrays
        .remove(Path::new("report.html"))
        .expect("report.html");
    let text = arrays
        .remove(Path::new("results.json"))
        .expect("results.json");
    let mut results: Value = serde_json::from_slice(&text).expect("JSON");
    results.as_object_mut().expect("object").remove("timing");
    let parameters = results["parameters"].as_object_mut().expect("parameters");
    parameters.remove("memory");
    parameters.remove("threads");
    for input in results["input"].as_array_mut().expect("input") {
        let path = input["path"].as_str().expect("path").to_string();
        input["path"] = path.rsplit('/').next().into();
    }
    Left { arrays, results }
}

/// The results of one run in one go.
fn reference(dir: &Path, args: &[&str]) -> Left {
    succeed(
        dir,
        &[&["redundancy"], args, &["--out", "reference"]].concat(),
    );
    left(&dir.join("reference"))
}

fn cpu(threads: usize) -> Device {
    Device::open(&DeviceChoice::Cpu, threads).expect("CPU")
}

fn only(stage: Stage, share: Share) -> Selection {
    Selection {
        stage: Some(stage),
        share,
    }
}

/// Computes the units of the run `out` in three processes at once.
fn work_in_three_processes(dir: &Path) {
    let start = || {
        let mut command = chanscope(dir);
        command.args(["work", "out"]).stdout(Stdio::null());
        command.spawn().expect("start")
    };
    let mut workers = [start(), start(), start()];
    for worker in &mut workers {
        assert!(worker.wait().expect("wait").success());
    }
}

#[test]
fn any_number_of_units_and_shards_in_any_order_gives_the_same_bytes() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &ALL);
    assert!(expected.arrays.len() > 20, "{:?}", expected.arrays.keys());
    // Units, shards, threads, and a cap under which channels are read in blocks of points.
    for (units, shards, threads, memory) in [
        (1, 1, 2, 64 << 20),
        (2, 3, 1, 64 << 20),
        (7, 4, 2, 156 << 10),
        (100, 5, 1, 1 << 20),
    ] {
        let device = cpu(threads);
        let ctx = Context::new(&device).with_memory(memory);
        let out = dir.join(format!("out-{units}"));
        let planned = plan(&ctx, &request(dir), &out, false, units).expect("plan");
        for stage in [Stage::Graphs, Stage::Overlap] {
            // The last shard first, and the first one twice.
            for index in (0..shards).rev().chain([0]) {
                let share = Share::Shard {
                    index,
                    count: shards,
                };
                work(&ctx, &out, &only(stage, share)).expect("work");
            }
        }
        let found = status(&out).expect("status");
        assert_eq!(
            (found.done.len(), found.units),
            (planned.units.len(), planned.units.len())
        );
        merge(&out, false).expect("merge");
        let found = left(&out);
        assert_eq!(found.results, expected.results, "{units} units");
        assert!(found == expected, "{units} units");
        assert!(status(&out).expect("status").finished);
    }
}

#[test]
fn drawn_queries_and_their_standard_errors_are_those_of_one_run() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let draw = [&ALL[..], &["--queries", "20", "--seed", "3"]].concat();
    let expected = reference(dir, &draw);
    assert!(expected.arrays.contains_key(Path::new("queries.npy")));
    let device = cpu(2);
    let ctx = Context::new(&device);
    let mut request = request(dir);
    request.options = request.options.with_queries(Some(20)).with_seed(3);
    for units in [1, 5] {
        let out = dir.join(format!("out-{units}"));
        plan(&ctx, &request, &out, false, units).expect("plan");
        work(&ctx, &out, &Selection::default()).expect("work");
        merge(&out, false).expect("merge");
        let found = left(&out);
        assert_eq!(found.results, expected.results, "{units} units");
        assert!(found == expected, "{units} units");
    }
}

#[test]
fn layers_are_compared_across_as_in_one_run() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let draw = ["--queries", "30", "--seed", "9"];
    for (at, more) in [&[][..], &draw[..]].into_iter().enumerate() {
        let with = [&ALL[..], &["--across", "--channels", "2,0,1"], more].concat();
        let expected = {
            succeed(
                dir,
                &[
                    &["redundancy"],
                    &with[..],
                    &["--out", &format!("whole-{at}")],
                ]
                .concat(),
            );
            left(&dir.join(format!("whole-{at}")))
        };
        for file in ["across/matches.npy", "across/jaccard.npy"] {
            assert!(expected.arrays.contains_key(Path::new(file)), "{file}");
        }
        assert_eq!(
            expected.results["redundancy"]["across"]["layers"],
            serde_json::json!(["a", "b"])
        );
        let mut request = request(dir);
        request.options = request
            .options
            .with_across(true)
            .with_channels(Some(vec![2, 0, 1]));
        if !more.is_empty() {
            request.options = request.options.with_queries(Some(30)).with_seed(9);
        }
        for (units, shards, threads) in [(1, 1, 2), (3, 4, 1), (50, 3, 2)] {
            let device = cpu(threads);
            let ctx = Context::new(&device).with_memory(64 << 20);
            let out = dir.join(format!("out-{at}-{units}"));
            plan(&ctx, &request, &out, false, units).expect("plan");
            for stage in [Stage::Graphs, Stage::Overlap] {
                for index in (0..shards).rev() {
                    let share = Share::Shard {
                        index,
                        count: shards,
                    };
                    work(&ctx, &out, &only(stage, share)).expect("work");
                }
            }
            merge(&out, false).expect("merge");
            let mut found = left(&out);
            found.results["parameters"]["channels"] = "2,0,1".into();
            assert_eq!(found.results, expected.results, "{units} units");
            assert!(found == expected, "{units} units");
        }
        // The command by itself, and killed after its units of graphs.
        let out = format!("resumed-{at}");
        let whole = [&["redundancy"], &with[..], &["--out", &out]].concat();
        let plan = [&["plan"], &with[..], &["--units", "3", "--out", &out]].concat();
        succeed(dir, &plan);
        succeed(dir, &["work", &out, "--stage", "graphs"]);
        succeed(dir, &[&whole[..], &["--resume"]].concat());
        assert!(left(&dir.join(&out)) == expected);
    }
}

#[test]
fn strongest_samples_and_their_pictures_are_those_of_one_run() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let images: Vec<u8> = (0..45 * 12 * 10).map(|i| (i * 7 % 251) as u8).collect();
    write(dir, "i.npy", &npy_bytes("|u1", "(45, 1, 12, 10)", &images));
    let with = [&ALL[..], &["--images", "i.npy"]].concat();
    let expected = reference(dir, &with);
    for file in ["layers/b/strongest_mean.npy", "images/pictures.npy"] {
        assert!(expected.arrays.contains_key(Path::new(file)), "{file}");
    }
    let device = cpu(2);
    let ctx = Context::new(&device);
    let mut request = request(dir);
    request.options = request.options.with_strongest(true);
    request.images = Some(dir.join("i.npy"));
    for units in [1, 5] {
        let out = dir.join(format!("out-{units}"));
        plan(&ctx, &request, &out, false, units).expect("plan");
        for index in [1, 0, 2] {
            let share = Share::Shard { index, count: 3 };
            work(&ctx, &out, &only(Stage::Graphs, share)).expect("work");
        }
        work(&ctx, &out, &Selection::default()).expect("work");
        merge(&out, false).expect("merge");
        let mut found = left(&out);
        // Named as it was given.
        found.results["parameters"]["images"] = "i.npy".into();
        assert_eq!(found.results, expected.results, "{units} units");
        assert!(found == expected, "{units} units");
    }
}

#[test]
fn the_command_in_units_leaves_the_same_bytes_and_finds_them_again() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &ALL);
    let with = |more: &[&'static str]| [&["redundancy"], &ALL[..], more].concat();
    succeed(
        dir,
        &with(&["--out", "out", "--units", "4", "--keep-units"]),
    );
    assert!(dir.join("out/units/00000/done.json").is_file());
    // What is kept beside the results is no part of them.
    let mut kept = left(&dir.join("out"));
    kept.arrays
        .retain(|name, _| !name.starts_with("units") && name != Path::new("run.json"));
    assert!(kept == expected);
    let before = content(&dir.join("out"));
    succeed(dir, &with(&["--out", "out", "--resume"]));
    assert!(content(&dir.join("out")) == before, "finished already");
    succeed(dir, &["merge", "out"]);
    assert!(left(&dir.join("out")) == expected);
    // A finished run is found, of whatever units.
    let before = content(&dir.join("out"));
    succeed(dir, &with(&["--out", "out", "--resume"]));
    assert!(content(&dir.join("out")) == before);
    succeed(dir, &with(&["--out", "fresh", "--resume", "--units", "3"]));
    assert!(left(&dir.join("fresh")) == expected);
}

#[test]
fn two_processes_may_do_the_same_units() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &ALL);
    succeed(
        dir,
        &[&["plan"], &ALL[..], &["--units", "4", "--out", "out"]].concat(),
    );
    work_in_three_processes(dir);
    succeed(dir, &["work", "out"]);
    succeed(dir, &["merge", "out"]);
    assert!(left(&dir.join("out")) == expected);
}

/// What the script in docs/large-dumps.md does, with plain processes: eight workers, of which two are killed.
#[test]
fn eight_workers_of_which_two_are_killed_and_started_again() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &ALL);
    succeed(
        dir,
        &[&["plan"], &ALL[..], &["--units", "16", "--out", "out"]].concat(),
    );
    let start = |stage: &str, index: usize| {
        let mut command = chanscope(dir);
        command.args(["work", "out", "--stage", stage, "--shard"]);
        command.arg(format!("{index}/8")).stdout(Stdio::null());
        command.spawn().expect("start")
    };
    let mut workers: Vec<_> = (0..8).map(|index| start("graphs", index)).collect();
    for killed in [2, 5] {
        workers[killed].kill().expect("kill");
    }
    let ended: Vec<bool> = (workers.iter_mut())
        .map(|worker| worker.wait().expect("wait").success())
        .collect();
    assert_eq!(ended.iter().filter(|ok| **ok).count(), 6, "{ended:?}");
    // The scheduler starts them again; the overlaps depend on all of them.
    let text = succeed_with_output(dir, &["status", "out", "--json"]);
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let graphs = found["graphs"].as_u64().expect("graphs");
    let missing = found["missing"].as_array().expect("missing");
    assert!(
        missing.iter().any(|unit| unit.as_u64() < Some(graphs)),
        "{text}"
    );
    for index in [2, 5] {
        assert!(start("graphs", index).wait().expect("wait").success());
    }
    for index in 0..8 {
        assert!(start("overlap", index).wait().expect("wait").success());
    }
    succeed(dir, &["merge", "out"]);
    assert!(left(&dir.join("out")) == expected);
}

/// What a command prints.
fn succeed_with_output(dir: &Path, args: &[&str]) -> String {
    let out = chanscope(dir).args(args).output().expect("run");
    assert!(out.status.success(), "{args:?}");
    String::from_utf8(out.stdout).expect("UTF-8")
}
