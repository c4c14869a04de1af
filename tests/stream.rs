//! Planning stays under the cap and covers the job; reading ahead hands over every block in order.

mod analysed;

use crate::formats::{folder, npy_bytes, write};
use chanscope::control::Control;
use chanscope::io::kept::Kept;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::io::spill::CopyPlace;
use chanscope::stream::plan::{Costs, GraphJob, plan_graph, repacked_rows, worth_repacking};
use chanscope::stream::repack::Repacked;
use chanscope::stream::run::{Layout, Read, ranges, read_ahead};
use chanscope::tensor::{DType, LayerShape, ValueType};
use chanscope::{Error, Result};
use proptest::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

struct Linear {
    max_block: u64,
    shares: bool,
}

impl Costs for Linear {
    fn points_bytes(&self, groups: usize, rows: usize, dim: usize, _: ValueType) -> u64 {
        8 * (groups * rows * (dim + 1)) as u64
    }
    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64 {
        (groups * queries * k * 16 + k * (k + dim) * 8) as u64
    }
    fn max_block_bytes(&self) -> u64 {
        self.max_block
    }
    fn shares_host_memory(&self) -> bool {
        self.shares
    }
}

proptest! {
    #[test]
    fn plans_stay_under_the_cap(
        spaces in 1usize..300, samples in 2usize..200_000, dim in 1usize..4000, k in 1usize..200,
        memory in 20u32..36, block in 24u32..36, shares: bool, half: bool,
    ) {
        let values = if half { ValueType::F16 } else { ValueType::F32 };
        let job = GraphJob { spaces, samples, dim, k, queries: samples, drawn: false, values };
        let costs = Linear { max_block: 1 << block, shares };
        let memory = 1u64 << memory;
        match plan_graph(&job, &costs, memory) {
            Ok(plan) => {
                prop_assert!(plan.bytes(&job, &costs) <= memory / 4 * 3);
                prop_assert!((1..=spaces).contains(&plan.groups));
                prop_assert!((1..=samples).contains(&plan.points));
                prop_assert!((1..=samples).contains(&plan.queries));
                prop_assert!((1..=samples).contains(&plan.fetched));
                prop_assert!((1..=plan.queries).contains(&plan.solved));
                prop_assert!(plan.groups == 1 || plan.whole(&job));
                prop_assert!(plan.readings(&job) == 1 || !plan.whole(&job));
                prop_assert!((plan.groups * plan.points * dim) as u64 * 4 <= costs.max_block);
                // More memory is never refused.
                prop_assert!(plan_graph(&job, &costs, 2 * memory).is_ok());
            }
            Err(Error::Memory { .. }) => {}
            Err(e) => prop_assert!(false, "{e}"),
        }
    }
}

/// A channel of ten times the memory is read once for each memory full of queries, and `k` times to fetch candidates. The memory is
/// divided so that no more than twice as much is read as that.
#[test]
fn a_channel_larger_than_memory_is_read_as_seldom_as_can_be() {
    let costs = Linear {
        max_block: u64::MAX,
        shares: false,
    };
    let (samples, dim, memory) = (100_000, 10_000, 400_000_000u64);
    for k in [4, 9, 25, 100] {
        let job = GraphJob {
            spaces: 1,
            samples,
            dim,
            k,
            queries: samples,
            drawn: false,
            values: ValueType::F32,
        };
        let plan = plan_graph(&job, &costs, memory).unwrap();
        let full = (4 * samples * dim) as f64 / (memory / 4 * 3) as f64;
        let least = full + k as f64;
        let readings = plan.readings(&job) as f64;
        println!(
            "k {k}: {readings} readings, {least:.0} at least, of a channel of {full:.1} memories"
        );
        assert!(readings >= least, "k {k}: {readings} < {least}");
        // Rows on this device take twice their values, and points and vectors a part of the memory.
        assert!(
            readings <= 2.0 * full / 0.6 + k as f64 + 2.0,
            "k {k}: {readings}"
        );
        assert_eq!(plan.rows_fetched(&job), (k * samples) as u64, "k {k}");
        // Of few drawn queries, hardly more is read than for the search.
        let few = GraphJob {
            queries: 500,
            drawn: true,
            ..job
        };
        let plan = plan_graph(&few, &costs, memory).unwrap();
        assert_eq!(plan.rows_fetched(&few), 500 * k as u64);
        assert!(plan.rows_read(&few) <= (samples + 500 + 500 * k) as u64);
    }
}

