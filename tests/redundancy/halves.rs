//! Layers of `f16` are kept as `f16` in memory: that changes no bit, and more of them fits under a cap.

use crate::support::halves::{halves, stored};
use crate::support::runs::{options, run_layer, same};
use chanscope::Error;
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::{NonFinite, estimate};
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
use chanscope::ops::Kernel;
use half::f16;

fn device(threads: usize) -> Device {
    Device::open(&DeviceChoice::Cpu, threads).unwrap()
}

/// The caps under which a layer is measured, from one that holds all of it.
fn falling(from: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(from), |memory| Some(memory / 8 * 7))
}

#[test]
fn results_have_the_bits_of_float32_under_every_cap() {
    for (kernel, queries, descr) in [
        (Kernel::Gaussian, None, "<f2"),
        (Kernel::Cosine, None, ">f2"),
        (Kernel::Gaussian, Some(30), ">f2"),
    ] {
        let a = halves(140, 9, 4, 51);
        let (half, single) = (stored(&a, descr), stored(&a, "<f4"));
        let options = options(kernel, 5).with_queries(queries);
        let one = device(1);
        let wanted = run_layer(&Context::new(&one), &*single, &options).unwrap();
        let mut runs = 0;
        for (i, memory) in falling(4 << 20).step_by(3).enumerate() {
            let device = device(1 + i % 3);
            let ctx = Context::new(&device).with_memory(memory);
            match run_layer(&ctx, &*half, &options) {
                Ok(found) => same(&found, &wanted),
                Err(Error::Memory { .. }) => break,
                Err(e) => panic!("{e}"),
            }
            runs += 1;
        }
        assert!(runs > 5, "{runs}");
    }
}

#[test]
fn values_that_are_not_finite_are_found_alike() {
    let mut a = halves(90, 5, 3, 52);
    for (sample, value) in [(7, f16::NAN), (8, f16::INFINITY), (61, f16::NEG_INFINITY)] {
        a[[sample, sample % 5, 1, 2]] = value;
    }
    let layers = ["<f2", ">f2", "<f4"].map(|descr| stored(&a, descr));
    let device = device(2);
    let ctx = Context::new(&device);
    let refused = |layer: &dyn Layer| {
        let layers = [layer];
        let input = RedundancyInput::new(&layers);
        match redundancy(&ctx, &input, &RedundancyOptions::default()) {
            Err(Error::Layer { problem, .. }) => format!("{problem:?}"),
            other => panic!("{other:?}"),
        }
    };
    let problems = layers.each_ref().map(|layer| refused(&**layer));
    assert!(problems[2].contains("NonFinite"), "{problems:?}");
    assert!(problems.iter().all(|p| *p == problems[2]), "{problems:?}");
    let options = options(Kernel::Gaussian, 6).with_non_finite(NonFinite::Skip);
    let wanted = run_layer(&ctx, &*layers[2], &options).unwrap();
    assert_eq!(wanted.0.samples_skipped, [7, 8, 61]);
    for memory in [8 << 20, 400 << 10, 270 << 10] {
        let ctx = Context::new(&device).with_memory(memory);
        for layer in &layers[..2] {
            same(&run_layer(&ctx, &**layer, &options).unwrap(), &wanted);
        }
    }
}

/// Under the same cap, halves are never read in more passes than float32, and in fewer where the cap is small. The bytes that
/// a run reads are those of the plan, apart from what the candidates of several queries have in common.
#[test]
fn halves_take_fewer_readings_under_a_cap() {
    for (channels, side) in [(12, 4), (1, 9)] {
        let a = halves(260, channels, side, 53);
        let (half, single) = (stored(&a, "<f2"), stored(&a, "<f4"));
        let options = options(Kernel::Gaussian, 5).with_aggregate(false);
        let device = device(1);
        let mut fewer = 0;
        for memory in falling(3 << 20) {
            let ctx = Context::new(&device).with_memory(memory);
            let Ok(of_single) = estimate(&ctx, &*single, &options) else {
                break;
            };
            let of_half = estimate(&ctx, &*half, &options).unwrap();
            let file = |size: usize| (size * a.len()) as u64;
            let (halves, singles) = (of_half.read_bytes / file(2), of_single.read_bytes / file(4));
            // A copy by channels spares either the passes that a small cap takes.
            if of_half.disk_bytes < file(2) && of_single.disk_bytes < file(4) {
                assert!(halves <= singles, "{memory}: {halves}, {singles}");
                if halves == singles {
                    continue;
                }
                let before = half.bytes_read();
                run_layer(&ctx, &*half, &options).unwrap();
                let read = half.bytes_read() - before;
                assert!(read <= of_half.read_bytes, "{read} {of_half:?}");
                let least = of_half.read_bytes - of_half.fetched_bytes;
                assert!(read >= least, "{read} {of_half:?}");
                fewer += 1;
            }
        }
        assert!(fewer >= 2, "{channels} channels: {fewer}");
    }
}
