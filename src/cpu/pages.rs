//! Memory of large arrays. Fresh memory comes a page at a time, at a fault each: with small pages that takes
//! longer than most kernels take to fill it.

use std::mem::MaybeUninit;

/// Values from which on large pages are asked for: enough to hold one, wherever the array begins.
const LARGE: usize = 1 << 20;

/// `len` zeros.
pub(super) fn zeros(len: usize) -> Vec<f32> {
    let values = vec![0.0; len];
    on_large_pages(values.as_ptr(), values.capacity());
    values
}

/// An empty vector with room for `len` values.
pub(super) fn room(len: usize) -> Vec<f32> {
    let values = Vec::with_capacity(len);
    on_large_pages(values.as_ptr(), values.capacity());
    values
}

/// The same memory, full of zeros: by the thread that fills it, part by part, each still in its cache then.
pub(super) fn zeroed(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    for value in room.iter_mut() {
        value.write(0.0);
    }
    // SAFETY: every value has just been written.
    unsafe { &mut *(std::ptr::from_mut(room) as *mut [f32]) }
}

/// Asks for large pages where the memory is not there yet; a hint, so failure means nothing.
#[cfg(target_os = "linux")]
fn on_large_pages(start: *const f32, len: usize) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(addr: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    // Of the smallest page: systems with larger ones refuse other addresses, and fault less as it is.
    const PAGE: usize = 4096;
    if len >= LARGE {
        let before = start.addr() % PAGE;
        let page = start.wrapping_byte_sub(before).cast_mut();
        // SAFETY: changes no content, only how large the pages are that hold it.
        unsafe { madvise(page.cast(), before + len * size_of::<f32>(), MADV_HUGEPAGE) };
    }
}

/// Other systems choose for themselves.
#[cfg(not(target_os = "linux"))]
fn on_large_pages(_: *const f32, _: usize) {}
