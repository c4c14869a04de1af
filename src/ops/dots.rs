//! Inner products in float64: their parameters, and the host code that both backends run.

use crate::simd::{F64_LANES, F64x8, InstructionSet, LineF64, Simd, SimdKernel};
use crate::{Error, Result};
use rayon::prelude::*;

/// Rows whose inner products are wanted: `groups` groups of `rows` vectors of `dim` numbers, on the host.
///
/// Row `i` of group `g` begins at element `(g * rows + i) * stride` of `data`, so that a slice of the
/// columns of a larger matrix can be used in place.
#[derive(Clone, Copy, Debug)]
pub struct DotRows<'a> {
    /// Values, finite. Holds at least `(groups * rows - 1) * stride + dim` of them.
    pub data: &'a [f32],
    /// Groups: only rows of the same group are multiplied.
    pub groups: usize,
    /// Rows per group.
    pub rows: usize,
    /// Numbers per row.
    pub dim: usize,
    /// Elements between the beginnings of two rows, at least `dim`.
    pub stride: usize,
}

impl<'a> DotRows<'a> {
    /// Rows that follow each other without gaps: `data` is `[groups, rows, dim]`, C order.
    pub const fn dense(data: &'a [f32], groups: usize, rows: usize, dim: usize) -> Self {
        Self {
            data,
            groups,
            rows,
            dim,
            stride: dim,
        }
    }

    /// Checks that `data` holds all rows and that `out` elements are `[groups, rows, rows]`.
    fn check(&self, out: usize) -> Result<()> {
        let count = self.groups * self.rows;
        let needed = match count {
            0 => 0,
            n => (n - 1) * self.stride + self.dim,
        };
        if self.stride < self.dim {
            return Err(Error::argument(
                "stride",
                self.stride,
                format!("at least the {} numbers of a row", self.dim),
            ));
        }
        if self.data.len() < needed {
            return Err(Error::WrongLength {
                name: "data",
                expected: needed,
                got: self.data.len(),
            });
        }
        if out != count * self.rows {
            return Err(Error::WrongLength {
                name: "out",
                expected: count * self.rows,
                got: out,
            });
        }
        Ok(())
    }

    /// Row `i` of group `g`.
    fn row(&self, group: usize, i: usize) -> &'a [f32] {
        &self.data[(group * self.rows + i) * self.stride..][..self.dim]
    }
}

/// Rows of a matrix of products in a task.
const ROWS: usize = 8;

/// [`super::Backend::add_dots`] on the host, by the threads of the current pool. The bits depend neither on
/// their number nor on the other groups.
pub(crate) fn add_dots(x: DotRows<'_>, out: &mut [f64], set: InstructionSet) -> Result<()> {
    x.check(out.len())?;
    if x.rows > 0 && x.dim > 0 {
        (out.par_chunks_exact_mut(x.rows * x.rows).enumerate())
            .for_each(|(group, out)| add_group(x, group, out, set));
    }
    Ok(())
}

fn add_group(x: DotRows<'_>, group: usize, out: &mut [f64], set: InstructionSet) {
    let (n, depth) = (x.rows, x.dim.div_ceil(F64_LANES));
    let mut rows = vec![LineF64::ZERO; n * depth];
    for (i, lines) in rows.chunks_exact_mut(depth).enumerate() {
        for (line, values) in lines.iter_mut().zip(x.row(group, i).chunks(F64_LANES)) {
            for (lane, &v) in line.0.iter_mut().zip(values) {
                *lane = f64::from(v);
            }
        }
    }
    let tasks = out.par_chunks_mut(ROWS * n).enumerate();
    tasks.for_each(|(t, out)| set.run(Products::new(&rows, depth, t * ROWS, out, n)));
}

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

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let row = |i: usize| &self.features[i.min(self.m - 1) * self.depth..][..self.depth];
        for (a, rows) in (self.first..)
            .step_by(2)
            .zip(self.rows.chunks_mut(2 * self.m))
        {
            let left = [row(a), row(a + 1)];
            for b in (a..self.m).step_by(4) {
                let right = [row(b), row(b + 1), row(b + 2), row(b + 3)];
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
