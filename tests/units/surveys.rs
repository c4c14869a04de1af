//! A survey that only counts is kept over a kill, part by part.

use super::copies::{go_on, planned, set_parts, work_with};
use super::{left, reference};
use crate::formats::{f32_bytes, folder, npy_bytes, write};
use crate::outputs::{names, refused, succeed};
use crate::support::runs::relu_layer;
use chanscope::units::merge;
use ndarray::Array4;
use std::path::Path;

/// Samples, those of a part, and parts.
const N: usize = 60;
const PART: usize = 25;
const PARTS: usize = 3;

const COUNTED: [&str; 5] = ["a.npy", "b.npy", "--no-baselines", "-k", "5"];

fn put(dir: &Path, name: &str, a: &Array4<f32>) {
    let values: Vec<f32> = a.iter().copied().collect();
    let (n, c, h, w) = a.dim();
    let bytes = npy_bytes("<f4", &format!("({n}, {c}, {h}, {w})"), &f32_bytes(&values));
    write(dir, name, &bytes);
}

/// Two layers. One channel is zero throughout, and others are in parts.
fn dump(dir: &Path) -> [Array4<f32>; 2] {
    let layers = [(4, 71), (3, 72)].map(|(c, seed)| {
        let mut a = relu_layer(N, c, 2, seed);
        a.slice_mut(ndarray::s![.., 1, .., ..]).fill(0.0);
        a.slice_mut(ndarray::s![..PART, 0, .., ..]).fill(0.0);
        a.slice_mut(ndarray::s![PART.., 2, .., ..]).fill(0.0);
        a
    });
    put(dir, "a.npy", &layers[0]);
    put(dir, "b.npy", &layers[1]);
    layers
}

/// Plans the run, for [`planned`].
fn plan(dir: &Path, args: &[&str]) {
    let plan = ["--units", "2", "--out", "planned"];
    succeed(dir, &[&["plan"], args, &plan].concat());
    set_parts(&dir.join("planned"), PART);
}

/// Parts of surveys in a run, as layer and number.
fn parts(out: &Path) -> Vec<(usize, usize)> {
    let found = names(&out.join("units")).into_iter();
    let numbers = |name: String| {
        let (layer, part) = name.strip_prefix("survey-")?.split_once('-')?;
        Some((layer.parse().ok()?, part.parse().ok()?))
    };
    found.filter_map(numbers).collect()
}

/// Bytes of the samples of parts, of layers of four and of three channels.
fn bytes(parts: &[(usize, usize)]) -> u64 {
    let bytes = |&(layer, part): &(usize, usize)| {
        let samples = N.min((part + 1) * PART) - part * PART;
        (samples * [4, 3][layer] * 16) as u64
    };
    parts.iter().map(bytes).sum()
}

fn all_parts() -> Vec<(usize, usize)> {
    let layer = |layer| (0..PARTS).map(move |part| (layer, part));
    (0..2).flat_map(layer).collect()
}

#[test]
fn a_kill_costs_the_part_that_was_counted() {
    let dir = folder();
    let dir = dir.path();
    dump(dir);
    let expected = reference(dir, &COUNTED);
    plan(dir, &COUNTED);
    let out = planned(dir, "out");
    let graphs = go_on(&out).bytes_read - bytes(&all_parts());
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected);
    // The parts of both layers, and the unit, appear by a rename each.
    for at in 1..=2 * PARTS + 2 {
        std::fs::remove_dir_all(&out).expect("remove");
        planned(dir, "out");
        assert!(
            !work_with(dir, &format!("rename:{at}:kill"))
                .status
                .success()
        );
        let (there, mut rest) = (parts(&out), all_parts());
        match at {
            // The unit is there, and its parts are gone.
            8 => assert_eq!((there.len(), rest.drain(..).count()), (0, 6)),
            _ => assert_eq!(there, rest.drain(..at - 1).collect::<Vec<_>>()),
        }
        if at == 6 {
            // One is damaged, and of one a file is missing.
            let file = |name: &str| out.join("units").join(name).join("dead.json");
            let path = file("survey-00000-00001");
            let text = std::fs::read_to_string(&path).expect("a part");
            std::fs::write(&path, text.replacen("false", "true ", 1)).expect("write");
            std::fs::remove_file(file("survey-00001-00000")).expect("remove");
            rest.extend([(0, 1), (1, 0)]);
        }
        assert_eq!(go_on(&out).bytes_read, graphs + bytes(&rest), "rename {at}");
        assert_eq!(parts(&out), [], "rename {at}");
        merge(&out, false).expect("merge");
        assert!(left(&out) == expected, "rename {at}");
    }
}

#[test]
fn a_value_that_is_not_finite_is_told_as_in_one_run() {
    let dir = folder();
    let dir = dir.path();
    let [mut a, b] = dump(dir);
    (a[[3, 0, 0, 1]], a[[51, 3, 1, 1]]) = (f32::NAN, f32::INFINITY);
    put(dir, "a.npy", &a);
    plan(dir, &COUNTED);
    planned(dir, "out");
    let whole = [&["redundancy"], &COUNTED[..], &["--out", "whole"]].concat();
    let told = crate::outputs::chanscope(dir).args(whole).output();
    let told = String::from_utf8(told.expect("run").stderr).expect("UTF-8");
    // Units name the file by its whole path.
    let told = told.trim_end().strip_prefix("chanscope: ");
    let told = told.expect("a line");
    assert!(
        told.contains("NaN") || told.contains("not finite"),
        "{told}"
    );
    refused(dir, &["work", "out"], &[told]);
    // Left out, they are left out of the survey of both layers.
    std::fs::remove_dir_all(dir.join("planned")).expect("remove");
    std::fs::remove_dir_all(dir.join("out")).expect("remove");
    put(dir, "b.npy", &b);
    let skip = [&COUNTED[..], &["--nan", "skip"]].concat();
    let expected = reference(dir, &skip);
    plan(dir, &skip);
    let out = planned(dir, "out");
    go_on(&out);
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected);
}
