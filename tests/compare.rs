//! `compare`: channels of finished runs over the same samples, against the definition, and what is refused.

mod files;
mod refused;

use crate::formats::{f32_bytes, npy_bytes};
use crate::oracle::between::{self as oracle, Channel};
use crate::support::cli::succeed;
use crate::support::noise;
use std::path::Path;
use tempfile::TempDir;

/// Samples of the dumps.
pub const N: usize = 60;

/// Writes activations `[N, C, 2, 2]`, whose last channel is dead.
pub fn layer(path: &Path, n: usize, channels: usize, seed: u64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut next = noise(seed);
    let value = |i: usize| match i / 4 % channels + 1 {
        last if last == channels => 0.0,
        _ => 1.0 + 0.5 * next(),
    };
    let values: Vec<f32> = (0..n * channels * 4).map(value).collect();
    let shape = format!("({n}, {channels}, 2, 2)");
    std::fs::write(path, npy_bytes("<f4", &shape, &f32_bytes(&values))).unwrap();
}

/// Two dumps of the same samples by other networks: layers of 4 and 3 channels, and of 5, 3 and 4.
pub fn dumps(dir: &TempDir) {
    let at = |name: &str| dir.path().join(name);
    layer(&at("a/conv1.npy"), N, 4, 1);
    layer(&at("a/conv2.npy"), N, 3, 2);
    layer(&at("b/conv1.npy"), N, 5, 3);
    layer(&at("b/fc.npy"), N, 3, 4);
    // A layer that both have.
    layer(&at("b/same.npy"), N, 4, 1);
}

/// An array of float64 or integers and its shape.
pub fn array(path: impl AsRef<Path>) -> (Vec<u64>, Vec<f64>) {
    let path = path.as_ref();
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    let shape = file.shape().to_vec();
    let values = match file.dtype().descr().as_str() {
        "'<f8'" => file.into_vec().unwrap(),
        "'<f4'" => floats(file.into_vec::<f32>().unwrap()),
        "'<i8'" => file
            .into_vec::<i64>()
            .unwrap()
            .into_iter()
            .map(|v| v as f64)
            .collect(),
        "'<i4'" => floats(file.into_vec::<i32>().unwrap()),
        "'|b1'" => file
            .into_vec::<bool>()
            .unwrap()
            .into_iter()
            .map(|b| f64::from(u8::from(b)))
            .collect(),
        other => panic!("{other}"),
    };
    (shape, values)
}

fn floats<T: Into<f64>>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(Into::into).collect()
}

/// The supports of a layer's live channels from the graphs that `--save-graph` wrote, with their indices.
fn supports(folder: &Path) -> Vec<(usize, Channel)> {
    let read = |name: &str| array(folder.join(format!("{name}.npy")));
    let (shape, neighbors) = read("neighbors");
    let (weights, degenerate) = (read("weights").1, read("degenerate").1);
    let [channels, queries, k] = [shape[0], shape[1], shape[2]].map(|d| d as usize);
    let channel = |c: usize| -> Channel {
        let support = |q: usize| {
            let slots = (c * queries + q) * k..(c * queries + q + 1) * k;
            let inside =
                slots.filter(|&at| neighbors[at] >= 0.0 && weights[at] > f64::from(1e-6f32));
            (degenerate[c * queries + q] == 0.0)
                .then(|| inside.map(|at| neighbors[at] as i64).collect())
        };
        (0..queries).map(support).collect()
    };
    // The last channel is dead.
    (0..channels - 1).map(|c| (c, channel(c))).collect()
}

/// Layer, channel and supports of all live channels of a run.
fn run(folder: &Path, layers: &[&str]) -> Vec<(usize, usize, Channel)> {
    let mut all = Vec::new();
    for (l, name) in layers.iter().enumerate() {
        let of_layer = supports(&folder.join("layers").join(name)).into_iter();
        all.extend(of_layer.map(|(c, supports)| (l, c, supports)));
    }
    all
}

