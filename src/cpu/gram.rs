//! Gram matrices: a symmetric product, or plain differences where cancellation would spoil it.

use super::Tensor;
use super::disjoint::Disjoint;
use super::gemm::{CHUNK, COLS, ROWS, Target, pack, tile};
use super::simd::{InstructionSet, Simd, SimdOp};
use crate::device::GramKind;
use crate::{Error, Result};
use rayon::prelude::*;

/// Rows and columns of a block of the matrix, whose packed operands stay in the second-level cache.
const BLOCK: usize = 128;

pub(super) fn gram(x: &Tensor, kind: GramKind, set: InstructionSet) -> Result<Tensor> {
    let &[groups, n, dim] = x.shape() else {
        return Err(Error::Shape(format!(
            "gram needs [groups, n, dim], not {:?}",
            x.shape()
        )));
    };
    if let GramKind::Gaussian(s) = kind
        && !(s > 0.0 && s.is_finite())
    {
        return Err(Error::Usage(format!(
            "the bandwidth is {s}: use a positive number"
        )));
    }
    let mut out = Tensor::zeros(&[groups, n, n])?;
    if n == 0 {
        return Ok(out);
    }
    out.data_mut()
        .par_chunks_exact_mut(n * n)
        .enumerate()
        .for_each(|(g, out)| {
            let x = &x.data()[g * n * dim..][..n * dim];
            let (rows, finish) = prepare(x, dim, kind);
            let rows = rows.as_deref().unwrap_or(x);
            let chunks: Vec<Chunk> = (0..dim)
                .step_by(CHUNK)
                .map(|at| Chunk::new(rows, n, dim, at))
                .collect();
            let out = Disjoint::new(out);
            let blocks = n.div_ceil(BLOCK);
            (0..blocks * blocks)
                .into_par_iter()
                .filter(|b| b / blocks <= b % blocks)
                .for_each(|b| {
                    let (i, j) = (b / blocks * BLOCK, b % blocks * BLOCK);
                    set.run(Block {
                        chunks: &chunks,
                        n,
                        i,
                        j,
                        finish: &finish,
                        out: &out,
                    });
                });
        });
    Ok(out)
}

/// Some columns of all rows, packed: side by side, whatever the dimension, so that the operands of a
/// block do not fight for the same cache sets.
struct Chunk {
    len: usize,
    /// `[rows / ROWS, len, ROWS]`.
    left: Vec<f32>,
    /// `[rows / COLS, len, COLS]`.
    right: Vec<f32>,
}

impl Chunk {
    fn new(rows: &[f32], n: usize, dim: usize, first: usize) -> Self {
        let len = CHUNK.min(dim - first);
        Self {
            len,
            left: pack::<ROWS>(&rows[first..], n, len, dim),
            right: pack::<COLS>(&rows[first..], n, len, dim),
        }
    }
}

/// What is done to sums of products or squared differences.
enum Finish {
    Linear,
    /// `1/2 + 1/2 x`, of normalised rows; false: a zero vector.
    Cosine(Vec<bool>),
    /// `exp(factor x)`.
    Gaussian(f32),
}

/// Rows to multiply, unless they are the given ones.
fn prepare(x: &[f32], dim: usize, kind: GramKind) -> (Option<Vec<f32>>, Finish) {
    match kind {
        GramKind::Linear => (None, Finish::Linear),
        GramKind::Cosine => {
            let mut rows = x.to_vec();
            let live = rows.chunks_exact_mut(dim.max(1)).map(normalise).collect();
            (Some(rows), Finish::Cosine(live))
        }
        GramKind::Gaussian(s) => {
            // A power of two changes no digit, and keeps squares of what matters within range.
            let largest = x.iter().fold(0f32, |m, v| m.max(v.abs()));
            let room = 100 - f64::from(largest).max(1e-45).log2().ceil() as i32;
            let exponent = room.min(-s.log2().round() as i32);
            // In two steps: the factor itself may be out of the range of f32.
            let half = 2f32.powi(exponent / 2);
            let rest = 2f32.powi(exponent - exponent / 2);
            let rows = x.iter().map(|&v| v * half * rest).collect();
            let s = s * 2f64.powi(exponent);
            (
                Some(rows),
                Finish::Gaussian((-0.5 / (s * s)).max(f64::from(f32::MIN)) as f32),
            )
        }
    }
}

/// Divides a row by its norm; false for a zero vector.
fn normalise(row: &mut [f32]) -> bool {
    let sum: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let factor = if sum > 0.0 { sum.sqrt().recip() } else { 0.0 };
    row.iter_mut()
        .for_each(|v| *v = (f64::from(*v) * factor) as f32);
    sum > 0.0
}

