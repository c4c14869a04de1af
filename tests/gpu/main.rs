//! Tests of the GPU backend, against the same oracles as the CPU's. A harness of its own, so that on a
//! machine without any adapter they show as ignored, and with `CI=true` fail instead. Those of kernels
//! on cooperative matrices show as ignored, and why, wherever the adapter has none, and that of the command where the tests
//! were taken elsewhere without it.
//!
//! `CHANSCOPE_TEST_ADAPTER` picks an adapter by index or name; default: a real GPU, else the first one.

// Some oracles are for kernels of the CPU alone, and their own tests run elsewhere.
#[allow(dead_code, unused_imports)]
#[path = "../oracle/mod.rs"]
mod oracle;
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;

mod ablate;
mod ahead;
mod ceiling;
mod conv2d;
mod cooperative;
mod cosine;
mod data;
mod exact;
mod failures;
mod filters;
mod gram;
mod halves;
mod knn;
mod launches;
mod memory;
mod misuse;
mod near;
mod net;
mod nnk;
mod overlap;
mod redundancy;
mod scale;
mod threads;

use chanscope::gpu::{Gpu, Options, Wide, adapters};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::sync::Arc;

/// The adapter under test, opened once for each kind of exact arithmetic that it offers.
pub struct Devices {
    name: String,
    gpus: Vec<Gpu>,
}

impl Devices {
    fn open() -> Result<Self, String> {
        let wanted = std::env::var("CHANSCOPE_TEST_ADAPTER").ok();
        let name = match wanted {
            Some(name) => name,
            None => {
                let found = adapters();
                let real = found.iter().find(|a| a.kind != "software");
                let chosen = real.or(found.first());
                chosen
                    .ok_or("no GPU adapter, not even a software one")?
                    .index
                    .to_string()
            }
        };
        let open = |wide| {
            let options = Options {
                wide,
                ..Options::default()
            };
            Gpu::open_with(Some(&name), &options)
        };
        let double_float = open(Some(Wide::DoubleFloat)).map_err(|e| e.to_string())?;
        let float64 = open(Some(Wide::Float64)).ok();
        let gpus = float64.into_iter().chain([double_float]).collect();
        Ok(Self { name, gpus })
    }

    /// The adapter with its best arithmetic.
    pub fn gpu(&self) -> &Gpu {
        &self.gpus[0]
    }

    /// One device per arithmetic: float64 where there is one, double-float.
    pub fn all(&self) -> &[Gpu] {
        &self.gpus
    }

    /// The same adapter, opened afresh.
    pub fn reopen(&self, options: &Options) -> Gpu {
        Gpu::open_with(Some(&self.name), options).unwrap()
    }
}

type Test = (&'static str, fn(&Devices));

fn main() {
    let mut arguments = Arguments::from_args();
    // One device at a time: a software adapter uses all cores anyway.
    arguments.test_threads = Some(1);
    let devices = Devices::open().map(Arc::new);
    let ci = std::env::var("CI").is_ok_and(|v| v == "true");
    let tests: Vec<Test> = [
        ablate::TESTS,
        ahead::TESTS,
        ceiling::TESTS,
        conv2d::TESTS,
        cooperative::TESTS,
        cosine::TESTS,
        cooperative::WITH_MATRICES,
        exact::TESTS,
        failures::TESTS,
        failures::WITH_PROGRAM,
        filters::TESTS,
        gram::TESTS,
        halves::TESTS,
        knn::TESTS,
        launches::TESTS,
        memory::TESTS,
        misuse::TESTS,
        near::TESTS,
        nnk::TESTS,
        net::TESTS,
        overlap::TESTS,
        redundancy::TESTS,
        scale::TESTS,
        threads::TESTS,
    ]
    .concat();
    let trials = tests.into_iter().map(|(name, test)| {
        let (devices, missing) = match &devices {
            Ok(d) => (Some(Arc::clone(d)), String::new()),
            Err(e) => (None, e.clone()),
        };
        let with_matrices = cooperative::WITH_MATRICES.iter().any(|(n, _)| *n == name);
        let matrices = devices
            .as_ref()
            .is_some_and(|d| d.gpu().cooperative_matrix().is_some());
        let no_matrices = devices.is_some() && with_matrices && !matrices;
        let with_program = failures::WITH_PROGRAM.iter().any(|(n, _)| *n == name);
        let no_program = with_program && !Path::new(failures::PROGRAM).exists();
        let ignored = no_matrices || no_program || devices.is_none() && !ci;
        let run = move || match devices {
            Some(d) => {
                test(&d);
                Ok(())
            }
            None => Err(Failed::from(missing)),
        };
        let kind = match (no_matrices, no_program) {
            (true, _) => "no cooperative matrices here",
            (_, true) => "no program here",
            _ => "",
        };
        Trial::test(format!("gpu::{name}"), run)
            .with_kind(kind)
            .with_ignored_flag(ignored)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
