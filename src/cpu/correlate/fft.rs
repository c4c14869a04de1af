//! Inverse Fourier transforms of sixteen sequences at once (Stockham's order: no bit reversal).

use super::wide::Complex;

/// A transform of one length, a power of two or three times one.
pub(super) struct Fft {
    len: usize,
    passes: Vec<Pass>,
}

struct Pass {
    radix: usize,
    /// `e^(2 pi i p j / n)` for `p` below `n / radix` and `j` from 1 to 3.
    twiddles: Vec<[(f32, f32); 3]>,
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
                n if n % 4 == 0 => 4,
                n if n % 3 == 0 => 3,
                _ => 2,
            };
            let m = n / radix;
            let twiddles = (0..m)
                .map(|p| {
                    [1, 2, 3].map(|j| {
                        let angle = 2.0 * std::f64::consts::PI * (p * j) as f64 / n as f64;
                        (angle.cos() as f32, angle.sin() as f32)
                    })
                })
                .collect();
            passes.push(Pass { radix, twiddles });
            n = m;
        }
        Self { len, passes }
    }

    /// `x[k]` becomes `sum_j x[j] e^(2 pi i j k / len)`. `other` is scratch; both have the length.
    #[inline(always)]
    pub(super) fn inverse<'a>(
        &self,
        mut x: &'a mut [Complex],
        mut other: &'a mut [Complex],
    ) -> &'a mut [Complex] {
        let mut stride = 1;
        let mut n = self.len;
        for pass in &self.passes {
            let m = n / pass.radix;
            match pass.radix {
                4 => radix4(x, other, m, stride, &pass.twiddles),
                3 => radix3(x, other, m, stride, &pass.twiddles),
                _ => radix2(x, other, m, stride, &pass.twiddles),
            }
            std::mem::swap(&mut x, &mut other);
            n = m;
            stride *= pass.radix;
        }
        x
    }
}

#[inline(always)]
fn radix4(x: &[Complex], y: &mut [Complex], m: usize, s: usize, twiddles: &[[(f32, f32); 3]]) {
    let (x, y) = (&x[..4 * m * s], &mut y[..4 * m * s]);
    for p in 0..m {
        let [w1, w2, w3] = twiddles[p];
        for q in 0..s {
            let at = |j: usize| x[q + s * (p + m * j)];
            let (a, b, c, d) = (at(0), at(1), at(2), at(3));
            let (even, odd) = (a.add(c), b.add(d));
            let (difference, turned) = (a.sub(c), b.sub(d).turn());
            let to = q + s * 4 * p;
            y[to] = even.add(odd);
            y[to + s] = difference.add(turned).times(w1);
            y[to + 2 * s] = even.sub(odd).times(w2);
            y[to + 3 * s] = difference.sub(turned).times(w3);
        }
    }
}

#[inline(always)]
fn radix3(x: &[Complex], y: &mut [Complex], m: usize, s: usize, twiddles: &[[(f32, f32); 3]]) {
    const HALF_SQRT_3: f32 = 0.866_025_4;
    let (x, y) = (&x[..3 * m * s], &mut y[..3 * m * s]);
    for p in 0..m {
        let [w1, w2, _] = twiddles[p];
        for q in 0..s {
            let at = |j: usize| x[q + s * (p + m * j)];
            let (a, b, c) = (at(0), at(1), at(2));
            let sum = b.add(c);
            let middle = a.sub(sum.scale(0.5));
            let turned = b.sub(c).scale(HALF_SQRT_3).turn();
            let to = q + s * 3 * p;
            y[to] = a.add(sum);
            y[to + s] = middle.add(turned).times(w1);
            y[to + 2 * s] = middle.sub(turned).times(w2);
        }
    }
}

#[inline(always)]
fn radix2(x: &[Complex], y: &mut [Complex], m: usize, s: usize, twiddles: &[[(f32, f32); 3]]) {
    let (x, y) = (&x[..2 * m * s], &mut y[..2 * m * s]);
    for p in 0..m {
        for q in 0..s {
            let (a, b) = (x[q + s * p], x[q + s * (p + m)]);
            let to = q + s * 2 * p;
            y[to] = a.add(b);
            y[to + s] = a.sub(b).times(twiddles[p][0]);
        }
    }
}
