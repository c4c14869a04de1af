//! Gram matrices (docs/definitions.md#kernels): `K_ij = k(x_i, x_j)` of all pairs of rows.
//!
//! The linear and cosine kernels are a symmetric matrix product. For the Gaussian kernel squared differences are
//! summed directly, because `|x|^2 + |y|^2 - 2 <x, y>` would cancel in float32.
//!
//! The upper triangle is computed in blocks of [`BLOCK`] x [`BLOCK`]: sums by register tiles ([`Block::sums`]), then
//! the kernel function ([`Block::finish`]), then a copy to both places of the matrix ([`Block::store`]).

use super::Tensor;
use super::gemm::{CHUNK, COLS, ROWS, Target, pack, tile};
use super::transpose::transpose;
use crate::Result;
use crate::ops::{GramKind, check_gram};
use crate::simd::{InstructionSet, Simd, SimdKernel, stream_copy, stream_fence};
use rayon::prelude::*;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Rows and columns of a block of the matrix. Its packed operands stay in the L2 cache.
const BLOCK: usize = 128;
/// Distance between the rows of a block: an odd number of cache lines, so that the values of a column do not compete
/// for the same cache sets.
const STRIDE: usize = BLOCK + 16;
/// Columns of a block that are transposed at a time: a cache line.
const TURNED: usize = 16;
/// Smallest matrix, in values, that is written past the caches: one larger than most last-level caches.
const STREAMED: usize = 1 << 23;

thread_local! {
    /// The sums of the block that this thread computes.
    static SUMS: RefCell<Vec<f32>> = RefCell::default();
}

/// Gram matrices `[groups, n, n]` of `x [groups, n, dim]`.
///
/// # Errors
/// Those of [`check_gram`].
pub(super) fn gram(x: &Tensor, kind: GramKind, set: InstructionSet) -> Result<Tensor> {
    let [groups, n, dim] = check_gram(x.shape(), kind)?;
    if n == 0 {
        return Tensor::zeros(&[groups, 0, 0]);
    }
    let write = |out: &mut [MaybeUninit<f32>]| {
        out.par_chunks_exact_mut(n * n)
            .enumerate()
            .for_each(|(g, out)| {
                let x = &x.data()[g * n * dim..][..n * dim];
                matrix(x, n, dim, kind, set, &Square::new(out, n));
            });
    };
    // SAFETY: `matrix` writes every value of its part, and the parts cover the tensor.
    unsafe { Tensor::written(&[groups, n, n], write) }
}

/// Computes every value of the matrix of one group and writes it to `out`.
fn matrix(x: &[f32], n: usize, dim: usize, kind: GramKind, set: InstructionSet, out: &Square<'_>) {
    let (rows, finish) = prepare(x, dim, kind);
    let rows = rows.as_deref().unwrap_or(x);
    let chunks: Vec<Chunk> = (0..dim)
        .step_by(CHUNK)
        .map(|at| Chunk::new(rows, n, dim, at))
        .collect();
    let starts = || (0..n).step_by(BLOCK);
    let blocks: Vec<(usize, usize)> = starts()
        .flat_map(|i| starts().filter(move |&j| i <= j).map(move |j| (i, j)))
        .collect();
    blocks.into_par_iter().for_each(|(i, j)| {
        SUMS.with_borrow_mut(|sums| {
            sums.resize(BLOCK * STRIDE, 0.0);
            set.run(Block {
                chunks: &chunks,
                n,
                i,
                j,
                finish: &finish,
                sums,
                out,
            });
        });
    });
}

/// A matrix that many threads write, each its own parts.
struct Square<'a> {
    to: *mut f32,
    n: usize,
    /// Whether the matrix is written past the caches.
    large: bool,
    lifetime: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: by the contract of `write` no two threads write the same place, and nothing is read.
unsafe impl Sync for Square<'_> {}

impl<'a> Square<'a> {
    fn new(to: &'a mut [MaybeUninit<f32>], n: usize) -> Self {
        assert_eq!(to.len(), n * n);
        Self {
            to: to.as_mut_ptr().cast(),
            n,
            large: n * n >= STREAMED,
            lifetime: PhantomData,
        }
    }

