//! Eigenvalues of sixteen matrices in float32, and what they tell for certain.

use super::SHARE;
use crate::cpu::f32x16::{F32x16, LANES, Pack};
use crate::cpu::f64x8::Isa;
use crate::cpu::nnk::lanes::at;
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// What every trace is scaled to: products of six entries neither overflow nor vanish.
pub(super) const TRACE: f32 = (1u32 << 18) as f32;
/// Traces that can be scaled so; entries that vanish beside them are far below a rounding error.
const TRACES: [f32; 2] = [1e-20, 1e30];
/// An entry beside the diagonal below this share of the trace is left out. Leaving one out moves a sum of
/// largest eigenvalues by its size at most (Ky Fan).
const NEGLIGIBLE: f32 = 1.0 / (1u32 << 21) as f32;

/// Products of entries below this are taken for 0: beside `TRACE` no rounding error is as small, and what
/// is divided by them could overflow.
const TINY: f32 = 1e-30;

/// How near a sum of the `n` largest eigenvalues may come to the share and still be trusted, of the trace.
/// Rounding errors grow like the root of `n` or less, and what is left out like `n`: together they stay
/// below an eighth of this (see the test).
pub(super) fn slack(n: usize) -> f32 {
    n as f32 * (1.0 / (1u32 << 19) as f32)
}

/// What float32 tells.
#[derive(Default)]
pub(super) struct Found {
    pub(super) counts: [u16; LANES],
    /// Bit per lane whose count rounding cannot have changed.
    pub(super) certain: u16,
}

/// Sixteen symmetric matrices on their way to their eigenvalues.
#[derive(Default)]
pub(super) struct Tridiagonal {
    /// Lower triangle, packed.
    pub(super) matrix: Vec<Pack>,
    /// `A u`, then the update of the reflection.
    update: Vec<Pack>,
    /// Diagonal, then eigenvalues.
    pub(super) diagonal: Vec<Pack>,
    /// Squares of the entries beside the diagonal, `beside[i]` between `i` and `i + 1`.
    beside: Vec<Pack>,
    /// Bit per lane at its first row that has not split off.
    tops: Vec<u16>,
}

impl Tridiagonal {
    /// How many of the largest eigenvalues of the leading `n` rows hold the share.
    #[inline(always)]
    pub(super) fn count<I: Isa>(&mut self, n: usize) -> Found {
        let solved = self.solve::<I>(n);
        let mut found = self.largest::<I::F32x16>();
        found.certain &= solved;
        found
    }

    /// Eigenvalues of the leading `n` rows, of matrices whose trace is `TRACE`, in no order; bit per lane that
    /// has them.
    #[inline(always)]
    pub(super) fn solve<I: Isa>(&mut self, n: usize) -> u16 {
        for v in [&mut self.update, &mut self.diagonal, &mut self.beside] {
            v.clear();
            v.resize(n, Pack::ZERO);
        }
        let scaled = self.scale::<I::F32x16>(n);
        self.reduce::<I::F32x16>(n);
        scaled & self.eigenvalues::<I::F32x16>()
    }

    /// Makes every trace `TRACE`; bit per lane where that can be.
    #[inline(always)]
    fn scale<F: F32x16>(&mut self, n: usize) -> u16 {
        let mut trace = F::splat(0.0);
        for j in 0..n {
            trace = trace.add(F::load(&self.matrix[at(j, j)]));
        }
        let [least, most] = TRACES.map(F::splat);
        let usual = !(least.not_less(trace) | trace.not_less(most));
        let scale = F::select(usual, F::splat(TRACE).div(trace), F::splat(0.0));
        for a in &mut self.matrix[..at(n, 0)] {
            F::load(a).mul(scale).store(a);
        }
        usual
    }