/// The block of rows from `i` on and columns from `j` on, `i <= j`, and its mirror image.
struct Block<'a> {
    chunks: &'a [Chunk],
    n: usize,
    i: usize,
    j: usize,
    finish: &'a Finish,
    out: &'a Disjoint<'a>,
}

impl SimdOp for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(self) {
        let rows = BLOCK.min(self.n - self.i);
        let width = BLOCK.min(self.n - self.j).next_multiple_of(COLS);
        let mut sums = vec![0f32; rows.next_multiple_of(ROWS) * width];
        // SAFETY: `S` is there by the contract of `run`.
        unsafe {
            match self.finish {
                Finish::Gaussian(_) => self.sums::<S, R, V, true>(&mut sums, width),
                _ => self.sums::<S, R, V, false>(&mut sums, width),
            }
        }
        self.finish(&mut sums, width);
        self.store(&sums, width, rows);
    }
}

impl Block<'_> {
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn sums<S: Simd, const R: usize, const V: usize, const SQUARES: bool>(
        &self,
        sums: &mut [f32],
        width: usize,
    ) {
        for (number, chunk) in self.chunks.iter().enumerate() {
            let len = chunk.len;
            for (r, sums) in sums.chunks_exact_mut(ROWS * width).enumerate() {
                let i = self.i + r * ROWS;
                let left = &chunk.left[i * len..][..ROWS * len];
                for c in (0..width).step_by(COLS) {
                    let j = self.j + c;
                    if i >= j + COLS {
                        continue; // Below the diagonal: mirrored.
                    }
                    let right = &chunk.right[j * len..][..COLS * len];
                    let target = Target {
                        to: &mut sums[c..],
                        stride: width,
                        add: number > 0,
                    };
                    // SAFETY: `S` is there.
                    unsafe { tile::<S, R, V, SQUARES>(left, right, COLS, len, target) };
                }
            }
        }
    }

    #[inline(always)]
    fn finish(&self, sums: &mut [f32], width: usize) {
        match self.finish {
            Finish::Linear => {}
            Finish::Gaussian(factor) => sums.iter_mut().for_each(|v| *v = exp(*v * factor)),
            Finish::Cosine(live) => {
                for (i, sums) in (self.i..self.n).zip(sums.chunks_exact_mut(width)) {
                    for (v, &live_j) in sums.iter_mut().zip(&live[self.j..]) {
                        let value = (0.5 + 0.5 * *v).clamp(0.0, 1.0);
                        *v = if live[i] && live_j { value } else { 0.0 };
                    }
                    if live[i] && (self.j..self.j + width).contains(&i) {
                        sums[i - self.j] = 1.0;
                    }
                }
            }
        }
    }

    /// Copies the block, or its upper triangle, to both of its places.
    #[inline(always)]
    fn store(&self, sums: &[f32], width: usize, rows: usize) {
        let cols = BLOCK.min(self.n - self.j);
        for r in 0..rows {
            let skip = if self.i == self.j { r } else { 0 };
            let start = (self.i + r) * self.n + self.j;
            // SAFETY: the block of rows i and columns j is this task's alone.
            let out = unsafe { self.out.part(start + skip, cols - skip) };
            out.copy_from_slice(&sums[r * width + skip..r * width + cols]);
        }
        for c in 0..cols {
            let rows = if self.i == self.j { c } else { rows };
            // SAFETY: and so is that of rows j and columns i.
            let out = unsafe { self.out.part((self.j + c) * self.n + self.i, rows) };
            for (out, sums) in out.iter_mut().zip(sums.chunks_exact(width)) {
                *out = sums[c];
            }
        }
    }
}

/// `e^x` for `x <= 0`, at most 2 units in the last place off (exact at 0, NaN stays NaN). Arithmetic
/// only, so that loops over it are vectorised.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer.
    const SHIFT: f32 = 12_582_912.0;
    // ln 2 in two parts; the first is short, so that its product with an integer is exact.
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let x = if x < -104.0 { -104.0 } else { x };
    let n = (x * std::f32::consts::LOG2_E + SHIFT) - SHIFT;
    let r = (x - n * LN2_HI) - n * LN2_LO;
    // Taylor: the remainder on |r| <= ln 2 / 2 is 5e-9.
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = (p * r) * r + r + 1.0;
    // 2^n in two factors, since it may be below the smallest normal number.
    let n = n as i32;
    let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    p * power(n / 2) * power(n - n / 2)
}
