//! The bytes that a run reads from its file are those that its plan states, however it is cut.

use crate::formats::{f32_bytes, folder, npy_bytes, write};
use crate::support::runs::{options, relu_layer, run_layer, same};
use chanscope::Error;
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::kept::Kept;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::measure::redundancy::{Estimate, NonFinite, estimate};
use chanscope::measure::{Context, RedundancyOptions};
use chanscope::ops::Kernel;
use ndarray::Array4;
use std::path::Path;

/// An array as float32, or as half precision.
fn stored(dir: &Path, a: &Array4<f32>, half: bool) -> Box<dyn Layer> {
    let values: Vec<f32> = a.iter().copied().collect();
    let bytes = match half {
        true => {
            let halves = values.iter().map(|v| half::f16::from_f32(*v));
            halves.flat_map(half::f16::to_le_bytes).collect()
        }
        false => f32_bytes(&values),
    };
    let descr = if half { "<f2" } else { "<f4" };
    let (n, c, h, w) = a.dim();
    let shape = format!("({n}, {c}, {h}, {w})");
    let path = write(dir, "a.npy", &npy_bytes(descr, &shape, &bytes));
    npy::open(path, "a").unwrap()
}

/// Asserts that what was read is what the estimate states. Of the candidates that are fetched, what several queries have in common
/// is read once, and every one at least once.
fn assert_read(read: u64, stated: &Estimate) {
    assert!(read <= stated.read_bytes, "{read} {stated:?}");
    let least = stated.read_bytes - stated.fetched_bytes;
    match stated.fetched_bytes {
        0 => assert_eq!(read, least, "{stated:?}"),
        _ => assert!(read > least, "{read} {stated:?}"),
    }
}

/// Runs under every cap, from the largest to those that are refused. Asserts that results have the bits of those without a
/// cap, and the file is read as the estimate states. Returns the estimates.
fn under_caps(
    layer: &dyn Layer,
    options: &RedundancyOptions,
    caps: impl Iterator<Item = u64>,
) -> Vec<Estimate> {
    let device = Device::open(&DeviceChoice::Cpu, 1).unwrap();
    let reference = run_layer(&Context::new(&device), layer, options).unwrap();
    let mut stated = Vec::new();
    for memory in caps {
        let ctx = Context::new(&device).with_memory(memory);
        let found = match estimate(&ctx, layer, options) {
            Ok(found) => found,
            Err(Error::Memory { .. }) => break,
            Err(e) => panic!("{e}"),
        };
        let before = layer.bytes_read();
        same(&reference, &run_layer(&ctx, layer, options).unwrap());
        assert_read(layer.bytes_read() - before, &found);
        stated.push(found);
    }
    stated
}

fn falling(from: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(from), |memory| Some(memory / 5 * 3))
}

#[test]
fn groups_of_channels_and_a_copy_by_channels_read_what_the_estimate_states() {
    let a = relu_layer(150, 24, 3, 41);
    for (half, queries, aggregate) in [
        (false, None, false),
        (true, None, true),
        (true, Some(9), false),
    ] {
        let dir = folder();
        let layer = stored(dir.path(), &a, half);
        let file = (a.len() * layer.dtype().size()) as u64;
        let options = options(Kernel::Gaussian, 5)
            .with_aggregate(aggregate)
            .with_queries(queries);
        let stated = under_caps(&*layer, &options, falling(8 << 20));
        let copied = |found: &&Estimate| found.disk_bytes >= file;
        let passes: Vec<u64> = stated.iter().map(|found| found.read_bytes / file).collect();
        // Everything at once, a few passes, and beyond three a copy.
        let own = if aggregate { 1 } else { 0 };
        assert_eq!(passes[0], 2 + own, "{stated:?}");
        assert!(passes.contains(&(3 + own)), "{passes:?}");
        let first = stated.iter().find(copied).expect("a copy");
        assert!(first.read_bytes >= (2 + own) * file, "{first:?}");
        if !aggregate {
            let copies = stated.iter().filter(copied);
            assert!(
                copies.clone().all(|found| found.read_bytes == 2 * file),
                "{stated:?}"
            );
            assert!(copies.count() > 2, "{stated:?}");
        }
    }
}

