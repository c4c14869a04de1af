//! Memory for large arrays. The system maps fresh memory one page at a time, with a page fault each. With small pages
//! the faults take longer than most kernels take to fill the memory, so large pages are asked for.

use bytemuck::Zeroable;
use std::mem::MaybeUninit;

/// `len` zeros. The system zeroes fresh pages on first touch, so the thread that fills a page also pays for it.
pub(super) fn zeros<T: Zeroable>(len: usize) -> Vec<T> {
    let values = bytemuck::zeroed_vec(len);
    on_large_pages(&values);
    values
}

/// An empty vector with room for `len` values.
pub(super) fn room<T>(len: usize) -> Vec<T> {
    let values = Vec::with_capacity(len);
    on_large_pages(&values);
    values
}

/// The same memory, filled with zeros. The thread that goes on to fill it does this part by part, while the part is
/// in its cache.
pub(super) fn zeroed(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    for value in room.iter_mut() {
        value.write(0.0);
    }
    // SAFETY: every value has just been written.
    unsafe { &mut *(std::ptr::from_mut(room) as *mut [f32]) }
}

/// Asks for large pages where memory is not mapped yet. This is a hint, so a failure is ignored.
#[cfg(target_os = "linux")]
fn on_large_pages<T>(values: &Vec<T>) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(addr: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    // Fewest bytes for which large pages are asked for: an array of this size holds one wherever it begins.
    const LARGE: usize = 4 << 20;
    // Addresses are aligned to the smallest page. Systems with larger ones refuse them, but also fault less.
    const PAGE: usize = 4096;
    let (start, bytes) = (values.as_ptr(), values.capacity() * size_of::<T>());
    if bytes >= LARGE {
        let before = start.addr() % PAGE;
        let page = start.wrapping_byte_sub(before).cast_mut();
        // SAFETY: the call changes no content, only how large the pages are that hold it.
        unsafe { madvise(page.cast(), before + bytes, MADV_HUGEPAGE) };
    }
}

/// Other systems choose page sizes by themselves.
#[cfg(not(target_os = "linux"))]
fn on_large_pages<T>(_: &Vec<T>) {}
