//! A whole measurement, cut up in any way, gives the same bits.

use crate::support::runs::{options, relu_layer, run, run_in, same};
use crate::{Devices, Test};
use chanscope::device::Device;
use chanscope::gpu::{Gpu, Options};
use chanscope::io::sink::Output;
use chanscope::measure::Context;
use chanscope::measure::redundancy::Arrays;
use chanscope::ops::{Backend, Kernel};
use chanscope::tensor::ValueType;
use chanscope::units::{Request, Selection, merge, plan, work};
use ndarray::Axis;

pub const TESTS: &[Test] = &[
    ("redundancy::gaussian_bits", gaussian_bits),
    ("redundancy::cosine_bits", cosine_bits),
    ("redundancy::units_bits", units_bits),
];

fn gaussian_bits(devices: &Devices) {
    same_bits(devices, devices.gpu(), Kernel::Gaussian);
}

fn cosine_bits(devices: &Devices) {
    // The other arithmetic, where there are two.
    let gpu = devices.all().last().unwrap();
    same_bits(devices, gpu, Kernel::Cosine);
}

/// A run in units, one or many, has the bits of the run in one go.
fn units_bits(devices: &Devices) {
    let a = relu_layer(60, 5, 2, 4);
    let options = options(Kernel::Gaussian, 6);
    let device = Device::Gpu(Box::new(devices.reopen(&Options {
        wide: Some(devices.gpu().wide()),
        ..Options::default()
    })));
    let expected = run(&device, &a, &options).unwrap().0;
    let dir = tempfile::tempdir().unwrap();
    let values: Vec<f32> = a.iter().copied().collect();
    let dump = Output::create(dir.path().join("dump"), false).unwrap();
    dump.array("a.npy", a.shape(), &values).unwrap();
    dump.finish(&serde_json::json!({})).unwrap();
    let request = Request::new(vec![dir.path().join("dump/a.npy")], options);
    for units in [1, 4] {
        let ctx = Context::new(&device).with_memory(64 << 20);
        let out = dir.path().join(format!("out-{units}"));
        plan(&ctx, &request, &out, false, units).unwrap();
        work(&ctx, &out, &Selection::default()).unwrap();
        let results = merge(&out, false).unwrap();
        let layer = &results.redundancy.unwrap().layers[0];
        assert_eq!(layer.redundancy, expected.redundancy);
        let means = expected.per_channel.iter().map(|c| c.neighbors_mean);
        assert_eq!(layer.neighbors_mean, means.collect::<Vec<_>>());
        assert_eq!(layer.aggregate.as_ref().unwrap().recall, expected.recall);
        for (name, matrix) in [
            ("overlap", &expected.overlap),
            ("jaccard", &expected.jaccard),
        ] {
            let bytes: Vec<u8> = matrix.iter().flat_map(|v| v.to_le_bytes()).collect();
            let found = std::fs::read(out.join(format!("layers/a/{name}.npy"))).unwrap();
            assert!(found.ends_with(&bytes), "{name}, {units} units");
        }
    }
}

/// Memory caps that hold all channels, one, or blocks of points only; threads; buffers that hold little.
fn same_bits(devices: &Devices, gpu: &Gpu, kernel: Kernel) {
    let (samples, side) = (300, 8);
    let a = relu_layer(samples, 3, side, 3);
    let options = options(kernel, 9);
    let open = |max_buffer_bytes| {
        let options = Options {
            wide: Some(gpu.wide()),
            max_buffer_bytes,
            ..Options::default()
        };
        Device::Gpu(Box::new(devices.reopen(&options)))
    };
    let (device, small) = (open(None), open(Some(1 << 18)));
    let reference = run(&device, &a, &options).unwrap();
    same(&reference, &run(&small, &a, &options).unwrap());
    let channel = gpu.points_bytes(1, samples, side * side, ValueType::F32);
    let mut streamed = 0;
    for (memory, threads) in [(4 << 20, 1), (512 << 10, 3), (260 << 10, 1)] {
        let ctx = Context::new(&device).with_memory(memory);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let other = pool.build().unwrap().install(|| run_in(&ctx, &a, &options));
        same(&reference, &other.unwrap());
        // A plan has nine sixteenths of the cap, and the host holds two blocks of points.
        streamed += usize::from(2 * channel > memory / 16 * 9);
    }
    assert!(
        (1..3).contains(&streamed),
        "{streamed} runs had to stream a channel"
    );
    // Queries that are drawn have the graphs that they have among all, whole and streamed.
    let options = options.with_queries(Some(70));
    let some = run(&device, &a, &options).unwrap();
    let rows = &some.0.sampled.as_ref().unwrap().queries;
    let of_all = |graphs: &Arrays| graphs.weights.select(Axis(1), rows);
    assert_eq!(some.1.weights, of_all(&reference.1));
    assert_eq!(some.2.weights, of_all(&reference.2));
    let little = Context::new(&device).with_memory(260 << 10);
    same(&some, &run_in(&little, &a, &options).unwrap());
}
