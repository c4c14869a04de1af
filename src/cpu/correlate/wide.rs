//! Complex numbers of sixteen maps at once, and the registers that compute with them.
//!
//! In memory the sixteen numbers of the sixteen maps lie side by side. In registers there are as many of them as
//! a register holds, so the work on a [`Complex`] is done for one group of [`Lanes`] after the other. No
//! multiply-add is fused, so every instruction set gives the same bits.

use crate::simd::{F32, F32_LANES, LineF32, Simd};
use std::marker::PhantomData;
use std::ops::{Add, Mul, Sub};

/// One complex number of each of sixteen maps.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Complex {
    pub(super) re: LineF32,
    pub(super) im: LineF32,
}

impl Complex {
    pub(super) const ZERO: Self = Self {
        re: LineF32::ZERO,
        im: LineF32::ZERO,
    };

    /// The real parts, or the imaginary parts if `IM`.
    #[inline(always)]
    pub(super) const fn part<const IM: bool>(&self) -> &LineF32 {
        if IM { &self.im } else { &self.re }
    }
}

/// The lanes of one register of `S` among the sixteen.
pub(super) struct Lanes<S> {
    /// The first lane. It is a multiple of the lanes of a register, and less than sixteen.
    first: usize,
    set: PhantomData<S>,
}

impl<S> Clone for Lanes<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Lanes<S> {}

impl<S: Simd> Lanes<S> {
    /// The registers that cover the sixteen lanes, in order.
    #[inline(always)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        const { assert!(F32_LANES.is_multiple_of(S::F32::LANES)) };
        let first = (0..F32_LANES).step_by(S::F32::LANES);
        first.map(|first| Self {
            first,
            set: PhantomData,
        })
    }

    /// Numbers of the lanes.
    #[inline(always)]
    pub(super) const fn range(self) -> std::ops::Range<usize> {
        self.first..self.first + S::F32::LANES
    }

    /// Reads these lanes of `line`.
    #[inline(always)]
    pub(super) fn load(self, line: &LineF32) -> S::F32 {
        // SAFETY: `first + S::F32::LANES` is at most sixteen, as `all` makes it.
        unsafe { S::F32::load(line.0.as_ptr().add(self.first)) }
    }

    /// Writes these lanes of `line`.
    #[inline(always)]
    pub(super) fn store(self, values: S::F32, line: &mut LineF32) {
        // SAFETY: as for `load`.
        unsafe { values.store(line.0.as_mut_ptr().add(self.first)) }
    }
}

/// One complex number of each map in a register.
#[derive(Clone, Copy)]
pub(super) struct Value<S: Simd> {
    pub(super) re: S::F32,
    pub(super) im: S::F32,
}

impl<S: Simd> Value<S> {
    /// Reads some lanes.
    #[inline(always)]
    pub(super) fn load(from: &Complex, lanes: Lanes<S>) -> Self {
        Self {
            re: lanes.load(&from.re),
            im: lanes.load(&from.im),
        }
    }

    /// Writes some lanes.
    #[inline(always)]
    pub(super) fn store(self, to: &mut Complex, lanes: Lanes<S>) {
        lanes.store(self.re, &mut to.re);
        lanes.store(self.im, &mut to.im);
    }

    /// `self + i other`.
    #[inline(always)]
    pub(super) fn add_i_times(self, other: Self) -> Self {
        Self {
            re: self.re - other.im,
            im: self.im + other.re,
        }
    }

    /// `self - i other`.
    #[inline(always)]
    pub(super) fn sub_i_times(self, other: Self) -> Self {
        Self {
            re: self.re + other.im,
            im: self.im - other.re,
        }
    }

    /// `self (re + i im)`, the same factor in every lane.
    #[inline(always)]
    pub(super) fn times(self, (re, im): (f32, f32)) -> Self {
        let (re, im) = (S::F32::splat(re), S::F32::splat(im));
        Self {
            re: self.re * re - self.im * im,
            im: self.re * im + self.im * re,
        }
    }

    /// `(re + i im) conj(self)`, the same factor in every lane.
    #[inline(always)]
    pub(super) fn conjugate_times(self, [re, im]: [f32; 2]) -> Self {
        let (re, im) = (S::F32::splat(re), S::F32::splat(im));
        Self {
            re: self.re * re + self.im * im,
            im: self.re * im - self.im * re,
        }
    }
}

impl<S: Simd> Add for Value<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }
}

impl<S: Simd> Sub for Value<S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }
}

impl<S: Simd> Mul<f32> for Value<S> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, factor: f32) -> Self {
        let factor = S::F32::splat(factor);
        Self {
            re: self.re * factor,
            im: self.im * factor,
        }
    }
}