#[test]
fn a_channel_larger_than_the_cap_reads_what_the_estimate_states() {
    let a = relu_layer(300, 2, 8, 42);
    let a = a.slice(ndarray::s![.., ..1, .., ..]).to_owned();
    for queries in [None, Some(40), Some(10)] {
        let dir = folder();
        let layer = stored(dir.path(), &a, queries.is_some());
        let file = (a.len() * layer.dtype().size()) as u64;
        let options = options(Kernel::Gaussian, 5)
            .with_aggregate(false)
            .with_queries(queries);
        // Close to each other: candidates are picked for all queries under the smallest caps only.
        let caps = falling(1 << 20).flat_map(|cap| [cap, cap / 6 * 5, cap / 10 * 7]);
        let stated = under_caps(&*layer, &options, caps);
        // One channel lies in one piece already.
        assert!(
            stated.iter().all(|found| found.disk_bytes < file),
            "{stated:?}"
        );
        let most = stated.iter().map(|found| found.read_bytes).max();
        let few = queries == Some(10);
        assert_eq!(most > Some(3 * file), !few, "{stated:?}");
        // Candidates are picked, and no other sample is read with them; those of 40 queries are too many for it.
        let picked = file / 300 * 5 * queries.unwrap_or(300) as u64;
        let all = |found: &&Estimate| found.fetched_bytes == file;
        let picked = |found: &&Estimate| found.fetched_bytes == picked;
        let found = (stated.iter().find(picked), stated.iter().find(all));
        let expected = (queries != Some(40), queries == Some(40));
        assert_eq!(
            (found.0.is_some(), found.1.is_some()),
            expected,
            "{stated:?}"
        );
    }
}

#[test]
fn large_gaps_between_channels_are_not_read() {
    let a = relu_layer(30, 12, 40, 43);
    let dir = folder();
    let layer = stored(dir.path(), &a, false);
    let options = options(Kernel::Gaussian, 4)
        .with_aggregate(false)
        .with_channels(Some(vec![9, 0, 1]));
    let stated = under_caps(&*layer, &options, falling(8 << 20));
    // Two readings of three of twelve channels, in several groups in the end.
    let wanted = 2 * 3 * 30 * 1600 * 4;
    assert_eq!(stated[0].read_bytes, wanted);
    assert!(stated.len() > 2 && stated.iter().all(|found| found.read_bytes >= wanted));
}

#[test]
fn samples_left_out_are_read_by_the_first_pass_only() {
    let mut a = relu_layer(150, 6, 3, 44);
    for (sample, channel) in [(0, 1), (70, 5), (71, 0)] {
        a[[sample, channel, 1, 2]] = f32::NAN;
    }
    let dir = folder();
    let layer = stored(dir.path(), &a, false);
    let kept: Vec<usize> = (0..150).filter(|i| ![0, 70, 71].contains(i)).collect();
    let kept = Kept::new(&*layer, kept).unwrap();
    let all: Vec<usize> = (0..6).collect();
    let device = Device::open(&DeviceChoice::Cpu, 1).unwrap();
    let options = options(Kernel::Gaussian, 5).with_non_finite(NonFinite::Skip);
    for memory in [8 << 20, 160 << 10] {
        let ctx = Context::new(&device).with_memory(memory);
        let stated = estimate(&ctx, &kept, &options).unwrap();
        let before = layer.bytes_read();
        let found = run_layer(&ctx, &*layer, &options).unwrap();
        assert_eq!(found.0.samples_skipped, [0, 70, 71]);
        // Once to find them, and then as if they were not there.
        let found_first = 150 * layer.row_bytes(&all);
        assert_read(layer.bytes_read() - before - found_first, &stated);
    }
}
