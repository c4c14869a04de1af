//! What estimates say of memory, beside the bytes that runs have allocated at the most.

use crate::{LIVE, MOST};
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::measure::redundancy::{RedundancyInput, estimate, redundancy};
use chanscope::measure::{Context, RedundancyOptions};
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

/// A run: the shape of its layer, and what its memory mostly is.
struct Run {
    what: &'static str,
    shape: [usize; 4],
    half: bool,
    k: usize,
    queries: Option<usize>,
    memory: u64,
}

const GIB: u64 = 1 << 30;
const RUNS: [Run; 6] = [
    run("lists and results", [600, 16, 3, 3], 20),
    run("points", [400, 6, 40, 40], 5),
    Run {
        half: true,
        ..run("points and deviations", [600, 6, 40, 40], 5)
    },
    run("operands of correlations", [64, 96, 6, 6], 3),
    Run {
        queries: Some(8),
        ..run("values and points", [3000, 6, 10, 10], 5)
    },
    Run {
        memory: 12 << 20,
        ..run("two blocks", [700, 12, 12, 12], 5)
    },
];

const fn run(what: &'static str, shape: [usize; 4], k: usize) -> Run {
    Run {
        what,
        shape,
        half: false,
        k,
        queries: None,
        memory: GIB,
    }
}

/// The most that is allocated is what was promised, within a factor of 1.3.
pub fn check() {
    let dir = tempfile::TempDir::new().expect("folder");
    let device = Device::open(&DeviceChoice::Cpu, 2).expect("CPU");
    for of in RUNS {
        let layer = layer(dir.path(), &of);
        let mut options = RedundancyOptions::default()
            .with_aggregate(false)
            .with_queries(of.queries);
        options.graph.k = of.k;
        let ctx = Context::new(&device).with_memory(of.memory);
        let promised = estimate(&ctx, &*layer, &options).expect("possible");
        let before = LIVE.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        redundancy(&ctx, &RedundancyInput::new(&[&*layer]), &options).expect("measured");
        let taken = (MOST.load(Ordering::Relaxed) - before) as f64;
        let ratio = promised.memory_bytes as f64 / taken;
        println!(
            "{}: {ratio:.2} of {:.1} MiB",
            of.what,
            taken / f64::from(1 << 20)
        );
        assert!((1.0 / 1.3..=1.3).contains(&ratio), "{}: {ratio}", of.what);
    }
}

/// Values that vary along a few directions, and are zero in places.
fn layer(dir: &Path, of: &Run) -> Box<dyn Layer> {
    let [n, c, h, w] = of.shape;
    let value = |i: usize| {
        let (sample, place) = (i / (c * h * w), i % (c * h * w));
        let angle = (sample * 37 % n) as f32 * 0.02;
        ((place as f32 * 0.7).sin() * angle.sin() + (place as f32 * 0.3).cos() * angle).max(0.0)
    };
    let values = (0..n * c * h * w).map(value);
    let (descr, bytes): (_, Vec<u8>) = match of.half {
        true => {
            let halves = values.map(half::f16::from_f32);
            ("<f2", halves.flat_map(half::f16::to_le_bytes).collect())
        }
        false => ("<f4", values.flat_map(f32::to_le_bytes).collect()),
    };
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({n}, {c}, {h}, {w}), }}");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    file.extend((padded as u16).to_le_bytes());
    file.extend(format!("{header:<0$}\n", padded - 1).bytes());
    file.extend(bytes);
    let path = dir.join("layer.npy");
    fs::write(&path, file).expect("written");
    npy::open(path, "layer").expect("a layer")
}
