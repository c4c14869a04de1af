//! Inner products of short vectors, transposed so that each SIMD lane holds one query.

use super::SHORT;
use crate::cpu::nnk::layout::packed;
use crate::cpu::nnk::source::Sources;
use crate::simd::{F64_LANES, F64x8, LineF64, Simd, widen};
use crate::tensor::Values;

/// Rows and columns of a register tile.
const TILE: (usize, usize) = (4, 2);

/// Working memory.
#[derive(Default)]
pub(super) struct Short {
    /// The transposed vectors, `[rows, dim]` with `dim` rounded up to whole lines.
    vectors: Vec<LineF64>,
}

/// Bytes of [`Short`] for `rows` vectors.
pub(super) fn bytes(rows: usize) -> u64 {
    (size_of::<LineF64>() * rows * SHORT) as u64
}

impl Short {
    /// Does what [`Products::compute`](super::Products::compute) says.
    #[inline(always)]
    pub(super) fn compute<I: Simd>(
        &mut self,
        sources: &Sources<'_>,
        rows: usize,
        centred: bool,
        dim: usize,
        out: &mut [LineF64],
    ) {
        let stride = dim.next_multiple_of(F64_LANES);
        // Everything that is read of it is written first.
        self.vectors.resize(rows * stride, LineF64::ZERO);
        let mut origin = [LineF64::ZERO; SHORT];
        let mut wide = [[0.0; SHORT]; F64_LANES];
        if centred {
            let queries = sources.each_ref().map(|source| source.query);
            let queries = widened::<I>(queries, &mut wide);
            let blocks = origin.chunks_exact_mut(F64_LANES);
            for (t, block) in (0..dim).step_by(F64_LANES).zip(blocks) {
                for (o, column) in block.iter_mut().zip(columns::<I>(queries, t)) {
                    column.store(o);
                }
            }
        }
        for j in 0..rows {
            let vectors = sources
                .each_ref()
                .map(|source| match source.vectors.get(j) {
                    Some(v) => *v,
                    None if centred || j + 1 == rows => source.query,
                    None => Values::default(),
                });
            let vectors = widened::<I>(vectors, &mut wide);
            let row = self.vectors[j * stride..][..stride].chunks_exact_mut(F64_LANES);
            let origins = origin.chunks_exact(F64_LANES);
            for ((t, block), origin) in (0..dim).step_by(F64_LANES).zip(row).zip(origins) {
                let columns = columns::<I>(vectors, t);
                for ((y, x), o) in block.iter_mut().zip(columns).zip(origin) {
                    (x - I::F64x8::load(o)).store(y);
                }
            }
        }
        let matrix = Matrix {
            vectors: &self.vectors,
            stride,
            dim,
        };
        matrix.multiply::<I>(rows, out);
    }
}

/// A vector per lane as `f32`, those that are halves in `wide`.
#[inline(always)]
fn widened<'a, I: Simd>(
    vectors: [Values<'a>; F64_LANES],
    wide: &'a mut [[f32; SHORT]; F64_LANES],
) -> [&'a [f32]; F64_LANES] {
    let mut out = [&[][..]; F64_LANES];
    for ((out, vector), wide) in out.iter_mut().zip(vectors).zip(wide) {
        *out = match vector {
            Values::F32(values) => values,
            Values::F16(values) => {
                let wide = &mut wide[..values.len()];
                widen::<I>(values, wide);
                wide
            }
        };
    }
    out
}

/// The eight numbers from `t` on of a vector per lane, transposed: lane `l` of result `i` is number `t + i` of
/// `vectors[l]`, or 0 beyond the end of that vector.
#[inline(always)]
fn columns<I: Simd>(vectors: [&[f32]; F64_LANES], t: usize) -> [I::F64x8; F64_LANES] {
    let mut padded = [[0.0; F64_LANES]; F64_LANES];
    let mut rows = [&[0.0; F64_LANES]; F64_LANES];
    for ((row, v), padded) in rows.iter_mut().zip(vectors).zip(&mut padded) {
        let rest = v.get(t..).unwrap_or_default();
        *row = rest.first_chunk().unwrap_or_else(|| {
            padded[..rest.len()].copy_from_slice(rest);
            padded
        });
    }
    I::F64x8::columns(rows)
}

