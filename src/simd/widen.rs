//! Half precision to single and double, which is exact.

use super::portable::single;
use super::{F32, F64_LANES, F64x8, InstructionSet, Simd, SimdKernel};
use half::f16;

/// A type of numbers in memory that vectors of `f64` are made from.
pub(crate) trait Number: Copy + Default {
    /// From eight numbers.
    fn line<D: F64x8>(row: &[Self; F64_LANES]) -> D;

    /// From as many numbers as a register of `f32` has lanes.
    ///
    /// # Panics
    /// If there are fewer.
    fn register<F: F32>(row: &[Self]) -> F;

    /// From the first eight numbers of a row; lanes that a shorter row lacks are 0.
    #[inline(always)]
    fn part_of_line<D: F64x8>(row: &[Self]) -> D {
        let mut all = [Self::default(); F64_LANES];
        for (all, &x) in all.iter_mut().zip(row) {
            *all = x;
        }
        Self::line(&all)
    }
}

impl Number for f32 {
    #[inline(always)]
    fn register<F: F32>(row: &[Self]) -> F {
        F::from_slice(row)
    }
    #[inline(always)]
    fn line<D: F64x8>(row: &[Self; F64_LANES]) -> D {
        D::widen(row)
    }
    #[inline(always)]
    fn part_of_line<D: F64x8>(row: &[Self]) -> D {
        D::widen_part(row)
    }
}

impl Number for f16 {
    #[inline(always)]
    fn register<F: F32>(row: &[Self]) -> F {
        F::widen(row)
    }
    #[inline(always)]
    fn line<D: F64x8>(row: &[Self; F64_LANES]) -> D {
        D::widen_halves(row)
    }
}

/// Writes `halves` to the start of `out`, within a kernel.
///
/// # Panics
/// Where `out` has no room for them.
#[inline(always)]
pub(crate) fn widen<S: Simd>(halves: &[f16], out: &mut [f32]) {
    let out = &mut out[..halves.len()];
    let lanes = S::F32::LANES;
    let rows = halves.chunks_exact(lanes);
    for (row, out) in rows.zip(out.chunks_exact_mut(lanes)) {
        S::F32::widen(row).copy_to(out);
    }
    match (halves.len() % lanes, halves.len().checked_sub(lanes)) {
        (0, _) => {}
        // The last vector overlaps the one before.
        (_, Some(last)) => S::F32::widen(&halves[last..]).copy_to(&mut out[last..]),
        (_, None) => {
            for (out, &x) in out.iter_mut().zip(halves) {
                *out = single(x);
            }
        }
    }
}

/// Writes `halves` to the start of `out`, outside of a kernel.
///
/// # Panics
/// Where `out` has no room for them.
pub(crate) fn widen_slice(halves: &[f16], out: &mut [f32]) {
    InstructionSet::detect().run(Widen { halves, out });
}

struct Widen<'a> {
    halves: &'a [f16],
    out: &'a mut [f32],
}

impl SimdKernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        widen::<S>(self.halves, self.out);
    }
}
