//! The host's share of the next block's points is done while the device works on this one, and changes no bit.

use crate::failures::disturb;
use crate::knn::params;
use crate::support::halves::{halves, stored};
use crate::support::runs::{options, relu_layer, run, run_in, run_layer, same};
use crate::{Devices, Test};
use chanscope::Result;
use chanscope::device::Device;
use chanscope::gpu::{Gpu, Options};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::{GraphRows, GraphShape, GraphSink, Space};
use chanscope::measure::{Context, RedundancyInput, redundancy};
use chanscope::ops::{Backend, GraphBlock, Identical, Kernel, PointsBlock, Vectors};
use chanscope::tensor::Values;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    (
        "ahead::the_next_block_is_analysed_before_the_results_of_this_one_are_taken",
        the_next_block_is_analysed_first,
    ),
    ("ahead::all_blocks_are_analysed", all_blocks_are_analysed),
    (
        "ahead::analysed_points_have_the_same_bits",
        analysed_points_have_the_same_bits,
    ),
    ("ahead::refused", refused),
    ("ahead::failures", failures),
];

/// A cap under which [`layer`] is several blocks of whole channels.
const LITTLE: u64 = 5 << 19;
/// Caps, and how many blocks of points there are: groups of the six channels, or parts of channels.
const CAPS: [(u64, RangeInclusive<u64>); 4] = [
    (LITTLE, 2..=5),
    (3 << 19, 6..=6),
    (900 << 10, 12..=u64::MAX),
    (260 << 10, 12..=u64::MAX),
];

fn layer() -> ndarray::Array4<f32> {
    relu_layer(300, 6, 8, 3)
}

fn open(devices: &Devices) -> Device {
    Device::Gpu(Box::new(devices.reopen(&Options::default())))
}

fn gpu(device: &Device) -> &Gpu {
    match device {
        Device::Gpu(gpu) => gpu,
        Device::Cpu(_) => unreachable!("this harness opens GPUs"),
    }
}

/// Keeps the results of the first block back until the second is analysed.
struct Waits<'a> {
    gpu: &'a Gpu,
    analysed: AtomicU64,
}

impl GraphSink for Waits<'_> {
    fn begin(&self, _: &str, _: GraphShape) -> Result<()> {
        Ok(())
    }

    fn put(&self, space: Space, rows: GraphRows<'_>) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        while space == Space::Channel(0) && rows.first_query == 0 {
            let now = self.gpu.analysed();
            if self.analysed.fetch_add(now, Ordering::SeqCst) + now >= 2 {
                break;
            }
            let all = self.analysed.load(Ordering::SeqCst);
            assert!(Instant::now() < deadline, "{all} blocks are analysed");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn end(&self) -> Result<()> {
        Ok(())
    }
}

/// An order of events, whatever each of them takes: the thread that has the results of the first block in its hands waits
/// for the analysis of the second, which would never come if it were that thread's next work.
fn the_next_block_is_analysed_first(devices: &Devices) {
    let (device, a) = (open(devices), layer());
    let layer = ArrayLayer::from_array("layer", a.view()).unwrap();
    let layers: [&dyn Layer; 1] = [&layer];
    for threads in [1, 3] {
        let waits = Waits {
            gpu: gpu(&device),
            analysed: AtomicU64::new(0),
        };
        let ctx = Context::new(&device).with_memory(LITTLE);
        let ctx = ctx.with_threads(threads).unwrap();
        let input = RedundancyInput::new(&layers).with_graphs(Some(&waits));
        let options = options(Kernel::Gaussian, 9).with_aggregate(false);
        redundancy(&ctx, &input, &options).unwrap();
        let all = waits.analysed.into_inner() + gpu(&device).analysed();
        assert!((2..=5).contains(&all), "{all} blocks of whole channels");
    }
}

/// Blocks of channels, and blocks of points that are streamed past queries, all of them or drawn ones. Caps that leave no
/// second block, and those that hold none beside what it takes anyway, have the same bits.
fn all_blocks_are_analysed(devices: &Devices) {
    let (device, a) = (open(devices), layer());
    let half = stored(&halves(300, 6, 8, 5), "<f2");
    for queries in [None, Some(70)] {
        let options = options(Kernel::Gaussian, 9)
            .with_aggregate(false)
            .with_queries(queries);
        let whole = run(&device, &a, &options).unwrap();
        let whole_half = run_layer(&Context::new(&device), &*half, &options).unwrap();
        assert_eq!(gpu(&device).analysed(), 0, "one block");
        for (memory, expected) in CAPS {
            let ctx = Context::new(&device).with_memory(memory);
            same(&whole, &run_in(&ctx, &a, &options).unwrap());
            let blocks = gpu(&device).analysed();
            assert!(expected.contains(&blocks), "{memory}: {blocks} blocks");
            same(&whole_half, &run_layer(&ctx, &*half, &options).unwrap());
            let blocks = gpu(&device).analysed();
            assert!(blocks >= 2, "{memory}: {blocks} blocks");
        }
    }
}

