//! The number of principal components that hold 95 % of the squared norm of a query's NNK polytope
//! (docs/definitions.md#principal-components).
//!
//! The polytope of query `x_i` consists of the vectors `y_j = x_j - x_i` to its `m` support points. The
//! principal components are counted from the eigenvalues of the `m x m` Gram matrix of the `y_j`, or, if `dim`
//! is smaller than `m`, of the `dim x dim` matrix with the same non-zero eigenvalues. Only eigenvalues are
//! needed: Householder's reduction to tridiagonal form is followed by the square-root-free QL iteration of Pal,
//! Walker and Kahan (Parlett, The Symmetric Eigenvalue Problem, section 8.15).
//!
//! Under the Gaussian kernel the regressions have computed the `m x m` matrices already, in float64; they are taken from there
//! where `dim` is not smaller than the number of candidates ([`Pca::take`]). Elsewhere they are computed here
//! ([`Pca::dimensions`]).
//!
//! # Float32 first, float64 in doubt
//! [`tridiagonal`] treats sixteen queries at once in float32, one in each SIMD lane. A count is accepted if no
//! sum of the largest eigenvalues comes closer to the 95 % than the error that rounding and the early end of
//! the iteration can cause. This is nearly always so. Otherwise [`Components`] decides, for that query alone and in
//! float64: from the products of the regression where vectors are long and that is not close either, else from the vectors. So no count depends on the instruction set, nor on the queries that were taken together. The rows
//! that a lane lacks are 0.
//!
//! Both implement the same algorithm on purpose, and do not share code. The lanes of `tridiagonal` advance
//! together, so that each step is made under masks, divisions are rearranged to shorten the chain of dependent
//! operations, and every matrix is scaled to one trace. [`Components`] is the plain scalar form with tight limits
//! that serves as the reference; the tests compare the two.

#[cfg(feature = "internals")]
pub(in crate::cpu) mod tests;
mod tridiagonal;

use super::layout::packed;
use super::source::{Source, most_vectors};
use crate::cpu::transpose::transpose;
use crate::ops::{Components, components_bytes};
use crate::simd::{F32_LANES, F32x16, LineF32, LineF64, Simd, widen};
use crate::tensor::Values;
use tridiagonal::{Found, Tridiagonal};

/// Queries that are taken together.
pub(super) const BATCH: usize = F32_LANES;
/// Terms of the inner products that are summed at a time, so that the transposed vectors fit the L1 cache.
const DEPTH: usize = 16;
/// Numbers that are fetched of each vector at a time where vectors are [`LONG`]. Hundreds of them lie apart in memory, and a
/// cache line of each in turn would have to be waited for.
const RUN: usize = 8 * DEPTH;
/// Numbers from which vectors are fetched in runs; shorter ones are in a cache. From there on it also takes longer to compute the
/// products of a query's vectors once more than to keep them for sixteen queries.
const LONG: usize = 512;
/// Rows and columns of a register tile.
const TILE: (usize, usize) = (4, 2);

/// Working memory for sixteen queries.
#[derive(Default)]
pub(super) struct Pca {
    /// One vector of each lane, `[F32_LANES, dim]`, before it is transposed.
    staged: Vec<f32>,
    /// A run of each long vector, `[vectors, F32_LANES, RUN]`.
    runs: Vec<f32>,
    /// The queries' vectors, transposed, `[dim]`.
    origin: Vec<LineF32>,
    /// `DEPTH` terms of each row of the Gram matrix's factors, transposed, `[rows, DEPTH]`.
    slice: Vec<LineF32>,
    /// Sizes of the Gram matrices that were taken ([`Pca::take`]), a lane each.
    taken: Vec<u16>,
    /// The same matrices in float64 where vectors are [`LONG`], one packed lower triangle after the other.
    kept: Vec<f64>,
    /// Places of a query's support points among its candidates.
    support: Vec<usize>,
    tridiagonal: Tridiagonal,
    single: Components,
}

/// Bytes of a [`Pca`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let rows = k.next_multiple_of(TILE.0);
    let runs = if dim < LONG { 0 } else { k * RUN };
    let kept = if dim < LONG { 0 } else { BATCH * packed(k, 0) };
    let packs = dim + rows * DEPTH + packed(rows, 0) + 3 * rows + runs;
    (size_of::<LineF32>() * packs
        + size_of::<f32>() * F32_LANES * dim
        + size_of::<u16>() * rows
        + size_of::<f64>() * kept) as u64
        + components_bytes(k, dim)
}

