//! Rows to columns within registers.

use std::arch::x86_64::*;

/// Four rows to four columns, by instructions that every x86-64 processor has.
#[inline(always)]
pub(in crate::simd) fn transpose_4x4(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    let [a, b, c, d] = rows.map(bytemuck::cast::<_, __m128>);
    // SAFETY: SSE is part of the target's baseline.
    let columns = unsafe {
        let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
        let (ef, gh) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
        [
            _mm_movelh_ps(ab, cd),
            _mm_movehl_ps(cd, ab),
            _mm_movelh_ps(ef, gh),
            _mm_movehl_ps(gh, ef),
        ]
    };
    columns.map(bytemuck::cast)
}

/// Eight rows of `f32` to eight columns: pairs of rows are interleaved, then pairs of pairs, then halves go to
/// their columns.
///
/// # Safety
/// The processor has AVX.
#[inline(always)]
pub(super) unsafe fn transpose_8x8(rows: [&[f32; 8]; 8]) -> [__m256; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    // SAFETY: AVX is there, by the caller's promise.
    unsafe {
        let [a, b, c, d] = interleave(r0, r1, r2, r3);
        let [e, f, g, h] = interleave(r4, r5, r6, r7);
        [
            _mm256_permute2f128_ps::<0x20>(a, e),
            _mm256_permute2f128_ps::<0x20>(b, f),
            _mm256_permute2f128_ps::<0x20>(c, g),
            _mm256_permute2f128_ps::<0x20>(d, h),
            _mm256_permute2f128_ps::<0x31>(a, e),
            _mm256_permute2f128_ps::<0x31>(b, f),
            _mm256_permute2f128_ps::<0x31>(c, g),
            _mm256_permute2f128_ps::<0x31>(d, h),
        ]
    }
}

/// Result `i` holds column `i` of four rows in its low half, and column `4 + i` in its high half.
///
/// # Safety
/// The processor has AVX.
#[inline(always)]
unsafe fn interleave(a: &[f32; 8], b: &[f32; 8], c: &[f32; 8], d: &[f32; 8]) -> [__m256; 4] {
    // SAFETY: AVX is there, by the caller's promise; eight floats can be read of each, at any alignment.
    unsafe {
        let (a, b) = (_mm256_loadu_ps(a.as_ptr()), _mm256_loadu_ps(b.as_ptr()));
        let (c, d) = (_mm256_loadu_ps(c.as_ptr()), _mm256_loadu_ps(d.as_ptr()));
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (low2, high2) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(low, low2),
            _mm256_shuffle_ps::<0xee>(low, low2),
            _mm256_shuffle_ps::<0x44>(high, high2),
            _mm256_shuffle_ps::<0xee>(high, high2),
        ]
    }
}
