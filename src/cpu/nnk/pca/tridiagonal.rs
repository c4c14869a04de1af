//! Eigenvalues of sixteen matrices in float32, and the counts of principal components that follow from them with
//! certainty.
//!
//! See [`super`] for the method, and for why [`crate::ops::Components`] does the same in another way. Words used here:
//! - *beside*: the entries next to the diagonal of a tridiagonal matrix. Only their squares are kept.
//! - *deflated*: an entry beside the diagonal that is negligible. The matrix splits there.
//! - *top*: the first row of a lane's matrix that has not split off. The iteration works from there down.

use crate::cpu::nnk::layout::packed;
use crate::ops::SHARE;
use crate::simd::{F32_LANES, F32x16, LineF32, Simd};

/// All matrices are scaled to this trace, so that products of six entries neither overflow nor underflow.
pub(super) const TRACE: f32 = (1u32 << 18) as f32;
/// The range of traces that are scaled. Entries that underflow are then far below a rounding error of the trace.
const TRACES: [f32; 2] = [1e-20, 1e30];
/// Entries beside the diagonal below this fraction of the trace are set to 0. By Ky Fan's inequality, each
/// moves a sum of the largest eigenvalues by at most its size.
const NEGLIGIBLE: f32 = 1.0 / (1u32 << 21) as f32;

/// Products of entries below this are taken as 0. They are smaller than any rounding error relative to
/// [`TRACE`], and a quotient by them could overflow.
const TINY: f32 = 1e-30;

/// A sum of the `n` largest eigenvalues is trusted if it differs from the threshold by more than this fraction
/// of the trace. Rounding errors grow at most like the square root of `n`, and the entries set to 0 like `n`;
/// the test shows that both together stay below an eighth of this.
pub(super) fn slack(n: usize) -> f32 {
    n as f32 * (1.0 / (1u32 << 19) as f32)
}

/// The counts of sixteen queries.
#[derive(Default)]
pub(in crate::cpu::nnk) struct Found {
    counts: [u16; F32_LANES],
    /// A bit per lane: set if rounding cannot have changed the count.
    certain: u16,
}

impl Found {
    /// The count of a lane, unless rounding may have changed it.
    pub(in crate::cpu::nnk) fn get(&self, lane: usize) -> Option<u16> {
        (self.certain >> lane & 1 == 1).then(|| self.counts[lane])
    }

    /// Sets the count of a lane.
    pub(super) fn set(&mut self, lane: usize, count: u16) {
        self.counts[lane] = count;
        self.certain |= 1 << lane;
    }
}

/// Sixteen symmetric matrices, one in each lane, and the working memory for their eigenvalues.
#[derive(Default)]
pub(super) struct Tridiagonal {
    /// Packed lower triangles.
    pub(super) matrix: Vec<LineF32>,
    /// `A u` of a Householder reflection, then its update vector.
    update: Vec<LineF32>,
    /// The diagonals, which the eigenvalues replace.
    pub(super) diagonal: Vec<LineF32>,
    /// Squares of the off-diagonal entries: `beside[i]` is that of entry `(i, i + 1)`.
    beside: Vec<LineF32>,
    /// For each row a bit per lane: set at the lane's top.
    tops: Vec<u16>,
}

impl Tridiagonal {
    /// Counts how many of the largest eigenvalues of the leading `n` rows hold the required fraction of the trace.
    #[inline(always)]
    pub(super) fn count<I: Simd>(&mut self, n: usize) -> Found {
        let solved = self.solve::<I>(n);
        let mut found = self.largest::<I::F32x16>();
        found.certain &= solved;
        found
    }

    /// Computes the eigenvalues of the leading `n` rows, scaled to the trace [`TRACE`], into `diagonal`, in no
    /// order. Returns a bit per lane: set if the lane has them.
    #[inline(always)]
    pub(super) fn solve<I: Simd>(&mut self, n: usize) -> u16 {
        for v in [&mut self.update, &mut self.diagonal, &mut self.beside] {
            v.clear();
            v.resize(n, LineF32::ZERO);
        }
        let scaled = self.scale::<I::F32x16>(n);
        self.reduce::<I::F32x16>(n);
        scaled & self.eigenvalues::<I::F32x16>()
    }

