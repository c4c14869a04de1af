//! One register of `f32`: the vectors of register tiles.

use half::f16;
use std::ops::{Add, Div, Mul, Sub};

/// A register of `f32` lanes, as many as the instruction set holds. Lane `i` of a result depends on lane `i`
/// of the operands alone.
pub(crate) trait F32:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// Lanes of a register: 4, 8 or 16.
    const LANES: usize;

    /// The same value in each lane.
    fn splat(x: f32) -> Self;

    /// The first [`F32::LANES`] values.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn from_slice(values: &[f32]) -> Self {
        let values = &values[..Self::LANES];
        // SAFETY: `LANES` floats can be read there.
        unsafe { Self::load(values.as_ptr()) }
    }

    /// Writes the first [`F32::LANES`] values.
    ///
    /// # Panics
    /// If there is room for fewer.
    #[inline(always)]
    fn copy_to(self, values: &mut [f32]) {
        let values = &mut values[..Self::LANES];
        // SAFETY: `LANES` floats can be written there.
        unsafe { self.store(values.as_mut_ptr()) }
    }

    /// The first [`F32::LANES`] halves.
    ///
    /// # Panics
    /// If there are fewer.
    fn widen(halves: &[f16]) -> Self;

    /// Writes the first [`F32::LANES`] halves, rounded to the nearest, to the even one of two. What is too large becomes
    /// infinite.
    ///
    /// # Panics
    /// If there is room for fewer.
    fn narrow(self, halves: &mut [f16]);

    /// [`F32::LANES`] values from memory, for tiles whose bounds are checked once for many loads.
    ///
    /// # Safety
    /// That many floats at `p` can be read. Any alignment will do.
    unsafe fn load(p: *const f32) -> Self;

    /// Writes [`F32::LANES`] values.
    ///
    /// # Safety
    /// That many floats at `p` can be written. Any alignment will do.
    unsafe fn store(self, p: *mut f32);

    /// `self`, but with the lanes whose bit is set in `mask` read from their place in the [`F32::LANES`]
    /// floats at `p`. The other places are not touched, and may lie outside of any allocation.
    ///
    /// # Safety
    /// The floats of the lanes in `mask` can be read.
    unsafe fn load_lanes(self, mask: u32, p: *const f32) -> Self;

    /// `self * a + c`, fused where the instruction set can.
    fn mul_add(self, a: Self, c: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// `self` where `self > o`, else `o`; so `o` where one of them is NaN.
    fn max(self, o: Self) -> Self;
    /// `self` where `self < o`, else `o`; so `o` where one of them is NaN.
    fn min(self, o: Self) -> Self;
    /// Bit `i` is set unless `self[i] < o[i]`. It is set for NaN.
    fn not_less(self, o: Self) -> u32;
    /// Lanes of `a` where the bit is set, of `b` elsewhere.
    fn select(mask: u32, a: Self, b: Self) -> Self;
}
