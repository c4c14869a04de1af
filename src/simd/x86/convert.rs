//! Half precision to single (F16C).

use std::arch::x86_64::*;

/// Converts all chunks to `f32` by F16C; `false`, and nothing is written, if the processor does not have it.
pub(in crate::simd) fn f16_to_f32(chunks: &[[u8; 16]], out: &mut [[f32; 8]]) -> bool {
    #[target_feature(enable = "avx2,f16c")]
    fn copy(chunks: &[[u8; 16]], out: &mut [[f32; 8]]) {
        for (chunk, eight) in chunks.iter().zip(out) {
            // SAFETY: both arrays are as long as a vector; loads and stores need no alignment.
            unsafe {
                let halves = _mm_loadu_si128(chunk.as_ptr().cast());
                _mm256_storeu_ps(eight.as_mut_ptr(), _mm256_cvtph_ps(halves));
            }
        }
    }
    let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c");
    if found {
        // SAFETY: the processor has AVX2 and F16C, as was just found.
        unsafe { copy(chunks, out) };
    }
    found
}
