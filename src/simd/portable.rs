//! Vectors as plain arrays, which the compiler turns into the target's own vectors (SSE2 on x86-64, NEON on
//! aarch64). Every processor runs these.

use super::f32x16::Registers;
use super::{F32, F64_LANES, F64x8, I32_LANES, I32x16, LineF64, Simd, SimdKernel};
use half::f16;
use std::array::from_fn;
use std::ops::{Add, Div, Mul, Sub};

/// Token of the instructions that the compilation target guarantees. It needs no detection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Portable {
    /// Runs a kernel. Tiles of 4 rows by 2 vectors leave some of 16 registers for operands.
    pub(super) fn run<K: SimdKernel>(self, kernel: K) -> K::Output {
        kernel.run::<Self, 4, 2>()
    }
}

impl Simd for Portable {
    type F32 = FourF32;
    type F32x16 = Registers<FourF32, 4>;
    type F64x8 = LineF64;
    type I32x16 = SixteenI32;

    #[inline(never)]
    fn call<K: SimdKernel>(part: K) -> K::Output {
        Self.run(part)
    }
}

/// Four `f32`.
#[derive(Clone, Copy)]
pub(crate) struct FourF32([f32; 4]);

#[inline(always)]
fn map2(a: FourF32, b: FourF32, f: impl Fn(f32, f32) -> f32) -> FourF32 {
    let (a, b) = (a.0, b.0);
    FourF32([f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])])
}

macro_rules! operators {
    ($Vector:ident: $($Trait:ident $method:ident $operator:tt)*) => {$(
        impl $Trait for $Vector {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                map2(self, o, |a, b| a $operator b)
            }
        }
    )*};
}

operators!(FourF32: Add add + Sub sub - Mul mul * Div div /);

