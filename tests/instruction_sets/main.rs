//! Tests of the CPU kernels that are written with vectors, each run once for every instruction set.
//!
//! Whether the processor has an instruction set is known only when the tests run, and the standard test harness
//! cannot ignore a test by then. So this binary has a harness of its own: a test on a set that the processor
//! lacks is reported as ignored, with the reason. `scripts/instruction-sets` runs the binary under an emulator
//! as well.
//!
//! A module here has two lists. `ON_EACH_SET` names the tests that take the instruction set as an argument, and
//! `ONCE` the others. A function on neither list is dead code, which the lints refuse. `#[test]` has no effect
//! in this binary; [`no_test_is_left_to_the_standard_harness`] finds it.

// Some oracles and helpers are for kernels that other binaries test.
#[allow(dead_code, unused_imports)]
#[path = "../oracle/mod.rs"]
mod oracle;
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;

/// Tests with their names, for the lists `ON_EACH_SET` and `ONCE`.
macro_rules! tests {
    ($($test:path),* $(,)?) => { &[$((stringify!($test), $test)),*] };
}

mod conv2d;
mod correlate;
mod gram;
mod knn;
mod linear;
mod nnk;
mod overlap;
mod winograd;

use chanscope::cpu::InstructionSet;
use chanscope::internals::{self, OnEachSet};
use libtest_mimic::{Arguments, Trial};
use std::fs;
use std::path::Path;

type Once = &'static [(&'static str, fn())];

/// The modules and their tests.
const MODULES: [(&str, OnEachSet, Once); 8] = [
    ("conv2d", conv2d::ON_EACH_SET, conv2d::ONCE),
    ("correlate", correlate::ON_EACH_SET, correlate::ONCE),
    ("gram", gram::ON_EACH_SET, gram::ONCE),
    ("knn", knn::ON_EACH_SET, knn::ONCE),
    ("linear", linear::ON_EACH_SET, linear::ONCE),
    ("nnk", nnk::ON_EACH_SET, nnk::ONCE),
    ("overlap", overlap::ON_EACH_SET, overlap::ONCE),
    ("winograd", winograd::ON_EACH_SET, winograd::ONCE),
];

/// All instruction sets, with the names that tests on them end in.
const SETS: [(&str, InstructionSet); 4] = [
    ("portable", InstructionSet::Portable),
    ("avx2", InstructionSet::Avx2),
    ("avx512", InstructionSet::Avx512),
    ("avx512vnni", InstructionSet::Avx512Vnni),
];

/// Tests of private functions, which are beside what they test.
const PRIVATE: [(&str, OnEachSet); 5] = [
    ("simd", internals::SIMD),
    ("knn::coarse", internals::COARSE),
    ("knn::products", internals::PRODUCTS),
    ("knn::tree", internals::TREE),
    ("nnk::pca", internals::PCA),
];

/// A test of one instruction set: ignored where the processor lacks the set.
fn trial(name: String, set: InstructionSet, test: fn(InstructionSet)) -> Trial {
    let missing = !set.is_available();
    let run = move || {
        assert!(set.is_available(), "this processor has no {set}");
        test(set);
        Ok(())
    };
    let kind = if missing {
        format!("this processor has no {set}")
    } else {
        String::new()
    };
    Trial::test(name, run)
        .with_kind(kind)
        .with_ignored_flag(missing)
}

fn main() {
    let mut trials = Vec::new();
    let of_modules = MODULES.map(|(module, on_each_set, _)| (module, on_each_set));
    for (module, tests) in of_modules.into_iter().chain(PRIVATE) {
        for &(name, test) in tests {
            let of = |(suffix, set)| trial(format!("{module}::{name}::{suffix}"), set, test);
            trials.extend(SETS.map(of));
        }
    }
    for (module, _, once) in MODULES {
        for &(name, test) in once {
            let run = move || {
                test();
                Ok(())
            };
            trials.push(Trial::test(format!("{module}::{name}"), run));
        }
    }
    let run = || {
        no_test_is_left_to_the_standard_harness();
        Ok(())
    };
    trials.push(Trial::test("no_test_is_left_to_the_standard_harness", run));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The compiler removes functions marked `#[test]` from this binary without a word.
fn no_test_is_left_to_the_standard_harness() {
    let mut open = vec![Path::new("tests/instruction_sets").to_path_buf()];
    let mut files = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the repository");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            files += 1;
            let text = fs::read_to_string(&path).expect("a file of the repository");
            let marked = text.lines().any(|line| line.trim() == "#[test]");
            let path = path.display();
            assert!(!marked, "{path}: list the test in ON_EACH_SET or ONCE");
        }
    }
    assert!(files > MODULES.len());
}