/// Compares what `compare` wrote of two runs with the definition.
fn check(dir: &Path, a: (&str, &[&str]), b: (&str, &[&str]), out: &str) {
    let found = |name: &str| array(dir.join(out).join(format!("{name}.npy")));
    let runs = [run(&dir.join(a.0), a.1), run(&dir.join(b.0), b.1)];
    let [rows, columns] = &runs;
    let expected: Vec<Vec<f64>> = rows
        .iter()
        .map(|(_, _, x)| {
            columns
                .iter()
                .map(|(_, _, y)| oracle::jaccard(x, y))
                .collect()
        })
        .collect();
    let (shape, jaccard) = found("jaccard");
    assert_eq!(shape, [rows.len() as u64, columns.len() as u64]);
    for (row, expected) in jaccard.chunks(columns.len()).zip(&expected) {
        for (x, y) in row.iter().zip(expected) {
            // Each query is rounded down to a multiple of 2^-40.
            assert!((x - y).abs() <= 1e-11, "{x} {y}");
        }
    }
    // Summaries of the same numbers, so that ties are the same.
    let forth: Vec<Vec<f64>> = jaccard.chunks(columns.len()).map(<[f64]>::to_vec).collect();
    let back: Vec<Vec<f64>> = (0..columns.len())
        .map(|c| forth.iter().map(|row| row[c]).collect())
        .collect();
    let close = |x: f64, y: f64| (x - y).abs() <= 1e-12 || x.is_nan() && y.is_nan();
    let (_, means) = found("layers");
    for (side, matrix, names) in [
        (0, &forth, ["best_match", "a"]),
        (1, &back, ["best_match_back", "b"]),
    ] {
        let (own, other) = (&runs[side], &runs[1 - side]);
        let count = [a.1.len(), b.1.len()];
        let (layers, others) = (count[side], count[1 - side]);
        let (shape, best_match) = found(names[0]);
        assert_eq!(shape, [layers as u64, others as u64]);
        let inside = |m: usize| (0..other.len()).filter(move |&c| other[c].0 == m);
        for l in 0..layers {
            for m in 0..others {
                let of_layer = || (0..own.len()).filter(|&c| own[c].0 == l);
                let best = of_layer().filter_map(|c| oracle::best(&matrix[c], inside(m)));
                let expected = oracle::mean(best.map(|(value, _)| value));
                assert!(
                    close(best_match[l * others + m], expected),
                    "{side} {l} {m}"
                );
                if side == 0 {
                    let pairs = of_layer().flat_map(|c| inside(m).map(move |e| (c, e)));
                    let expected = oracle::mean(pairs.map(|(c, e)| matrix[c][e]));
                    assert!(close(means[l * others + m], expected), "{l} {m}");
                }
            }
        }
        let named = |array: &str| found(&format!("{array}_{}", names[1]));
        let places: Vec<f64> = own
            .iter()
            .flat_map(|(l, c, _)| [*l as f64, *c as f64])
            .collect();
        assert_eq!(named("channels"), (vec![own.len() as u64, 2], places));
        let (matches, values) = (named("matches").1, named("match_jaccard").1);
        for (c, row) in matrix.iter().enumerate() {
            match oracle::best(row, 0..other.len()) {
                Some((value, e)) => {
                    assert_eq!(values[c], value);
                    assert_eq!(
                        matches[2 * c..2 * c + 2],
                        [other[e].0 as f64, other[e].1 as f64]
                    );
                }
                None => assert!(values[c].is_nan() && matches[2 * c] == -1.0),
            }
        }
    }
}

#[test]
fn two_runs_are_compared_as_defined() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    for (kernel, more) in [
        ("gaussian", &["--aggregate"][..]),
        ("cosine", &["--queries", "25"]),
    ] {
        let mut measured = Vec::new();
        for dump in ["a", "b"] {
            let out = format!("{kernel}-{dump}");
            let args = [
                "redundancy",
                dump,
                "-k",
                "7",
                "--save-graph",
                "--kernel",
                kernel,
                "--out",
                &out,
            ];
            succeed(&dir, &[&args[..], more].concat());
            measured.push(out);
        }
        let out = format!("{kernel}-compared");
        let text = succeed(
            &dir,
            &["compare", &measured[0], &measured[1], "--out", &out],
        );
        // A layer that both runs have is found again.
        assert!(text.contains("same") && text.contains("1.0000"), "{text}");
        let (a, b) = (&["conv1", "conv2"], &["conv1", "fc", "same"]);
        check(
            dir.path(),
            (&measured[0], a),
            (&measured[1], b),
            &format!("{out}/compare/1"),
        );
        let page = std::fs::read_to_string(dir.path().join(out).join("report.html")).unwrap();
        assert!(page.contains("Between runs"));
    }
}

/// Measures both dumps, as `run-a` and `run-b`.
fn measured(dir: &TempDir) {
    for dump in ["a", "b"] {
        let out = format!("run-{dump}");
        succeed(dir, &["redundancy", dump, "-k", "5", "--out", &out]);
    }
}