impl F32 for FourF32 {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; 4])
    }
    #[inline(always)]
    fn widen(halves: &[f16]) -> Self {
        let halves = &halves[..Self::LANES];
        Self(from_fn(|i| single(halves[i])))
    }
    #[inline(always)]
    fn narrow(self, halves: &mut [f16]) {
        for (half, x) in halves[..Self::LANES].iter_mut().zip(self.0) {
            *half = f16::from_f32(x);
        }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: four floats can be read, by the caller's promise.
        Self(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: four floats can be written, by the caller's promise.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, mask: u32, p: *const f32) -> Self {
        Self(from_fn(|i| match mask >> i & 1 {
            0 => self.0[i],
            // SAFETY: the floats of these lanes can be read, by the caller's promise.
            _ => unsafe { *p.wrapping_add(i) },
        }))
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        // Fused only where that is an instruction; elsewhere `f32::mul_add` is a call into libm.
        #[cfg(target_arch = "aarch64")]
        {
            Self(from_fn(|i| self.0[i].mul_add(a.0[i], c.0[i])))
        }
        #[cfg(not(target_arch = "aarch64"))]
        {
            self * a + c
        }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        map2(self, o, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        map2(self, o, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn not_less(self, o: Self) -> u32 {
        let less = |i: usize| u32::from(self.0[i] < o.0[i]) << i;
        0xF ^ (less(0) | less(1) | less(2) | less(3))
    }
    #[inline(always)]
    fn select(mask: u32, a: Self, b: Self) -> Self {
        Self(from_fn(
            |i| if mask >> i & 1 == 1 { a.0[i] } else { b.0[i] },
        ))
    }
}

#[inline(always)]
fn map2_f64(a: LineF64, b: LineF64, f: impl Fn(f64, f64) -> f64) -> LineF64 {
    LineF64(from_fn(|l| f(a.0[l], b.0[l])))
}

macro_rules! operators_f64 {
    ($($Trait:ident $method:ident $operator:tt)*) => {$(
        impl $Trait for LineF64 {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                map2_f64(self, o, |a, b| a $operator b)
            }
        }
    )*};
}

operators_f64!(Add add + Sub sub - Mul mul * Div div /);

impl F64x8 for LineF64 {
    const SIDE: usize = 2;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self([x; F64_LANES])
    }
    #[inline(always)]
    fn load(line: &LineF64) -> Self {
        *line
    }
    #[inline(always)]
    fn store(self, line: &mut LineF64) {
        *line = self;
    }
    #[inline(always)]
    fn mul_add(self, a: Self, c: Self) -> Self {
        self * a + c
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, c: Self) -> Self {
        c - self * a
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f64::sqrt))
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        map2_f64(self, o, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        map2_f64(self, o, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u8 {
        (0..F64_LANES).fold(0, |m, l| m | (u8::from(self.0[l] < o.0[l]) << l))
    }
    #[inline(always)]
    fn select(mask: u8, a: Self, b: Self) -> Self {
        Self(from_fn(
            |l| if mask >> l & 1 == 1 { a.0[l] } else { b.0[l] },
        ))
    }
    #[inline(always)]
    fn scale(self, shifted: Self) -> Self {
        map2_f64(self, shifted, |p, s| {
            f64::from_bits(p.to_bits().wrapping_add(s.to_bits() << 52))
        })
    }
    #[inline(always)]
    fn widen(row: &[f32; F64_LANES]) -> Self {
        Self(row.map(f64::from))
    }
    #[inline(always)]
    fn widen_halves(row: &[f16; F64_LANES]) -> Self {
        Self(row.map(|x| f64::from(single(x))))
    }
    #[inline(always)]
    fn columns(rows: [&[f32; F64_LANES]; F64_LANES]) -> [Self; F64_LANES] {
        from_fn(|c| Self(from_fn(|r| f64::from(rows[r][c]))))
    }
}

/// Sixteen `i32`.
#[derive(Clone, Copy)]
pub(crate) struct SixteenI32([i32; I32_LANES]);

impl Add for SixteenI32 {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self(from_fn(|l| self.0[l].wrapping_add(o.0[l])))
    }
}

impl SixteenI32 {
    /// Bit `l` is set where `f` holds for lane `l` of both.
    #[inline(always)]
    fn mask(self, o: Self, f: impl Fn(i32, i32) -> bool) -> u16 {
        (0..I32_LANES).fold(0, |mask, l| mask | u16::from(f(self.0[l], o.0[l])) << l)
    }
}

impl I32x16 for SixteenI32 {
    #[inline(always)]
    fn splat(x: i32) -> Self {
        Self([x; I32_LANES])
    }
    #[inline(always)]
    fn load(from: &[i32; I32_LANES]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [i32; I32_LANES]) {
        *to = self.0;
    }
    #[inline(always)]
    fn add_byte_products(self, unsigned: Self, signed: Self) -> Self {
        Self(from_fn(|l| {
            let bytes = unsigned.0[l].to_le_bytes().into_iter();
            let products = bytes
                .zip(signed.0[l].to_le_bytes())
                .map(|(u, s)| i32::from(u) * i32::from(s.cast_signed()));
            self.0[l].wrapping_add(products.sum())
        }))
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Self(from_fn(|l| self.0[l].max(o.0[l])))
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Self(from_fn(|l| self.0[l].min(o.0[l])))
    }
    #[inline(always)]
    fn at_least(self, o: Self) -> u16 {
        self.mask(o, |a, b| a >= b)
    }
    #[inline(always)]
    fn lt(self, o: Self) -> u16 {
        self.mask(o, |a, b| a < b)
    }
    #[inline(always)]
    fn nonzero(self) -> u16 {
        self.mask(self, |a, _| a != 0)
    }
    #[inline(always)]
    fn select(mask: u16, a: Self, b: Self) -> Self {
        Self(from_fn(
            |l| if mask >> l & 1 == 1 { a.0[l] } else { b.0[l] },
        ))
    }
    #[inline(always)]
    fn least(self) -> i32 {
        self.0.into_iter().fold(i32::MAX, i32::min)
    }
}

/// A half by integer operations without branches, and one difference of normal numbers: a processor that is told to take
/// subnormal numbers for 0 does not take those of half precision for 0.
#[inline(always)]
pub(super) fn single(x: f16) -> f32 {
    /// The exponents of half and single precision, to the left of the fraction of a single.
    const REBIAS: u32 = (127 - 15) << 23;
    const EXPONENTS: u32 = 0x1f << 23;
    let bits = u32::from(x.to_bits());
    let (size, sign) = ((bits & 0x7fff) << 13, (bits & 0x8000) << 16);
    let exponent = size & EXPONENTS;
    // Infinities and NaN have the largest exponent of either precision.
    let normal = size
        + if exponent == EXPONENTS {
            2 * REBIAS
        } else {
            REBIAS
        };
    // The fraction of a subnormal number has no leading 1: that of a number with its exponent is taken away.
    let least = f32::from_bits(REBIAS + (1 << 23));
    let subnormal = f32::from_bits(REBIAS + (1 << 23) + size) - least;
    let size = if exponent == 0 {
        subnormal.to_bits()
    } else {
        normal
    };
    f32::from_bits(size | sign)
}
