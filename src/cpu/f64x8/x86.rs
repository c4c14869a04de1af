//! Eight `f64` lanes on x86-64: one AVX-512 register, or two AVX2 registers.

// Every function here runs only under `dispatch`, behind a check that the processor has the
// instructions; that is the one safety condition of all of them.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

use super::{F64x8, Isa, LANES, Pack};
use std::arch::x86_64::*;

/// AVX-512 F, DQ, VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;
/// AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// One register of eight.
#[derive(Clone, Copy)]
pub(crate) struct Wide(__m512d);
/// Two registers of four.
#[derive(Clone, Copy)]
pub(crate) struct Pair(__m256d, __m256d);

impl Isa for Avx512 {
    type F64 = Wide;
}

impl Isa for Avx2 {
    type F64 = Pair;
}

// Functions, not closures: only what is inlined for certain gets the instructions.
#[inline(always)]
fn interleave(a: __m512d, b: __m512d) -> (__m512d, __m512d) {
    unsafe { (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b)) }
}

#[inline(always)]
fn blocks(a: __m512d, b: __m512d, c: __m512d, d: __m512d) -> [Wide; 4] {
    unsafe {
        let even = _mm512_shuffle_f64x2::<0x88>(a, b);
        let odd = _mm512_shuffle_f64x2::<0xdd>(a, b);
        let (even2, odd2) = (
            _mm512_shuffle_f64x2::<0x88>(c, d),
            _mm512_shuffle_f64x2::<0xdd>(c, d),
        );
        [
            Wide(_mm512_shuffle_f64x2::<0x88>(even, even2)),
            Wide(_mm512_shuffle_f64x2::<0x88>(odd, odd2)),
            Wide(_mm512_shuffle_f64x2::<0xdd>(even, even2)),
            Wide(_mm512_shuffle_f64x2::<0xdd>(odd, odd2)),
        ]
    }
}

#[inline(always)]
fn square(a: __m256d, b: __m256d, c: __m256d, d: __m256d) -> [__m256d; 4] {
    unsafe {
        let (ab, cd) = (_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d));
        let (ba, dc) = (_mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(ab, cd),
            _mm256_permute2f128_pd::<0x20>(ba, dc),
            _mm256_permute2f128_pd::<0x31>(ab, cd),
            _mm256_permute2f128_pd::<0x31>(ba, dc),
        ]
    }
}

/// Lanes of `a` where all of `bits` are set in `mask`, of `b` elsewhere.
#[inline(always)]
fn blend(mask: __m256i, bits: __m256i, a: __m256d, b: __m256d) -> __m256d {
    unsafe {
        let on = _mm256_cmpeq_epi64(_mm256_and_si256(mask, bits), bits);
        _mm256_blendv_pd(b, a, _mm256_castsi256_pd(on))
    }
}

#[inline(always)]
fn scaled(p: __m256d, shifted: __m256d) -> __m256d {
    unsafe {
        let n = _mm256_slli_epi64::<52>(_mm256_castpd_si256(shifted));
        _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(p), n))
    }
}