#[test]
fn everything_at_once_when_it_fits() {
    let job = GraphJob {
        spaces: 16,
        samples: 10_000,
        dim: 16,
        k: 25,
        queries: 10_000,
        drawn: false,
        values: ValueType::F32,
    };
    let costs = Linear {
        max_block: u64::MAX,
        shares: true,
    };
    let plan = plan_graph(&job, &costs, 4 << 30).unwrap();
    assert_eq!((plan.groups, plan.points), (16, 10_000));
}

/// `A[i, c, y, x]` holds its own flat index.
struct Counting {
    shape: LayerShape,
    reads: AtomicUsize,
    fail_at: usize,
}

impl Counting {
    fn value(&self, sample: usize, channel: usize, at: usize) -> f32 {
        ((sample * self.shape.channels + channel) * self.shape.dim() + at) as f32
    }
}

impl Layer for Counting {
    fn name(&self) -> &str {
        "counting"
    }
    fn shape(&self) -> LayerShape {
        self.shape
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        if self.reads.fetch_add(1, Ordering::SeqCst) == self.fail_at {
            return Err(Error::unsuitable("counting", "fails here"));
        }
        let mut slots = out.iter_mut();
        for &c in channels {
            for i in rows.clone() {
                for at in 0..self.shape.dim() {
                    *slots.next().unwrap() = self.value(i, c, at);
                }
            }
        }
        Ok(())
    }
    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        let mut slots = out.iter_mut();
        for i in rows {
            for &c in channels {
                for at in 0..self.shape.dim() {
                    *slots.next().unwrap() = self.value(i, c, at);
                }
            }
        }
        Ok(())
    }
}

fn counting(fail_at: usize) -> Counting {
    Counting {
        shape: LayerShape::new(23, 5, 2, 3).unwrap(),
        reads: AtomicUsize::new(0),
        fail_at,
    }
}

fn blocks() -> impl Iterator<Item = Read> + Send {
    ranges(3, 2).flat_map(|channels| {
        ranges(23, 7).map(move |rows| Read {
            channels: channels.clone(),
            rows,
        })
    })
}