    /// Scales every matrix to the trace [`TRACE`]. Returns a bit per lane: set if its trace was in range.
    #[inline(always)]
    fn scale<F: F32x16>(&mut self, n: usize) -> u16 {
        let mut trace = F::splat(0.0);
        for j in 0..n {
            trace = trace + F::load(&self.matrix[packed(j, j)]);
        }
        let [least, most] = TRACES.map(F::splat);
        let usual = !(least.not_less(trace) | trace.not_less(most));
        let scale = F::select(usual, F::splat(TRACE) / trace, F::splat(0.0));
        for a in &mut self.matrix[..packed(n, 0)] {
            (F::load(a) * scale).store(a);
        }
        usual
    }

    /// Householder's reduction of the matrix to `diagonal` and `beside`, from the last row up.
    #[inline(always)]
    fn reduce<F: F32x16>(&mut self, n: usize) {
        let (zero, tiny) = (F::splat(0.0), F::splat(TINY));
        for i in (1..n).rev() {
            let (block, rest) = self.matrix.split_at_mut(packed(i, 0));
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
            let norm = F::select(last.not_less(zero), norm, zero - norm);
            let half = last.mul_add(norm, square);
            (last + norm).store(&mut row[i - 1]);
            let inverse = F::select(tiny.not_less(half), zero, F::splat(1.0) / half);
            reflect::<F>(block, row, &mut self.update[..i], inverse);
        }
        self.diagonal[0] = self.matrix[0];
    }

