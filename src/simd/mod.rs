//! Vector instructions, chosen when the program runs. The only home of intrinsics.
//!
//! The crate is compiled for the baseline of its target, so that one binary runs on every processor. Kernels
//! are written once, generic over the instruction set, and compiled once more for each wider set. The
//! dispatcher picks a copy.
//!
//! | file | what |
//! |---|---|
//! | `instruction_set` | [`InstructionSet`]: what the processor has; [`InstructionSet::run`], the dispatcher |
//! | `kernel` | [`SimdKernel`], a loop nest to compile for every set, and [`Simd`], a set as a type |
//! | `f32` | [`F32`], one register of `f32` (4, 8 or 16 lanes): register tiles |
//! | `f32x16`, `f64x8` | [`F32x16`] and [`F64x8`], always 16 or 8 lanes: a problem a lane, sums in a fixed order |
//! | `i32x16` | [`I32x16`], sixteen `i32` that add products of bytes: the int8 filter |
//! | `widen` | [`widen()`] and [`widen_slice`], rows of halves to `f32`; [`Number`], what widens to [`F64x8`] |
//! | `narrow` | [`narrow_slice`], rows of `f32` to halves, with their largest magnitude |
//! | `portable` | all of these as arrays, for every processor |
//! | `x86` | all of these as AVX2, AVX-512 and AVX-512 VNNI registers, their tokens and copies of kernels |
//! | `memory` | prefetches, stores past the caches, 4 x 4 transposes, half precision |
//!
//! # How to write a kernel
//! Put the arguments into a struct and implement [`SimdKernel`] for it. Vectors are the associated types of
//! `S`; they have the operators `+ - * /` and the methods of their traits:
//!
//! ```ignore
//! use crate::simd::{F32, InstructionSet, Simd, SimdKernel};
//!
//! /// `y += factor * x`.
//! struct Axpy<'a> { factor: f32, x: &'a [f32], y: &'a mut [f32] }
//!
//! impl SimdKernel for Axpy<'_> {
//!     type Output = ();
//!
//!     #[inline(always)]
//!     fn run<S: Simd, const R: usize, const V: usize>(self) {
//!         let factor = S::F32::splat(self.factor);
//!         let (x, y) = (self.x.chunks_exact(S::F32::LANES), self.y.chunks_exact_mut(S::F32::LANES));
//!         // (The rest of a row is left out here.)
//!         for (x, y) in x.zip(y) {
//!             let sum = factor.mul_add(S::F32::from_slice(x), S::F32::from_slice(y));
//!             sum.copy_to(y);
//!         }
//!     }
//! }
//!
//! set.run(Axpy { factor, x, y });
//! ```
//!
//! 1. **Inline everything.** `run` and every function that it calls in inner loops is `#[inline(always)]`. A
//!    function that is not inlined is compiled for the baseline, and each vector operation in it is a call.
//!    For the same reason use loops and not closures (`array::map`, `array::from_fn`, iterator adapters) around
//!    vector operations.
//!    A large part, or one that is used in several places, is a kernel of its own and is [called](Simd::call).
//! 2. **Keep sums apart.** A register tile is an array of `R x V` vectors, `[[S::F32; V]; R]`, that stays in
//!    registers; `R` and `V` are the shape that fills the registers of the set. Kernels without tiles ignore
//!    them.
//! 3. **Mind the bits.** [`F32`] has as many lanes as the register, so a result may only depend on a lane if it
//!    does so on every set. `mul_add` is fused on wide sets and not on the portable one; a kernel whose bits
//!    must agree between sets uses `a * b + c`. The compiler never fuses or reorders by itself.
//! 4. **Stay safe.** Vector operations are safe functions, and so are loads and stores of slices and of cache
//!    lines ([`LineF32`], [`LineF64`]). [`F32::load`] and [`F32::store`] take pointers, for tiles whose bounds
//!    are checked once for many loads; each such block says in a `SAFETY` comment which check that is.
//!
//! Masks are integers, bit `i` for lane `i`. `max` and `min` return the second operand where one is NaN.
//!
//! # Why vector operations are safe functions
//! An AVX-512 instruction on a processor without AVX-512 is undefined behaviour. Each set has a zero-sized
//! token (`x86::Avx512` and so on) that only detection can make, and a token is needed to run the copy of a
//! kernel that is compiled for it. The tokens and the vector types are private to this module. Other code
//! cannot name them; it sees them as the type parameter `S` only, and it gets `S` from the dispatcher only.
//! So wherever code is running with `S`, a token was there, and the processor has the instructions.
//!
//! # What is missing
//! NEON: on aarch64 the portable vectors compile to NEON instructions of four lanes. Vectors of its own would
//! bring tiles that use all 32 registers (8 rows by 2 vectors instead of 4 by 2), about twice the speed of the
//! float32 tiles, and `SDOT`/`USDOT` for the int8 filter, which aarch64 goes without today. They would be a
//! folder `aarch64` beside `x86`, a token in `InstructionSet::run`, and nothing else.

mod f32;
mod f32x16;
mod f64x8;
mod i32x16;
mod instruction_set;
mod kernel;
mod memory;
mod narrow;
mod portable;
mod widen;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(feature = "internals")]
pub(crate) mod tests;

pub(crate) use f32::F32;
pub(crate) use f32x16::{F32_LANES, F32x16, LineF32};
pub(crate) use f64x8::{F64_LANES, F64x8, INTEGER_SHIFT, LineF64};
pub(crate) use i32x16::{I32_LANES, I32x16};
pub(crate) use instruction_set::ByteProducts;
pub use instruction_set::InstructionSet;
pub(crate) use kernel::{Simd, SimdKernel};
pub(crate) use memory::{f16_to_f32, prefetch, stream_copy, stream_fence, transpose_4x4};
pub(crate) use narrow::narrow_slice;
pub(crate) use widen::{Number, widen, widen_slice};
