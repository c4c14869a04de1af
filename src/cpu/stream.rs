//! Writing past the caches: what is larger than they are is gone from them before anyone reads it, and a
//! line written whole need not be fetched from memory first.

/// Values from which on an array is larger than most last-level caches.
pub(super) const LARGE: usize = 1 << 23;

/// Copies `values` to `to`, whole cache lines past the caches. Other threads may see these only after
/// [`finish`].
///
/// # Safety
/// There is room for `values` at `to`, nobody else writes there, and `values` are not there.
#[inline(always)]
pub(super) unsafe fn copy(values: &[f32], to: *mut f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps};
        let head = to.align_offset(64).min(values.len());
        let (head, rest) = values.split_at(head);
        let (lines, tail) = rest.as_chunks::<16>();
        // SAFETY: room for all of it, by the caller's contract; lines are aligned; SSE is part of the
        // target's baseline.
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
    // SAFETY: room for all of it, by the caller's contract.
    unsafe {
        to.copy_from_nonoverlapping(values.as_ptr(), values.len());
    }
}

/// Puts what this thread has copied before what it writes from now on.
#[inline(always)]
pub(super) fn finish() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of the target's baseline.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}
