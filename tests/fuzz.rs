//! The targets of `fuzz/` in this process, on seeds that are mutated at random, with a fixed budget.
//!
//! `CHANSCOPE_FUZZ` sets the number of inputs per target, `CHANSCOPE_FUZZ_SEED` the seed. An input that makes a target panic
//! is written to `target/fuzz/`; it belongs into `fuzz/corpus` with the change that mends it.

mod network;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A target with the folder of its seeds below `fuzz/corpus`.
type Target = (&'static str, fn(&[u8]));

/// All of them.
const TARGETS: [Target; 7] = [
    ("npy", targets::npy),
    ("safetensors", targets::safetensors),
    ("labels", targets::labels),
    ("onnx", targets::model),
    ("network", network::network),
    ("results", targets::results),
    ("run", targets::units),
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

/// A small generator (xorshift); the same inputs on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Bytes that parsers get wrong: ends of ranges, and what text formats are made of.
const BYTES: &[u8] = &[
    0, 1, 0x7f, 0x80, 0xff, b'{', b'}', b'[', b']', b'"', b'\\', b',', b':', b'-', b'\n', b'(',
    b')', b'\'',
];
/// The same in several bytes.
const TOKENS: &[&[u8]] = &[
    b"18446744073709551615",
    b"-9223372036854775808",
    b"9007199254740993",
    b"1e308",
    b"1e999",
    b"-0",
    b"null",
    b"NaN",
    b"true",
    b"\\u0000",
    b"\\ud800",
    b"../../x",
    b"</script>",
    b"\x1b[2J",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"(4294967296, 4294967296)",
    b"True",
    b"|O",
];

/// One to eight changes to a seed.
fn mutate(random: &mut Random, seeds: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).1.clone();
    for _ in 0..1 + random.below(8) {
        let at = random.below(bytes.len() + 1);
        let part = at..(at + 1 + random.below(16)).min(bytes.len());
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = *random.pick(BYTES),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 => drop(bytes.drain(part)),
            4 => drop(bytes.splice(part, random.pick(TOKENS).iter().copied())),
            5 => drop(bytes.splice(at..at, random.pick(TOKENS).iter().copied())),
            6 => bytes.truncate(at),
            7 => {
                // A number becomes another one.
                let digit = |b: &u8| b.is_ascii_digit();
                if let Some(from) = bytes[at..].iter().position(digit).map(|i| at + i) {
                    let len = bytes[from..].iter().take_while(|b| digit(b)).count();
                    let value = match random.below(3) {
                        0 => random.next(),
                        1 => random.below(20) as u64,
                        _ => 1 << random.below(64),
                    };
                    bytes.splice(from..from + len, value.to_string().into_bytes());
                }
            }
            _ => {
                // A piece of another seed, or of this one once more.
                let other = &random.pick(seeds).1;
                let from = random.below(other.len());
                let to = (from + 1 + random.below(64)).min(other.len());
                bytes.splice(part, other[from..to].iter().copied());
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

/// Runs a target on its seeds and on the budget of mutated ones.
fn run(name: &str) {
    let (_, target) = *TARGETS.iter().find(|(n, _)| *n == name).expect("a target");
    let seeds = seeds(name);
    for (_, bytes) in &seeds {
        target(bytes);
    }
    let budget = number("CHANSCOPE_FUZZ").unwrap_or(BUDGET);
    let start = number("CHANSCOPE_FUZZ_SEED").unwrap_or(1);
    let mut random = Random(start.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for i in 0..budget {
        let bytes = mutate(&mut random, &seeds);
        let started = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
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

/// Every target has a program for cargo-fuzz, and seeds.
#[test]
fn every_target_is_one_of_cargo_fuzz() {
    let manifest =
        std::fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("fuzz/Cargo.toml");
    for (name, _) in TARGETS {
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
