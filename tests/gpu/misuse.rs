//! Wrong arguments: the GPU refuses what the CPU refuses, with the same error.

use crate::support::misuse::refusals;
use crate::{Devices, Test};
use chanscope::cpu::Cpu;

pub const TESTS: &[Test] = &[(
    "misuse::both_backends_refuse_alike",
    both_backends_refuse_alike,
)];

fn both_backends_refuse_alike(devices: &Devices) {
    let expected = refusals(&Cpu::new(1).unwrap());
    for gpu in devices.all() {
        for (found, expected) in refusals(gpu).iter().zip(&expected) {
            assert_eq!(found, expected);
        }
    }
}
