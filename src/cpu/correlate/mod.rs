//! Cross-correlation of all pairs of maps at all lags, by Fourier transform of sixteen pairs at once.
//!
//! Chosen by counting operations, not by timing: 160 maps of 16x16 need about 1.7 GFLOP as matrix products
//! per lag, about 0.4 GFLOP this way, and the distance grows with the size of the maps.

mod fft;
mod wide;

use super::Tensor;
use super::simd::{InstructionSet, Simd, SimdOp};
use crate::Result;
use crate::device::net::{Correlation, check_correlate};
use fft::{Fft, length};
use rayon::prelude::*;
use wide::{Complex, LANES, Wide};

/// Transforms of the maps of one operand, `[block][input][kx][ky]`, sixteen maps a block.
struct Spectra {
    maps: usize,
    inputs: usize,
    size: [usize; 2],
    values: Vec<Complex>,
}

/// Correlates every map of `x [P, I, h, w]` with every one of `y [Q, I, h', w']`, or with those of `x`.
pub(super) fn correlate(
    x: &Tensor,
    y: Option<&Tensor>,
    set: InstructionSet,
) -> Result<Correlation> {
    let [p, q] = check_correlate(x.shape(), y.unwrap_or(x).shape())?;
    let mut out = Correlation::zeros(p[0], q[0]);
    if p[0] * q[0] == 0 {
        return Ok(out);
    }
    let padded = [length(p[2] + q[2] - 1), length(p[3] + q[3] - 1)];
    let plan = Plan {
        rows: Fft::new(padded[1]),
        columns: Fft::new(padded[0]),
        padded,
    };
    let left = plan.spectra(x, p, set);
    let right = y.map(|y| plan.spectra(y, q, set));
    let symmetric = right.is_none();
    let right = right.as_ref().unwrap_or(&left);
    let blocks = q[0].div_ceil(LANES);
    let tasks: Vec<(usize, usize)> = (0..p[0])
        .flat_map(|i| (0..blocks).map(move |b| (i, b)))
        .filter(|&(i, b)| !symmetric || (b + 1) * LANES > i)
        .collect();
    let found: Vec<Best> = tasks
        .par_iter()
        .map_init(
            || plan.scratch(),
            |scratch, &(i, block)| {
                let pairs = Pairs {
                    plan: &plan,
                    left: &left,
                    right,
                    i,
                    block,
                    scratch,
                };
                set.run(pairs)
            },
        )
        .collect();
    let scale = 1.0 / (padded[0] * padded[1]) as f32;
    for ((i, block), best) in tasks.into_iter().zip(found) {
        for lane in 0..LANES.min(q[0] - block * LANES) {
            let j = block * LANES + lane;
            if symmetric && j < i {
                continue;
            }
            let max = best.max.0[lane] * scale;
            let abs = max.max(-best.min.0[lane] * scale);
            let lag = best.lag[lane];
            out.set(i, j, max, abs, lag);
            if symmetric && j > i {
                out.set(j, i, max, abs, [-lag[0], -lag[1]]);
            }
        }
    }
    Ok(out)
}

/// Transforms for one pair of map sizes.
struct Plan {
    rows: Fft,
    columns: Fft,
    padded: [usize; 2],
}

/// Memory of one task.
struct Scratch {
    /// Product of two spectra, transformed along y: `[ky][kx]`.
    tile: Vec<Complex>,
    line: Vec<Complex>,
    other: Vec<Complex>,
}

impl Plan {
    fn half(&self) -> usize {
        self.padded[1] / 2 + 1
    }

    fn scratch(&self) -> Scratch {
        let longest = self.padded[0].max(self.padded[1]);
        Scratch {
            tile: vec![Complex::ZERO; self.padded[0] * self.half()],
            line: vec![Complex::ZERO; longest],
            other: vec![Complex::ZERO; longest],
        }
    }

    fn spectra(
        &self,
        x: &Tensor,
        [maps, inputs, h, w]: [usize; 4],
        set: InstructionSet,
    ) -> Spectra {
        let size = self.padded[0] * self.half();
        let mut values = vec![Complex::ZERO; maps.div_ceil(LANES) * inputs * size];
        values.par_chunks_mut(size).enumerate().for_each_init(
            || self.scratch(),
            |scratch, (i, out)| {
                set.run(Transform {
                    plan: self,
                    data: x.data(),
                    shape: [maps, inputs, h, w],
                    block: i / inputs,
                    input: i % inputs,
                    scratch,
                    out,
                });
            },
        );
        Spectra {
            maps,
            inputs,
            size: [h, w],
            values,
        }
    }
}

/// Two-dimensional inverse transform of sixteen real maps; the half of it that is not mirrored.
struct Transform<'a> {
    plan: &'a Plan,
    data: &'a [f32],
    shape: [usize; 4],
    block: usize,
    input: usize,
    scratch: &'a mut Scratch,
    /// `[kx][ky]`.
    out: &'a mut [Complex],
}

