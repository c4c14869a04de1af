//! Double-double arithmetic: a number as the unevaluated sum of two `f64`, about 106 bits (Dekker, 1971).

use std::ops::{Add, Mul, Neg, Sub};

/// `hi + lo`, where `lo` is at most half a unit in the last place of `hi`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(crate) struct Double {
    pub(crate) hi: f64,
    pub(crate) lo: f64,
}

impl Double {
    pub(super) const ZERO: Self = Self { hi: 0.0, lo: 0.0 };
    pub(super) const ONE: Self = Self { hi: 1.0, lo: 0.0 };

    /// The sum of two numbers, exactly.
    #[inline(always)]
    pub(super) fn sum(a: f64, b: f64) -> Self {
        let hi = a + b;
        let back = hi - a;
        Self {
            hi,
            lo: (a - (hi - back)) + (b - back),
        }
    }

    /// As [`Double::sum`], for `|a| >= |b|`.
    #[inline(always)]
    fn quick(a: f64, b: f64) -> Self {
        let hi = a + b;
        Self {
            hi,
            lo: b - (hi - a),
        }
    }

    /// The product of two numbers, exactly unless it underflows.
    #[inline(always)]
    pub(super) fn product(a: f64, b: f64) -> Self {
        let hi = a * b;
        Self {
            hi,
            lo: a.mul_add(b, -hi),
        }
    }

    /// Quotient.
    #[inline(always)]
    pub(super) fn over(self, divisor: Self) -> Self {
        let first = self.hi / divisor.hi;
        let rest = self - divisor * Self::from(first);
        let second = rest.hi / divisor.hi;
        let rest = rest - divisor * Self::from(second);
        Self::quick(first, second) + Self::from(rest.hi / divisor.hi)
    }

    /// Square root; 0 where the number is not positive.
    #[inline(always)]
    pub(super) fn sqrt(self) -> Self {
        if self.hi <= 0.0 {
            return Self::ZERO;
        }
        // A step of Newton's method from the root in float64.
        let root = self.hi.sqrt();
        let rest = self - Self::product(root, root);
        Self::quick(root, rest.hi / (2.0 * root))
    }
}

impl From<f64> for Double {
    #[inline(always)]
    fn from(hi: f64) -> Self {
        Self { hi, lo: 0.0 }
    }
}

impl Add for Double {
    type Output = Self;

    #[inline(always)]
    fn add(self, o: Self) -> Self {
        let (high, low) = (Self::sum(self.hi, o.hi), Self::sum(self.lo, o.lo));
        let high = Self::quick(high.hi, high.lo + low.hi);
        Self::quick(high.hi, high.lo + low.lo)
    }
}

impl Neg for Double {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self {
            hi: -self.hi,
            lo: -self.lo,
        }
    }
}

impl Sub for Double {
    type Output = Self;

    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        self + -o
    }
}

impl Mul for Double {
    type Output = Self;

    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        let product = Self::product(self.hi, o.hi);
        let cross = self.hi.mul_add(o.lo, self.lo * o.hi);
        Self::quick(product.hi, product.lo + cross)
    }
}

#[cfg(test)]
mod tests {
    use super::Double;

    /// Integers of up to 100 bits are exact, so that results can be compared with those of `i128`.
    fn whole(n: i128) -> Double {
        let hi = n as f64;
        Double::sum(hi, (n - hi as i128) as f64)
    }

    #[test]
    fn integers_add_and_multiply_exactly() {
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..1000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let (a, b) = (i128::from(x >> 14) - (1 << 49), i128::from(x % (1 << 50)));
            assert_eq!(whole(a) * whole(b), whole(a * b));
            assert_eq!(whole(a << 50) + whole(b), whole((a << 50) + b));
            assert_eq!(whole(a << 50) - whole(b), whole((a << 50) - b));
            assert_eq!(
                whole(a * b).over(whole(b.max(1))).hi,
                if b > 0 { a as f64 } else { 0.0 }
            );
        }
    }

    #[test]
    fn quotients_and_roots_are_right_to_a_hundred_bits() {
        for n in [2.0, 3.0, 7.1, 1e-60, 1e200] {
            let n = Double::from(n);
            let root = n.sqrt();
            assert!((root * root - n).hi.abs() <= n.hi * 1e-31);
            let third = n.over(Double::from(3.0));
            assert!((third * Double::from(3.0) - n).hi.abs() <= n.hi * 1e-31);
        }
        assert_eq!(Double::ZERO.sqrt(), Double::ZERO);
    }
}
