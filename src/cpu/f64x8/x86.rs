//! Eight `f64` lanes on x86-64: one AVX-512 register, or two AVX2 registers.

// Every function here runs only under `dispatch`, behind a check that the processor has the
// instructions; that is the one safety condition of all of them.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

use super::{F64x8, Isa, Pack};
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
    fn sqrt(self) -> Self {
        Self(unsafe { _mm512_sqrt_pd(self.0) })
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
    fn sqrt(self) -> Self {
        unsafe { Self(_mm256_sqrt_pd(self.0), _mm256_sqrt_pd(self.1)) }
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
            let m = _mm256_set1_epi64x(i64::from(mask));
            let half = |bits: __m256i, a: __m256d, b: __m256d| {
                let on = _mm256_cmpeq_epi64(_mm256_and_si256(m, bits), bits);
                _mm256_blendv_pd(b, a, _mm256_castsi256_pd(on))
            };
            Self(
                half(_mm256_setr_epi64x(1, 2, 4, 8), a.0, b.0),
                half(_mm256_setr_epi64x(16, 32, 64, 128), a.1, b.1),
            )
        }
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        unsafe {
            let half = |p: __m256d, s: __m256d| {
                let n = _mm256_slli_epi64::<52>(_mm256_castpd_si256(s));
                _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(p), n))
            };
            Self(half(self.0, shifted.0), half(self.1, shifted.1))
        }
    }
}
