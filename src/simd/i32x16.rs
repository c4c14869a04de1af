//! Sixteen `i32`, for the int8 filter of neighbour search.

use std::ops::Add;

/// Lanes of an [`I32x16`].
pub(crate) const I32_LANES: usize = 16;

/// Sixteen `i32`; a lane may also be read as four bytes. Arithmetic is exact and wraps.
pub(crate) trait I32x16: Copy + Add<Output = Self> {
    /// The same value in each lane.
    fn splat(x: i32) -> Self;
    /// From memory.
    fn load(from: &[i32; I32_LANES]) -> Self;
    /// To memory.
    fn store(self, to: &mut [i32; I32_LANES]);
    /// Adds to each lane the four products of its bytes in `unsigned`, taken as `u8`, and in `signed`, taken
    /// as `i8`.
    fn add_byte_products(self, unsigned: Self, signed: Self) -> Self;
    /// Larger of the two.
    fn max(self, o: Self) -> Self;
    /// Smaller of the two.
    fn min(self, o: Self) -> Self;
    /// Bit `l` is set where lane `l` of `self` is at least that of `o`.
    fn at_least(self, o: Self) -> u16;
    /// Bit `l` is set where lane `l` of `self` is less than that of `o`.
    fn lt(self, o: Self) -> u16;
    /// Bit `l` is set where lane `l` is not 0.
    fn nonzero(self) -> u16;
    /// Lanes of `a` where the bit is set, of `b` elsewhere.
    fn select(mask: u16, a: Self, b: Self) -> Self;
    /// The smallest lane.
    fn least(self) -> i32;
}
