//! Inner products in float64: their operand, and the host code that both backends run.

use crate::simd::{F64_LANES, F64x8, InstructionSet, LineF64, Simd, SimdKernel};
use crate::{Error, Result};
use rayon::prelude::*;

/// Vectors whose inner products are wanted, in float64 on the host, cut into pieces.
///
/// Products are summed piece by piece: eight partial sums within a piece, whose total is added to the result. Where
/// the same numbers are cut into the same pieces, the bits of the result do not depend on how many pieces one call
/// takes.
#[derive(Clone, Debug)]
pub struct DotRows {
    /// `[pieces, rows, depth]`. What a piece does not use of its last line is zero.
    lines: Vec<LineF64>,
    rows: usize,
    depth: usize,
}

impl DotRows {
    /// No piece yet of `rows` vectors; a piece holds `numbers` numbers of each.
    pub const fn new(rows: usize, numbers: usize) -> Self {
        Self {
            lines: Vec::new(),
            rows,
            depth: numbers.div_ceil(F64_LANES),
        }
    }

    /// Number of vectors.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Replaces the contents by `pieces` pieces. `write(piece, row, numbers)` writes one vector's part of a piece,
    /// whose numbers are zero before; it is called by many threads, in any order.
    pub fn fill(&mut self, pieces: usize, write: impl Fn(usize, usize, &mut [f64]) + Sync) {
        self.lines.clear();
        (self.lines).resize(pieces * self.rows * self.depth, LineF64::ZERO);
        if self.lines.is_empty() {
            return;
        }
        let rows = self.lines.par_chunks_exact_mut(self.depth).enumerate();
        rows.for_each(|(at, lines)| {
            let numbers = bytemuck::cast_slice_mut(lines);
            write(at / self.rows, at % self.rows, numbers);
        });
    }
}

/// [`super::Backend::add_dots`] on the host, by the threads of the current pool.
pub(crate) fn add_dots(x: &DotRows, out: &mut [f64], set: InstructionSet) -> Result<()> {
    let n = x.rows;
    if out.len() != n * n {
        return Err(Error::WrongLength {
            name: "out",
            expected: n * n,
            got: out.len(),
        });
    }
    if x.lines.is_empty() {
        return Ok(());
    }
    // Pairs of rows, so that no task splits a register tile. Few rows in a task where there are few in all.
    let rows = (n.div_ceil(32) * 2).clamp(2, ROWS);
    let tasks = out.par_chunks_mut(rows * n).enumerate();
    tasks.for_each(|(task, out)| {
        for piece in x.lines.chunks_exact(n * x.depth) {
            set.run(Products::new(piece, x.depth, task * rows, out, n));
        }
    });
    Ok(())
}

/// Most rows of the result in a task. Their vectors, 4 KiB a piece, stay in the L2 cache.
const ROWS: usize = 32;

/// Kernel: adds inner products of features to some rows of a matrix, from the diagonal on.
pub(crate) struct Products<'a> {
    features: &'a [LineF64],
    depth: usize,
    first: usize,
    rows: &'a mut [f64],
    m: usize,
}

impl<'a> Products<'a> {
    /// Products of `features [m, depth]`; `rows` are the rows from `first` on of the matrix `[m, m]`.
    pub(crate) const fn new(
        features: &'a [LineF64],
        depth: usize,
        first: usize,
        rows: &'a mut [f64],
        m: usize,
    ) -> Self {
        Self {
            features,
            depth,
            first,
            rows,
            m,
        }
    }
}

impl SimdKernel for Products<'_> {
    type Output = ();

    /// Four columns are multiplied by all pairs of rows before the next four, so that they stay in the L1 cache.
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let row = |i: usize| &self.features[i.min(self.m - 1) * self.depth..][..self.depth];
        for b in (self.first..self.m).step_by(4) {
            let right = [row(b), row(b + 1), row(b + 2), row(b + 3)];
            // A pair of rows has products from its columns on, in steps of four from the task's first column.
            let pairs = (self.first..b + 4).step_by(2);
            for (a, rows) in pairs.zip(self.rows.chunks_mut(2 * self.m)) {
                let left = [row(a), row(a + 1)];
                let mut acc = [[S::F64x8::splat(0.0); 4]; 2];
                for t in 0..self.depth {
                    for (acc, left) in acc.iter_mut().zip(left) {
                        let x = S::F64x8::load(&left[t]);
                        for (acc, right) in acc.iter_mut().zip(right) {
                            *acc = x.mul_add(S::F64x8::load(&right[t]), *acc);
                        }
                    }
                }
                for (out, acc) in rows.chunks_exact_mut(self.m).zip(acc) {
                    for (out, acc) in out[b..].iter_mut().zip(acc) {
                        *out += acc.sum();
                    }
                }
            }
        }
    }
}