/// Transposed vectors, `[rows, stride]`, of which `dim` numbers a row are in use.
struct Matrix<'a> {
    vectors: &'a [LineF64],
    stride: usize,
    dim: usize,
}

impl Matrix<'_> {
    /// Writes the products of all pairs of rows as a packed lower triangle.
    #[inline(always)]
    fn multiply<I: Simd>(&self, rows: usize, out: &mut [LineF64]) {
        let whole = rows - rows % TILE.0;
        for j in (0..whole).step_by(TILE.0) {
            for l in (0..j).step_by(TILE.1) {
                self.rectangle::<I, { TILE.0 }, { TILE.1 }>(j, l, out);
            }
            self.diagonal::<I, { TILE.0 }>(j, out);
        }
        match rows - whole {
            0 => {}
            1 => self.last_rows::<I, 1>(whole, out),
            2 => self.last_rows::<I, 2>(whole, out),
            _ => self.last_rows::<I, 3>(whole, out),
        }
    }

    /// The last `R` rows, from row `j` on. There are fewer of them than a tile is high, so the tiles are wider.
    #[inline(always)]
    fn last_rows<I: Simd, const R: usize>(&self, j: usize, out: &mut [LineF64]) {
        for l in (0..j).step_by(TILE.0) {
            self.rectangle::<I, R, { TILE.0 }>(j, l, out);
        }
        self.diagonal::<I, R>(j, out);
    }

    /// The `N` rows from `j` on.
    #[inline(always)]
    fn rows<const N: usize>(&self, j: usize) -> [&[LineF64]; N] {
        let mut rows: [&[LineF64]; N] = [&[]; N];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = &self.vectors[(j + i) * self.stride..][..self.dim];
        }
        rows
    }

    /// Products of the `R` rows from `j` on with the `C` rows from `l` on.
    #[inline(always)]
    fn rectangle<I: Simd, const R: usize, const C: usize>(
        &self,
        j: usize,
        l: usize,
        out: &mut [LineF64],
    ) {
        let (left, right) = (self.rows::<R>(j), self.rows::<C>(l));
        let mut sums = [[I::F64x8::splat(0.0); C]; R];
        for t in 0..self.dim {
            let mut b = [I::F64x8::splat(0.0); C];
            for (b, right) in b.iter_mut().zip(right) {
                *b = I::F64x8::load(&right[t]);
            }
            for (sums, left) in sums.iter_mut().zip(left) {
                let a = I::F64x8::load(&left[t]);
                for (sum, &b) in sums.iter_mut().zip(&b) {
                    *sum = a.mul_add(b, *sum);
                }
            }
        }
        for (j, sums) in (j..).zip(sums) {
            for (out, sum) in out[packed(j, l)..].iter_mut().zip(sums) {
                sum.store(out);
            }
        }
    }

    /// Products of the `R` rows from `j` on with each other.
    #[inline(always)]
    fn diagonal<I: Simd, const R: usize>(&self, j: usize, out: &mut [LineF64]) {
        let rows = self.rows::<R>(j);
        let mut sums = [[I::F64x8::splat(0.0); R]; R];
        for t in 0..self.dim {
            let mut a = [I::F64x8::splat(0.0); R];
            for (a, row) in a.iter_mut().zip(rows) {
                *a = I::F64x8::load(&row[t]);
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                for (sum, &b) in sums[..=i].iter_mut().zip(&a) {
                    *sum = a[i].mul_add(b, *sum);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (out, &sum) in out[packed(j + i, j)..].iter_mut().zip(&sums[..=i]) {
                sum.store(out);
            }
        }
    }
}
