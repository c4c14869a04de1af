//! Every command once, on small data; what it printed and wrote.

use crate::formats::{f32_bytes, npy_bytes};
use crate::support::model::{Model, Node};
use assert_cmd::Command;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// What the header of an array says.
pub struct Array {
    pub dtype: String,
    pub rank: usize,
}

#[derive(Default)]
pub struct Runs {
    /// `results.json`, and the same on stdout, by a name for the run.
    pub results: BTreeMap<String, Value>,
    /// Documents of other commands, by command.
    pub documents: BTreeMap<String, Value>,
    /// Arrays of all runs, by their path in the output folder.
    pub arrays: BTreeMap<String, Array>,
}

/// The runs, made once.
pub fn runs() -> &'static Runs {
    static RUNS: OnceLock<Runs> = OnceLock::new();
    RUNS.get_or_init(Runs::make)
}

fn chanscope(dir: &Path, args: &[&str]) -> String {
    let output = Command::cargo_bin("chanscope")
        .expect("binary")
        .current_dir(dir)
        .args(args)
        .output()
        .expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Writes `[n, c, 2, 2]`; channel 1 is dead.
fn write_dump(path: &Path, n: usize, c: usize, bad: bool) {
    let mut values: Vec<f32> = (0..n * c * 4)
        .map(|i| match i / 4 % c {
            1 => 0.0,
            _ => ((i as f32 * 0.37).sin() + 0.2).max(0.0),
        })
        .collect();
    if bad {
        values[4 * c] = f32::NAN;
    }
    let shape = format!("({n}, {c}, 2, 2)");
    std::fs::write(path, npy_bytes("<f4", &shape, &f32_bytes(&values))).expect("write");
}

fn write_labels(path: &Path, n: usize) {
    let labels: Vec<u8> = (0..n)
        .flat_map(|i| ((i % 2) as i64).to_le_bytes())
        .collect();
    let shape = format!("({n},)");
    std::fs::write(path, npy_bytes("<i8", &shape, &labels)).expect("write");
}

impl Runs {
    fn make() -> Self {
        let dir = TempDir::new().expect("folder");
        let dir = dir.path();
        let mut runs = Self::default();
        let acts = dir.join("acts");
        std::fs::create_dir(&acts).expect("folder");
        write_dump(&acts.join("conv1.npy"), 40, 4, false);
        write_dump(&acts.join("conv2.npy"), 40, 3, false);
        write_labels(&acts.join("labels.npy"), 40);
        write_dump(&dir.join("bad.npy"), 40, 3, true);
        let graph = [
            "--aggregate",
            "--save-graph",
            "--across",
            "--images",
            "images.npy",
            "--out",
            "redundancy",
        ];
        write_dump(&dir.join("images.npy"), 40, 3, false);
        runs.results(
            dir,
            &[&["redundancy", "acts", "-k", "5"], &graph[..]].concat(),
        );
        let cosine = [
            "redundancy",
            "bad.npy",
            "--nan",
            "skip",
            "--kernel",
            "cosine",
        ];
        let chosen = ["--channels", "2,0", "--out", "cosine"];
        runs.results(dir, &[&cosine[..], &chosen[..]].concat());
        // Layers of different samples, so that each has its own queries.
        write_dump(&dir.join("short.npy"), 30, 3, false);
        let sampled = ["redundancy", "acts/conv1.npy", "short.npy", "-k", "5"];
        let queries = ["--queries", "9", "--out", "queries"];
        runs.results(dir, &[&sampled[..], &queries[..]].concat());

        let weights = repository("assets/lenet5.safetensors");
        let weights = weights.to_str().expect("path");
        let filters = ["filters", weights, "--gradient", "--minimize", "2"];
        runs.results(dir, &[&filters[..], &["--out", "filters"]].concat());

        let folder = repository("tests/data/onnx/residual");
        let (model, data) = (folder.join("model.onnx"), folder.join("input.npy"));
        let samples = header(&data).1[0];
        write_labels(&dir.join("labels.npy"), samples);
        let (model, data) = (model.to_str().expect("path"), data.to_str().expect("path"));
        runs.results(
            dir,
            &["impulse", model, "--threshold", "0.5", "--out", "impulse"],
        );
        let batch = (samples - 1).max(2).to_string();
        let shuffle = ["shuffle", model, data, "--labels", "labels.npy"];
        runs.results(
            dir,
            &[&shuffle[..], &["--batch", &batch, "--out", "shuffle"]].concat(),
        );
        runs.results(dir, &["rank", "redundancy", "--out", "rank"]);
        // Enough samples to split.
        let values: Vec<f32> = (0..6 * 3 * 24 * 24)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let bytes = npy_bytes("<f4", "(6, 3, 24, 24)", &f32_bytes(&values));
        std::fs::write(dir.join("images.npy"), bytes).expect("written");
        write_labels(&dir.join("classes.npy"), 6);
        let ablate = ["ablate", model, "images.npy", "--labels", "classes.npy"];
        let options = ["--calibration", "2", "--rankings", "l1,random"];
        let out = ["--keep", "0.5,1", "--out", "ablate"];
        runs.results(dir, &[&ablate[..], &options[..], &out[..]].concat());
        runs.results(
            dir,
            &["compare", "redundancy", "redundancy", "--out", "compare"],
        );
        runs.results(dir, &["run", model, data, "--dump", "run"]);

        let labels = acts.join("labels.npy");
        let labels = labels.to_str().expect("path");
        // A model of which only a part can be computed.
        let mut part = Model::new(&[1, 6, 6]);
        part.constant("conv1.weight", &[2, 1, 3, 3], &[0.5; 18]);
        part.node(Node::new("Conv", "c", &["input", "conv1.weight"], "a"));
        part.node(Node::new("LSTM", "rnn", &["a"], "b"));
        part.output("b");
        std::fs::write(dir.join("part.onnx"), part.encode()).expect("written");
        std::fs::write(dir.join("odd.npy"), b"no array").expect("written");
        runs.document(
            dir,
            "inspect --json",
            &[
                "inspect",
                "acts",
                "bad.npy",
                labels,
                model,
                "part.onnx",
                "odd.npy",
                "--skip-unreadable",
            ],
        );
        runs.document(dir, "devices --json", &["devices"]);
        runs.document(dir, "bench --json", &["bench", "--only", "pointwise"]);
        runs.document(dir, "filters --study --json", &["filters", "--study"]);
        runs.document(dir, "report --json", &["report", "redundancy"]);
        let plan = ["plan", "acts", "-k", "3", "--units", "2", "--nan", "skip"];
        runs.document(
            dir,
            "plan --json",
            &[&plan[..], &["--out", "units"]].concat(),
        );
        runs.document(dir, "work --json", &["work", "units"]);
        std::fs::write(dir.join("units/units/00002/sums.json"), b"{}").expect("written");
        runs.document(dir, "status --json", &["status", "units"]);
        runs
    }

    /// A command that writes the folder named by its last argument.
    fn results(&mut self, dir: &Path, args: &[&str]) {
        let name = args.last().expect("a folder");
        let args = [args, &["--device", "cpu", "--quiet", "--json"]].concat();
        let printed = serde_json::from_str(&chanscope(dir, &args)).expect("JSON");
        self.results.insert(format!("{name} --json"), printed);
        let out = dir.join(name);
        let written = std::fs::read(out.join("results.json")).expect("results.json");
        let written: Value = serde_json::from_slice(&written).expect("JSON");
        for file in written["files"].as_array().expect("files") {
            let file = file.as_str().expect("a name");
            if file.ends_with(".npy") {
                let (dtype, shape) = header(&out.join(file));
                let rank = shape.len();
                self.arrays.insert(file.to_string(), Array { dtype, rank });
            } else {
                assert!(
                    ["rank.json", "report.html", "results.json"].contains(&file),
                    "{file}"
                );
            }
        }
        self.results.insert(name.to_string(), written);
    }

    fn document(&mut self, dir: &Path, name: &str, args: &[&str]) {
        let args = [args, &["--device", "cpu", "--quiet", "--json"]].concat();
        let printed = serde_json::from_str(&chanscope(dir, &args)).expect("JSON");
        self.documents.insert(name.to_string(), printed);
    }
}

/// Type and shape of an array.
fn header(path: &Path) -> (String, Vec<usize>) {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = npyz::NpyFile::new(file).expect("npy");
    let dtype = match file.dtype().descr().trim_matches('\'') {
        "<f8" => "f64",
        "<f4" => "f32",
        "<f2" => "f16",
        "<i4" => "i32",
        "<i8" => "i64",
        "|u1" => "u8",
        "<u2" => "u16",
        "<u4" => "u32",
        "|b1" => "bool",
        other => panic!("{}: {other}", path.display()),
    };
    let shape = file.shape().iter().map(|&d| d as usize).collect();
    (dtype.to_string(), shape)
}

/// What the demo finds.
pub fn demo() -> Value {
    let dir = TempDir::new().expect("folder");
    let args = ["demo", "--device", "cpu", "--quiet", "--json"];
    serde_json::from_str(&chanscope(dir.path(), &args)).expect("JSON")
}

/// The commands that `--help` lists.
pub fn commands() -> Vec<String> {
    let help = chanscope(Path::new("."), &["--help"]);
    let lines = help.lines().skip_while(|l| *l != "Commands:").skip(1);
    let commands = lines
        .take_while(|l| !l.trim().is_empty())
        .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help");
    commands.map(str::to_string).collect()
}

/// Options that the help of a command lists, with their defaults, empty where it says none.
pub fn options(command: &str) -> BTreeMap<String, String> {
    let help = chanscope(Path::new("."), &[command, "--help"]);
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    let mut current: Vec<String> = Vec::new();
    for line in help.lines().map(str::trim) {
        if line.starts_with('-') {
            let words = line
                .split([' ', ','])
                .take_while(|w| w.is_empty() || w.starts_with('-'));
            current = words
                .filter(|w| !w.is_empty())
                .map(str::to_string)
                .collect();
            options.extend(current.iter().map(|o| (o.clone(), String::new())));
        }
        let default = line
            .split_once("[default: ")
            .and_then(|(_, d)| d.split_once(']'));
        if let Some((default, _)) = default {
            options.extend(current.iter().map(|o| (o.clone(), default.to_string())));
        }
    }
    options
}
