//! Failures of the device: every allocation and every submission fails once, and the run ends with the results that it
//! has without a failure, or with one typed error. Afterwards a new run works.

use crate::data::Random;
use crate::knn::{Data, params};
use crate::nnk::try_graph;
use crate::support::runs::{options, relu_layer, run};
use crate::{Devices, Test};
use chanscope::device::Device;
use chanscope::error::DeviceProblem;
use chanscope::gpu::{Call, Failure, Fault, Gpu, Options};
use chanscope::io::sink::Output;
use chanscope::measure::{Context, ImpulseOptions, impulse};
use chanscope::model::lenet::{lenet, weights};
use chanscope::ops::filters::{FilterOps, FilterParams, FilterShape, InputChannels, Pairs};
use chanscope::ops::{Activation, Backend, Conv2dParams, GramKind, Identical, Kernel};
use chanscope::{Error, Result};
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("failures::graphs", graphs),
    ("failures::whole_runs", whole_runs),
    ("failures::matrices_and_convolutions", matrices),
    ("failures::filters", filters),
    ("failures::responses", responses),
    (
        "failures::smaller_passes_give_the_same_bits",
        smaller_passes,
    ),
    ("failures::opening", opening),
];

/// Ignored where the tests were taken to a machine without the program.
pub const WITH_PROGRAM: &[Test] = &[("failures::the_command_says_one_line", command)];

/// The command, where the tests were built.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_chanscope");

/// Work whose results come as text: all of them (`#`, for arrays), and floats exactly.
pub type Job<'a> = dyn Fn(&Device) -> Result<String> + 'a;

/// The adapter, opened afresh. A lost device's panics, which the library catches, are not of interest here.
fn open(devices: &Devices) -> Device {
    chanscope::gpu::hush_losses();
    Device::Gpu(Box::new(devices.reopen(&Options::default())))
}

fn gpu(device: &Device) -> &Gpu {
    match device {
        Device::Gpu(gpu) => gpu,
        Device::Cpu(_) => unreachable!("this harness opens GPUs"),
    }
}

fn fault(call: Call, first: u64, times: u64, failure: Failure) -> Option<Fault> {
    Some(Fault {
        call,
        bytes: 0,
        first,
        times,
        failure,
    })
}

fn problem(error: &Error) -> &DeviceProblem {
    match error {
        Error::Device { problem, .. } => problem,
        other => panic!("not an error of the device: {other:?}"),
    }
}

/// Disturbs a job at up to `points` of its calls of each kind.
pub fn disturb(devices: &Devices, points: u64, job: &Job<'_>) {
    let device = open(devices);
    let card = gpu(&device);
    card.fail(None);
    let expected = job(&device).unwrap();
    let calls = card.fail(None);
    let places = |kind: Call| {
        let count = calls[kind as usize];
        (1..=count).step_by((count / points).max(1) as usize)
    };
    // Memory that is short once, until the free buffers are gone, and for good.
    for first in places(Call::Allocate) {
        for times in [1, 2, u64::MAX] {
            card.fail(fault(Call::Allocate, first, times, Failure::OutOfMemory));
            match job(&device) {
                Ok(found) => assert_eq!(found, expected, "allocation {first}, {times} times"),
                Err(e) => {
                    assert!(times > 1, "free buffers were not given up: {e}");
                    let typed = matches!(problem(&e), DeviceProblem::OutOfMemory { .. });
                    assert!(typed, "allocation {first}: {e:?}");
                }
            }
        }
    }
    card.fail(None);
    assert_eq!(job(&device).unwrap(), expected, "after lack of memory");
    // A device that is lost stays lost; one that is opened afterwards works.
    for kind in Call::ALL {
        assert!(calls[kind as usize] > 0, "{kind:?}");
        for first in places(kind).step_by(2) {
            let other = open(devices);
            gpu(&other).fail(fault(kind, first, 1, Failure::Lost));
            for _ in 0..2 {
                let error = job(&other).unwrap_err();
                let typed = matches!(problem(&error), DeviceProblem::Lost { .. });
                assert!(typed, "{kind:?} {first}: {error:?}");
            }
        }
    }
    assert_eq!(job(&open(devices)).unwrap(), expected, "after a loss");
}