    /// Writes values to row `i` from column `j` on. This thread has to call [`stream_fence`] before another thread may
    /// read them.
    ///
    /// # Safety
    /// No other thread writes to these places.
    #[inline(always)]
    unsafe fn write(&self, i: usize, j: usize, values: &[f32]) {
        assert!(i < self.n && j <= self.n && values.len() <= self.n - j);
        // SAFETY: the places are in range, as asserted above, and no other thread writes to them, by the caller's
        // contract. `values` cannot lie there, because the matrix is not readable.
        unsafe {
            let to = self.to.add(i * self.n + j);
            if self.large {
                stream_copy(values, to);
            } else {
                to.copy_from_nonoverlapping(values.as_ptr(), values.len());
            }
        }
    }
}

/// At most [`CHUNK`] columns of all rows, packed. Panels lie side by side whatever the dimension, so that the operands
/// of a block do not compete for the same cache sets.
struct Chunk {
    /// Number of columns.
    len: usize,
    /// `[rows / COLS, len, COLS]`. A panel is a right operand as it is; a left operand is [`ROWS`] of its rows.
    panels: Vec<f32>,
}

impl Chunk {
    fn new(rows: &[f32], n: usize, dim: usize, first: usize) -> Self {
        let len = CHUNK.min(dim - first);
        Self {
            len,
            panels: pack::<COLS>(&rows[first..], n, len, dim),
        }
    }
}

/// The kernel function of a sum of products or of squared differences.
enum Finish {
    /// The sum itself.
    Linear,
    /// `1/2 + 1/2 x`, for rows divided by their norms. The flag of a row is false if it is a zero vector.
    Cosine(Vec<bool>),
    /// `exp(factor x)`.
    Gaussian(f32),
}

/// The kernel function, and the rows to multiply if they are not `x` itself.
fn prepare(x: &[f32], dim: usize, kind: GramKind) -> (Option<Vec<f32>>, Finish) {
    match kind {
        GramKind::Linear => (None, Finish::Linear),
        GramKind::Cosine => {
            let mut rows = x.to_vec();
            let live = rows.chunks_exact_mut(dim.max(1)).map(normalise).collect();
            (Some(rows), Finish::Cosine(live))
        }
        GramKind::Gaussian(s) => {
            // Scaling by a power of two is exact, and keeps the squares of all values that matter in range.
            let largest = x.iter().fold(0f32, |m, v| m.max(v.abs()));
            let room = 100 - f64::from(largest).max(1e-45).log2().ceil() as i32;
            let exponent = room.min(-s.log2().round() as i32);
            // The factor is applied in two steps, because it may be out of the range of f32.
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

/// Divides a row by its norm. Returns false if it is a zero vector.
fn normalise(row: &mut [f32]) -> bool {
    let sum: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let factor = if sum > 0.0 { sum.sqrt().recip() } else { 0.0 };
    row.iter_mut()
        .for_each(|v| *v = (f64::from(*v) * factor) as f32);
    sum > 0.0
}

/// Kernel: the block of the rows from `i` on and the columns from `j` on, `i <= j`, and its mirror image.
struct Block<'a> {
    chunks: &'a [Chunk],
    n: usize,
    i: usize,
    j: usize,
    finish: &'a Finish,
    /// Working memory `[BLOCK, STRIDE]`.
    sums: &'a mut [f32],
    out: &'a Square<'a>,
}

impl SimdKernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self) {
        match self.finish {
            Finish::Gaussian(_) => self.sums::<S, R, V, true>(),
            _ => self.sums::<S, R, V, false>(),
        }
        self.finish();
        self.store();
    }
}