#[test]
fn blocks_come_in_order_with_their_values() {
    let layer = counting(usize::MAX);
    let selection = [4, 0, 2];
    let mut seen = Vec::new();
    read_ahead(
        &layer,
        &selection,
        Layout::ChannelMajor,
        blocks(),
        &Control::default(),
        |read, data| {
            let mut values = data.iter();
            for &c in &selection[read.channels.clone()] {
                for i in read.rows.clone() {
                    for at in 0..6 {
                        assert_eq!(*values.next().unwrap(), layer.value(i, c, at));
                    }
                }
            }
            assert!(values.next().is_none());
            seen.push(read.clone());
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(seen, blocks().collect::<Vec<_>>());
}

#[test]
fn a_failing_read_ends_the_run_with_its_error() {
    let layer = counting(3);
    let mut worked = 0;
    let result = read_ahead(
        &layer,
        &[0, 1, 2],
        Layout::ChannelMajor,
        blocks(),
        &Control::default(),
        |_, _| {
            worked += 1;
            Ok(())
        },
    );
    assert!(result.unwrap_err().to_string().contains("fails here"));
    assert_eq!(worked, 3);
}

#[test]
fn cancelling_and_failing_work_stop_the_reader() {
    let layer = counting(usize::MAX);
    let stop = AtomicBool::new(false);
    let control = Control::default().with_cancel(&stop);
    let result = read_ahead(
        &layer,
        &[0, 1, 2],
        Layout::ChannelMajor,
        blocks(),
        &control,
        |_, _| {
            stop.store(true, Ordering::SeqCst);
            Ok(())
        },
    );
    assert!(matches!(result, Err(Error::Cancelled)));
    let result = read_ahead(
        &layer,
        &[0, 1, 2],
        Layout::ChannelMajor,
        blocks(),
        &Control::default(),
        |_, _| Err(Error::network("work")),
    );
    assert_eq!(result.unwrap_err().to_string(), "work");
    assert!(layer.reads.load(Ordering::SeqCst) < 16);
}

/// A copy by channels, of the whole layer and of some channels and samples, reads as the layer itself.
#[test]
fn a_repacked_layer_reads_as_the_layer_itself() {
    let dir = folder();
    let halves: Vec<u8> = (0..40 * 7 * 6u32)
        .flat_map(|i| match i / 6 % 7 {
            // A channel of zeros, which is not written.
            3 => [0, 0],
            _ => (i as u16 % 0x7000).to_be_bytes(),
        })
        .collect();
    let path = write(
        dir.path(),
        "a.npy",
        &npy_bytes(">f2", "(40, 7, 2, 3)", &halves),
    );
    let layer = npy::open(path, "a").unwrap();
    let some: Vec<usize> = (0..40).filter(|i| i % 5 != 2).collect();
    let kept = Kept::new(&*layer, some).unwrap();
    let cases: [(&dyn Layer, Vec<usize>); 3] = [
        (&*layer, (0..7).collect()),
        (&*layer, vec![6, 3, 1, 3]),
        (&kept, vec![2, 3, 0]),
    ];
    for (layer, channels) in cases {
        // From one sample at a time to all at once.
        for memory in [400, 4000, 1 << 20] {
            let n = layer.shape().samples;
            let (before, boxed) = (layer.bytes_read(), Box::new(layer));
            let copy = Repacked::new(boxed, &channels, memory, dir.path(), &Control::default());
            let copy = copy.unwrap();
            let (made, all) = (layer.bytes_read(), (n * 7 * 6 * 2) as u64);
            assert_eq!(made - before, all, "the file is read once");
            for rows in [0..n, 3..17, 5..5] {
                for wanted in [&channels[..], &channels[1..2], &[]] {
                    let len = rows.len() * wanted.len() * 6;
                    let (mut a, mut b) = (vec![-1.0; len], vec![-2.0; len]);
                    copy.read_channels(rows.clone(), wanted, &mut a).unwrap();
                    layer.read_channels(rows.clone(), wanted, &mut b).unwrap();
                    assert_eq!(a, b);
                }
            }
            // Of the copy, every channel once, and some samples again.
            let each = (channels.len() + 1) * (n + 14) * 6 * 2;
            assert_eq!(copy.copy_read(), each as u64);
            assert!(
                copy.read_channels(0..n + 1, &channels[..1], &mut vec![0.0; n * 6 + 6])
                    .is_err()
            );
            assert!(
                copy.read_channels(0..n, &channels[..1], &mut [0.0])
                    .is_err()
            );
        }
    }
}

/// A copy that is kept reads as the layer itself, whatever its parts are and wherever it is damaged, and is made once.
#[test]
fn a_kept_copy_reads_as_the_layer_itself() {
    let dir = folder();
    let bytes: Vec<u8> = (0..3000 * 3 * 400u32)
        .flat_map(|i| match (i / 400 % 3, i / 1200) {
            // Zero in all samples, and in some.
            (1, _) | (2, 700..2100) => [0, 0],
            _ => (i.wrapping_mul(0x9E37_79B9) as u16 & 0x3fff).to_be_bytes(),
        })
        .collect();
    let path = write(
        dir.path(),
        "a.npy",
        &npy_bytes(">f2", "(3000, 3, 20, 20)", &bytes),
    );
    let layer = npy::open(path, "a").unwrap();
    let some: Vec<usize> = (0..3000).filter(|i| i % 7 != 2).collect();
    let kept = Kept::new(&*layer, some).unwrap();
    let cases: [(&dyn Layer, Vec<usize>, usize); 3] = [
        // Channels of 1.6 MB: two pieces in each part.
        (&*layer, vec![0, 1, 2], 2000),
        (&*layer, vec![2, 0], 3000),
        (&kept, vec![1, 2], 700),
    ];
    for (case, (layer, channels, part)) in cases.into_iter().enumerate() {
        let folder = dir.path().join(case.to_string());
        std::fs::create_dir_all(folder.join("units")).unwrap();
        let place = CopyPlace::new(&folder, 0, "a run", part);
        let shape = place.shape(layer, channels.len());
        let n = layer.shape().samples;
        let make = |memory: u64| {
            let made = Repacked::kept(
                Box::new(layer),
                &channels,
                memory,
                &place,
                &Control::default(),
            );
            made.unwrap().expect("a copy")
        };
        let same = |copy: &Repacked<'_>| {
            for rows in [0..n, 690..n - 5, 1..2, 5..5] {
                for wanted in [&channels[..], &channels[1..2], &[]] {
                    let len = rows.len() * wanted.len() * 400;
                    let (mut a, mut b) = (vec![-1.0; len], vec![-2.0; len]);
                    copy.read_channels(rows.clone(), wanted, &mut a).unwrap();
                    layer.read_channels(rows.clone(), wanted, &mut b).unwrap();
                    assert!(a == b, "{case} {rows:?} {wanted:?}");
                    let zero = half::f16::ZERO;
                    let (mut a, mut b) = (vec![half::f16::MAX; len], vec![zero; len]);
                    copy.read_channels_f16(rows.clone(), wanted, &mut a)
                        .unwrap();
                    layer
                        .read_channels_f16(rows.clone(), wanted, &mut b)
                        .unwrap();
                    assert!(a == b, "{case} {rows:?} {wanted:?}");
                }
            }
        };
        assert_eq!(place.missing(&shape).unwrap().len(), n.div_ceil(part));
        // In blocks of some samples, and all at once.
        let before = layer.bytes_read();
        let copy = make(4 * 1200 * 2 * 333);
        let file = (n * 1200 * 2) as u64;
        assert_eq!(layer.bytes_read() - before, file);
        same(&copy);
        assert!(!copy.is_damaged());
        copy.close().unwrap();
        let before = layer.bytes_read();
        let copy = make(1 << 30);
        assert_eq!(layer.bytes_read(), before, "made once");
        let read_of_it = copy.copy_read();
        let mut out = vec![0.0; n * 400];
        copy.read_channels(0..n, &channels[..1], &mut out).unwrap();
        assert_eq!(layer.bytes_read(), before, "read from the copy");
        assert!(case == 2 || copy.copy_read() > read_of_it);
        let beyond = &mut vec![0.0; (n + 1) * 400];
        assert!(
            copy.read_channels(0..n + 1, &channels[..1], beyond)
                .is_err()
        );
        assert!(
            copy.read_channels(0..n, &channels[..1], &mut [0.0])
                .is_err()
        );
        drop(copy);
        // A byte of the last channel at a time, in the first and the last part, that is not zero.
        for (at, number) in [0, n.div_ceil(part) - 1].into_iter().enumerate() {
            let maps = folder.join(format!("units/copy-00000-{number:05}/maps.bin"));
            let mut bytes = std::fs::read(&maps).unwrap();
            let last = bytes.iter().rposition(|&b| b != 0).unwrap();
            bytes[last] ^= 1;
            std::fs::write(&maps, bytes).unwrap();
            let copy = Repacked::open(Box::new(layer), &channels, &place);
            let copy = copy.unwrap().expect("of the same lengths");
            same(&copy);
            assert!(copy.is_damaged(), "{case} {at}");
            copy.close().unwrap();
            assert_eq!(place.missing(&shape).unwrap(), [number]);
            let before = layer.bytes_read();
            let copy = make(1 << 30);
            let rows = shape.rows(number).len();
            assert_eq!(layer.bytes_read() - before, (rows * 1200 * 2) as u64);
            same(&copy);
            assert!(!copy.is_damaged());
        }
        // Of another run.
        let other = CopyPlace::new(&folder, 0, "another run", part);
        assert!(other.open(layer, &shape).unwrap().is_none());
        place.remove_all();
        assert_eq!(std::fs::read_dir(folder.join("units")).unwrap().count(), 0);
    }
}

#[test]
fn a_copy_is_worth_more_than_three_passes_in_small_parts() {
    let (small, large) = (2000, 300 << 10);
    assert!(worth_repacking(4, small, large));
    assert!(!worth_repacking(3, small, large));
    assert!(!worth_repacking(100, large, 8 * large));
    // Parts as small as those of the copy, whose pieces the memory bounds.
    assert!(!worth_repacking(100, small, small));
    assert_eq!(repacked_rows(1000, 2000, 8 << 20), 1000);
    assert_eq!(repacked_rows(1000, 20_000, 8 << 20), 104);
    assert_eq!(repacked_rows(1000, 20_000, 10_000), 0);
}
