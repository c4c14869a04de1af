//! One slice that many threads write, each its own parts.

use std::marker::PhantomData;

/// A mutable slice shared by tasks that write disjoint parts of it.
pub(super) struct Disjoint<'a, T = f32> {
    data: *mut T,
    len: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: the parts handed out do not overlap, by the contract of `part`.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Borrows `data` for as long as parts of it are handed out.
    pub(super) fn new(data: &'a mut [T]) -> Self {
        Self {
            data: data.as_mut_ptr(),
            len: data.len(),
            lifetime: PhantomData,
        }
    }

    /// The `len` values from `start` on.
    ///
    /// # Safety
    /// No other part that overlaps this one is in use while the result lives.
    ///
    /// # Panics
    /// If they are out of range.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "parts are disjoint")]
    pub(super) unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: in range, asserted above; unshared, by the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}
