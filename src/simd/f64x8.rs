//! Eight `f64`: the vectors of everything that is computed in float64.

use half::f16;
use std::ops::{Add, Div, Mul, Sub};

/// Lanes of a [`F64x8`].
pub(crate) const F64_LANES: usize = 8;

/// 1.5 * 2^52. A number of at most 2^51 in size, added to it, is rounded to the nearest integer, ties to the even one, and
/// that integer stands in the low bits of the sum: from 2^52 to 2^53, neighbouring float64 numbers are 1 apart.
/// Subtracting the constant again gives the integer as a number.
pub(crate) const INTEGER_SHIFT: f64 = 6_755_399_441_055_744.0;

/// A cache line of eight `f64`: a [`F64x8`] in memory, and the vector of the portable set.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct LineF64(pub(crate) [f64; F64_LANES]);

impl LineF64 {
    /// All lanes zero.
    pub(crate) const ZERO: Self = Self([0.0; F64_LANES]);
}

/// Eight `f64`. Lane `i` of a result depends on lane `i` of the operands alone, unless a function says
/// otherwise.
pub(crate) trait F64x8:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// Side of the largest square of sums that stays in the registers, beside what is added to them.
    const SIDE: usize;

    /// The same value in each lane.
    fn splat(x: f64) -> Self;
    /// From memory.
    fn load(line: &LineF64) -> Self;
    /// To memory.
    fn store(self, line: &mut LineF64);
    /// `self * a + c`, fused where the instruction set can.
    fn mul_add(self, a: Self, c: Self) -> Self;
    /// `c - self * a`, fused where the instruction set can.
    fn neg_mul_add(self, a: Self, c: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Larger of the two; neither may be NaN.
    fn max(self, o: Self) -> Self;
    /// Smaller of the two; neither may be NaN.
    fn min(self, o: Self) -> Self;
    /// Bit `l` is set where lane `l` of `self` is less than that of `o`.
    fn lt(self, o: Self) -> u8;
    /// Lanes of `a` where the bit is set, of `b` elsewhere.
    fn select(mask: u8, a: Self, b: Self) -> Self;
    /// `self * 2^n` where `shifted` is `n +` [`INTEGER_SHIFT`]; the result must be a normal number.
    fn scale(self, shifted: Self) -> Self;
    /// From eight `f32`.
    fn widen(row: &[f32; F64_LANES]) -> Self;
    /// From the first eight `f32` of a row; lanes that a shorter row lacks are 0.
    #[inline(always)]
    fn widen_part(row: &[f32]) -> Self {
        let mut all = [0f32; F64_LANES];
        let len = row.len().min(F64_LANES);
        all[..len].copy_from_slice(&row[..len]);
        Self::widen(&all)
    }
    /// From eight halves.
    fn widen_halves(row: &[f16; F64_LANES]) -> Self;
    /// Lane `r` of result `c` is `rows[r][c]`: eight rows of `f32` to columns.
    fn columns(rows: [&[f32; F64_LANES]; F64_LANES]) -> [Self; F64_LANES];

    /// Lane `r` of result `c` is lane `c` of `rows[r]`: rows to columns.
    #[inline(always)]
    fn transposed(rows: [Self; F64_LANES]) -> [Self; F64_LANES] {
        let mut columns = [LineF64::ZERO; F64_LANES];
        for (r, row) in rows.into_iter().enumerate() {
            let mut p = LineF64::ZERO;
            row.store(&mut p);
            for (column, x) in columns.iter_mut().zip(p.0) {
                column.0[r] = x;
            }
        }
        let mut out = [Self::splat(0.0); F64_LANES];
        for (out, column) in out.iter_mut().zip(&columns) {
            *out = Self::load(column);
        }
        out
    }

    /// Lane `l` is `((a + b) + (c + d)) + ((e + f) + (g + h))` of the lanes of row `l`.
    #[inline(always)]
    fn sums(rows: [Self; F64_LANES]) -> Self {
        let mut sums = LineF64::ZERO;
        for (sum, row) in sums.0.iter_mut().zip(rows) {
            let mut p = LineF64::ZERO;
            row.store(&mut p);
            let [a, b, c, d, e, f, g, h] = p.0;
            *sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
        }
        Self::load(&sums)
    }

    /// Sum of the lanes, always in the same order.
    #[inline(always)]
    fn sum(self) -> f64 {
        let mut p = LineF64::ZERO;
        self.store(&mut p);
        let [a, b, c, d, e, f, g, h] = p.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    /// `e^self`, at most 2 ulp off; 0 below -708. `self` must not exceed 700.
    #[inline(always)]
    fn exp(self) -> Self {
        // ln 2 in two parts; the first has 21 trailing zero bits, so its product with n is exact.
        const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
        const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
        // (e^r - 1 - r) / r^2, interpolated at the Chebyshev nodes of |r| <= ln 2 / 2: at most 1.7e-17
        // of e^r off, a seventh of half an ulp.
        const C: [f64; 10] = [
            2.510_037_679_881_25e-8,
            2.762_007_713_646_922e-7,
            2.755_726_847_827_900_4e-6,
            2.480_152_131_972_762e-5,
            1.984_126_986_308_504e-4,
            1.388_888_891_719_841_9e-3,
            8.333_333_333_330_065e-3,
            4.166_666_666_662_416e-2,
            1.666_666_666_666_666_9e-1,
            5.000_000_000_000_001e-1,
        ];
        let floor = Self::splat(-708.0);
        let x = self.max(floor);
        let shift = Self::splat(INTEGER_SHIFT);
        let shifted = x.mul_add(Self::splat(std::f64::consts::LOG2_E), shift);
        let n = shifted - shift;
        let r = n.neg_mul_add(Self::splat(LN2_HI), x);
        let r = n.neg_mul_add(Self::splat(LN2_LO), r);
        let mut p = Self::splat(C[0]);
        for &c in &C[1..] {
            p = p.mul_add(r, Self::splat(c));
        }
        // 1 + r + r^2 p, the small part last.
        let p = (p * r).mul_add(r, r) + Self::splat(1.0);
        Self::select(self.lt(floor), Self::splat(0.0), p.scale(shifted))
    }
}