impl F64x8 for Wide {
    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self(unsafe { _mm512_set1_pd(x) })
    }
    #[inline(always)]
    fn load(p: &Pack) -> Self {
        Self(unsafe { _mm512_load_pd(p.0.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, p: &mut Pack) {
        unsafe { _mm512_store_pd(p.0.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self(unsafe { _mm512_add_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self(unsafe { _mm512_sub_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self(unsafe { _mm512_mul_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        Self(unsafe { _mm512_div_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Self(unsafe { _mm512_max_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Self(unsafe { _mm512_min_pd(self.0, o.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(unsafe { _mm512_sqrt_pd(self.0) })
    }
    #[inline(always)]
    fn widen(p: &[f32; LANES]) -> Self {
        Self(unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(p.as_ptr())) })
    }
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        // Pairs of rows are interleaved, then 128-bit blocks go to their columns.
        let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
        let (a, b) = (interleave(r0.0, r1.0), interleave(r2.0, r3.0));
        let (c, d) = (interleave(r4.0, r5.0), interleave(r6.0, r7.0));
        let [c0, c2, c4, c6] = blocks(a.0, b.0, c.0, d.0);
        let [c1, c3, c5, c7] = blocks(a.1, b.1, c.1, d.1);
        [c0, c1, c2, c3, c4, c5, c6, c7]
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        Self(unsafe { _mm512_fmadd_pd(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        Self(unsafe { _mm512_fnmadd_pd(self.0, a.0, c.0) })
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u8 {
        unsafe { _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, o.0) }
    }
    #[inline(always)]
    fn select(mask: u8, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_mask_blend_pd(mask, b.0, a.0) })
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        Self(unsafe {
            let n = _mm512_slli_epi64::<52>(_mm512_castpd_si512(shifted.0));
            _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(self.0), n))
        })
    }
}

impl F64x8 for Pair {
    #[inline(always)]
    fn splat(x: f64) -> Self {
        let v = unsafe { _mm256_set1_pd(x) };
        Self(v, v)
    }
    #[inline(always)]
    fn load(p: &Pack) -> Self {
        let p = p.0.as_ptr();
        unsafe { Self(_mm256_load_pd(p), _mm256_load_pd(p.add(4))) }
    }
    #[inline(always)]
    fn store(self, p: &mut Pack) {
        let p = p.0.as_mut_ptr();
        unsafe {
            _mm256_store_pd(p, self.0);
            _mm256_store_pd(p.add(4), self.1);
        }
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        unsafe { Self(_mm256_add_pd(self.0, o.0), _mm256_add_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        unsafe { Self(_mm256_sub_pd(self.0, o.0), _mm256_sub_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        unsafe { Self(_mm256_mul_pd(self.0, o.0), _mm256_mul_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        unsafe { Self(_mm256_div_pd(self.0, o.0), _mm256_div_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        unsafe { Self(_mm256_max_pd(self.0, o.0), _mm256_max_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        unsafe { Self(_mm256_min_pd(self.0, o.0), _mm256_min_pd(self.1, o.1)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { Self(_mm256_sqrt_pd(self.0), _mm256_sqrt_pd(self.1)) }
    }
    #[inline(always)]
    fn widen(p: &[f32; LANES]) -> Self {
        unsafe {
            let v = _mm256_loadu_ps(p.as_ptr());
            Self(
                _mm256_cvtps_pd(_mm256_castps256_ps128(v)),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v)),
            )
        }
    }
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
        let [a0, a1, a2, a3] = square(r0.0, r1.0, r2.0, r3.0);
        let [a4, a5, a6, a7] = square(r0.1, r1.1, r2.1, r3.1);
        let [b0, b1, b2, b3] = square(r4.0, r5.0, r6.0, r7.0);
        let [b4, b5, b6, b7] = square(r4.1, r5.1, r6.1, r7.1);
        [
            Self(a0, b0),
            Self(a1, b1),
            Self(a2, b2),
            Self(a3, b3),
            Self(a4, b4),
            Self(a5, b5),
            Self(a6, b6),
            Self(a7, b7),
        ]
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        unsafe {
            Self(
                _mm256_fmadd_pd(self.0, a.0, c.0),
                _mm256_fmadd_pd(self.1, a.1, c.1),
            )
        }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        unsafe {
            Self(
                _mm256_fnmadd_pd(self.0, a.0, c.0),
                _mm256_fnmadd_pd(self.1, a.1, c.1),
            )
        }
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u8 {
        unsafe {
            let lo = _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(self.0, o.0));
            let hi = _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(self.1, o.1));
            (lo | hi << 4) as u8
        }
    }
    #[inline(always)]
    fn select(mask: u8, a: Self, b: Self) -> Self {
        unsafe {
            let mask = _mm256_set1_epi64x(i64::from(mask));
            Self(
                blend(mask, _mm256_setr_epi64x(1, 2, 4, 8), a.0, b.0),
                blend(mask, _mm256_setr_epi64x(16, 32, 64, 128), a.1, b.1),
            )
        }
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        Self(scaled(self.0, shifted.0), scaled(self.1, shifted.1))
    }
}
