//! Memory of large arrays. Fresh memory comes a page at a time, at a fault each: with small pages that takes
//! longer than most kernels take to fill it.

use bytemuck::Zeroable;
use std::mem::MaybeUninit;

/// Bytes from which on large pages are asked for: enough to hold one, wherever the array begins.
const LARGE: usize = 4 << 20;

/// `len` zeros; those of fresh memory are the system's, so that the thread that fills them touches them first.
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
fn on_large_pages<T>(values: &Vec<T>) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(addr: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    // Of the smallest page: systems with larger ones refuse other addresses, and fault less as it is.
    const PAGE: usize = 4096;
    let (start, bytes) = (values.as_ptr(), values.capacity() * size_of::<T>());
    if bytes >= LARGE {
        let before = start.addr() % PAGE;
        let page = start.wrapping_byte_sub(before).cast_mut();
        // SAFETY: changes no content, only how large the pages are that hold it.
        unsafe { madvise(page.cast(), before + bytes, MADV_HUGEPAGE) };
    }
}

/// Other systems choose for themselves.
#[cfg(not(target_os = "linux"))]
fn on_large_pages<T>(_: &Vec<T>) {}
