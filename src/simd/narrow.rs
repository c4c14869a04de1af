//! Single precision to half, which rounds.

use super::{F32, InstructionSet, Simd, SimdKernel};
use half::f16;

/// Writes `values` to `halves`, rounded to the nearest half, to the even one of two, outside of a kernel. Returns the largest
/// magnitude among `values`, NaN if one is NaN, and 0 if there are none.
///
/// # Panics
/// If the slices differ in length.
pub(crate) fn narrow_slice(values: &[f32], halves: &mut [f16]) -> f32 {
    assert_eq!(values.len(), halves.len(), "values and halves");
    InstructionSet::detect().run(Narrow { values, halves })
}

/// Values that are rounded and looked at while they are in the processor's nearest cache.
const PART: usize = 1024;

pub(super) struct Narrow<'a> {
    pub(super) values: &'a [f32],
    pub(super) halves: &'a mut [f16],
}

impl SimdKernel for Narrow<'_> {
    /// Largest magnitude.
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> f32 {
        let lanes = S::F32::LANES;
        let mut largest = 0;
        for (values, halves) in self.values.chunks(PART).zip(self.halves.chunks_mut(PART)) {
            // The bits of magnitudes are ordered as the magnitudes are, and NaN comes after infinity.
            for value in values {
                largest = largest.max(value.to_bits() & 0x7fff_ffff);
            }
            let (rows, rest) = values.split_at(values.len() / lanes * lanes);
            let (out, out_of_rest) = halves.split_at_mut(rows.len());
            for (row, out) in rows.chunks_exact(lanes).zip(out.chunks_exact_mut(lanes)) {
                S::F32::from_slice(row).narrow(out);
            }
            for (&value, out) in rest.iter().zip(out_of_rest) {
                *out = f16::from_f32(value);
            }
        }
        f32::from_bits(largest)
    }
}
