//! Sixteen problems at once: numbers whose lanes belong to sixteen different maps.
//!
//! In memory all sixteen lie together; in registers a vector of them at a time. No fused multiply-add, so
//! every instruction set gives the same bits.

use crate::cpu::simd::Simd;

/// Lanes in memory; a multiple of every vector's.
pub(super) const LANES: usize = 16;

/// One number of each of sixteen problems.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Wide(pub [f32; LANES]);

/// One complex number of each of sixteen problems.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Complex {
    pub re: Wide,
    pub im: Wide,
}

impl Complex {
    pub(super) const ZERO: Self = Self {
        re: Wide([0.0; LANES]),
        im: Wide([0.0; LANES]),
    };

    /// The real parts, or the imaginary ones.
    #[inline(always)]
    pub(super) const fn part<const IM: bool>(&self) -> &[f32; LANES] {
        if IM { &self.im.0 } else { &self.re.0 }
    }
}

/// A complex number of each problem in one vector.
///
/// Every function requires that the processor has `S`.
#[derive(Clone, Copy)]
pub(super) struct Value<S: Simd> {
    pub re: S::Vector,
    pub im: S::Vector,
}

impl<S: Simd> Value<S> {
    /// The lanes from `lane` on.
    ///
    /// # Safety
    /// `from` can be read; `lane + S::LANES` is at most [`LANES`].
    #[inline(always)]
    pub(super) unsafe fn load(from: *const Complex, lane: usize) -> Self {
        // SAFETY: inside the arrays of `from`, by the caller's contract.
        unsafe {
            Self {
                re: S::load((&raw const (*from).re).cast::<f32>().add(lane)),
                im: S::load((&raw const (*from).im).cast::<f32>().add(lane)),
            }
        }
    }

    /// Writes the lanes from `lane` on.
    ///
    /// # Safety
    /// `to` can be written; `lane + S::LANES` is at most [`LANES`].
    #[inline(always)]
    pub(super) unsafe fn store(self, to: *mut Complex, lane: usize) {
        // SAFETY: as for `load`.
        unsafe {
            S::store((&raw mut (*to).re).cast::<f32>().add(lane), self.re);
            S::store((&raw mut (*to).im).cast::<f32>().add(lane), self.im);
        }
    }

    #[inline(always)]
    pub(super) unsafe fn add(self, other: Self) -> Self {
        // SAFETY: `S` is there, here and below.
        unsafe {
            Self {
                re: S::add(self.re, other.re),
                im: S::add(self.im, other.im),
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn sub(self, other: Self) -> Self {
        unsafe {
            Self {
                re: S::sub(self.re, other.re),
                im: S::sub(self.im, other.im),
            }
        }
    }

    /// `self + i other`.
    #[inline(always)]
    pub(super) unsafe fn add_turned(self, other: Self) -> Self {
        unsafe {
            Self {
                re: S::sub(self.re, other.im),
                im: S::add(self.im, other.re),
            }
        }
    }

    /// `self - i other`.
    #[inline(always)]
    pub(super) unsafe fn sub_turned(self, other: Self) -> Self {
        unsafe {
            Self {
                re: S::add(self.re, other.im),
                im: S::sub(self.im, other.re),
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn scale(self, by: f32) -> Self {
        unsafe {
            let by = S::splat(by);
            Self {
                re: S::mul(self.re, by),
                im: S::mul(self.im, by),
            }
        }
    }

    /// Times the same complex number in every lane.
    #[inline(always)]
    pub(super) unsafe fn times(self, (re, im): (f32, f32)) -> Self {
        unsafe {
            let (re, im) = (S::splat(re), S::splat(im));
            Self {
                re: S::sub(S::mul(self.re, re), S::mul(self.im, im)),
                im: S::add(S::mul(self.re, im), S::mul(self.im, re)),
            }
        }
    }

    /// `(re, im) conj(self)`.
    #[inline(always)]
    pub(super) unsafe fn conjugate_times(self, [re, im]: [f32; 2]) -> Self {
        unsafe {
            let (re, im) = (S::splat(re), S::splat(im));
            Self {
                re: S::add(S::mul(self.re, re), S::mul(self.im, im)),
                im: S::sub(S::mul(self.re, im), S::mul(self.im, re)),
            }
        }
    }
}
