//! `rank` from outside: runs of every kind, activations, and what is refused.

use crate::formats::{f32_bytes, npy_bytes};
use crate::oracle::rank as oracle;
use crate::support::cli::{refused, succeed};
use std::path::Path;
use tempfile::TempDir;

/// Activations `[60, 5, 2, 2]`; channel 1 is dead, and channel 3 a copy of channel 0.
fn dump(dir: &Path) {
    let value = |i: usize| match i / 4 % 5 {
        1 => 0.0,
        c => {
            let (sample, place, c) = (i / 20, i % 4, c % 3);
            ((sample * 7 + place * 3) as f32 * (0.37 + c as f32))
                .sin()
                .max(0.0)
        }
    };
    let values: Vec<f32> = (0..60 * 20).map(value).collect();
    let bytes = npy_bytes("<f4", "(60, 5, 2, 2)", &f32_bytes(&values));
    std::fs::write(dir.join("conv1.npy"), bytes).unwrap();
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn order(dir: &Path, layer: &str) -> Vec<i64> {
    let bytes = std::fs::read(dir.join(format!("rank/{layer}.npy"))).unwrap();
    npyz::NpyFile::new(&bytes[..]).unwrap().into_vec().unwrap()
}

fn matrix(path: &Path) -> Vec<Vec<f64>> {
    let bytes = std::fs::read(path).unwrap();
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    let n = file.shape()[0] as usize;
    let values: Vec<f64> = file.into_vec().unwrap();
    values.chunks(n).map(<[f64]>::to_vec).collect()
}

#[test]
fn runs_and_activations_give_the_same_order() {
    let dir = TempDir::new().unwrap();
    dump(dir.path());
    succeed(&dir, &["redundancy", "conv1.npy", "--out", "measured"]);
    for by in ["jaccard", "pearson"] {
        let text = succeed(&dir, &["rank", "measured", "--by", by, "--out", by]);
        assert!(
            text.contains("conv1") && text.contains("rank.json"),
            "{text}"
        );
        let out = dir.path().join(by);
        let mut s = matrix(&dir.path().join(format!("measured/layers/conv1/{by}.npy")));
        s.iter_mut().flatten().for_each(|v| *v = v.abs());
        let dead = [false, true, false, false, false];
        let expected: Vec<i64> = oracle::order(&s, &dead).iter().map(|&c| c as i64).collect();
        assert_eq!(order(&out, "conv1"), expected, "{by}");

        let results = json(&out.join("results.json"));
        assert_eq!(results["rank"], json(&out.join("rank.json")), "{by}");
        assert_eq!(results["rank"]["by"], by);
        let layer = &results["rank"]["layers"][0];
        assert_eq!(layer["live"], 4);
        // The copy stands for nothing new: it comes after its original, by which it is represented wholly.
        let place = expected.iter().position(|&c| c == 3).unwrap();
        assert!(place > expected.iter().position(|&c| c == 0).unwrap());
        assert_eq!(layer["representatives"][place], 0);
        assert_eq!(layer["similarities"][place], 1.0);
        let page = std::fs::read_to_string(out.join("report.html")).unwrap();
        assert!(page.contains("Which channels to keep"), "{by}");

        let again = format!("{by}-dump");
        succeed(&dir, &["rank", "conv1.npy", "--by", by, "--out", &again]);
        assert_eq!(order(&dir.path().join(&again), "conv1"), expected, "{by}");
    }
}

/// Channels are named by their index in the layer, also where only some were measured.
#[test]
fn chosen_channels_keep_their_names() {
    let dir = TempDir::new().unwrap();
    dump(dir.path());
    let chosen = ["redundancy", "conv1.npy", "--channels", "4,1,3"];
    succeed(&dir, &[&chosen[..], &["--out", "measured"]].concat());
    succeed(&dir, &["rank", "measured", "--out", "ranked"]);
    let mut found = order(&dir.path().join("ranked"), "conv1");
    assert_eq!(found[2], 1, "the dead channel comes last");
    found.sort_unstable();
    assert_eq!(found, [1, 3, 4]);
}

#[test]
fn filters_and_responses_are_ranked() {
    let dir = TempDir::new().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let weights = repository.join("assets/lenet5.safetensors");
    let model = repository.join("tests/data/onnx/residual/model.onnx");
    let (weights, model) = (weights.to_str().unwrap(), model.to_str().unwrap());
    succeed(&dir, &["filters", weights, "--out", "filters"]);
    succeed(&dir, &["impulse", model, "--out", "impulse"]);
    for (by, section) in [("filters", "filters"), ("impulse", "impulse")] {
        let out = format!("{by}-rank");
        succeed(&dir, &["rank", section, "--by", by, "--out", &out]);
        let results = json(&dir.path().join(&out).join("results.json"));
        let measured = json(&dir.path().join(section).join("results.json"));
        let names = |layers: &serde_json::Value| -> Vec<String> {
            let layers = layers.as_array().unwrap().iter();
            layers
                .map(|l| l["name"].as_str().unwrap().to_string())
                .collect()
        };
        assert_eq!(
            names(&results["rank"]["layers"]),
            names(&measured[section]["layers"])
        );
        for layer in results["rank"]["layers"].as_array().unwrap() {
            let coverage = layer["coverage"].as_array().unwrap();
            if let Some(last) = coverage.last() {
                assert_eq!(last.as_f64(), Some(1.0), "{by}");
            }
        }
    }
    refused(
        &dir,
        &["rank", "filters", "--by", "jaccard"],
        1,
        &[
            "results.json",
            "chanscope filters",
            "run `chanscope redundancy`",
        ],
    );
    refused(&dir, &["rank", "filters", "impulse"], 2, &["one run"]);
    // Matrices of many filters are not written without being asked for.
    std::fs::remove_dir_all(dir.path().join("filters/filters/conv1")).unwrap();
    let text = succeed(
        &dir,
        &["rank", "filters", "--by", "filters", "--out", "some"],
    );
    assert!(
        text.contains("skipped conv1: run `chanscope filters`"),
        "{text}"
    );
    // The folder of the run itself is not written into.
    refused(
        &dir,
        &["rank", "filters", "--by", "filters", "--out", "filters"],
        2,
        &["filters"],
    );
}

#[test]
fn wrong_input_is_one_line() {
    let dir = TempDir::new().unwrap();
    dump(dir.path());
    refused(&dir, &["rank"], 2, &["RUN|DUMP"]);
    refused(&dir, &["rank", "gone"], 1, &["gone"]);
    refused(
        &dir,
        &["rank", "conv1.npy", "--by", "size"],
        2,
        &["size", "jaccard"],
    );
    refused(
        &dir,
        &["rank", "conv1.npy", "--by", "filters"],
        2,
        &["chanscope filters"],
    );
    succeed(
        &dir,
        &[
            "redundancy",
            "conv1.npy",
            "--out",
            "measured",
            "--no-baselines",
        ],
    );
    refused(
        &dir,
        &["rank", "measured", "--by", "pearson"],
        1,
        &["--no-baselines"],
    );
    // A matrix of another run.
    let file = dir.path().join("measured/layers/conv1/jaccard.npy");
    let write = |shape: &str, values: &[f64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(&file, npy_bytes("<f8", shape, &bytes)).unwrap();
    };
    write("(2, 2)", &[1.0; 4]);
    refused(
        &dir,
        &["rank", "measured"],
        1,
        &["jaccard.npy", "[2, 2]", "[5, 5]"],
    );
    let mut values = [0.5; 25];
    values[3] = 7.0;
    values[15] = 7.0;
    write("(5, 5)", &values);
    refused(
        &dir,
        &["rank", "measured"],
        1,
        &["jaccard.npy", "7", "[3, 0]"],
    );
    // Names that lead elsewhere.
    let results = dir.path().join("measured/results.json");
    let text = std::fs::read_to_string(&results).unwrap();
    std::fs::write(&results, text.replace("\"conv1\"", "\"../conv1\"")).unwrap();
    refused(
        &dir,
        &["rank", "measured"],
        1,
        &["results.json", "../conv1"],
    );
}
