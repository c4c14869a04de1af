//! Sixteen problems at once: numbers whose lanes belong to sixteen different maps.
//!
//! Plain loops over arrays, compiled for each instruction set where they are inlined. No fused
//! multiply-add, so every instruction set gives the same bits.

/// Lanes.
pub(super) const LANES: usize = 16;

/// One number of each of sixteen problems.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Wide(pub [f32; LANES]);

impl Wide {
    pub(super) const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for i in 0..LANES {
            out.0[i] = f(self.0[i], other.0[i]);
        }
        out
    }

    #[inline(always)]
    pub(super) fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    pub(super) fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    pub(super) fn scale(self, by: f32) -> Self {
        self.zip(self, |a, _| a * by)
    }

    #[inline(always)]
    pub(super) fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if b > a { b } else { a })
    }

    #[inline(always)]
    pub(super) fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if b < a { b } else { a })
    }
}

/// One complex number of each of sixteen problems.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Complex {
    pub re: Wide,
    pub im: Wide,
}

impl Complex {
    pub(super) const ZERO: Self = Self {
        re: Wide::ZERO,
        im: Wide::ZERO,
    };

    #[inline(always)]
    pub(super) fn add(self, other: Self) -> Self {
        Self {
            re: self.re.add(other.re),
            im: self.im.add(other.im),
        }
    }

    #[inline(always)]
    pub(super) fn sub(self, other: Self) -> Self {
        Self {
            re: self.re.sub(other.re),
            im: self.im.sub(other.im),
        }
    }

    #[inline(always)]
    pub(super) fn scale(self, by: f32) -> Self {
        Self {
            re: self.re.scale(by),
            im: self.im.scale(by),
        }
    }

    /// `i self`.
    #[inline(always)]
    pub(super) fn turn(self) -> Self {
        Self {
            re: self.im.scale(-1.0),
            im: self.re,
        }
    }

    /// Times the same complex number in every lane.
    #[inline(always)]
    pub(super) fn times(self, (re, im): (f32, f32)) -> Self {
        Self {
            re: self.re.scale(re).sub(self.im.scale(im)),
            im: self.re.scale(im).add(self.im.scale(re)),
        }
    }

    /// `self + (re, im) conj(other)`.
    #[inline(always)]
    pub(super) fn add_conjugate_product(self, (re, im): (f32, f32), other: Self) -> Self {
        Self {
            re: (self.re).add(other.re.scale(re).add(other.im.scale(im))),
            im: (self.im).add(other.re.scale(im).sub(other.im.scale(re))),
        }
    }
}