/// From points to graphs, with the candidates' vectors in place and gathered.
fn graphs(devices: &Devices) {
    let data = Data::random(2, 90, 18, 4);
    for (kernel, gathered) in [(Kernel::Gaussian, false), (Kernel::Cosine, true)] {
        let job = |device: &Device| graph_of(gpu(device), &data, kernel, gathered);
        disturb(devices, 6, &job);
    }
}

fn graph_of(gpu: &Gpu, data: &Data, kernel: Kernel, gathered: bool) -> Result<String> {
    let params = params(7, kernel, Identical::Keep);
    let found = try_graph(gpu, data, &params, 0..data.n, gathered)?;
    Ok(format!("{found:?}"))
}

fn whole_runs(devices: &Devices) {
    let a = relu_layer(40, 3, 4, 3);
    let options = options(Kernel::Gaussian, 5);
    disturb(devices, 6, &|device| {
        Ok(format!("{:#?}", run(device, &a, &options)?))
    });
}

fn matrices(devices: &Devices) {
    let (x, y) = (
        Random(5).signed_vec(2 * 70 * 19),
        Random(6).signed_vec(8 * 5 * 9),
    );
    let conv = Conv2dParams {
        stride: [1, 1],
        padding: [1; 4],
        dilation: [1, 1],
        groups: 1,
        activation: Activation::Relu,
    };
    disturb(devices, 6, &|device| {
        let gpu = gpu(device);
        let rows = gpu.upload(&[2, 70, 19], &x)?;
        let kinds = [GramKind::Linear, GramKind::Cosine, GramKind::Gaussian(2.0)];
        let mut found = Vec::new();
        for kind in kinds {
            found.extend(gpu.download(&gpu.gram(&rows, kind)?)?);
        }
        let images = gpu.upload(&[7, 5, 4, 19], &x)?;
        let weight = gpu.upload(&[8, 5, 3, 3], &y)?;
        found.extend(gpu.download(&gpu.conv2d(&images, &weight, None, &conv)?)?);
        Ok(format!("{found:?}"))
    });
}

fn filters(devices: &Devices) {
    let shape = FilterShape {
        filters: 6,
        channels: 4,
        height: 3,
        width: 3,
    };
    let x = Random(8).signed_vec(shape.len());
    disturb(devices, 6, &|device| {
        let mut found = Vec::new();
        for input_channels in [InputChannels::Separate, InputChannels::Summed] {
            let params = FilterParams {
                pairs: Pairs::All,
                input_channels,
            };
            let mut gradient = vec![0.0; x.len()];
            let into = Some(&mut gradient[..]);
            let value = gpu(device).similarity(&x, shape, params, into, &mut ())?;
            let pairs = gpu(device).similarity_pairs(&x, shape, input_channels)?;
            found.push((value, gradient, pairs));
        }
        Ok(format!("{found:?}"))
    });
}

/// A network, and the correlations of what it answers.
fn responses(devices: &Devices) {
    let weights = weights(include_bytes!("../../assets/lenet5.safetensors")).unwrap();
    let graph = lenet(&weights).unwrap();
    disturb(devices, 3, &|device| {
        let ctx = Context::new(device);
        let found = impulse(&ctx, &graph, &ImpulseOptions::default())?;
        Ok(format!("{found:?}"))
    });
}