impl Block<'_> {
    fn rows(&self) -> usize {
        BLOCK.min(self.n - self.i)
    }

    fn cols(&self) -> usize {
        BLOCK.min(self.n - self.j)
    }

    /// Computes the sums of products, or of squared differences if `SQUARES`.
    #[inline(always)]
    fn sums<S: Simd, const R: usize, const V: usize, const SQUARES: bool>(&mut self) {
        let (rows, cols) = (self.rows(), self.cols());
        if self.chunks.is_empty() {
            self.sums.fill(0.0);
        }
        for (number, chunk) in self.chunks.iter().enumerate() {
            let len = chunk.len;
            for r in (0..rows).step_by(ROWS) {
                let i = self.i + r;
                let left = &chunk.panels[i / COLS * COLS * len + i % COLS..];
                for c in (0..cols).step_by(COLS) {
                    let j = self.j + c;
                    if i >= j + COLS {
                        continue; // The tile lies below the diagonal, and is mirrored later.
                    }
                    let right = &chunk.panels[j * len..][..COLS * len];
                    let target = Target {
                        to: &mut self.sums[r * STRIDE + c..],
                        stride: STRIDE,
                        add: number > 0,
                    };
                    tile::<S, R, V, COLS, SQUARES>(left, right, COLS, len, target);
                }
            }
        }
    }

    /// Applies the kernel function to the sums.
    #[inline(always)]
    fn finish(&mut self) {
        let (rows, cols) = (self.rows(), self.cols());
        let sums = self.sums.chunks_exact_mut(STRIDE).take(rows);
        match self.finish {
            Finish::Linear => {}
            Finish::Gaussian(factor) => {
                // A loop for each row, because one iterator over all values would not be vectorised.
                for row in sums {
                    for v in &mut row[..cols] {
                        *v = exp(*v * factor);
                    }
                }
            }
            Finish::Cosine(live) => {
                for (i, sums) in (self.i..self.n).zip(sums) {
                    for (v, &live_j) in sums[..cols].iter_mut().zip(&live[self.j..]) {
                        let value = (0.5 + 0.5 * *v).clamp(0.0, 1.0);
                        *v = if live[i] && live_j { value } else { 0.0 };
                    }
                    if live[i] && (self.j..self.j + cols).contains(&i) {
                        sums[i - self.j] = 1.0;
                    }
                }
            }
        }
    }

    /// Copies the block, or its upper triangle, to both of its places.
    #[inline(always)]
    fn store(&self) {
        let (rows, cols) = (self.rows(), self.cols());
        let diagonal = self.i == self.j;
        for (r, row) in self.sums.chunks_exact(STRIDE).enumerate().take(rows) {
            let skip = if diagonal { r } else { 0 };
            // SAFETY: only this task writes the block of rows from `i` and columns from `j` on.
            unsafe { (self.out).write(self.i + r, self.j + skip, &row[skip..cols]) };
        }
        let mut turned = [0f32; TURNED * BLOCK];
        for first in (0..cols).step_by(TURNED) {
            let some = TURNED.min(cols - first);
            transpose(
                &self.sums[first..],
                STRIDE,
                [rows, some],
                &mut turned,
                BLOCK,
            );
            for (c, column) in (first..cols).zip(turned.chunks_exact(BLOCK)) {
                let rows = if diagonal { c } else { rows };
                // SAFETY: only this task writes the block of rows from `j` and columns from `i` on. Where both are the
                // same block, the copy above has written the upper triangle with the diagonal, this one the rest.
                unsafe { self.out.write(self.j + c, self.i, &column[..rows]) };
            }
        }
        stream_fence();
    }
}

/// `e^x` for `x <= 0`, at most 2 units in the last place off; exact at 0, and NaN stays NaN. It consists of arithmetic
/// only, so that loops over it are vectorised.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 and subtracting it again rounds to an integer.
    const SHIFT: f32 = 12_582_912.0;
    // ln 2 in two parts. The first has few digits, so that its product with an integer is exact.
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let x = if x < -104.0 { -104.0 } else { x };
    let n = (x * std::f32::consts::LOG2_E + SHIFT) - SHIFT;
    let r = (x - n * LN2_HI) - n * LN2_LO;
    // A Taylor polynomial, whose remainder is 5e-9 on |r| <= ln 2 / 2.
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = (p * r) * r + r + 1.0;
    // 2^n in two factors, because it may be less than the smallest normal number.
    let n = n as i32;
    let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    p * power(n / 2) * power(n - n / 2)
}