    /// Reduces the matrix to `diagonal` and `beside`, from the last row up.
    #[inline(always)]
    fn reduce<F: F32x16>(&mut self, n: usize) {
        let (zero, tiny) = (F::splat(0.0), F::splat(TINY));
        for i in (1..n).rev() {
            let (block, rest) = self.matrix.split_at_mut(at(i, 0));
            let (row, own) = rest.split_at_mut(i);
            self.diagonal[i] = own[0];
            let mut square = zero;
            for x in row.iter() {
                square = F::load(x).mul_add(F::load(x), square);
            }
            square.store(&mut self.beside[i - 1]);
            if i == 1 {
                break;
            }
            // u = row + sign(last) |row| e_last; H = |u|^2 / 2.
            let last = F::load(&row[i - 1]);
            let norm = square.sqrt();
            let norm = F::select(last.not_less(zero), norm, zero.sub(norm));
            let half = last.mul_add(norm, square);
            last.add(norm).store(&mut row[i - 1]);
            let inverse = F::select(tiny.not_less(half), zero, F::splat(1.0).div(half));
            reflect::<F>(block, row, &mut self.update[..i], inverse);
        }
        self.diagonal[0] = self.matrix[0];
    }

    /// Eigenvalues, in `diagonal`, in no order; bit per lane that has them.
    #[inline(always)]
    fn eigenvalues<F: F32x16>(&mut self) -> u16 {
        let last = self.diagonal.len() - 1;
        let negligible = F::splat((NEGLIGIBLE * TRACE).powi(2));
        self.tops.clear();
        self.tops.resize(last + 1, 0);
        self.tops[0] = u16::MAX;
        let mut first = 0;
        // A matrix of size n takes about 2n sweeps; the bound only guards against endless rounding.
        for _ in 0..60 * (last + 1) {
            let (mut d, mut next) = (F::splat(0.0), F::splat(0.0));
            let mut square = F::splat(1.0);
            let mut found = 0;
            for i in first..last {
                let beside = F::load(&self.beside[i]);
                let deflated = self.tops[i] & negligible.not_less(beside);
                self.tops[i] &= !deflated;
                self.tops[i + 1] |= deflated;
                let here = self.tops[i];
                d = F::select(here, F::load(&self.diagonal[i]), d);
                next = F::select(here, F::load(&self.diagonal[i + 1]), next);
                square = F::select(here, beside, square);
                found |= here;
                if found | self.tops[last] == u16::MAX {
                    break;
                }
            }
            if self.tops[last] == u16::MAX {
                break;
            }
            while self.tops[first] == 0 {
                first += 1;
            }
            self.sweep::<F>(first, wilkinson(d, next, square));
        }
        self.tops[last]
    }

    /// One QL sweep over the rows from each lane's top on, in squares of sines and cosines.
    ///
    /// With `r = p + b^2` the cosine's square is `p / r`, the sine's `b^2 / r`, and what the next row starts
    /// from `(p (d - s) - b^2 gamma) / r`: written so that a row waits for one division, not three.
    #[inline(always)]
    fn sweep<F: F32x16>(&mut self, first: usize, shift: F) {
        let last = self.diagonal.len() - 1;
        let (zero, one, tiny) = (F::splat(0.0), F::splat(1.0), F::splat(TINY));
        let (mut cos, mut sin) = (one, zero);
        let mut gamma = F::load(&self.diagonal[last]).sub(shift);
        let mut p = gamma.mul(gamma);
        let mut done = 0;
        for i in (first..last).rev() {
            done |= self.tops[i + 1];
            let (square, d) = (F::load(&self.beside[i]), F::load(&self.diagonal[i]));
            let shifted = d.sub(shift);
            let r = p.add(square);
            if i + 1 < last {
                let out = &mut self.beside[i + 1];
                F::select(done, F::load(out), sin.mul(r)).store(out);
            }
            let both = r.mul(p);
            let inverse = one.div(r);
            let part = p.mul(shifted).sub(square.mul(gamma));
            let (mut c, mut s) = (p.mul(inverse), square.mul(inverse));
            let mut next = part.mul(inverse);
            let mut turned = part.mul(part).div(both);
            // A cosine of 0, or no entry at all: then there is no rotation.
            let special = tiny.not_less(both);
            if special & !done != 0 {
                let none = zero.not_less(square);
                c = F::select(special, F::select(none, one, zero), c);
                s = F::select(special, F::select(none, zero, one), s);
                let entry = F::select(none, shifted, zero.sub(gamma));
                next = F::select(special, entry, next);
                let entry = F::select(none, shifted.mul(shifted), cos.mul(square));
                turned = F::select(special, entry, turned);
            }
            let out = &mut self.diagonal[i + 1];
            let above = gamma.add(d.sub(next));
            F::select(done, F::load(out), above).store(out);
            p = F::select(done, p, turned);
            gamma = F::select(done, gamma, next);
            cos = F::select(done, cos, c);
            sin = F::select(done, sin, s);
            let top = self.tops[i];
            if top != 0 {
                let (beside, diagonal) = (&mut self.beside[i], &mut self.diagonal[i]);
                F::select(top, sin.mul(p), square).store(beside);
                F::select(top, gamma.add(shift), d).store(diagonal);
            }
        }
    }