    /// Replaces `diagonal` by the eigenvalues, in no order. Returns a bit per lane: set if the lane has them.
    #[inline(always)]
    fn eigenvalues<F: F32x16>(&mut self) -> u16 {
        let last = self.diagonal.len() - 1;
        let negligible = F::splat((NEGLIGIBLE * TRACE).powi(2));
        self.tops.clear();
        self.tops.resize(last + 1, 0);
        self.tops[0] = u16::MAX;
        let mut first = 0;
        // A matrix of n rows takes about 2 n sweeps. The bound guards against iterations that rounding errors
        // keep from converging.
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

    /// One QL sweep with the given shift over the rows from each lane's top on, in squares of sines and cosines.
    ///
    /// With `r = p + b^2`, the squared cosine is `p / r`, the squared sine is `b^2 / r`, and the next row starts
    /// from `(p (d - shift) - b^2 gamma) / r`. Written this way, a row waits for one division instead of three.
    #[inline(always)]
    fn sweep<F: F32x16>(&mut self, first: usize, shift: F) {
        let last = self.diagonal.len() - 1;
        let (zero, one, tiny) = (F::splat(0.0), F::splat(1.0), F::splat(TINY));
        let (mut cos, mut sin) = (one, zero);
        let mut gamma = F::load(&self.diagonal[last]) - shift;
        let mut p = gamma * gamma;
        let mut done = 0;
        for i in (first..last).rev() {
            done |= self.tops[i + 1];
            let (square, d) = (F::load(&self.beside[i]), F::load(&self.diagonal[i]));
            let shifted = d - shift;
            let r = p + square;
            if i + 1 < last {
                let out = &mut self.beside[i + 1];
                F::select(done, F::load(out), sin * r).store(out);
            }
            let both = r * p;
            let inverse = one / r;
            let part = p * shifted - square * gamma;
            let (mut c, mut s) = (p * inverse, square * inverse);
            let mut next = part * inverse;
            let mut turned = part * part / both;
            // If the cosine is 0, or there is no off-diagonal entry, there is no rotation.
            let special = tiny.not_less(both);
            if special & !done != 0 {
                let none = zero.not_less(square);
                c = F::select(special, F::select(none, one, zero), c);
                s = F::select(special, F::select(none, zero, one), s);
                let entry = F::select(none, shifted, zero - gamma);
                next = F::select(special, entry, next);
                let entry = F::select(none, shifted * shifted, cos * square);
                turned = F::select(special, entry, turned);
            }
            let out = &mut self.diagonal[i + 1];
            let above = gamma + (d - next);
            F::select(done, F::load(out), above).store(out);
            p = F::select(done, p, turned);
            gamma = F::select(done, gamma, next);
            cos = F::select(done, cos, c);
            sin = F::select(done, sin, s);
            let top = self.tops[i];
            if top != 0 {
                let (beside, diagonal) = (&mut self.beside[i], &mut self.diagonal[i]);
                F::select(top, sin * p, square).store(beside);
                F::select(top, gamma + shift, d).store(diagonal);
            }
        }
    }

    /// Counts the largest eigenvalues, in order, until their sum holds the required fraction of the trace.
    #[inline(always)]
    fn largest<F: F32x16>(&mut self) -> Found {
        let n = self.diagonal.len();
        let share = SHARE as f32 * TRACE;
        let slack = slack(n) * TRACE;
        let [low, high] = [share - slack, share + slack].map(F::splat);
        let mut sum = F::splat(0.0);
        for d in &self.diagonal {
            sum = sum + F::load(d);
        }
        // Rotations preserve the trace, so a sum that differs from it shows that something went wrong.
        let (least, most) = (F::splat(TRACE - slack), F::splat(TRACE + slack));
        let mut certain = !(least.not_less(sum) | sum.not_less(most));
        let mut held = F::splat(0.0);
        let mut counts = [0; F32_LANES];
        for rest in (0..n).rev() {
            let short = !held.not_less(low);
            if short == 0 {
                break;
            }
            // Select the largest of the remaining eigenvalues; the others move up by one place.
            let (others, last) = self.diagonal.split_at_mut(rest);
            let mut best = F::load(&last[0]);
            for d in others.iter_mut().rev() {
                let own = F::load(d);
                own.min(best).store(d);
                best = own.max(best);
            }
            held = held + best;
            certain &= !held.not_less(low) | held.not_less(high);
            for (l, count) in counts.iter_mut().enumerate() {
                *count += short >> l & 1;
            }
        }
        Found { counts, certain }
    }
}

/// Wilkinson's shift: the eigenvalue of `[[d, b], [b, next]]`, `square = b^2 > 0`, that is nearer to `d`.
#[inline(always)]
fn wilkinson<F: F32x16>(d: F, next: F, square: F) -> F {
    let (zero, one) = (F::splat(0.0), F::splat(1.0));
    let beside = square.sqrt();
    let ratio = (next - d) / (beside + beside);
    let root = ratio.mul_add(ratio, one).sqrt();
    let signed = F::select(ratio.not_less(zero), root, zero - root);
    d - beside / (ratio + signed)
}

/// Householder reflection: replaces the symmetric `a` by `(I - u u'/H) a (I - u u'/H)`; `inverse` is `1 / H`.
#[inline(always)]
fn reflect<F: F32x16>(a: &mut [LineF32], u: &[LineF32], update: &mut [LineF32], inverse: F) {
    let (n, zero) = (u.len(), F::splat(0.0));
    for j in 0..n {
        let own = F::load(&u[j]);
        let mut sum = zero;
        let row = &a[packed(j, 0)..packed(j, j)];
        for ((a, u), p) in row.iter().zip(u).zip(update.iter_mut()) {
            let a = F::load(a);
            sum = a.mul_add(F::load(u), sum);
            a.mul_add(own, F::load(p)).store(p);
        }
        F::load(&a[packed(j, j)])
            .mul_add(own, sum)
            .store(&mut update[j]);
    }
    let mut product = zero;
    for (p, u) in update.iter_mut().zip(u) {
        let scaled = F::load(p) * inverse;
        product = scaled.mul_add(F::load(u), product);
        scaled.store(p);
    }
    let less = product * inverse * F::splat(-0.5);
    for (p, u) in update.iter_mut().zip(u) {
        less.mul_add(F::load(u), F::load(p)).store(p);
    }
    for j in 0..n {
        let v = zero - F::load(&u[j]);
        let w = zero - F::load(&update[j]);
        let row = &mut a[packed(j, 0)..=packed(j, j)];
        for ((a, u), p) in row.iter_mut().zip(u).zip(update.iter()) {
            let less = v.mul_add(F::load(p), F::load(a));
            w.mul_add(F::load(u), less).store(a);
        }
    }
}
