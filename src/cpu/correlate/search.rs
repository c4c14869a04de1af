//! The extreme correlations of one map with sixteen others.

use super::spectra::{Plan, Scratch};
use super::wide::{Complex, Lanes, Value};
use crate::simd::{F32, F32_LANES, Simd, SimdKernel};
use std::ops::Range;

/// The largest and the smallest correlation of one map with sixteen others, not yet divided by the length of the
/// transforms, and the lag (y, x) of the largest.
pub(super) struct Best {
    pub(super) max: [f32; F32_LANES],
    pub(super) min: [f32; F32_LANES],
    pub(super) lag: [[i32; 2]; F32_LANES],
}

/// Kernel: correlates one map of the left operand with a block of sixteen of the right.
pub(super) struct Pairs<'a> {
    pub(super) plan: &'a Plan,
    pub(super) inputs: usize,
    /// Height and width of the maps on the left and on the right.
    pub(super) sizes: [[usize; 2]; 2],
    /// Spectra of the map, `[input][kx][ky]`.
    pub(super) map: &'a [[f32; 2]],
    /// Spectra of the block, `[input][kx][ky]`.
    pub(super) block: &'a [Complex],
    pub(super) scratch: &'a mut Scratch,
}

impl SimdKernel for Pairs<'_> {
    type Output = Best;

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self) -> Best {
        let mut best = Best {
            max: [f32::NEG_INFINITY; F32_LANES],
            min: [f32::INFINITY; F32_LANES],
            lag: [[0; 2]; F32_LANES],
        };
        for lanes in Lanes::<S>::all() {
            self.multiply(lanes);
            self.search(lanes, &mut best);
        }
        best
    }
}

impl Pairs<'_> {
    /// Multiplies the spectra, sums over the inputs and transforms the product along y.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, lanes: Lanes<S>) {
        let rows = self.plan.padded[0];
        let half = self.plan.half();
        let Scratch { tile, line, other } = &mut *self.scratch;
        let (line, other) = (&mut line[..rows], &mut other[..rows]);
        for kx in 0..half {
            for input in 0..self.inputs {
                let column = (input * half + kx) * rows;
                let left = &self.map[column..][..rows];
                let right = &self.block[column..][..rows];
                for ((sum, l), r) in line.iter_mut().zip(left).zip(right) {
                    let mut product = Value::load(r, lanes).conjugate_times(*l);
                    if input > 0 {
                        product = Value::load(sum, lanes) + product;
                    }
                    product.store(sum, lanes);
                }
            }
            let done = self.plan.columns.inverse(lanes, line, other);
            for (v, to) in done.iter().zip(tile[kx..].iter_mut().step_by(half)) {
                Value::load(v, lanes).store(to, lanes);
            }
        }
    }

    /// Transforms the product along x, two rows of lags at a time, and keeps the extremes. Of equal maxima the
    /// first in the order of (y, x) counts.
    #[inline(always)]
    fn search<S: Simd>(&mut self, lanes: Lanes<S>, best: &mut Best) {
        let [rows, columns] = self.plan.padded;
        let half = self.plan.half();
        let [left, right] = self.sizes;
        let lags = |axis: usize| 1 - left[axis] as i32..right[axis] as i32;
        let Scratch { tile, line, other } = &mut *self.scratch;
        let (line, other) = (&mut line[..columns], &mut other[..columns]);
        for dy in lags(0).step_by(2) {
            let row = |dy: i32| &tile[dy.rem_euclid(rows as i32) as usize * half..][..half];
            join(lanes, row(dy), row(dy + 1), line);
            let done = self.plan.rows.inverse(lanes, line, other);
            best.enter::<S, false>(lanes, dy, lags(1), done);
            if lags(0).contains(&(dy + 1)) {
                best.enter::<S, true>(lanes, dy + 1, lags(1), done);
            }
        }
    }
}

/// Writes `a + i b` for the spectra of two real sequences, of which `a` and `b` are the halves that are kept. Its
/// transform has one sequence as its real part and the other as its imaginary part.
#[inline(always)]
fn join<S: Simd>(lanes: Lanes<S>, a: &[Complex], b: &[Complex], out: &mut [Complex]) {
    let n = out.len();
    for (k, (a, b)) in a.iter().zip(b).enumerate() {
        let (a, b) = (Value::load(a, lanes), Value::load(b, lanes));
        a.add_i_times(b).store(&mut out[k], lanes);
        if k > 0 && k < n - k {
            let mirrored = Value::<S> {
                re: a.re + b.im,
                im: b.re - a.im,
            };
            mirrored.store(&mut out[n - k], lanes);
        }
    }
}

impl Best {
    /// Takes a row of lags into account: the real parts of `values`, or the imaginary parts if `IM`.
    #[inline(always)]
    fn enter<S: Simd, const IM: bool>(
        &mut self,
        lanes: Lanes<S>,
        dy: i32,
        lags: Range<i32>,
        values: &[Complex],
    ) {
        // Negative lags lie at the end.
        let before = &values[values.len() - -lags.start as usize..];
        let after = &values[..lags.end as usize];
        let own = lanes.range();
        let mut max = S::F32::splat(f32::NEG_INFINITY);
        let mut min = S::F32::from_slice(&self.min[own.clone()]);
        for part in [before, after] {
            for v in part {
                let v = lanes.load(v.part::<IM>());
                max = v.max(max);
                min = v.min(min);
            }
        }
        min.copy_to(&mut self.min[own.clone()]);
        let known = S::F32::from_slice(&self.max[own.clone()]);
        max.max(known).copy_to(&mut self.max[own.clone()]);
        let better = !known.not_less(max);
        for (bit, lane) in own.enumerate() {
            if better >> bit & 1 == 1 {
                let place = (before.iter().chain(after))
                    .position(|v| v.part::<IM>().0[lane] == self.max[lane])
                    .unwrap_or(0);
                self.lag[lane] = [dy, lags.start + place as i32];
            }
        }
    }
}
