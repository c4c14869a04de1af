//! Several threads that use one device at once have the bits of one alone.

use crate::support::runs::{options, relu_layer, run, same};
use crate::{Devices, Test};
use chanscope::device::Device;
use chanscope::gpu::{Gpu, Options};
use chanscope::ops::Kernel;

pub const TESTS: &[Test] = &[("threads::at_once", at_once)];

/// Runs of other layers, kernels and numbers of neighbours; the working memory of the solver of many neighbours is in buffers.
fn at_once(devices: &Devices) {
    let cases: Vec<_> = [
        (110, 4, 2, Kernel::Gaussian, 100),
        (70, 3, 3, Kernel::Cosine, 9),
        (110, 3, 2, Kernel::Gaussian, 100),
    ]
    .into_iter()
    .map(|(samples, channels, side, kernel, k)| {
        let layer = relu_layer(samples, channels, side, 7);
        (layer, options(kernel, k))
    })
    .collect();
    for wide in devices.all().iter().map(Gpu::wide) {
        let gpu = devices.reopen(&Options {
            wide: Some(wide),
            ..Options::default()
        });
        let device = Device::Gpu(Box::new(gpu));
        let alone: Vec<_> = cases
            .iter()
            .map(|(a, o)| run(&device, a, o).unwrap())
            .collect();
        let device = &device;
        std::thread::scope(|scope| {
            for (alone, (a, o)) in alone.iter().zip(&cases) {
                scope.spawn(move || {
                    for _ in 0..2 {
                        same(alone, &run(device, a, o).unwrap());
                    }
                });
            }
        });
    }
}
