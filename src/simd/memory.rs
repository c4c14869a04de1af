//! What kernels do with memory besides vector loads: prefetches, stores that bypass the caches, small
//! transposes, half precision. All of it runs on every processor.

/// Asks for a row to be brought into the first-level cache, where the target has an instruction for it.
#[inline(always)]
pub(crate) fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of the target's baseline, and a prefetch touches nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

/// Copies `values` to `to`, whole cache lines past the caches: what is larger than a cache is gone from it
/// before anyone reads it, and a line that is written whole need not be fetched first. Other threads may see
/// the values only after [`stream_fence`].
///
/// # Safety
/// There is room for `values` at `to`, nobody else writes there, and `values` are not there.
#[inline(always)]
pub(crate) unsafe fn stream_copy(values: &[f32], to: *mut f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps};
        let head = to.align_offset(64).min(values.len());
        let (head, rest) = values.split_at(head);
        let (lines, tail) = rest.as_chunks::<16>();
        // SAFETY: there is room for all of it, by the caller's promise; the streamed lines are aligned; SSE is
        // part of the target's baseline.
        unsafe {
            to.copy_from_nonoverlapping(head.as_ptr(), head.len());
            let mut to = to.add(head.len());
            for line in lines {
                for quarter in 0..4 {
                    let four = _mm_loadu_ps(line.as_ptr().add(4 * quarter));
                    _mm_stream_ps(to.add(4 * quarter), four);
                }
                to = to.add(16);
            }
            to.copy_from_nonoverlapping(tail.as_ptr(), tail.len());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: there is room for all of it, by the caller's promise.
    unsafe {
        to.copy_from_nonoverlapping(values.as_ptr(), values.len());
    }
}

/// Orders what this thread has written by [`stream_copy`] before what it writes from now on.
#[inline(always)]
pub(crate) fn stream_fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of the target's baseline.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Four rows to four columns.
#[inline(always)]
pub(crate) fn transpose_4x4(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    // Compilers make three instructions a value of the loop.
    #[cfg(target_arch = "x86_64")]
    {
        super::x86::transpose_4x4(rows)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::array::from_fn(|c| std::array::from_fn(|r| rows[r][c]))
    }
}

/// Converts little-endian halves to `f32`, eight at a time, if the processor has an instruction for that;
/// `false`, and nothing is written, if it has none.
#[inline]
pub(crate) fn f16_to_f32(chunks: &[[u8; 16]], out: &mut [[f32; 8]]) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        super::x86::f16_to_f32(chunks, out)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (chunks, out);
        false
    }
}
