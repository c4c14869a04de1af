//! Inverse Fourier transforms of sixteen sequences at once (Stockham's order: no bit reversal).

use super::wide::{Complex, Value};
use crate::cpu::simd::Simd;

/// A transform of one length, a power of two or three times one.
pub(super) struct Fft {
    len: usize,
    passes: Vec<Pass>,
}

struct Pass {
    radix: usize,
    /// `e^(2 pi i p j / n)` for `p` below `n / radix` and `j` from 1 on.
    twiddles: Vec<[(f32, f32); 7]>,
}

/// Smallest even length of at least `n` that can be transformed.
pub(super) fn length(n: usize) -> usize {
    let two = n.next_power_of_two().max(2);
    let three = (n.div_ceil(3)).next_power_of_two().max(2) * 3;
    two.min(three)
}

impl Fft {
    /// `len` as [`length`] gives it.
    pub(super) fn new(len: usize) -> Self {
        let mut passes = vec![];
        let mut n = len;
        while n > 1 {
            let radix = match n {
                // Two passes of 4 cost less than one of 8 and one of 2.
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

    /// `x[k]` becomes `sum_j x[j] e^(2 pi i j k / len)` in the lanes of one vector from `lane` on.
    /// `other` is scratch; the result is in one of the two.
    ///
    /// # Safety
    /// The processor has `S`; `lane + S::LANES` is at most [`super::wide::LANES`].
    ///
    /// # Panics
    /// If `x` or `other` is not of the transform's length.
    #[inline(always)]
    pub(super) unsafe fn inverse<'a, S: Simd>(
        &self,
        lane: usize,
        mut x: &'a mut [Complex],
        mut other: &'a mut [Complex],
    ) -> &'a mut [Complex] {
        assert!(x.len() == self.len && other.len() == self.len);
        let mut stride = 1;
        for pass in &self.passes {
            let block = Block {
                x: x.as_ptr(),
                y: other.as_mut_ptr(),
                m: self.len / (pass.radix * stride),
                stride,
                lane,
            };
            // SAFETY: both buffers have m * stride * radix numbers; the rest by the caller's contract.
            unsafe {
                match pass.radix {
                    8 => block.pass::<S, 8>(&pass.twiddles),
                    4 => block.pass::<S, 4>(&pass.twiddles),
                    3 => block.pass::<S, 3>(&pass.twiddles),
                    _ => block.pass::<S, 2>(&pass.twiddles),
                }
            }
            std::mem::swap(&mut x, &mut other);
            stride *= pass.radix;
        }
        x
    }
}

/// One pass: `m * stride` transforms of `R` numbers that lie `m * stride` apart.
struct Block {
    x: *const Complex,
    y: *mut Complex,
    m: usize,
    stride: usize,
    lane: usize,
}

impl Block {
    /// # Safety
    /// The processor has `S`; `x` and `y` lead to `R m stride` numbers; the lanes are in range.
    #[inline(always)]
    unsafe fn pass<S: Simd, const R: usize>(&self, twiddles: &[[(f32, f32); 7]])
    where
        Short: Radix<R>,
    {
        let (m, s) = (self.m, self.stride);
        for (p, twiddles) in twiddles.iter().enumerate().take(m) {
            for q in 0..s {
                // SAFETY: p < m and q < s, so both indices are below R m s.
                unsafe {
                    let from = self.x.add(q + s * p);
                    let to = self.y.add(q + s * R * p);
                    let mut values = [Value::<S>::load(from, self.lane); R];
                    for (j, value) in values.iter_mut().enumerate().skip(1) {
                        *value = Value::load(from.add(s * m * j), self.lane);
                    }
                    let mut values = Short::transform(values);
                    if p > 0 {
                        for (value, w) in values[1..].iter_mut().zip(twiddles) {
                            *value = value.times(*w);
                        }
                    }
                    for (j, value) in values.into_iter().enumerate() {
                        value.store(to.add(s * j), self.lane);
                    }
                }
            }
        }
    }
}

/// Transforms in registers. A trait and not functions handed over: a call through `Fn` is not inlined into
/// code for another instruction set.
struct Short;

trait Radix<const R: usize> {
    /// # Safety
    /// The processor has `S`.
    unsafe fn transform<S: Simd>(x: [Value<S>; R]) -> [Value<S>; R];
}

impl Radix<2> for Short {
    #[inline(always)]
    unsafe fn transform<S: Simd>([a, b]: [Value<S>; 2]) -> [Value<S>; 2] {
        // SAFETY: `S` is there, here and below.
        unsafe { [a.add(b), a.sub(b)] }
    }
}

impl Radix<3> for Short {
    #[inline(always)]
    unsafe fn transform<S: Simd>([a, b, c]: [Value<S>; 3]) -> [Value<S>; 3] {
        const HALF_SQRT_3: f32 = 0.866_025_4;
        unsafe {
            let sum = b.add(c);
            let middle = a.sub(sum.scale(0.5));
            let difference = b.sub(c).scale(HALF_SQRT_3);
            [
                a.add(sum),
                middle.add_turned(difference),
                middle.sub_turned(difference),
            ]
        }
    }
}

impl Radix<4> for Short {
    #[inline(always)]
    unsafe fn transform<S: Simd>([a, b, c, d]: [Value<S>; 4]) -> [Value<S>; 4] {
        unsafe {
            let (even, odd) = (a.add(c), b.add(d));
            let (difference, other) = (a.sub(c), b.sub(d));
            [
                even.add(odd),
                difference.add_turned(other),
                even.sub(odd),
                difference.sub_turned(other),
            ]
        }
    }
}

impl Radix<8> for Short {
    #[inline(always)]
    unsafe fn transform<S: Simd>([a, b, c, d, e, f, g, h]: [Value<S>; 8]) -> [Value<S>; 8] {
        const HALF_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
        unsafe {
            let [e0, e1, e2, e3] = Self::transform([a, c, e, g]);
            let [o0, o1, o2, o3] = Self::transform([b, d, f, h]);
            // Times (1 + i) / sqrt 2; a turn is then left of times (i - 1) / sqrt 2.
            let o1 = o1.add_turned(o1).scale(HALF_SQRT_2);
            let o3 = o3.add_turned(o3).scale(HALF_SQRT_2);
            [
                e0.add(o0),
                e1.add(o1),
                e2.add_turned(o2),
                e3.add_turned(o3),
                e0.sub(o0),
                e1.sub(o1),
                e2.sub_turned(o2),
                e3.sub_turned(o3),
            ]
        }
    }
}
