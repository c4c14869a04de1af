//! AVX-512: vectors of one register.

use super::operators;
use super::transpose::transpose_8x8;
use crate::simd::{F32, F64_LANES, F64x8, LineF64};
use half::f16;
use std::arch::x86_64::*;

/// Sixteen `f32` in one register.
#[derive(Clone, Copy)]
pub(crate) struct SixteenF32(__m512);

/// Eight `f64` in one register.
#[derive(Clone, Copy)]
pub(crate) struct EightF64(__m512d);

operators!(SixteenF32: Add add _mm512_add_ps Sub sub _mm512_sub_ps Mul mul _mm512_mul_ps Div div _mm512_div_ps);
operators!(EightF64: Add add _mm512_add_pd Sub sub _mm512_sub_pd Mul mul _mm512_mul_pd Div div _mm512_div_pd);

impl F32 for SixteenF32 {
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_set1_ps(x) })
    }
    #[inline(always)]
    fn widen(halves: &[f16]) -> Self {
        let halves = &halves[..Self::LANES];
        // SAFETY: under a token; sixteen halves can be read, at any alignment.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast())) })
    }
    #[inline(always)]
    fn narrow(self, halves: &mut [f16]) {
        let halves = &mut halves[..Self::LANES];
        // SAFETY: under a token; sixteen halves can be written, at any alignment.
        unsafe {
            let rounded = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0);
            _mm256_storeu_si256(halves.as_mut_ptr().cast(), rounded);
        }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: under a token; sixteen floats can be read, by the caller's promise.
        Self(unsafe { _mm512_loadu_ps(p) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: under a token; sixteen floats can be written, by the caller's promise.
        unsafe { _mm512_storeu_ps(p, self.0) }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, mask: u32, p: *const f32) -> Self {
        // SAFETY: under a token; the masked lanes can be read, by the caller's promise, and no others are.
        Self(unsafe { _mm512_mask_loadu_ps(self.0, mask as u16, p) })
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_fmadd_ps(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_sqrt_ps(self.0) })
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_max_ps(self.0, o.0) })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_min_ps(self.0, o.0) })
    }
    #[inline(always)]
    fn not_less(self, o: Self) -> u32 {
        // SAFETY: under a token.
        u32::from(unsafe { _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self.0, o.0) })
    }
    #[inline(always)]
    fn select(mask: u32, a: Self, b: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_mask_blend_ps(mask as u16, b.0, a.0) })
    }
}

impl EightF64 {
    /// Eight `f32` to `f64`. Only code under a token has them in a register.
    #[inline(always)]
    fn from_f32(v: __m256) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_cvtps_pd(v) })
    }

    /// Sums of neighbouring lanes: of `self` in even places, of `o` in odd ones.
    #[inline(always)]
    fn neighbour_sums(self, o: Self) -> Self {
        // SAFETY: under a token.
        unsafe { Self(_mm512_unpacklo_pd(self.0, o.0)) + Self(_mm512_unpackhi_pd(self.0, o.0)) }
    }

    /// Sums of neighbouring pairs of lanes: those of `self` before those of `o`.
    #[inline(always)]
    fn pair_sums(self, o: Self) -> Self {
        self.pairs::<EVEN>(o) + self.pairs::<ODD>(o)
    }

    /// Pairs of lanes of `self`, then of `o`: those in [`EVEN`] or in [`ODD`] places.
    #[inline(always)]
    fn pairs<const PLACES: i32>(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_shuffle_f64x2::<PLACES>(self.0, o.0) })
    }

    /// Lanes in even places of `self` and `o` in turn, then those in odd places.
    #[inline(always)]
    fn interleaved(self, o: Self) -> (Self, Self) {
        // SAFETY: under a token.
        unsafe {
            (
                Self(_mm512_unpacklo_pd(self.0, o.0)),
                Self(_mm512_unpackhi_pd(self.0, o.0)),
            )
        }
    }
}

/// Pairs of lanes 0 and 2 of both operands.
const EVEN: i32 = 0x88;
/// Pairs of lanes 1 and 3 of both operands.
const ODD: i32 = 0xdd;

impl F64x8 for EightF64 {
    const SIDE: usize = 5;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_set1_pd(x) })
    }
    #[inline(always)]
    fn load(line: &LineF64) -> Self {
        // SAFETY: under a token; a line is eight numbers, aligned to 64 bytes.
        Self(unsafe { _mm512_load_pd(line.0.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, line: &mut LineF64) {
        // SAFETY: under a token; a line is eight numbers, aligned to 64 bytes.
        unsafe { _mm512_store_pd(line.0.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_fmadd_pd(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_fnmadd_pd(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_sqrt_pd(self.0) })
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_max_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_min_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u8 {
        // SAFETY: under a token.
        unsafe { _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, o.0) }
    }
    #[inline(always)]
    fn select(mask: u8, a: Self, b: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_mask_blend_pd(mask, b.0, a.0) })
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe {
            let n = _mm512_slli_epi64::<52>(_mm512_castpd_si512(shifted.0));
            _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(self.0), n))
        })
    }
    #[inline(always)]
    fn widen(row: &[f32; F64_LANES]) -> Self {
        // SAFETY: under a token; eight floats can be read, at any alignment.
        Self::from_f32(unsafe { _mm256_loadu_ps(row.as_ptr()) })
    }
    #[inline(always)]
    fn widen_part(row: &[f32]) -> Self {
        let lanes = (1u16 << row.len().min(F64_LANES)) - 1;
        // SAFETY: under a token; only lanes inside the row are read.
        let v = unsafe { _mm512_castps512_ps256(_mm512_maskz_loadu_ps(lanes, row.as_ptr())) };
        Self::from_f32(v)
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
        // Pairs of rows, then of pairs, then of those.
        let ((ab, ab2), (cd, cd2)) = (a.interleaved(b), c.interleaved(d));
        let ((ef, ef2), (gh, gh2)) = (e.interleaved(f), g.interleaved(h));
        // Columns 0 and 4, 2 and 6; 1 and 5, 3 and 7.
        let (p, q) = (ab.pairs::<EVEN>(cd), ab.pairs::<ODD>(cd));
        let (r, s) = (ef.pairs::<EVEN>(gh), ef.pairs::<ODD>(gh));
        let (p2, q2) = (ab2.pairs::<EVEN>(cd2), ab2.pairs::<ODD>(cd2));
        let (r2, s2) = (ef2.pairs::<EVEN>(gh2), ef2.pairs::<ODD>(gh2));
        [
            p.pairs::<EVEN>(r),
            p2.pairs::<EVEN>(r2),
            q.pairs::<EVEN>(s),
            q2.pairs::<EVEN>(s2),
            p.pairs::<ODD>(r),
            p2.pairs::<ODD>(r2),
            q.pairs::<ODD>(s),
            q2.pairs::<ODD>(s2),
        ]
    }
    #[inline(always)]
    fn sums(rows: [Self; F64_LANES]) -> Self {
        let [a, b, c, d, e, f, g, h] = rows;
        let left = a.neighbour_sums(b).pair_sums(c.neighbour_sums(d));
        let right = e.neighbour_sums(f).pair_sums(g.neighbour_sums(h));
        left.pair_sums(right)
    }
}
