//! Sixteen `f32` lanes: as many of [`Simd`]'s vectors as hold them, for code under
//! [`f64x8::dispatch`](super::f64x8::dispatch).

// Only what runs under `dispatch`, behind a check that the processor has the instructions, names a
// `Lanes`; that is the safety condition of every call below.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

use super::simd::Simd;

/// Lanes per vector.
pub(super) const LANES: usize = 16;

/// Sixteen `f32`, cache-line aligned, as stored in memory.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct Pack(pub(super) [f32; LANES]);

impl Pack {
    /// All lanes zero.
    pub(super) const ZERO: Self = Self([0.0; LANES]);
}

/// Arithmetic on sixteen `f32`. Each lane's result depends on that lane alone.
pub(super) trait F32x16: Copy {
    /// The same value in each lane.
    fn splat(x: f32) -> Self;
    /// From memory.
    fn load(p: &Pack) -> Self;
    /// To memory.
    fn store(self, p: &mut Pack);
    /// `self + o`.
    fn add(self, o: Self) -> Self;
    /// `self - o`.
    fn sub(self, o: Self) -> Self;
    /// `self * o`.
    fn mul(self, o: Self) -> Self;
    /// `self / o`.
    fn div(self, o: Self) -> Self;
    /// Larger of the two, `o` where one is NaN.
    fn max(self, o: Self) -> Self;
    /// Smaller of the two, `o` where one is NaN.
    fn min(self, o: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// `self * a + c`, fused where the processor can.
    fn mul_add(self, a: Self, c: Self) -> Self;
    /// Bit `l` set unless lane `l` of `self` is below that of `o`: set for NaN.
    fn not_less(self, o: Self) -> u16;
    /// Lanes of `a` where the bit is set, of `b` elsewhere.
    fn select(mask: u16, a: Self, b: Self) -> Self;
}

/// `V` vectors of `16 / V` lanes.
#[derive(Clone, Copy)]
pub(super) struct Lanes<S: Simd, const V: usize>([S::Vector; V]);

/// Operations of two vectors. Loops: the closure of a map would be compiled without the wider instructions.
macro_rules! binary {
    ($($name:ident)*) => {$(
        #[inline(always)]
        fn $name(self, o: Self) -> Self {
            let mut out = self;
            for (out, &o) in out.0.iter_mut().zip(&o.0) {
                *out = unsafe { S::$name(*out, o) };
            }
            out
        }
    )*};
}

impl<S: Simd, const V: usize> F32x16 for Lanes<S, V> {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([unsafe { S::splat(x) }; V])
    }
    #[inline(always)]
    fn load(p: &Pack) -> Self {
        let mut out = Self::splat(0.0);
        for (out, p) in out.0.iter_mut().zip(p.0.chunks_exact(S::LANES)) {
            *out = unsafe { S::load(p.as_ptr()) };
        }
        out
    }
    #[inline(always)]
    fn store(self, p: &mut Pack) {
        for (v, p) in self.0.into_iter().zip(p.0.chunks_exact_mut(S::LANES)) {
            unsafe { S::store(p.as_mut_ptr(), v) };
        }
    }
    binary!(add sub mul div max min);
    #[inline(always)]
    fn sqrt(self) -> Self {
        let mut out = self;
        for out in &mut out.0 {
            *out = unsafe { S::sqrt(*out) };
        }
        out
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        let mut out = c;
        for ((out, &x), &y) in out.0.iter_mut().zip(&self.0).zip(&a.0) {
            *out = unsafe { S::mul_add(x, y, *out) };
        }
        out
    }
    #[inline(always)]
    fn not_less(self, o: Self) -> u16 {
        let mut bits = 0;
        for (i, (&a, &b)) in self.0.iter().zip(&o.0).enumerate() {
            bits |= unsafe { S::not_less(a, b) } << (i * S::LANES);
        }
        bits as u16
    }
    #[inline(always)]
    fn select(mask: u16, a: Self, b: Self) -> Self {
        let mut out = b;
        for (i, (out, &a)) in out.0.iter_mut().zip(&a.0).enumerate() {
            *out = unsafe { S::select(u32::from(mask) >> (i * S::LANES), a, *out) };
        }
        out
    }
}
