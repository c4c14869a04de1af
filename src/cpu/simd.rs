//! Names from before [`crate::simd`], for kernels that are not converted yet.

pub use crate::simd::InstructionSet;
pub(super) use crate::simd::prefetch;
use crate::simd::{F32, Simd as New, SimdKernel};

/// [`SimdKernel`] by its old name.
pub(crate) trait SimdOp {
    type Output;
    /// # Safety
    /// The processor has the instructions of `S`.
    unsafe fn run<S: Simd, const R: usize, const V: usize>(self) -> Self::Output;
}

impl<O: SimdOp> SimdKernel for O {
    type Output = O::Output;
    #[inline(always)]
    fn run<S: New, const R: usize, const V: usize>(self) -> Self::Output {
        // SAFETY: the dispatcher's call proves that the processor has `S`.
        unsafe { SimdOp::run::<S, R, V>(self) }
    }
}

/// Vectors of [`crate::simd::Simd`] by their old names.
pub(crate) trait Simd: New {
    type Vector: F32;
    type Doubles: crate::simd::F64x8;
    const LANES: usize;
    unsafe fn splat(x: f32) -> Self::Vector;
    unsafe fn load(p: *const f32) -> Self::Vector;
    unsafe fn store(p: *mut f32, v: Self::Vector);
    unsafe fn load_lanes(v: Self::Vector, mask: u32, p: *const f32) -> Self::Vector;
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn not_less(a: Self::Vector, b: Self::Vector) -> u32;
}

impl<S: New> Simd for S {
    type Vector = S::F32;
    type Doubles = S::F64x8;
    const LANES: usize = <S::F32 as F32>::LANES;
    #[inline(always)]
    unsafe fn splat(x: f32) -> S::F32 {
        S::F32::splat(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> S::F32 {
        // SAFETY: by the caller's promise.
        unsafe { S::F32::load(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: S::F32) {
        // SAFETY: by the caller's promise.
        unsafe { v.store(p) }
    }
    #[inline(always)]
    unsafe fn load_lanes(v: S::F32, mask: u32, p: *const f32) -> S::F32 {
        // SAFETY: by the caller's promise.
        unsafe { v.load_lanes(mask, p) }
    }
    #[inline(always)]
    unsafe fn add(a: S::F32, b: S::F32) -> S::F32 {
        a + b
    }
    #[inline(always)]
    unsafe fn sub(a: S::F32, b: S::F32) -> S::F32 {
        a - b
    }
    #[inline(always)]
    unsafe fn mul(a: S::F32, b: S::F32) -> S::F32 {
        a * b
    }
    #[inline(always)]
    unsafe fn max(a: S::F32, b: S::F32) -> S::F32 {
        a.max(b)
    }
    #[inline(always)]
    unsafe fn min(a: S::F32, b: S::F32) -> S::F32 {
        a.min(b)
    }
    #[inline(always)]
    unsafe fn mul_add(a: S::F32, b: S::F32, c: S::F32) -> S::F32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    unsafe fn not_less(a: S::F32, b: S::F32) -> u32 {
        a.not_less(b)
    }
}
