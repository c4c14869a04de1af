//! The targets of `fuzz/` in this process, on seeds that are mutated at random, with a fixed budget.
//!
//! `CHANSCOPE_FUZZ` sets the number of inputs per target, `CHANSCOPE_FUZZ_SEED` the seed: another seed gives other inputs. An
//! input that makes a target panic is written to `target/fuzz/`; it belongs into `fuzz/corpus` with the change that mends it.
//! The input at hand lies in the system's temporary folder as `chanscope-fuzz-TARGET-SEED`, and stays there where it ends
//! the process: under `ulimit -v` an input that takes more memory than that is found, too.

mod mutate;
mod network;
mod targets;
mod unit;

use mutate::{Random, mutate, mutate_json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

struct Target {
    /// Also the folder of its seeds below `fuzz/corpus`.
    name: &'static str,
    run: fn(&[u8]),
    /// Whether its inputs begin with JSON, which is then mutated by values too, so that much of it is still understood.
    json: bool,
    /// It is run once in so many inputs of the budget, as it takes longer.
    each: u64,
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    let (json, each) = (false, 1);
    Target {
        name,
        run,
        json,
        each,
    }
}

const fn of_json(name: &'static str, run: fn(&[u8])) -> Target {
    let (json, each) = (true, 1);
    Target {
        name,
        run,
        json,
        each,
    }
}

/// All of them.
const TARGETS: [Target; 8] = [
    target("npy", targets::npy),
    target("safetensors", targets::safetensors),
    target("labels", targets::labels),
    target("onnx", targets::model),
    target("network", network::network),
    of_json("results", targets::results),
    of_json("run", targets::units),
    Target {
        each: 20,
        ..target("unit", unit::unit)
    },
];

/// Inputs per target without `CHANSCOPE_FUZZ`.
const BUDGET: u64 = 3000;
/// Longest input.
const LONGEST: usize = 1 << 16;
/// An input that takes longer hangs, or nearly so.
const PATIENCE: Duration = Duration::from_secs(10);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Seeds of a target, by file name.
fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{}: no seeds", folder.display());
    files
        .into_iter()
        .map(|f| (f.clone(), std::fs::read(f).expect("a seed")))
        .collect()
}

/// Runs a target on its seeds and on the budget of mutated ones.
fn run(name: &str) {
    let target = TARGETS.iter().find(|t| t.name == name).expect("a target");
    let seeds = seeds(name);
    for (_, bytes) in &seeds {
        (target.run)(bytes);
    }
    let budget = number("CHANSCOPE_FUZZ").unwrap_or(BUDGET) / target.each;
    let start = number("CHANSCOPE_FUZZ_SEED").unwrap_or(1);
    let mut random = Random::new(start);
    let running = std::env::temp_dir().join(format!("chanscope-fuzz-{name}-{start}"));
    for i in 0..budget {
        let bytes = match target.json && random.below(2) == 0 {
            true => mutate_json(&mut random, &seeds),
            false => mutate(&mut random, &seeds),
        };
        std::fs::write(&running, &bytes).expect("write");
        let started = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
        if ended.is_ok() && started.elapsed() < PATIENCE {
            continue;
        }
        let folder = root().join("target/fuzz").join(name);
        let path = folder.join(format!("{:.16}", blake3::hash(&bytes).to_hex()));
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&path, &bytes))
            .expect("write");
        panic!(
            "{name}: input {i} of seed {start} fails, {:?}: {}",
            started.elapsed(),
            path.display()
        );
    }
    let _ = std::fs::remove_file(&running);
    println!("{name}: {budget} inputs of seed {start}");
}

#[test]
fn npy() {
    run("npy");
}

#[test]
fn safetensors() {
    run("safetensors");
}

#[test]
fn labels() {
    run("labels");
}

#[test]
fn onnx() {
    run("onnx");
}

#[test]
fn network() {
    run("network");
}

#[test]
fn results() {
    run("results");
}

#[test]
fn units() {
    run("run");
}

#[test]
fn unit() {
    run("unit");
}

/// Every target has a program for cargo-fuzz, and seeds.
#[test]
fn every_target_is_one_of_cargo_fuzz() {
    let manifest =
        std::fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("fuzz/Cargo.toml");
    for Target { name, .. } in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(
            root()
                .join(format!("fuzz/fuzz_targets/{name}.rs"))
                .is_file(),
            "{name}"
        );
        seeds(name);
    }
}
