//! The survey in units, each of a part of a layer's samples: kept over a kill, shared by processes, and put together as in one run.

use super::copies::{go_on, work_with};
use super::{cpu, left, reference};
use crate::formats::{f32_bytes, folder, npy_bytes, write};
use crate::outputs::{chanscope, refused, succeed};
use crate::support::runs::relu_layer;
use chanscope::internals::signed_plan;
use chanscope::io::npy::read_array;
use chanscope::measure::Context;
use chanscope::units::{Selection, Share, Stage, merge, status, work};
use ndarray::Array4;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Samples, and those of the parts. The last part has one mini-batch of CKA, which is not full.
const N: usize = 560;
const PARTS: [[usize; 2]; 3] = [[0, 256], [256, 512], [512, 560]];
/// Units of the survey: parts of both layers.
const SURVEYS: usize = 6;

const ARGS: [&str; 6] = ["a.npy", "b.npy", "--images", "i.npy", "-k", "5"];

fn put(dir: &Path, name: &str, a: &Array4<f32>) {
    let values: Vec<f32> = a.iter().copied().collect();
    let (n, c, h, w) = a.dim();
    let bytes = npy_bytes("<f4", &format!("({n}, {c}, {h}, {w})"), &f32_bytes(&values));
    write(dir, name, &bytes);
}

/// Two layers, and images. One channel is zero throughout, and others are in parts.
fn dump(dir: &Path) -> [Array4<f32>; 2] {
    let layers = [(4, 71), (3, 72)].map(|(c, seed)| {
        let mut a = relu_layer(N, c, 2, seed);
        a.slice_mut(ndarray::s![.., 1, .., ..]).fill(0.0);
        a.slice_mut(ndarray::s![..256, 0, .., ..]).fill(0.0);
        a.slice_mut(ndarray::s![256.., 2, .., ..]).fill(0.0);
        a
    });
    put(dir, "a.npy", &layers[0]);
    put(dir, "b.npy", &layers[1]);
    let images: Vec<u8> = (0..N * 12).map(|i| (i * 7 % 251) as u8).collect();
    write(
        dir,
        "i.npy",
        &npy_bytes("|u1", &format!("({N}, 1, 3, 4)"), &images),
    );
    layers
}

/// Plans a run of which each layer is surveyed in three parts, for [`begun`].
fn plan(dir: &Path, args: &[&str]) {
    let plan = ["--units", "2", "--out", "planned"];
    succeed(dir, &[&["plan"], args, &plan].concat());
    let path = dir.join("planned/run.json");
    let mut plan: Value =
        serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    let units = plan["units"].as_array_mut().expect("units");
    let others = units.split_off(2);
    let whole = units.iter().enumerate();
    let parts = whole.flat_map(|(layer, unit)| {
        let samples = unit["samples"][1].as_u64().expect("a number") as usize;
        let is_whole = json!({"kind": "survey", "layer": layer, "samples": [0, samples]});
        for key in ["kind", "layer", "samples"] {
            assert_eq!(unit[key], is_whole[key]);
        }
        let part = |[first, end]: [usize; 2]| {
            let mut part = unit.clone();
            part["samples"] = json!([first, end.min(samples)]);
            part
        };
        PARTS.map(part)
    });
    let mut all: Vec<Value> = parts.chain(others).collect();
    for (number, unit) in all.iter_mut().enumerate() {
        unit["unit"] = number.into();
    }
    plan["units"] = all.into();
    let text = serde_json::to_vec(&plan).expect("JSON");
    std::fs::write(&path, signed_plan(&text).expect("a plan")).expect("write");
}

/// A run that was planned and has no unit yet.
fn begun(dir: &Path, out: &str) -> PathBuf {
    let out = dir.join(out);
    if out.exists() {
        std::fs::remove_dir_all(&out).expect("remove");
    }
    std::fs::create_dir_all(out.join("units")).expect("folders");
    std::fs::copy(dir.join("planned/run.json"), out.join("run.json")).expect("copy");
    out
}

/// Bytes of the samples of units of the survey.
fn bytes(units: impl Iterator<Item = usize>) -> u64 {
    let bytes = |unit: usize| {
        let [first, end] = PARTS[unit % PARTS.len()];
        ((end - first) * [4, 3][unit / PARTS.len()] * 16) as u64
    };
    units.map(bytes).sum()
}

fn matrix(out: &Path, name: &str) -> Vec<f64> {
    let values = read_array(out.join(name)).expect(name);
    values.into_iter().collect()
}

