//! Pointers of the caller as references and slices, or as a message that names the one that is null.

use crate::status::{Failure, Outcome};

/// `pointer` as a reference.
///
/// # Safety
/// A pointer that is not null points to a value that nobody changes while the reference lives.
pub unsafe fn reference<'a, T>(pointer: *const T, name: &str) -> Outcome<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// `pointer` as a reference through which is written.
///
/// # Safety
/// A pointer that is not null points to memory for a value that nobody else uses while the reference lives.
pub unsafe fn target<'a, T>(pointer: *mut T, name: &str) -> Outcome<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// `len` elements from `pointer` on.
///
/// # Safety
/// A pointer that is not null points to as many elements, which nobody changes while the slice lives.
pub unsafe fn slice<'a, T>(pointer: *const T, len: usize, name: &str) -> Outcome<&'a [T]> {
    // SAFETY: the caller's promise.
    unsafe { optional(pointer, len) }.ok_or_else(|| null(name))
}

/// As [`slice`], where null means that there is none.
///
/// # Safety
/// As [`slice`].
pub unsafe fn optional<'a, T>(pointer: *const T, len: usize) -> Option<&'a [T]> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// As [`optional`], to be written.
///
/// # Safety
/// A pointer that is not null points to as many elements, which nobody else uses while the slice lives.
pub unsafe fn optional_target<'a, T>(pointer: *mut T, len: usize) -> Option<&'a mut [T]> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts_mut(pointer, len) })
}

/// Number of elements of an array of this shape.
pub fn elements(shape: &[usize], name: &str) -> Outcome<usize> {
    let product = shape.iter().try_fold(1usize, |all, &d| all.checked_mul(d));
    match product {
        Some(count) if isize::try_from(count.saturating_mul(8)).is_ok() => Ok(count),
        _ => Err(Failure::argument(format!(
            "{name} of shape {shape:?} has more elements than can be addressed"
        ))),
    }
}

fn null(name: &str) -> Failure {
    Failure::argument(format!("{name} is NULL"))
}
