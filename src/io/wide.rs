//! Plain loops compiled twice: for every processor, and for those with AVX2 and F16C, which nearly all have.

/// A loop that compilers vectorise.
pub(super) trait Loop {
    /// What it finds.
    type Output;
    /// Runs it. Implementations are `inline(always)`, so that the copy for AVX2 is compiled for AVX2.
    fn run(self) -> Self::Output;
}

/// Runs the copy for this processor.
#[inline]
pub(super) fn run<L: Loop>(work: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,f16c")]
        fn avx2<L: Loop>(work: L) -> L::Output {
            work.run()
        }
        if has_f16c() {
            // SAFETY: just checked (a cached load).
            return unsafe { avx2(work) };
        }
    }
    work.run()
}

/// Whether the processor has AVX2 and converts half precision by itself.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn has_f16c() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")
}
