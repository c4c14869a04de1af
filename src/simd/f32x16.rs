//! Sixteen `f32`: as many registers as hold them. For kernels that solve sixteen problems at once, one a lane.

use super::F32;
use std::ops::{Add, Div, Mul, Sub};

/// Lanes of a [`F32x16`].
pub(crate) const F32_LANES: usize = 16;

/// A cache line of sixteen `f32`: a [`F32x16`] in memory.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct LineF32(pub(crate) [f32; F32_LANES]);

impl LineF32 {
    /// All lanes zero.
    pub(crate) const ZERO: Self = Self([0.0; F32_LANES]);
}

/// Sixteen `f32`. Lane `i` of a result depends on lane `i` of the operands alone.
pub(crate) trait F32x16:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// The same value in each lane.
    fn splat(x: f32) -> Self;
    /// From memory.
    fn load(line: &LineF32) -> Self;
    /// To memory.
    fn store(self, line: &mut LineF32);
    /// `self * a + c`, fused where the instruction set can.
    fn mul_add(self, a: Self, c: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Larger of the two, `o` where one is NaN.
    fn max(self, o: Self) -> Self;
    /// Smaller of the two, `o` where one is NaN.
    fn min(self, o: Self) -> Self;
    /// Bit `l` is set unless lane `l` of `self` is less than that of `o`. It is set for NaN.
    fn not_less(self, o: Self) -> u16;
    /// Lanes of `a` where the bit is set, of `b` elsewhere.
    fn select(mask: u16, a: Self, b: Self) -> Self;
}

/// `V` registers of `16 / V` lanes each.
#[derive(Clone, Copy)]
pub(crate) struct Registers<F, const V: usize>([F; V]);

// Loops and not `array::map`: a closure would be compiled without the instructions of the vectors.

macro_rules! operators {
    ($($Trait:ident $method:ident)*) => {$(
        impl<F: F32, const V: usize> $Trait for Registers<F, V> {
            type Output = Self;
            #[inline(always)]
            fn $method(mut self, o: Self) -> Self {
                for (a, b) in self.0.iter_mut().zip(o.0) {
                    *a = $Trait::$method(*a, b);
                }
                self
            }
        }
    )*};
}

operators!(Add add Sub sub Mul mul Div div);

impl<F: F32, const V: usize> F32x16 for Registers<F, V> {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([F::splat(x); V])
    }
    #[inline(always)]
    fn load(line: &LineF32) -> Self {
        let mut out = Self::splat(0.0);
        for (out, values) in out.0.iter_mut().zip(line.0.chunks_exact(F::LANES)) {
            *out = F::from_slice(values);
        }
        out
    }
    #[inline(always)]
    fn store(self, line: &mut LineF32) {
        for (v, values) in self.0.into_iter().zip(line.0.chunks_exact_mut(F::LANES)) {
            v.copy_to(values);
        }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        let mut out = c;
        for ((out, &x), &y) in out.0.iter_mut().zip(&self.0).zip(&a.0) {
            *out = x.mul_add(y, *out);
        }
        out
    }
    #[inline(always)]
    fn sqrt(mut self) -> Self {
        for a in &mut self.0 {
            *a = a.sqrt();
        }
        self
    }
    #[inline(always)]
    fn max(mut self, o: Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(o.0) {
            *a = a.max(b);
        }
        self
    }
    #[inline(always)]
    fn min(mut self, o: Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(o.0) {
            *a = a.min(b);
        }
        self
    }
    #[inline(always)]
    fn not_less(self, o: Self) -> u16 {
        let mut bits = 0;
        for (i, (a, b)) in self.0.into_iter().zip(o.0).enumerate() {
            bits |= a.not_less(b) << (i * F::LANES);
        }
        bits as u16
    }
    #[inline(always)]
    fn select(mask: u16, a: Self, b: Self) -> Self {
        let mut out = b;
        for (i, (out, &a)) in out.0.iter_mut().zip(&a.0).enumerate() {
            *out = F::select(u32::from(mask) >> (i * F::LANES), a, *out);
        }
        out
    }
}
