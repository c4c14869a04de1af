//! Subnormal numbers, which a device may take for 0 in every operation.
//!
//! A block that holds some is multiplied by a power of two on its way to the device, which is exact and
//! makes all of them normal. Distances are in units that take it back; cosines and numbers of components
//! do not depend on it. All blocks of one search have to agree, so [`super::Points::lift`] lifts the
//! others.

use crate::Result;
use crate::error::DeviceProblem;
use crate::gpu::context::Context;
use rayon::prelude::*;

/// 2^24: the smallest number, 2^-149, becomes 2^-125.
pub(super) const LIFT: f32 = 16_777_216.0;

/// Whether some of the values are subnormal.
pub(super) fn has_subnormals(values: &[f32]) -> bool {
    // Without a branch in the inner loop, which is then bound by memory.
    let subnormal = |v: &f32| v.abs().to_bits().wrapping_sub(1) < 0x7f_ffff;
    (values.par_chunks(4096)).any(|part| part.iter().fold(false, |found, v| found | subnormal(v)))
}

/// The values times [`LIFT`].
///
/// # Errors
/// [`DeviceProblem::Lacks`] where the largest of them are too large for that.
pub(super) fn lift(context: &Context, values: &[f32]) -> Result<Vec<f32>> {
    let lifted: Vec<f32> = values.par_iter().map(|v| v * LIFT).collect();
    match lifted.iter().all(|v| v.is_finite()) {
        true => Ok(lifted),
        false => Err(context.fail(DeviceProblem::Lacks {
            feature: "float32 arithmetic on numbers below 1e-38 beside others above 1e31",
            advice: "use the CPU, or set the smallest numbers to 0",
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::has_subnormals;

    #[test]
    fn subnormal_numbers_are_found() {
        let normal = [
            0.0,
            -0.0,
            1.0,
            f32::MIN_POSITIVE,
            -f32::MIN_POSITIVE,
            f32::MAX,
        ];
        assert!(!has_subnormals(&normal));
        let largest = f32::from_bits(0x7f_ffff);
        for v in [f32::from_bits(1), largest, -largest] {
            assert!(has_subnormals(&[0.0, 1.0, v]), "{v:e}");
        }
    }
}