impl SimdOp for Transform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(self) {
        let [maps, inputs, h, w] = self.shape;
        let [rows, columns] = self.plan.padded;
        let Scratch { line, other, .. } = self.scratch;
        for y in 0..h {
            line[..columns].fill(Complex::ZERO);
            for lane in 0..LANES.min(maps - self.block * LANES) {
                let map = (self.block * LANES + lane) * inputs + self.input;
                let row = &self.data[(map * h + y) * w..][..w];
                for (to, &v) in line.iter_mut().zip(row) {
                    to.re.0[lane] = v;
                }
            }
            let (line, other) = (&mut line[..columns], &mut other[..columns]);
            let done = self.plan.rows.inverse(line, other);
            for (column, v) in self.out.chunks_mut(rows).zip(done.iter()) {
                column[y] = *v;
            }
        }
        for column in self.out.chunks_mut(rows) {
            let (line, other) = (&mut line[..rows], &mut other[..rows]);
            line.copy_from_slice(column);
            column.copy_from_slice(self.plan.columns.inverse(line, other));
        }
    }
}

/// Largest and smallest correlation of one map with sixteen others, and the lag of the largest.
struct Best {
    max: Wide,
    min: Wide,
    lag: [[i32; 2]; LANES],
}

/// One map of the left operand with a block of the right.
struct Pairs<'a> {
    plan: &'a Plan,
    left: &'a Spectra,
    right: &'a Spectra,
    i: usize,
    block: usize,
    scratch: &'a mut Scratch,
}

impl SimdOp for Pairs<'_> {
    type Output = Best;

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(mut self) -> Best {
        self.product();
        self.search()
    }
}

impl Pairs<'_> {
    /// Product of the spectra, summed over inputs, transformed along y.
    #[inline(always)]
    fn product(&mut self) {
        let rows = self.plan.padded[0];
        let half = self.plan.half();
        let inputs = self.left.inputs;
        let (block, lane) = (self.i / LANES, self.i % LANES);
        debug_assert!(self.i < self.left.maps && self.right.inputs == inputs);
        let Scratch { tile, line, other } = &mut *self.scratch;
        let (line, other) = (&mut line[..rows], &mut other[..rows]);
        for kx in 0..half {
            line.fill(Complex::ZERO);
            for input in 0..inputs {
                let column = |block: usize| ((block * inputs + input) * half + kx) * rows;
                let left = &self.left.values[column(block)..][..rows];
                let right = &self.right.values[column(self.block)..][..rows];
                for ((sum, l), r) in line.iter_mut().zip(left).zip(right) {
                    *sum = sum.add_conjugate_product((l.re.0[lane], l.im.0[lane]), *r);
                }
            }
            let done = self.plan.columns.inverse(line, other);
            for (ky, v) in done.iter().enumerate() {
                tile[ky * half + kx] = *v;
            }
        }
    }

    /// Transforms two rows of lags at a time and keeps the extremes, the first of equals by (y, x).
    #[inline(always)]
    fn search(&mut self) -> Best {
        let [rows, columns] = self.plan.padded;
        let half = self.plan.half();
        let lags = |axis: usize| {
            let first = 1 - self.left.size[axis] as i32;
            first..self.right.size[axis] as i32
        };
        let Scratch { tile, line, other } = &mut *self.scratch;
        let mut best = Best {
            max: Wide([f32::NEG_INFINITY; LANES]),
            min: Wide([f32::INFINITY; LANES]),
            lag: [[0; 2]; LANES],
        };
        for dy in lags(0).step_by(2) {
            let row = |dy: i32| dy.rem_euclid(rows as i32) as usize * half;
            let two = lags(0).contains(&(dy + 1));
            let (line, other) = (&mut line[..columns], &mut other[..columns]);
            let a = &tile[row(dy)..][..half];
            let b = &tile[row(dy + 1)..][..half];
            join(a, b, line);
            let done = self.plan.rows.inverse(line, other);
            best.row(dy, lags(1), columns, |at| done[at].re);
            if two {
                best.row(dy + 1, lags(1), columns, |at| done[at].im);
            }
        }
        best
    }
}

/// `a + i b` for two spectra of real sequences, the mirrored half included.
#[inline(always)]
fn join(a: &[Complex], b: &[Complex], out: &mut [Complex]) {
    let n = out.len();
    for k in 0..a.len() {
        let (a, b) = (a[k], b[k]);
        out[k] = a.add(b.turn());
        if k > 0 && k < n - k {
            out[n - k] = Complex {
                re: a.re.add(b.im),
                im: b.re.sub(a.im),
            };
        }
    }
}

impl Best {
    #[inline(always)]
    fn row(
        &mut self,
        dy: i32,
        lags: std::ops::Range<i32>,
        columns: usize,
        value: impl Fn(usize) -> Wide,
    ) {
        let at = |dx: i32| dx.rem_euclid(columns as i32) as usize;
        let mut max = Wide([f32::NEG_INFINITY; LANES]);
        for dx in lags.clone() {
            let v = value(at(dx));
            max = max.max(v);
            self.min = self.min.min(v);
        }
        for lane in 0..LANES {
            if max.0[lane] > self.max.0[lane] {
                self.max.0[lane] = max.0[lane];
                let first = lags
                    .clone()
                    .find(|&dx| value(at(dx)).0[lane] == max.0[lane]);
                self.lag[lane] = [dy, first.unwrap_or(0)];
            }
        }
    }
}
