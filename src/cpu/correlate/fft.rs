//! Inverse Fourier transforms of sixteen sequences at once, in Stockham's order, which needs no bit reversal.

use super::wide::{Complex, Lanes, Value};
use crate::simd::Simd;

/// The plan of a transform of one length, which is a power of two or three times one.
pub(super) struct Fft {
    len: usize,
    passes: Vec<Pass>,
}

struct Pass {
    radix: usize,
    /// `e^(2 pi i p j / n)` for `p` below `n / radix`, and `j` from 1 on.
    twiddles: Vec<[(f32, f32); 7]>,
}

/// The smallest even length of at least `n` that can be transformed.
pub(super) fn length(n: usize) -> usize {
    let two = n.next_power_of_two().max(2);
    let three = (n.div_ceil(3)).next_power_of_two().max(2) * 3;
    two.min(three)
}

impl Fft {
    /// Plans the transform of `len` numbers, a length that [`length`] returns.
    pub(super) fn new(len: usize) -> Self {
        let mut passes = vec![];
        let mut n = len;
        while n > 1 {
            let radix = match n {
                // Two passes of radix 4 cost less than one of radix 8 and one of radix 2.
                n if n % 8 == 0 && n != 16 => 8,
                n if n % 4 == 0 => 4,
                n if n % 3 == 0 => 3,
                _ => 2,
            };
            let m = n / radix;
            let twiddles = (0..m)
                .map(|p| {
                    std::array::from_fn(|j| {
                        let angle = 2.0 * std::f64::consts::PI * (p * (j + 1)) as f64 / n as f64;
                        (angle.cos() as f32, angle.sin() as f32)
                    })
                })
                .collect();
            passes.push(Pass { radix, twiddles });
            n = m;
        }
        Self { len, passes }
    }

    /// Computes `sum_j x[j] e^(2 pi i j k / len)` for each `k` in the given lanes. The result is in `x` or in
    /// `other`, in the same one for all lanes; the contents of the other one are lost.
    ///
    /// # Panics
    /// If `x` or `other` does not have the length of the transform.
    #[inline(always)]
    pub(super) fn inverse<'a, S: Simd>(
        &self,
        lanes: Lanes<S>,
        mut x: &'a mut [Complex],
        mut other: &'a mut [Complex],
    ) -> &'a mut [Complex] {
        assert!(x.len() == self.len && other.len() == self.len);
        let mut stride = 1;
        for pass in &self.passes {
            match pass.radix {
                8 => pass.run::<S, 8>(stride, lanes, x, other),
                4 => pass.run::<S, 4>(stride, lanes, x, other),
                3 => pass.run::<S, 3>(stride, lanes, x, other),
                _ => pass.run::<S, 2>(stride, lanes, x, other),
            }
            std::mem::swap(&mut x, &mut other);
            stride *= pass.radix;
        }
        x
    }

    /// As [`Fft::inverse`], for all sixteen lanes.
    #[inline(always)]
    pub(super) fn inverse_all<'a, S: Simd>(
        &self,
        x: &'a mut [Complex],
        other: &'a mut [Complex],
    ) -> &'a mut [Complex] {
        for lanes in Lanes::<S>::all() {
            self.inverse(lanes, x, other);
        }
        // Every pass swaps the two.
        if self.passes.len().is_multiple_of(2) {
            x
        } else {
            other
        }
    }
}

impl Pass {
    /// `m stride` transforms of `R` numbers that lie `m stride` apart in `x`.
    #[inline(always)]
    fn run<S: Simd, const R: usize>(
        &self,
        stride: usize,
        lanes: Lanes<S>,
        x: &[Complex],
        y: &mut [Complex],
    ) where
        Butterfly: Radix<R>,
    {
        let m = x.len() / (R * stride);
        assert!(x.len() == R * m * stride && y.len() == x.len());
        for (p, twiddles) in self.twiddles.iter().enumerate().take(m) {
            for q in 0..stride {
                // SAFETY: `p < m` and `q < stride`, so both places are less than `R m stride`, the length of `x`
                // and `y` that is asserted above, for every `j < R`.
                let from = |j: usize| unsafe { x.get_unchecked(q + stride * (p + m * j)) };
                let to = stride * R * p + q;
                let mut values = [Value::<S>::load(from(0), lanes); R];
                for (j, value) in values.iter_mut().enumerate().skip(1) {
                    *value = Value::load(from(j), lanes);
                }
                let mut values = Butterfly::transform(values);
                if p > 0 {
                    for (value, w) in values[1..].iter_mut().zip(twiddles) {
                        *value = value.times(*w);
                    }
                }
                for (j, value) in values.into_iter().enumerate() {
                    // SAFETY: as above.
                    value.store(unsafe { y.get_unchecked_mut(to + stride * j) }, lanes);
                }
            }
        }
    }
}

/// Transforms of `R` numbers in registers. They are methods of a trait and not functions that are passed on,
/// because a call through `Fn` may not be inlined into code for a wider instruction set.
struct Butterfly;

trait Radix<const R: usize> {
    fn transform<S: Simd>(x: [Value<S>; R]) -> [Value<S>; R];
}

impl Radix<2> for Butterfly {
    #[inline(always)]
    fn transform<S: Simd>([a, b]: [Value<S>; 2]) -> [Value<S>; 2] {
        [a + b, a - b]
    }
}

impl Radix<3> for Butterfly {
    #[inline(always)]
    fn transform<S: Simd>([a, b, c]: [Value<S>; 3]) -> [Value<S>; 3] {
        const HALF_SQRT_3: f32 = 0.866_025_4;
        let sum = b + c;
        let middle = a - sum * 0.5;
        let difference = (b - c) * HALF_SQRT_3;
        [
            a + sum,
            middle.add_i_times(difference),
            middle.sub_i_times(difference),
        ]
    }
}

impl Radix<4> for Butterfly {
    #[inline(always)]
    fn transform<S: Simd>([a, b, c, d]: [Value<S>; 4]) -> [Value<S>; 4] {
        let (even, odd) = (a + c, b + d);
        let (difference, other) = (a - c, b - d);
        [
            even + odd,
            difference.add_i_times(other),
            even - odd,
            difference.sub_i_times(other),
        ]
    }
}

impl Radix<8> for Butterfly {
    #[inline(always)]
    fn transform<S: Simd>([a, b, c, d, e, f, g, h]: [Value<S>; 8]) -> [Value<S>; 8] {
        const HALF_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
        let [e0, e1, e2, e3] = Self::transform([a, c, e, g]);
        let [o0, o1, o2, o3] = Self::transform([b, d, f, h]);
        // The factor of o1 is (1 + i) / sqrt 2. That of o3 is (i - 1) / sqrt 2, which is i times as much; the
        // factor i is applied below.
        let o1 = o1.add_i_times(o1) * HALF_SQRT_2;
        let o3 = o3.add_i_times(o3) * HALF_SQRT_2;
        [
            e0 + o0,
            e1 + o1,
            e2.add_i_times(o2),
            e3.add_i_times(o3),
            e0 - o0,
            e1 - o1,
            e2.sub_i_times(o2),
            e3.sub_i_times(o3),
        ]
    }
}