impl Pca {
    /// Counts the principal components of `vectors - query` for each source: 0 if there are no vectors, or if all
    /// of them equal the query. The vectors have `dim` numbers.
    #[inline(always)]
    pub(super) fn dimensions<I: Simd>(
        &mut self,
        sources: &[Source<'_>; BATCH],
        dim: usize,
        out: &mut [u16],
    ) {
        let most = most_vectors(sources);
        let n = most.min(dim);
        let found = match n {
            0 => Found::default(),
            _ => {
                self.matrix::<I>(sources, [most, dim]);
                self.tridiagonal.count::<I>(n)
            }
        };
        for (l, (out, source)) in out.iter_mut().zip(sources).enumerate() {
            *out = match (source.vectors.is_empty(), found.get(l)) {
                (true, _) => 0,
                (_, None) => self.single.dimension(source),
                (_, Some(count)) => count,
            };
        }
    }

    /// Takes a query's Gram matrix, of at most [`BATCH`] for the next [`Pca::count_taken`]: the inner products of the `support`
    /// points among the candidates whose products are in `lane` of `dots`, a packed lower triangle. The vectors have `dim` numbers;
    /// the matrices of [`LONG`] ones are kept in float64 as well, for where float32 does not decide.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        dots: &[LineF64],
        lane: usize,
        support: impl Iterator<Item = usize>,
        dim: usize,
    ) {
        self.support.clear();
        self.support.extend(support);
        let (size, matrix) = (self.support.len(), &mut self.tridiagonal.matrix);
        if matrix.len() < packed(size, 0) {
            matrix.resize(packed(size, 0), LineF32::ZERO);
        }
        let place = self.taken.len();
        self.taken.push(size as u16);
        let mut rows = &mut matrix[..];
        for (i, &j) in self.support.iter().enumerate() {
            let (row, below) = rows.split_at_mut(i + 1);
            let dots = &dots[packed(j, 0)..];
            for (to, &l) in row.iter_mut().zip(&self.support) {
                to.0[place] = dots[l].0[lane] as f32;
            }
            if dim >= LONG {
                let products = self.support[..=i].iter().map(|&l| dots[l].0[lane]);
                self.kept.extend(products);
            }
            rows = below;
        }
    }

    /// Counts the principal components of the Gram matrices taken since the last call.
    #[inline(always)]
    pub(super) fn count_taken<I: Simd>(&mut self) -> Found {
        let n = self.taken.iter().copied().max().unwrap_or(0).into();
        let mut found = match n {
            0 => Found::default(),
            _ => self.tridiagonal.count::<I>(n),
        };
        let mut kept = &self.kept[..];
        for (l, size) in self.taken.drain(..).map(usize::from).enumerate() {
            if size == 0 {
                found.set(l, 0);
            } else if let Some((products, rest)) = kept.split_at_checked(packed(size, 0)) {
                kept = rest;
                let undecided = found.get(l).is_none();
                let count = undecided.then(|| self.single.dimension_of_products(products, size));
                if let Some(count) = count.flatten() {
                    found.set(l, count);
                }
            }
        }
        self.kept.clear();
        // Rows that a lane lacks are 0.
        self.tridiagonal.matrix.clear();
        found
    }

    /// Counts the principal components of one query in float64.
    pub(super) fn count_alone(&mut self, polytope: &Source<'_>) -> u16 {
        self.single.dimension(polytope)
    }

