//! AVX2 and FMA: eight `f32` in one register, eight `f64` in two.

use super::operators;
use super::transpose::transpose_8x8;
use crate::simd::{F32, F64_LANES, F64x8, LineF64};
use half::f16;
use std::arch::x86_64::*;

/// Eight `f32` in one register.
#[derive(Clone, Copy)]
pub(crate) struct EightF32(__m256);

/// Four `f64` in one register.
#[derive(Clone, Copy)]
struct FourF64(__m256d);

/// Eight `f64` in two registers.
#[derive(Clone, Copy)]
pub(crate) struct TwiceF64(FourF64, FourF64);

operators!(EightF32: Add add _mm256_add_ps Sub sub _mm256_sub_ps Mul mul _mm256_mul_ps Div div _mm256_div_ps);
operators!(FourF64: Add add _mm256_add_pd Sub sub _mm256_sub_pd Mul mul _mm256_mul_pd Div div _mm256_div_pd);

/// A vector whose lane `i` has bit `i` of the mask as its sign.
#[inline(always)]
fn lane_signs(mask: u32) -> __m256i {
    // SAFETY: under a token.
    unsafe {
        let shifts = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
        _mm256_sllv_epi32(_mm256_set1_epi32(mask as i32), shifts)
    }
}

impl F32 for EightF32 {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_set1_ps(x) })
    }
    #[inline(always)]
    fn widen(halves: &[f16]) -> Self {
        let halves = &halves[..Self::LANES];
        // SAFETY: under a token; eight halves can be read, at any alignment.
        Self(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().cast())) })
    }
    #[inline(always)]
    fn narrow(self, halves: &mut [f16]) {
        let halves = &mut halves[..Self::LANES];
        // SAFETY: under a token; eight halves can be written, at any alignment.
        unsafe {
            let rounded = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0);
            _mm_storeu_si128(halves.as_mut_ptr().cast(), rounded);
        }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: under a token; eight floats can be read, by the caller's promise.
        Self(unsafe { _mm256_loadu_ps(p) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: under a token; eight floats can be written, by the caller's promise.
        unsafe { _mm256_storeu_ps(p, self.0) }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, mask: u32, p: *const f32) -> Self {
        let lanes = lane_signs(mask);
        // SAFETY: under a token; the masked lanes can be read, by the caller's promise, and no others are.
        Self(unsafe {
            let read = _mm256_maskload_ps(p, lanes);
            _mm256_blendv_ps(self.0, read, _mm256_castsi256_ps(lanes))
        })
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_fmadd_ps(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_sqrt_ps(self.0) })
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_max_ps(self.0, o.0) })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_min_ps(self.0, o.0) })
    }
    #[inline(always)]
    fn not_less(self, o: Self) -> u32 {
        // SAFETY: under a token.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(self.0, o.0)) as u32 }
    }
    #[inline(always)]
    fn select(mask: u32, a: Self, b: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_blendv_ps(b.0, a.0, _mm256_castsi256_ps(lane_signs(mask))) })
    }
}

impl FourF64 {
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_max_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_min_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_sqrt_pd(self.0) })
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_fmadd_pd(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_fnmadd_pd(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn lt(self, o: Self) -> i32 {
        // SAFETY: under a token.
        unsafe { _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(self.0, o.0)) }
    }
    /// Lanes of `a` where all bits of the lane in `bits` are set in `mask`, of `b` elsewhere.
    #[inline(always)]
    fn select(mask: __m256i, bits: __m256i, a: Self, b: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe {
            let on = _mm256_cmpeq_epi64(_mm256_and_si256(mask, bits), bits);
            _mm256_blendv_pd(b.0, a.0, _mm256_castsi256_pd(on))
        })
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe {
            let n = _mm256_slli_epi64::<52>(_mm256_castpd_si256(shifted.0));
            _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(self.0), n))
        })
    }
    /// The low halves of both, or with `0x31` the high ones.
    #[inline(always)]
    fn halves<const WHICH: i32>(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm256_permute2f128_pd::<WHICH>(self.0, o.0) })
    }
    /// Four rows to columns.
    #[inline(always)]
    fn transposed([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        // SAFETY: under a token.
        let [even, odd, even2, odd2] = unsafe {
            [
                Self(_mm256_unpacklo_pd(a.0, b.0)),
                Self(_mm256_unpackhi_pd(a.0, b.0)),
                Self(_mm256_unpacklo_pd(c.0, d.0)),
                Self(_mm256_unpackhi_pd(c.0, d.0)),
            ]
        };
        [
            even.halves::<LOW>(even2),
            odd.halves::<LOW>(odd2),
            even.halves::<HIGH>(even2),
            odd.halves::<HIGH>(odd2),
        ]
    }
    /// Lane `l` is `(a + b) + (c + d)` of the lanes of row `l`.
    #[inline(always)]
    fn sums([a, b, c, d]: [Self; 4]) -> Self {
        // SAFETY: under a token.
        let (ab, cd) = unsafe {
            (
                Self(_mm256_hadd_pd(a.0, b.0)),
                Self(_mm256_hadd_pd(c.0, d.0)),
            )
        };
        ab.halves::<LOW>(cd) + ab.halves::<HIGH>(cd)
    }
}

