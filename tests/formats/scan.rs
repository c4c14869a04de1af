//! Counting what a layer holds.

use super::{f32_bytes, folder, npy_bytes, write};
use chanscope::Error;
use chanscope::control::Control;
use chanscope::io::array::ArrayLayer;
use chanscope::io::kept::Kept;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::io::scan::{Position, Scan, scan};
use chanscope::tensor::LayerShape;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const PLENTY: u64 = 1 << 30;

/// The same counts, value by value.
fn check(found: &Scan, values: &[f32], shape: LayerShape, channels: &[usize]) {
    let dim = shape.dim();
    let map = |n: usize, c: usize| &values[(n * shape.channels + c) * dim..][..dim];
    let mut first = None;
    for n in 0..shape.samples {
        for c in 0..shape.channels {
            for (i, v) in map(n, c).iter().enumerate() {
                if channels.contains(&c) && !v.is_finite() && first.is_none() {
                    let (y, x) = (i / shape.width, i % shape.width);
                    first = Some(Position {
                        sample: n,
                        channel: c,
                        y,
                        x,
                    });
                }
            }
        }
    }
    assert_eq!(found.first_bad, first);
    assert_eq!(found.channels.len(), channels.len());
    for (got, &c) in found.channels.iter().zip(channels) {
        let all: Vec<f32> = (0..shape.samples)
            .flat_map(|n| map(n, c).to_vec())
            .collect();
        let count = |f: fn(&f32) -> bool| all.iter().filter(|v| f(v)).count() as u64;
        let finite = all.iter().copied().filter(|v| v.is_finite());
        assert_eq!(got.channel, c);
        assert_eq!(
            (got.nan, got.inf),
            (count(|v| v.is_nan()), count(|v| v.is_infinite()))
        );
        assert_eq!(got.zeros, count(|v| *v == 0.0));
        assert_eq!(got.min, finite.clone().fold(f32::INFINITY, f32::min));
        assert_eq!(got.max, finite.fold(f32::NEG_INFINITY, f32::max));
        assert_eq!(
            found.dead_channels().contains(&c),
            all.iter().all(|v| *v == 0.0)
        );
    }
    let bad = |n: &usize| {
        channels
            .iter()
            .any(|&c| map(*n, c).iter().any(|v| !v.is_finite()))
    };
    let (bad, good): (Vec<usize>, Vec<usize>) = (0..shape.samples).partition(bad);
    assert_eq!((&found.bad_samples, found.good_samples()), (&bad, good));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn counts_agree_with_a_plain_loop(
        (n, c, h, w) in (1usize..70, 1usize..6, 1usize..4, 1usize..20),
        specials in prop::collection::vec((any::<prop::sample::Index>(), 0usize..5), 0..8),
        dead in prop::option::of(0usize..6),
        reverse in any::<bool>(),
        threads in 1usize..4,
    ) {
        let shape = LayerShape::new(n, c, h, w).expect("shape");
        let mut values: Vec<f32> = (0..shape.len()).map(|i| ((i * 7919) % 23) as f32 - 5.0).collect();
        for (at, kind) in specials {
            let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, -f32::NAN];
            values[at.index(shape.len())] = specials[kind];
        }
        for (i, v) in values.iter_mut().enumerate() {
            if Some(i / shape.dim() % c) == dead {
                *v = if i % 2 == 0 { 0.0 } else { -0.0 };
            }
        }
        let mut channels: Vec<usize> = (0..c).collect();
        if reverse {
            channels.reverse();
            channels.truncate(c.div_ceil(2));
        }
        let layer = ArrayLayer::new("a", shape, &values[..]).expect("layer");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
        let found = pool.install(|| scan(&layer, &channels, PLENTY, &Control::default())).expect("scan");
        check(&found, &values, shape, &channels);
    }
}

#[test]
fn layers_of_many_blocks_whatever_the_threads_and_memory() {
    let shape = LayerShape::new(300, 3, 16, 33).expect("shape");
    let mut values: Vec<f32> = (0..shape.len())
        .map(|i| (i as f32 * 0.37).sin().max(0.0))
        .collect();
    for i in [70_001, 70_002, 311_111] {
        values[i] = f32::NAN;
    }
    let dir = folder();
    let path = write(
        dir.path(),
        "a.npy",
        &npy_bytes("<f4", "(300, 3, 16, 33)", &f32_bytes(&values)),
    );
    let layer = npy::open(path, "a").expect("open");
    for (threads, memory) in [(1, PLENTY), (4, PLENTY), (4, 500_000)] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("pool");
        let found = pool
            .install(|| scan(layer.as_ref(), &[0, 1, 2], memory, &Control::default()))
            .expect("scan");
        check(&found, &values, shape, &[0, 1, 2]);
    }
    // A map wider than a block.
    let wide = LayerShape::new(3, 2, 1, 150_000).expect("shape");
    let layer = ArrayLayer::new("b", wide, vec![1.0; wide.len()]).expect("layer");
    let found = scan(&layer, &[1], PLENTY, &Control::default()).expect("scan");
    check(&found, &vec![1.0; wide.len()], wide, &[1]);
    let e = scan(&layer, &[1], 100_000, &Control::default()).expect_err("too small");
    assert!(matches!(e, Error::Memory { .. }), "{e}");
}