#[test]
fn a_kill_costs_the_part_that_was_surveyed() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let in_one = reference(dir, &ARGS);
    plan(dir, &ARGS);
    let out = begun(dir, "out");
    let graphs = go_on(&out).bytes_read - bytes(0..SURVEYS);
    merge(&out, false).expect("merge");
    let expected = left(&out);
    // Sums of other parts differ in their last bits, and nothing else does.
    let names = |left: &super::Left| -> Vec<PathBuf> { left.arrays.keys().cloned().collect() };
    assert_eq!(names(&expected), names(&in_one));
    for (name, found) in &expected.arrays {
        let sums = name.ends_with("cosine.npy") || name.ends_with("pearson.npy");
        assert!(sums || *found == in_one.arrays[name], "{}", name.display());
    }
    for layer in ["a", "b"] {
        for name in ["cosine.npy", "pearson.npy"] {
            let name = format!("layers/{layer}/{name}");
            let (found, whole) = (matrix(&out, &name), matrix(&dir.join("reference"), &name));
            assert_eq!(found.len(), whole.len());
            for (a, b) in found.iter().zip(whole) {
                assert!(
                    (a - b).abs() < 1e-13 || (a.is_nan() && b.is_nan()),
                    "{name}"
                );
            }
        }
    }
    assert!(expected.results["redundancy"]["cka"].is_object());
    assert_eq!(
        expected.results["redundancy"]["cka"],
        in_one.results["redundancy"]["cka"]
    );
    for at in 1..=SURVEYS + 1 {
        begun(dir, "out");
        let killed = work_with(dir, &format!("rename:{at}:kill"));
        assert!(!killed.status.success());
        let mut rest: Vec<usize> = (at - 1..SURVEYS).collect();
        assert_eq!(status(&out).expect("status").done.len(), at - 1);
        if at == 6 {
            // One is damaged, and of one a file is missing.
            let file = |unit: usize, name: &str| out.join(format!("units/{unit:05}/{name}"));
            let mut totals = std::fs::read(file(1, "totals.bin")).expect("a unit");
            totals[40] ^= 1;
            std::fs::write(file(1, "totals.bin"), totals).expect("write");
            std::fs::remove_file(file(3, "grams.bin")).expect("remove");
            rest.extend([1, 3]);
        }
        let read = go_on(&out).bytes_read;
        assert_eq!(read, graphs + bytes(rest.into_iter()), "rename {at}");
        merge(&out, false).expect("merge");
        assert!(left(&out) == expected, "rename {at}");
    }
}

#[test]
fn parts_may_be_surveyed_by_several_processes_in_any_order_and_memory() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    plan(dir, &ARGS);
    let out = begun(dir, "out");
    go_on(&out);
    merge(&out, false).expect("merge");
    let expected = left(&out);
    // The last units first; under the second cap the samples of a mini-batch do not fit.
    for (shards, threads, memory) in [(4, 2, 64 << 20), (3, 1, 90 << 10)] {
        begun(dir, "out");
        let device = cpu(threads);
        let ctx = Context::new(&device).with_memory(memory);
        for index in (0..shards).rev() {
            let selection = Selection {
                stage: Some(Stage::Graphs),
                share: Share::Shard {
                    index,
                    count: shards,
                },
            };
            work(&ctx, &out, &selection).expect("work");
        }
        work(&ctx, &out, &Selection::default()).expect("work");
        merge(&out, false).expect("merge");
        assert!(left(&out) == expected, "{shards} shards");
    }
    begun(dir, "out");
    let start = || {
        let mut command = chanscope(dir);
        command.args(["work", "out"]);
        command.stdout(std::process::Stdio::null());
        command.spawn().expect("start")
    };
    for mut worker in [start(), start(), start()] {
        assert!(worker.wait().expect("wait").success());
    }
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected, "three processes");
}

#[test]
fn a_value_that_is_not_finite_is_told_as_in_one_run() {
    let dir = folder();
    let dir = dir.path();
    let [mut a, b] = dump(dir);
    (a[[3, 0, 0, 1]], a[[551, 3, 1, 1]]) = (f32::NAN, f32::INFINITY);
    put(dir, "a.npy", &a);
    plan(dir, &ARGS);
    begun(dir, "out");
    let whole = [&["redundancy"], &ARGS[..], &["--out", "whole"]].concat();
    let told = chanscope(dir).args(whole).output();
    let told = String::from_utf8(told.expect("run").stderr).expect("UTF-8");
    // Units name the file by its whole path.
    let told = told.trim_end().strip_prefix("chanscope: ");
    let told = told.expect("a line");
    assert!(
        told.contains("NaN") || told.contains("not finite"),
        "{told}"
    );
    refused(dir, &["work", "out"], &[told]);
    refused(dir, &["work", "out", "--unit", "2"], &[told]);
    // Left out, they are left out of the survey of both layers.
    std::fs::remove_dir_all(dir.join("planned")).expect("remove");
    put(dir, "b.npy", &b);
    let skip = [&ARGS[..], &["--nan", "skip"]].concat();
    let in_one = reference(dir, &skip);
    plan(dir, &skip);
    let out = begun(dir, "out");
    go_on(&out);
    merge(&out, false).expect("merge");
    let found = left(&out);
    assert_eq!(
        found.results["redundancy"]["cka"],
        in_one.results["redundancy"]["cka"]
    );
    for name in ["strongest.npy", "strongest_mean.npy", "dimension.npy"] {
        for layer in ["a", "b"] {
            let name = PathBuf::from(format!("layers/{layer}/{name}"));
            let (found, in_one) = (found.arrays.get(&name), in_one.arrays.get(&name));
            assert!(found == in_one, "{}", name.display());
        }
    }
}