    /// How many of the largest eigenvalues hold the share.
    #[inline(always)]
    fn largest<F: F32x16>(&mut self) -> Found {
        let n = self.diagonal.len();
        let share = SHARE as f32 * TRACE;
        let slack = slack(n) * TRACE;
        let [low, high] = [share - slack, share + slack].map(F::splat);
        let mut sum = F::splat(0.0);
        for d in &self.diagonal {
            sum = sum.add(F::load(d));
        }
        // Rotations keep the trace.
        let (least, most) = (F::splat(TRACE - slack), F::splat(TRACE + slack));
        let mut certain = !(least.not_less(sum) | sum.not_less(most));
        let mut held = F::splat(0.0);
        let mut counts = [0; LANES];
        for rest in (0..n).rev() {
            let short = !held.not_less(low);
            if short == 0 {
                break;
            }
            // The largest of them leaves, the others move up.
            let (others, last) = self.diagonal.split_at_mut(rest);
            let mut best = F::load(&last[0]);
            for d in others.iter_mut().rev() {
                let own = F::load(d);
                own.min(best).store(d);
                best = own.max(best);
            }
            held = held.add(best);
            certain &= !held.not_less(low) | held.not_less(high);
            for (l, count) in counts.iter_mut().enumerate() {
                *count += short >> l & 1;
            }
        }
        Found { counts, certain }
    }
}

/// Eigenvalue of the block `[[d, b], [b, next]]`, `square = b^2 > 0`, that is nearer to `d`.
#[inline(always)]
fn wilkinson<F: F32x16>(d: F, next: F, square: F) -> F {
    let (zero, one) = (F::splat(0.0), F::splat(1.0));
    let beside = square.sqrt();
    let ratio = next.sub(d).div(beside.add(beside));
    let root = ratio.mul_add(ratio, one).sqrt();
    let signed = F::select(ratio.not_less(zero), root, zero.sub(root));
    d.sub(beside.div(ratio.add(signed)))
}

/// Replaces the symmetric `a` by `(I - u u'/H) a (I - u u'/H)`; `inverse` is `1 / H`.
#[inline(always)]
fn reflect<F: F32x16>(a: &mut [Pack], u: &[Pack], update: &mut [Pack], inverse: F) {
    let (n, zero) = (u.len(), F::splat(0.0));
    for j in 0..n {
        let own = F::load(&u[j]);
        let mut sum = zero;
        let row = &a[at(j, 0)..at(j, j)];
        for ((a, u), p) in row.iter().zip(u).zip(update.iter_mut()) {
            let a = F::load(a);
            sum = a.mul_add(F::load(u), sum);
            a.mul_add(own, F::load(p)).store(p);
        }
        F::load(&a[at(j, j)])
            .mul_add(own, sum)
            .store(&mut update[j]);
    }
    let mut product = zero;
    for (p, u) in update.iter_mut().zip(u) {
        let scaled = F::load(p).mul(inverse);
        product = scaled.mul_add(F::load(u), product);
        scaled.store(p);
    }
    let less = product.mul(inverse).mul(F::splat(-0.5));
    for (p, u) in update.iter_mut().zip(u) {
        less.mul_add(F::load(u), F::load(p)).store(p);
    }
    for j in 0..n {
        let v = zero.sub(F::load(&u[j]));
        let w = zero.sub(F::load(&update[j]));
        let row = &mut a[at(j, 0)..=at(j, j)];
        for ((a, u), p) in row.iter_mut().zip(u).zip(update.iter()) {
            let less = v.mul_add(F::load(p), F::load(a));
            w.mul_add(F::load(u), less).store(a);
        }
    }
}