    /// Computes the Gram matrices of the vectors, or of the dimensions if there are fewer of these. `most` is the
    /// largest number of vectors of any source.
    #[inline(always)]
    fn matrix<I: Simd>(&mut self, sources: &[Source<'_>; BATCH], [most, dim]: [usize; 2]) {
        let outer = dim <= most;
        let (n, terms) = if outer { (dim, most) } else { (most, dim) };
        let rows = n.next_multiple_of(TILE.0);
        let matrix = &mut self.tridiagonal.matrix;
        // The rows past the last vector stay 0; everything else that is read is written first.
        matrix.resize(packed(rows, 0), LineF32::ZERO);
        self.slice.clear();
        self.slice.resize(rows * DEPTH, LineF32::ZERO);
        self.staged.resize(F32_LANES * dim.max(1), 0.0);
        self.origin.resize(dim, LineF32::ZERO);
        for (staged, source) in self.staged.chunks_exact_mut(dim).zip(sources) {
            copy::<I>(source.query, staged);
        }
        transpose(
            &self.staged,
            dim,
            [F32_LANES, dim],
            bytemuck::cast_slice_mut(&mut self.origin),
            F32_LANES,
        );
        let in_runs = !outer && dim >= LONG;
        for first in (0..terms).step_by(DEPTH) {
            if in_runs && first % RUN == 0 {
                self.runs.resize(most * F32_LANES * RUN, 0.0);
                fetch_runs::<I>(sources, first, &mut self.runs);
            }
            let len = DEPTH.min(terms - first);
            // This part of the sum uses `width` numbers, from `from` on, of the vectors in `vectors`.
            let (vectors, from, width) = match outer {
                true => (first..first + len, 0, dim),
                false => (0..most, first, len),
            };
            for j in vectors {
                let (lanes, lane_stride) = match in_runs {
                    true => (&self.runs[j * F32_LANES * RUN + first % RUN..], RUN),
                    false => {
                        for (staged, source) in self.staged.chunks_exact_mut(width).zip(sources) {
                            copy::<I>(numbers(source, j, from), staged);
                        }
                        (&self.staged[..], width)
                    }
                };
                let (place, stride) = match outer {
                    true => (j - first, DEPTH),
                    false => (j * DEPTH, 1),
                };
                let slice = &mut self.slice[place..];
                transpose(
                    lanes,
                    lane_stride,
                    [F32_LANES, width],
                    bytemuck::cast_slice_mut(slice),
                    F32_LANES * stride,
                );
                for (x, origin) in slice
                    .iter_mut()
                    .step_by(stride)
                    .zip(&self.origin[from..][..width])
                {
                    (I::F32x16::load(x) - I::F32x16::load(origin)).store(x);
                }
            }
            accumulate::<I::F32x16>(&self.slice, rows, len, first > 0, matrix);
        }
    }
}

/// Copies the run that begins with number `from` of all vectors, `[vectors, F32_LANES, RUN]`.
#[inline(always)]
fn fetch_runs<I: Simd>(sources: &[Source<'_>; BATCH], from: usize, runs: &mut [f32]) {
    for (j, lanes) in runs.chunks_exact_mut(F32_LANES * RUN).enumerate() {
        for (run, source) in lanes.chunks_exact_mut(RUN).zip(sources) {
            copy::<I>(numbers(source, j, from), run);
        }
    }
}

/// The numbers from `from` on of a vector of a source, or of its query where there are fewer vectors.
#[inline(always)]
fn numbers<'a>(source: &Source<'a>, j: usize, from: usize) -> Values<'a> {
    let vector = source.vectors.get(j).copied().unwrap_or(source.query);
    vector.slice(from.min(vector.len())..vector.len())
}

/// Fills `to` with the first numbers of `from`, and with 0 beyond its end.
#[inline(always)]
fn copy<I: Simd>(from: Values<'_>, to: &mut [f32]) {
    let from = match from {
        Values::F32(from) => from,
        Values::F16(from) => {
            let len = to.len().min(from.len());
            widen::<I>(&from[..len], to);
            to[len..].fill(0.0);
            return;
        }
    };
    // Nearly always, of long vectors: a call would take longer than the copy.
    if let (Ok(to), Some(from)) = (<&mut [f32; DEPTH]>::try_from(&mut *to), from.first_chunk()) {
        *to = *from;
        return;
    }
    let len = to.len().min(from.len());
    to[..len].copy_from_slice(&from[..len]);
    to[len..].fill(0.0);
}

/// Writes the products of all pairs of rows of `len` terms as a packed triangle, or adds them to it.
#[inline(always)]
fn accumulate<F: F32x16>(
    slice: &[LineF32],
    rows: usize,
    len: usize,
    add: bool,
    out: &mut [LineF32],
) {
    let row = |j: usize| &slice[j * DEPTH..][..len];
    for j in (0..rows).step_by(TILE.0) {
        let left = [row(j), row(j + 1), row(j + 2), row(j + 3)];
        for l in (0..j + TILE.0).step_by(TILE.1) {
            let right = [row(l), row(l + 1)];
            let mut sums = [[F::splat(0.0); TILE.1]; TILE.0];
            for t in 0..len {
                let (b, c) = (F::load(&right[0][t]), F::load(&right[1][t]));
                for (sums, left) in sums.iter_mut().zip(left) {
                    let a = F::load(&left[t]);
                    sums[0] = a.mul_add(b, sums[0]);
                    sums[1] = a.mul_add(c, sums[1]);
                }
            }
            for (i, sums) in (j..).zip(sums) {
                for (l, sum) in (l..=i).zip(sums) {
                    let out = &mut out[packed(i, l)];
                    match add {
                        true => (F::load(out) + sum).store(out),
                        false => sum.store(out),
                    }
                }
            }
        }
    }
}