/// The low halves of both operands of a permutation.
const LOW: i32 = 0x20;
/// The high halves of both operands of a permutation.
const HIGH: i32 = 0x31;

macro_rules! in_halves {
    ($($Trait:ident $method:ident)*) => {$(
        impl std::ops::$Trait for TwiceF64 {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                Self(
                    std::ops::$Trait::$method(self.0, o.0),
                    std::ops::$Trait::$method(self.1, o.1),
                )
            }
        }
    )*};
}

in_halves!(Add add Sub sub Mul mul Div div);

impl TwiceF64 {
    #[inline(always)]
    fn from_f32(v: __m256) -> Self {
        // SAFETY: under a token.
        unsafe {
            Self(
                FourF64(_mm256_cvtps_pd(_mm256_castps256_ps128(v))),
                FourF64(_mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v))),
            )
        }
    }
}

impl F64x8 for TwiceF64 {
    const SIDE: usize = 2;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: under a token.
        let v = FourF64(unsafe { _mm256_set1_pd(x) });
        Self(v, v)
    }
    #[inline(always)]
    fn load(line: &LineF64) -> Self {
        let p = line.0.as_ptr();
        // SAFETY: under a token; a line is eight numbers, aligned to 64 bytes.
        unsafe {
            Self(
                FourF64(_mm256_load_pd(p)),
                FourF64(_mm256_load_pd(p.add(4))),
            )
        }
    }
    #[inline(always)]
    fn store(self, line: &mut LineF64) {
        let p = line.0.as_mut_ptr();
        // SAFETY: under a token; a line is eight numbers, aligned to 64 bytes.
        unsafe {
            _mm256_store_pd(p, self.0.0);
            _mm256_store_pd(p.add(4), self.1.0);
        }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        Self(self.0.mul_add(a.0, c.0), self.1.mul_add(a.1, c.1))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        Self(self.0.neg_mul_add(a.0, c.0), self.1.neg_mul_add(a.1, c.1))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.sqrt(), self.1.sqrt())
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Self(self.0.max(o.0), self.1.max(o.1))
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Self(self.0.min(o.0), self.1.min(o.1))
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u8 {
        (self.0.lt(o.0) | self.1.lt(o.1) << 4) as u8
    }
    #[inline(always)]
    fn select(mask: u8, a: Self, b: Self) -> Self {
        // SAFETY: under a token.
        let (mask, low, high) = unsafe {
            (
                _mm256_set1_epi64x(i64::from(mask)),
                _mm256_setr_epi64x(1, 2, 4, 8),
                _mm256_setr_epi64x(16, 32, 64, 128),
            )
        };
        Self(
            FourF64::select(mask, low, a.0, b.0),
            FourF64::select(mask, high, a.1, b.1),
        )
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        Self(self.0.scale(shifted.0), self.1.scale(shifted.1))
    }
    #[inline(always)]
    fn widen(row: &[f32; F64_LANES]) -> Self {
        // SAFETY: under a token; eight floats can be read, at any alignment.
        Self::from_f32(unsafe { _mm256_loadu_ps(row.as_ptr()) })
    }
    #[inline(always)]
    fn widen_halves(row: &[f16; F64_LANES]) -> Self {
        // SAFETY: under a token; eight halves can be read, at any alignment.
        Self::from_f32(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(row.as_ptr().cast())) })
    }
    #[inline(always)]
    fn columns(rows: [&[f32; F64_LANES]; F64_LANES]) -> [Self; F64_LANES] {
        // SAFETY: under a token.
        let [a, b, c, d, e, f, g, h] = unsafe { transpose_8x8(rows) };
        [
            Self::from_f32(a),
            Self::from_f32(b),
            Self::from_f32(c),
            Self::from_f32(d),
            Self::from_f32(e),
            Self::from_f32(f),
            Self::from_f32(g),
            Self::from_f32(h),
        ]
    }
    #[inline(always)]
    fn transposed(rows: [Self; F64_LANES]) -> [Self; F64_LANES] {
        let [a, b, c, d, e, f, g, h] = rows;
        let [a0, a1, a2, a3] = FourF64::transposed([a.0, b.0, c.0, d.0]);
        let [a4, a5, a6, a7] = FourF64::transposed([a.1, b.1, c.1, d.1]);
        let [e0, e1, e2, e3] = FourF64::transposed([e.0, f.0, g.0, h.0]);
        let [e4, e5, e6, e7] = FourF64::transposed([e.1, f.1, g.1, h.1]);
        [
            Self(a0, e0),
            Self(a1, e1),
            Self(a2, e2),
            Self(a3, e3),
            Self(a4, e4),
            Self(a5, e5),
            Self(a6, e6),
            Self(a7, e7),
        ]
    }
    #[inline(always)]
    fn sums(rows: [Self; F64_LANES]) -> Self {
        let [a, b, c, d, e, f, g, h] = rows;
        Self(
            FourF64::sums([a.0, b.0, c.0, d.0]) + FourF64::sums([a.1, b.1, c.1, d.1]),
            FourF64::sums([e.0, f.0, g.0, h.0]) + FourF64::sums([e.1, f.1, g.1, h.1]),
        )
    }
}
