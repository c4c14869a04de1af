//! Sums of products of bytes in one instruction each (AVX-512 VNNI).

use super::operators;
use crate::simd::{I32_LANES, I32x16};
use std::arch::x86_64::*;

/// Sixteen `i32` in one register.
#[derive(Clone, Copy)]
pub(crate) struct SixteenI32(__m512i);

operators!(SixteenI32: Add add _mm512_add_epi32);

impl I32x16 for SixteenI32 {
    #[inline(always)]
    fn splat(x: i32) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_set1_epi32(x) })
    }
    #[inline(always)]
    fn load(from: &[i32; I32_LANES]) -> Self {
        // SAFETY: under a token; 16 integers can be read, at any alignment.
        Self(unsafe { _mm512_loadu_si512(from.as_ptr().cast()) })
    }
    #[inline(always)]
    fn store(self, to: &mut [i32; I32_LANES]) {
        // SAFETY: under a token; 16 integers can be written, at any alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), self.0) }
    }
    #[inline(always)]
    fn add_byte_products(self, unsigned: Self, signed: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_dpbusd_epi32(self.0, unsigned.0, signed.0) })
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_max_epi32(self.0, o.0) })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_min_epi32(self.0, o.0) })
    }
    #[inline(always)]
    fn at_least(self, o: Self) -> u16 {
        // SAFETY: under a token.
        unsafe { _mm512_cmpge_epi32_mask(self.0, o.0) }
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u16 {
        // SAFETY: under a token.
        unsafe { _mm512_cmplt_epi32_mask(self.0, o.0) }
    }
    #[inline(always)]
    fn nonzero(self) -> u16 {
        // SAFETY: under a token.
        unsafe { _mm512_test_epi32_mask(self.0, self.0) }
    }
    #[inline(always)]
    fn select(mask: u16, a: Self, b: Self) -> Self {
        // SAFETY: under a token.
        Self(unsafe { _mm512_mask_blend_epi32(mask, b.0, a.0) })
    }
    #[inline(always)]
    fn least(self) -> i32 {
        // SAFETY: under a token.
        unsafe { _mm512_reduce_min_epi32(self.0) }
    }
}