#[test]
fn refusal_names_the_count_and_the_first_position() {
    let dir = folder();
    let mut values = [1f32; 2 * 2 * 2 * 3];
    values[12 + 6 + 5] = f32::NAN;
    values[12 + 6 + 4] = f32::INFINITY;
    let path = write(
        dir.path(),
        "conv.npy",
        &npy_bytes("<f4", "(2, 2, 2, 3)", &f32_bytes(&values)),
    );
    let layer = npy::open(&path, "conv").expect("open");
    let found = scan(layer.as_ref(), &[0, 1], PLENTY, &Control::default()).expect("scan");
    let line = found.refusal(layer.as_ref()).expect("refused").to_string();
    assert!(line.starts_with(&path.display().to_string()), "{line}");
    for words in [
        "1 NaN and 1 infinite",
        "1 of 2 samples",
        "sample 1, channel 1, y 1, x 1",
        "skip these samples",
    ] {
        assert!(line.contains(words), "'{words}' not in: {line}");
    }
    // Only the channels asked for count.
    let found = scan(layer.as_ref(), &[0], PLENTY, &Control::default()).expect("scan");
    assert!(found.refusal(layer.as_ref()).is_none());
}

#[test]
fn doubles_too_large_count_as_infinite() {
    let dir = folder();
    let bytes: Vec<u8> = [1e39f64, 1.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let path = write(dir.path(), "a.npy", &npy_bytes("<f8", "(2, 1)", &bytes));
    let layer = npy::open(path, "a").expect("open");
    assert_eq!(
        scan(layer.as_ref(), &[0], PLENTY, &Control::default())
            .expect("scan")
            .inf(),
        1
    );
}

#[test]
fn doubles_beyond_float32_are_counted_by_channel_and_sample() {
    let dir = folder();
    // [3, 2, 1, 2]: beyond in channel 0 of samples 0 and 2, in channel 1 of sample 1; an infinity beside them.
    let mut values = [1f64; 12];
    values[0] = 1e39;
    values[6] = -3.5e38;
    values[8] = f64::MAX;
    values[9] = f64::INFINITY;
    values[10] = f64::from(f32::MAX);
    for (descr, bytes) in [
        ("<f8", values.map(f64::to_le_bytes).concat()),
        (">f8", values.map(f64::to_be_bytes).concat()),
    ] {
        let path = write(
            dir.path(),
            "a.npy",
            &npy_bytes(descr, "(3, 2, 1, 2)", &bytes),
        );
        let layer = npy::open(path, "a").expect("open");
        let count = |rows, channels: &[usize]| layer.beyond_f32(rows, channels).expect("read");
        assert_eq!(count(0..3, &[0, 1]), 3);
        assert_eq!(count(0..3, &[0]), 2);
        assert_eq!(count(0..1, &[0, 1]), 1);
        assert_eq!(count(1..2, &[0]), 0);
        let found = scan(layer.as_ref(), &[0, 1], PLENTY, &Control::default()).expect("scan");
        assert_eq!((found.inf(), found.beyond_f32(layer.as_ref())), (4, Ok(3)));
        let line = found.refusal(layer.as_ref()).expect("refused").to_string();
        assert!(
            line.contains("0 NaN, 1 infinite values and 3 values beyond the range of float32"),
            "{line}"
        );
        let kept = Kept::new(layer, vec![0, 2]).expect("layer");
        assert_eq!(kept.beyond_f32(0..2, &[0, 1]), Ok(2));
        assert_eq!(kept.beyond_f32(1..2, &[0]), Ok(1));
    }
}

#[test]
fn a_scan_reports_its_bytes_and_can_be_stopped() {
    let shape = LayerShape::new(64, 4, 50, 50).expect("shape");
    let layer = ArrayLayer::new("a", shape, vec![0.5; shape.len()]).expect("layer");
    let last = AtomicU64::new(0);
    let report = |p: chanscope::control::Progress<'_>| {
        assert_eq!(p.total, 4 * shape.len() as u64);
        last.fetch_max(p.done, Ordering::Relaxed);
    };
    scan(
        &layer,
        &[0, 1, 2, 3],
        PLENTY,
        &Control::default().with_progress(&report),
    )
    .expect("scan");
    assert_eq!(last.into_inner(), 4 * shape.len() as u64);

    let stop = AtomicBool::new(true);
    let stopped = scan(&layer, &[0], PLENTY, &Control::default().with_cancel(&stop));
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn a_scan_of_a_shrinking_file_is_an_error() {
    let dir = folder();
    let bytes = npy_bytes("<f4", "(8, 1)", &f32_bytes(&[1.0; 8]));
    let path = write(dir.path(), "a.npy", &bytes);
    let layer = npy::open(&path, "a").expect("open");
    std::fs::write(&path, &bytes[..bytes.len() - 4]).expect("shorten");
    assert!(matches!(
        scan(layer.as_ref(), &[0], PLENTY, &Control::default()),
        Err(Error::File { .. })
    ));
    assert_eq!(layer.shape().samples, 8);
}