/// On a device that has no room for the large buffers of a pass, passes are smaller, and results the same. With ever
/// less room there are errors in the end, and nothing else.
fn smaller_passes(devices: &Devices) {
    let data = Data::random(3, 200, 18, 4);
    let a = relu_layer(150, 4, 4, 3);
    let options = options(Kernel::Gaussian, 9);
    let graphs = |device: &Device| graph_of(gpu(device), &data, Kernel::Gaussian, false);
    let runs = |device: &Device| Ok(format!("{:#?}", run(device, &a, &options)?));
    let jobs: [&Job<'_>; 2] = [&graphs, &runs];
    let device = open(devices);
    for job in jobs {
        gpu(&device).fail(None);
        let expected = job(&device).unwrap();
        let submits = |calls: [u64; 4]| calls[Call::Submit as usize];
        let whole = submits(gpu(&device).fail(None));
        let (mut smaller, mut refused) = (0, 0);
        for bytes in (10..20).rev().map(|e| 1 << e) {
            let none_larger = Fault {
                call: Call::Allocate,
                bytes,
                first: 1,
                times: u64::MAX,
                failure: Failure::OutOfMemory,
            };
            gpu(&device).fail(Some(none_larger));
            match job(&device) {
                Ok(found) => {
                    assert_eq!(found, expected, "{bytes} bytes");
                    smaller += usize::from(submits(gpu(&device).fail(None)) > whole);
                }
                Err(e) => {
                    let typed = matches!(problem(&e), DeviceProblem::OutOfMemory { .. });
                    assert!(typed, "{e:?}");
                    refused += 1;
                }
            }
        }
        assert!(smaller > 0 && refused > 0, "{smaller} {refused}");
    }
}

/// A device that is lost as soon as it is open.
fn opening(devices: &Devices) {
    let device = open(devices);
    gpu(&device).fail(fault(Call::Wait, 1, 1, Failure::Lost));
    let error = gpu(&device).wait().unwrap_err();
    assert!(matches!(problem(&error), DeviceProblem::Lost { .. }));
    let error = gpu(&device).upload(&[1], &[1.0]).map(|_| ()).unwrap_err();
    assert!(matches!(problem(&error), DeviceProblem::Lost { .. }));
    assert!(error.to_string().contains("try again"), "{error}");
}

/// A run of the command that loses its device, or finds no memory, prints one line and leaves the results that were
/// there.
fn command(devices: &Devices) {
    let dir = tempfile::tempdir().unwrap();
    let a = relu_layer(30, 2, 3, 4);
    let values: Vec<f32> = a.iter().copied().collect();
    let dump = Output::create(dir.path().join("dump"), false).unwrap();
    dump.array("a.npy", a.shape(), &values).unwrap();
    dump.finish(&serde_json::json!({})).unwrap();
    let device = format!("gpu:{}", devices.name);
    let run = |k: &str, fault: Option<&str>| {
        let mut command = std::process::Command::new(PROGRAM);
        let arguments = [
            "redundancy",
            "dump/a.npy",
            "--out",
            "out",
            "--force",
            "-k",
            k,
        ];
        command.current_dir(dir.path()).args(arguments);
        command.args(["--device", &device, "--quiet"]);
        if let Some(fault) = fault {
            command.env("CHANSCOPE_DEVICE_FAULT", fault);
        }
        command.output().unwrap()
    };
    let results = |at: &Path| std::fs::read(at.join("out/results.json")).unwrap();
    assert!(run("4", None).status.success());
    let before = results(dir.path());
    for (fault, words) in [
        ("submit:6:lost", "the device was lost"),
        ("wait:4:lost", "the device was lost"),
        ("write:3:lost", "the device was lost"),
        ("allocate:9:full", "out of memory"),
    ] {
        let out = run("5", Some(fault));
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "{fault}");
        assert_eq!(error.lines().count(), 1, "{fault}: {error}");
        assert!(error.contains(words), "{fault}: {error}");
        assert!(results(dir.path()) == before, "{fault}");
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "{fault}: {left:?}");
    }
    assert!(run("5", None).status.success());
    assert!(results(dir.path()) != before);
}
