//! Vector instructions chosen at run time.
//!
//! The crate is built for the baseline of its target, so that one binary runs anywhere. Hot loops are
//! written once, generic over [`Simd`], and compiled once more for each wider instruction set;
//! [`InstructionSet::run`] picks the copy. This and the loops themselves are the crate's only unsafe code.

use super::f64x8::{F64x8, Pack};
use std::fmt;

/// Instruction set of the CPU kernels. Neighbour search gives the same bits with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstructionSet {
    /// As [`InstructionSet::Avx512`], and neighbour search filters by products of bytes (AVX-512 VNNI).
    Avx512Vnni,
    /// 16 lanes (x86-64 with AVX-512F).
    Avx512,
    /// 8 lanes and fused multiply-add (x86-64 with AVX2 and FMA).
    Avx2,
    /// Whatever the compilation target guarantees.
    Portable,
}

impl InstructionSet {
    /// Widest one this processor has.
    pub fn detect() -> Self {
        [Self::Avx512Vnni, Self::Avx512, Self::Avx2]
            .into_iter()
            .find(|set| set.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx512.is_available() && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Self::Avx2.is_available() && is_x86_feature_detected!("avx512f"),
            // Every processor with AVX2 counts and scans bits too; compilers must be told.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("popcnt")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512Vnni | Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// Whether it has sums of products of bytes.
    pub(super) fn multiplies_bytes(self) -> bool {
        self == Self::Avx512Vnni && self.is_available()
    }

    /// Runs the copy of `op` compiled for this instruction set (the portable one where it is missing).
    pub(super) fn run<O: SimdOp>(self, op: O) -> O::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has AVX-512F, checked by the guard (a cached load).
            Self::Avx512Vnni | Self::Avx512 if self.is_available() => unsafe {
                x86::run_avx512(op)
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has AVX2 and FMA, checked by the guard.
            Self::Avx2 if self.is_available() => unsafe { x86::run_avx2(op) },
            // SAFETY: `Portable` needs no instruction beyond the target's baseline.
            _ => unsafe { op.run::<Portable, 4, 2>() },
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512Vnni => "avx512+vnni",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2+fma",
            Self::Portable => std::env::consts::ARCH,
        })
    }
}

/// A loop nest to be compiled for each instruction set.
pub(super) trait SimdOp {
    /// What it returns.
    type Output;

    /// The work, with register tiles of `R` rows by `V` vectors. Implementations are
    /// `#[inline(always)]`, as is all they call in inner loops: only code inlined into
    /// [`InstructionSet::run`]'s copies is compiled for that instruction set.
    ///
    /// # Safety
    /// The processor has the instructions of `S`.
    unsafe fn run<S: Simd, const R: usize, const V: usize>(self) -> Self::Output;
}

/// Asks for a row to be brought into the first-level cache, where the target has an instruction for it.
#[inline(always)]
pub(super) fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of the target's baseline, and a prefetch touches nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

/// A vector of `f32` lanes.
///
/// # Safety
/// Every function requires that the processor has the instruction set; `load` and `store` also that
/// `LANES` floats at `p` (any alignment) may be read or written, `load_lanes` those lanes.
pub(super) trait Simd: Copy {
    /// The vector.
    type Vector: Copy;
    /// Eight `f64`.
    type Doubles: F64x8;
    /// Lanes of a vector; divides 32.
    const LANES: usize;