fn graph(gpu: &Gpu, block: PointsBlock<'_>, kernel: Kernel, analysed: bool) -> GraphBlock {
    let points = match analysed {
        true => {
            let analysis = gpu.analyse(block, kernel).unwrap();
            gpu.analysed_points(block, kernel, analysis)
        }
        false => gpu.points(block, kernel),
    };
    let (points, params) = (points.unwrap(), params(7, kernel, Identical::Keep));
    let mut found = gpu.candidates(block.groups, block.rows, params.k).unwrap();
    gpu.knn(&points, 0..block.rows, &points, &params, &mut found)
        .unwrap();
    let vectors = Vectors::Points(&points);
    gpu.nnk(&points, 0..block.rows, &found, vectors, &params)
        .unwrap()
}

const BLOCK: PointsBlock<'_> = PointsBlock {
    data: Values::F32(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    groups: 1,
    rows: 3,
    dim: 2,
    first: 0,
};

fn analysed_points_have_the_same_bits(devices: &Devices) {
    for (samples, channels, side) in [(61, 3, 1), (90, 2, 5), (200, 1, 11)] {
        let a = relu_layer(samples, channels, side, 7);
        // The same numbers, cut into groups in their order.
        let data: Vec<f32> = a.iter().copied().collect();
        let narrow: Vec<half::f16> = data.iter().map(|&v| half::f16::from_f32(v)).collect();
        for data in [Values::F32(&data), Values::F16(&narrow)] {
            let block = PointsBlock {
                data,
                groups: channels,
                rows: samples,
                dim: side * side,
                first: 0,
            };
            for (gpu, kernel) in devices
                .all()
                .iter()
                .flat_map(|gpu| [(gpu, Kernel::Gaussian), (gpu, Kernel::Cosine)])
            {
                let of = |analysed| graph(gpu, block, kernel, analysed);
                assert_eq!(of(true), of(false), "{samples} {side} {kernel:?}");
            }
        }
    }
    // Rows that are changed before they go to the device are left to the backend's own turn.
    let subnormal = [1.0, 1e-40, 3.0, 4.0, 5.0, 6.0];
    let block = PointsBlock {
        data: Values::F32(&subnormal),
        ..BLOCK
    };
    assert!(devices.gpu().analyse(block, Kernel::Gaussian).is_none());
    let cpu = chanscope::cpu::Cpu::new(1).unwrap();
    assert!(cpu.analyse(BLOCK, Kernel::Gaussian).is_none());
    assert!(cpu.analysis_bytes(1, 3, 2).is_none());
}

/// What [`Backend::points`] refuses is refused in the same words, and so is an analysis of other rows.
fn refused(devices: &Devices) {
    let gpu = devices.gpu();
    let kernel = Kernel::Gaussian;
    let other = |block| {
        let analysis = gpu.analyse(BLOCK, kernel).unwrap();
        let made = gpu.analysed_points(block, kernel, analysis).map(|_| ());
        made.unwrap_err().to_string()
    };
    let wrong = [
        PointsBlock { dim: 0, ..BLOCK },
        PointsBlock { rows: 2, ..BLOCK },
        PointsBlock {
            first: i32::MAX as usize,
            ..BLOCK
        },
    ];
    for block in wrong {
        assert!(gpu.analyse(block, kernel).is_none());
        let plain = gpu.points(block, kernel).map(|_| ()).unwrap_err();
        assert_eq!(other(block), plain.to_string());
    }
    let turned = PointsBlock {
        rows: 2,
        dim: 3,
        ..BLOCK
    };
    assert_eq!(other(turned), "analysis has 3 elements, expected 4");
    let analysis = gpu.analyse(BLOCK, Kernel::Cosine).unwrap();
    let made = gpu.analysed_points(BLOCK, kernel, analysis).map(|_| ());
    let text = made.unwrap_err().to_string();
    assert!(
        text.contains("Cosine") && text.contains("Gaussian"),
        "{text}"
    );
}

/// Every allocation, copy, submission and wait of a run in several blocks fails once.
fn failures(devices: &Devices) {
    let a = relu_layer(60, 5, 4, 3);
    let options = options(Kernel::Gaussian, 5).with_aggregate(false);
    // Whole channels, one a block, and parts of channels.
    for (memory, points, expected) in [(300, 6, 5..=5), (120, 2, 6..=u64::MAX)] {
        disturb(devices, points, &|device| {
            // Those of a run that failed.
            gpu(device).analysed();
            let ctx = Context::new(device).with_memory(memory << 10);
            let found = run_in(&ctx, &a, &options)?;
            let blocks = gpu(device).analysed();
            assert!(expected.contains(&blocks), "{memory}: {blocks} blocks");
            Ok(format!("{found:#?}"))
        });
    }
}