/// Three runs: the first with the second and with the third.
#[test]
fn every_other_run_is_compared_with_the_first() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    measured(&dir);
    succeed(
        &dir,
        &["compare", "run-b", "run-a", "run-b", "--out", "three"],
    );
    succeed(&dir, &["compare", "run-b", "run-b", "--out", "two"]);
    for name in [
        "layers",
        "best_match",
        "jaccard",
        "matches_a",
        "match_jaccard_b",
    ] {
        let file = |folder: &str| dir.path().join(folder).join(format!("{name}.npy"));
        let bytes = |folder: &str| std::fs::read(file(folder)).unwrap();
        assert_eq!(bytes("three/compare/2"), bytes("two/compare/1"), "{name}");
    }
    let text = std::fs::read_to_string(dir.path().join("three/results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&text).unwrap();
    let found = &results["compare"];
    let paths: Vec<&str> = found["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["run-b", "run-a", "run-b"]);
    assert_eq!(found["pairs"][1]["b"], 2);
    assert_eq!(found["runs"][1]["layers"][0]["live"], 3);
    let measured = std::fs::read_to_string(dir.path().join("run-a/results.json")).unwrap();
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    assert_eq!(
        found["runs"][1]["layers"][0]["redundancy"],
        measured["redundancy"]["layers"][0]["redundancy"]
    );
}

/// A run compared with itself: what `--across` finds between its layers. A channel and itself are a pair here.
#[test]
fn a_run_and_itself_are_its_layers_across() {
    let dir = TempDir::new().unwrap();
    dumps(&dir);
    succeed(
        &dir,
        &["redundancy", "b", "-k", "6", "--across", "--out", "run"],
    );
    succeed(&dir, &["compare", "run", "run", "--out", "out"]);
    let at = |name: &str| array(dir.path().join(format!("{name}.npy")));
    let ((shape, own), (_, found)) = (at("run/across/layers"), at("out/compare/1/layers"));
    let layers = shape[0] as usize;
    let (best_own, best) = (
        at("run/across/best_match").1,
        at("out/compare/1/best_match").1,
    );
    assert_eq!(best, at("out/compare/1/best_match_back").1);
    for l in 0..layers {
        for m in 0..layers {
            let i = l * layers + m;
            if l == m {
                assert_eq!(best[i], 1.0);
            } else {
                assert_eq!(best[i].to_bits(), best_own[i].to_bits(), "{l} {m}");
                // Across layers a pair of layers is added up once, so that the mean below the diagonal is of the same numbers in
                // another order.
                match l < m {
                    true => assert_eq!(found[i].to_bits(), own[i].to_bits(), "{l} {m}"),
                    false => assert!((found[i] - own[i]).abs() <= 1e-15, "{l} {m}"),
                }
            }
        }
    }
    let (own, found) = (at("run/across/jaccard"), at("out/compare/1/jaccard"));
    assert_eq!(own, found);
    assert_eq!(at("run/across/channels"), at("out/compare/1/channels_a"));
    for value in at("out/compare/1/match_jaccard_b").1 {
        assert_eq!(value, 1.0);
    }
}

/// Neither the memory cap, which compares two layers at a time, nor the threads change a bit.
#[test]
fn neither_memory_nor_threads_change_a_bit() {
    let dir = TempDir::new().unwrap();
    for (dump, seed) in [("a", 1), ("b", 2)] {
        for l in 0..3 {
            let path = dir.path().join(format!("{dump}/l{l}.npy"));
            layer(&path, 30, 150, 10 * seed + l);
        }
        let out = format!("run-{dump}");
        let args = [
            "redundancy",
            dump,
            "-k",
            "4",
            "--no-baselines",
            "--queries",
            "15",
            "--out",
            &out,
        ];
        succeed(&dir, &args);
    }
    let compared = |out: &str, options: &[&str]| {
        succeed(
            &dir,
            &[&["compare", "run-a", "run-b", "--out", out], options].concat(),
        );
    };
    compared("whole", &["--memory", "1GiB", "--threads", "2"]);
    compared("alone", &["--memory", "1GiB", "--threads", "1"]);
    compared("parts", &["--memory", "64MiB"]);
    let bytes =
        |out: &str, name: &str| std::fs::read(dir.path().join(out).join("compare/1").join(name));
    assert_eq!(
        bytes("alone", "jaccard.npy").unwrap(),
        bytes("whole", "jaccard.npy").unwrap()
    );
    assert!(bytes("parts", "jaccard.npy").is_err());
    for name in [
        "layers",
        "best_match",
        "best_match_back",
        "channels_a",
        "channels_b",
        "matches_a",
        "matches_b",
        "match_jaccard_a",
        "match_jaccard_b",
    ] {
        let name = format!("{name}.npy");
        let whole = bytes("whole", &name).unwrap();
        assert_eq!(bytes("alone", &name).unwrap(), whole, "{name}");
        assert_eq!(bytes("parts", &name).unwrap(), whole, "{name}");
    }
}
