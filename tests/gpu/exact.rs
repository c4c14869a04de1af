//! The graphs of real activations: a trained LeNet-5 on handwritten digits.

use crate::support::{digits, exact};
use crate::{Devices, Test};
use chanscope::ops::Kernel;

pub const TESTS: &[Test] = &[
    ("exact::gaussian_graphs_of_lenet5", gaussian_graphs),
    ("exact::cosine_graphs_of_lenet5", cosine_graphs),
];

fn gaussian_graphs(devices: &Devices) {
    graphs(devices, Kernel::Gaussian);
}

fn cosine_graphs(devices: &Devices) {
    graphs(devices, Kernel::Cosine);
}

fn graphs(devices: &Devices, kernel: Kernel) {
    let data = digits::pool2(devices.gpu());
    for gpu in devices.all() {
        for k in [25, 50] {
            let tally = exact::measure(gpu, &data, 100..170, kernel, k);
            assert!(
                tally.gap <= 1e-6 && tally.gap_of_weights <= 1e-6,
                "{tally:?}"
            );
            assert!(tally.mismatched * 1000 <= tally.unique, "{tally:?}");
            assert!(tally.unique > 600, "few supports to compare: {tally:?}");
        }
    }
}