    unsafe fn splat(x: f32) -> Self::Vector;
    unsafe fn load(p: *const f32) -> Self::Vector;
    unsafe fn store(p: *mut f32, v: Self::Vector);
    /// `v` with the lanes whose bit is set read from their place in the `LANES` floats at `p`; only
    /// those are touched.
    unsafe fn load_lanes(v: Self::Vector, mask: u32, p: *const f32) -> Self::Vector;
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn sqrt(a: Self::Vector) -> Self::Vector;
    /// `a` where the lane's bit is set, else `b`.
    unsafe fn select(mask: u32, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a` where `a > b`, else `b`.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a` where `a < b`, else `b`.
    unsafe fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, fused where the instruction set can.
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Bit `i` is set unless `a[i] < b[i]`: set for NaN.
    unsafe fn not_less(a: Self::Vector, b: Self::Vector) -> u32;
}

/// Arrays that the compiler turns into the baseline's vectors (SSE2, NEON).
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Portable {
    #[inline(always)]
    fn map2(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
        [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
    }
}

impl Simd for Portable {
    type Vector = [f32; 4];
    type Doubles = Pack;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 4] {
        // SAFETY: four readable floats, by the caller's contract.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 4]) {
        // SAFETY: room for four floats, by the caller's contract.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_lanes(v: [f32; 4], mask: u32, p: *const f32) -> [f32; 4] {
        std::array::from_fn(|i| match mask >> i & 1 {
            0 => v[i],
            // SAFETY: this lane is readable, by the caller's contract.
            _ => unsafe { *p.wrapping_add(i) },
        })
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        Self::map2(a, b, |x, y| x + y)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        Self::map2(a, b, |x, y| x - y)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        Self::map2(a, b, |x, y| x * y)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        Self::map2(a, b, |x, y| x / y)
    }
    #[inline(always)]
    unsafe fn sqrt(a: [f32; 4]) -> [f32; 4] {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    unsafe fn select(mask: u32, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if mask >> i & 1 == 1 { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        Self::map2(a, b, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        Self::map2(a, b, |x, y| if x < y { x } else { y })
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // Fused only where that is an instruction: elsewhere `f32::mul_add` is a call into libm.
        #[cfg(target_arch = "aarch64")]
        {
            std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
        }
        #[cfg(not(target_arch = "aarch64"))]
        {
            Self::map2(Self::map2(a, b, |x, y| x * y), c, |x, y| x + y)
        }
    }
    #[inline(always)]
    unsafe fn not_less(a: [f32; 4], b: [f32; 4]) -> u32 {
        let less = |i: usize| u32::from(a[i] < b[i]) << i;
        0xF ^ (less(0) | less(1) | less(2) | less(3))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Simd, SimdOp};
    use crate::cpu::f64x8::x86::{Pair, Wide};
    use std::arch::x86_64::*;

    /// 32 registers: tiles of 8 rows by 2 vectors keep both multipliers of a core busy.
    #[target_feature(enable = "avx512f,popcnt,bmi1,bmi2")]
    pub(super) unsafe fn run_avx512<O: SimdOp>(op: O) -> O::Output {
        // SAFETY: the caller checked for AVX-512F.
        unsafe { op.run::<Avx512, 8, 2>() }
    }

    /// 16 registers: tiles of 4 rows by 2 vectors leave room for operands.
    #[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2")]
    pub(super) unsafe fn run_avx2<O: SimdOp>(op: O) -> O::Output {
        // SAFETY: the caller checked for AVX2 and FMA.
        unsafe { op.run::<Avx2, 4, 2>() }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Avx512;
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2;

    /// Lane `i`'s sign bit is bit `i` of the mask.
    #[inline(always)]
    unsafe fn signs(mask: u32) -> __m256i {
        // SAFETY: the caller checked for AVX2.
        unsafe {
            let shifts = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
            _mm256_sllv_epi32(_mm256_set1_epi32(mask as i32), shifts)
        }
    }

    // SAFETY of both implementations: the instructions are there and pointers valid, by `Simd`'s contract.
    impl Simd for Avx512 {
        type Vector = __m512;
        type Doubles = Wide;
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn splat(x: f32) -> __m512 {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m512) {
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn load_lanes(v: __m512, mask: u32, p: *const f32) -> __m512 {
            unsafe { _mm512_mask_loadu_ps(v, mask as u16, p) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sqrt(a: __m512) -> __m512 {
            unsafe { _mm512_sqrt_ps(a) }
        }
        #[inline(always)]
        unsafe fn select(mask: u32, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mask_blend_ps(mask as u16, b, a) }
        }
        #[inline(always)]
        unsafe fn max(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn not_less(a: __m512, b: __m512) -> u32 {
            unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(a, b)) }
        }
    }

    impl Simd for Avx2 {
        type Vector = __m256;
        type Doubles = Pair;
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn splat(x: f32) -> __m256 {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m256) {
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn load_lanes(v: __m256, mask: u32, p: *const f32) -> __m256 {
            unsafe {
                let lanes = signs(mask);
                _mm256_blendv_ps(v, _mm256_maskload_ps(p, lanes), _mm256_castsi256_ps(lanes))
            }
        }
        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sqrt(a: __m256) -> __m256 {
            unsafe { _mm256_sqrt_ps(a) }
        }
        #[inline(always)]
        unsafe fn select(mask: u32, a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_blendv_ps(b, a, _mm256_castsi256_ps(signs(mask))) }
        }
        #[inline(always)]
        unsafe fn max(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn not_less(a: __m256, b: __m256) -> u32 {
            unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(a, b)) as u32 }
        }
    }
}
