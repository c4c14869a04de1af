//! What a kernel is written against: the instruction set as a type, and the kernel as a trait.

use super::{F32, F32x16, F64x8, I32x16};

/// An instruction set, as a type that stands for its vectors.
///
/// The types that implement it, [`Portable`](super::Portable) apart, are private to [`crate::simd`]. A kernel
/// meets one as the parameter `S` of [`SimdKernel::run`] only, and the dispatcher calls that function only
/// with a token which detection has made. Code that is generic over `S` may therefore use the vectors of `S`
/// freely: its being called with `S` proves that the processor has the instructions.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// One register of `f32`.
    type F32: F32;
    /// Sixteen `f32`.
    type F32x16: F32x16;
    /// Eight `f64`.
    type F64x8: F64x8;
    /// Sixteen `i32`, which also add products of bytes.
    type I32x16: I32x16;

    /// Runs a part of a kernel in a function of its own, compiled for this set. For parts that are large or used in several
    /// places, at the price of a call: what is inlined is compiled once more at every place, and the time that a
    /// compiler takes for a function grows faster than the function.
    fn call<K: SimdKernel>(part: K) -> K::Output;
}

/// A loop nest that is compiled once for every instruction set.
pub(crate) trait SimdKernel {
    /// What it returns.
    type Output;

    /// Does the work. A register tile of `R` rows by `V` vectors of `S::F32` fills the registers of `S`;
    /// kernels without such tiles ignore `R` and `V`.
    ///
    /// Implementations are `#[inline(always)]`, and so is every function that they call in inner loops: only
    /// what is inlined into the dispatcher's copies, or [called](Simd::call), is compiled with the instructions of `S`.
    fn run<S: Simd, const R: usize, const V: usize>(self) -> Self::Output;
}
