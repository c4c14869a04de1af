//! x86-64: the tokens, and the copies of every kernel that are compiled for them.
//!
//! # Why the intrinsics are sound
//! An intrinsic may be called where the processor has its instructions. The tokens and vectors of this module
//! cannot be named outside of [`crate::simd`], and inside they are used by the functions `run` below and
//! by each other only. So a vector exists only while a kernel runs under a token, and a token is made only by
//! detection. The `SAFETY` comments call this "under a token".

mod avx2;
mod avx512;
mod convert;
mod transpose;
mod vnni;

pub(super) use convert::f16_to_f32;
pub(super) use transpose::transpose_4x4;

use super::f32x16::Registers;
use super::portable::SixteenI32;
use super::{Simd, SimdKernel};

/// Proof that the processor has AVX2 and FMA, and F16C, POPCNT, BMI1 and BMI2 as every such processor does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// Proof that the processor has AVX-512F, and all that [`Avx2`] stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

/// Proof that the processor has AVX-512 VNNI, and all that [`Avx512`] stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512Vnni(());

impl Avx2 {
    /// The token, if the processor has the instructions. The answer is cached, so that asking costs a few loads.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2");
        found.then_some(Self(()))
    }

    /// Runs the copy of `kernel` for these instructions. There are 16 registers: tiles of 4 rows by 2 vectors
    /// leave room for operands.
    pub(super) fn run<K: SimdKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c,popcnt,bmi1,bmi2")]
        fn copy<K: SimdKernel>(kernel: K) -> K::Output {
            kernel.run::<Avx2, 4, 2>()
        }
        // SAFETY: `self` proves that the processor has these instructions.
        unsafe { copy(kernel) }
    }
}

impl Avx512 {
    /// The token, if the processor has the instructions.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        Avx2::detect()?;
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    /// Runs the copy of `kernel` for these instructions. There are 32 registers: tiles of 8 rows by 2 vectors
    /// keep both multipliers of a core busy.
    pub(super) fn run<K: SimdKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,f16c,popcnt,bmi1,bmi2")]
        fn copy<K: SimdKernel>(kernel: K) -> K::Output {
            kernel.run::<Avx512, 8, 2>()
        }
        // SAFETY: `self` proves that the processor has these instructions.
        unsafe { copy(kernel) }
    }
}

impl Avx512Vnni {
    /// The token, if the processor has the instructions.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        Avx512::detect()?;
        is_x86_feature_detected!("avx512vnni").then_some(Self(()))
    }

    /// Runs the copy of `kernel` for these instructions.
    pub(super) fn run<K: SimdKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512vnni,f16c,popcnt,bmi1,bmi2")]
        fn copy<K: SimdKernel>(kernel: K) -> K::Output {
            kernel.run::<Avx512Vnni, 8, 2>()
        }
        // SAFETY: `self` proves that the processor has these instructions.
        unsafe { copy(kernel) }
    }
}

impl Simd for Avx2 {
    type F32 = avx2::EightF32;
    type F32x16 = Registers<avx2::EightF32, 2>;
    type F64x8 = avx2::TwiceF64;
    type I32x16 = SixteenI32;

    #[inline(never)]
    fn call<K: SimdKernel>(part: K) -> K::Output {
        // The caller is running under a token.
        Self(()).run(part)
    }
}

impl Simd for Avx512 {
    type F32 = avx512::SixteenF32;
    type F32x16 = Registers<avx512::SixteenF32, 1>;
    type F64x8 = avx512::EightF64;
    type I32x16 = SixteenI32;

    #[inline(never)]
    fn call<K: SimdKernel>(part: K) -> K::Output {
        // The caller is running under a token.
        Self(()).run(part)
    }
}

impl Simd for Avx512Vnni {
    type F32 = avx512::SixteenF32;
    type F32x16 = Registers<avx512::SixteenF32, 1>;
    type F64x8 = avx512::EightF64;
    type I32x16 = vnni::SixteenI32;

    #[inline(never)]
    fn call<K: SimdKernel>(part: K) -> K::Output {
        // The caller is running under a token.
        Self(()).run(part)
    }
}

/// Operators of a vector of one register, by its intrinsics.
macro_rules! operators {
    ($Vector:ident: $($Trait:ident $method:ident $intrinsic:ident)*) => {$(
        impl std::ops::$Trait for $Vector {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                // SAFETY: vectors exist only under a token, see `simd::x86`.
                Self(unsafe { $intrinsic(self.0, o.0) })
            }
        }
    )*};
}
use operators;
