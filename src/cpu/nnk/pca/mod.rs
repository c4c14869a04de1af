//! The number of principal components that hold 95 % of the squared norm of a query's NNK polytope
//! (docs/definitions.md#principal-components).
//!
//! The polytope of query `x_i` consists of the vectors `y_j = x_j - x_i` to its `m` support points. The
//! principal components are counted from the eigenvalues of the `m x m` Gram matrix of the `y_j`, or, if `dim`
//! is smaller than `m`, of the `dim x dim` matrix with the same non-zero eigenvalues. Only eigenvalues are
//! needed: Householder's reduction to tridiagonal form is followed by the square-root-free QL iteration of Pal,
//! Walker and Kahan (Parlett, The Symmetric Eigenvalue Problem, section 8.15).
//!
//! # Float32 first, float64 in doubt
//! [`tridiagonal`] treats sixteen queries at once in float32, one in each SIMD lane. A count is accepted if no
//! sum of the largest eigenvalues comes closer to the 95 % than the error that rounding and the early end of
//! the iteration can cause. This is nearly always so. Otherwise [`Components`] decides, for that query alone and in
//! float64. So no count depends on the instruction set, nor on the queries that were taken together. The rows
//! that a lane lacks are 0.
//!
//! Both implement the same algorithm on purpose, and do not share code. The lanes of `tridiagonal` advance
//! together, so that each step is made under masks, divisions are rearranged to shorten the chain of dependent
//! operations, and every matrix is scaled to one trace. [`Components`] is the plain scalar form with tight limits
//! that serves as the reference; the test below compares the two.

mod tridiagonal;

use super::layout::packed;
use super::source::{Source, most_vectors};
use crate::cpu::transpose::transpose;
use crate::ops::{Components, components_bytes};
use crate::simd::{F32_LANES, F32x16, LineF32, Simd, widen};
use crate::tensor::Values;
use tridiagonal::{Found, Tridiagonal};

/// Queries that are taken together.
pub(super) const BATCH: usize = F32_LANES;
/// Terms of the inner products that are summed at a time, so that the transposed vectors fit the L1 cache.
const DEPTH: usize = 16;
/// Numbers that are fetched of each vector at a time where vectors are [`LONG`]. Hundreds of them lie apart in memory, and a
/// cache line of each in turn would have to be waited for.
const RUN: usize = 8 * DEPTH;
/// Numbers from which vectors are fetched in runs; shorter ones are in a cache.
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
    tridiagonal: Tridiagonal,
    single: Components,
}

/// Bytes of a [`Pca`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let rows = k.next_multiple_of(TILE.0);
    let runs = if dim < LONG { 0 } else { k * RUN };
    let packs = dim + rows * DEPTH + packed(rows, 0) + 3 * rows + runs;
    (size_of::<LineF32>() * packs + size_of::<f32>() * F32_LANES * dim + size_of::<u16>() * rows)
        as u64
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
            *out = match (source.vectors.is_empty(), found.certain >> l & 1) {
                (true, _) => 0,
                (_, 0) => self.single.dimension(source),
                _ => found.counts[l],
            };
        }
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

#[cfg(feature = "internals")]
pub(in crate::cpu) mod tests {
    use super::*;
    use crate::cpu::InstructionSet;
    use crate::internals::{OnEachSet, tests};
    use crate::simd::SimdKernel;
    use tridiagonal::{TRACE, slack};

    /// How the random polytopes of sixteen queries are made.
    /// The tests of this module.
    pub const PCA: OnEachSet = tests![float32_is_trusted_only_where_it_can_be];

    #[derive(Clone, Copy, Debug)]
    struct Shape {
        vectors: usize,
        dim: usize,
        /// The spread of each dimension, as a fraction of the one before.
        decay: f32,
        /// The fraction of zeros.
        zeros: f32,
        scale: f32,
    }

    fn noise(state: &mut u64) -> f32 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn rows(shape: Shape, seed: u64) -> Vec<Vec<Vec<f32>>> {
        let mut state = seed;
        let mut value = |t: usize| {
            let x = noise(&mut state) * shape.scale * shape.decay.powi(t as i32);
            if noise(&mut state).abs() < shape.zeros {
                0.0
            } else {
                x
            }
        };
        let mut row = || (0..shape.dim).map(&mut value).collect();
        (0..F32_LANES)
            .map(|lane| (0..=shape.vectors - lane % 3).map(|_| row()).collect())
            .collect()
    }

    /// The largest error of a sum of the largest eigenvalues in float32, and the counts of both methods.
    struct Compare<'a>(&'a [Source<'a>; F32_LANES], Shape);

    impl SimdKernel for Compare<'_> {
        type Output = (f64, [u16; F32_LANES], [u16; F32_LANES]);

        #[inline(always)]
        fn run<I: Simd, const R: usize, const V: usize>(self) -> Self::Output {
            let Self(sources, shape) = self;
            let (mut pca, mut single) = (Pca::default(), Components::default());
            let (mut counts, mut wanted) = ([0; F32_LANES], [0; F32_LANES]);
            pca.dimensions::<I>(sources, shape.dim, &mut counts);
            let n = shape.vectors.min(shape.dim);
            pca.matrix::<I>(sources, [shape.vectors, shape.dim]);
            let solved = pca.tridiagonal.solve::<I>(n);
            let mut worst = 0f64;
            for (l, source) in sources.iter().enumerate() {
                wanted[l] = single.dimension(source);
                let trace: f64 = single.diagonal.iter().sum();
                let mut values: Vec<f32> =
                    pca.tridiagonal.diagonal.iter().map(|d| d.0[l]).collect();
                values.sort_unstable_by(|a, b| b.total_cmp(a));
                let (mut held, mut exact) = (0.0, 0.0);
                for (value, own) in values.iter().zip(&single.diagonal) {
                    held += f64::from(*value);
                    exact += own;
                    if solved >> l & 1 == 1 {
                        worst = worst.max((held / f64::from(TRACE) - exact / trace).abs());
                    }
                }
            }
            (worst, counts, wanted)
        }
    }

    fn float32_is_trusted_only_where_it_can_be(set: InstructionSet) {
        for (i, (vectors, dim)) in [
            (4, 1),
            (3, 300),
            (17, 16),
            (25, 24),
            (40, 9),
            (20, 64),
            (33, 700),
            (90, 128),
        ]
        .into_iter()
        .enumerate()
        {
            for (j, (decay, zeros)) in [(1.0, 0.0), (0.9, 0.5), (0.5, 0.0), (0.97, 0.9), (0.1, 0.2)]
                .into_iter()
                .enumerate()
            {
                for scale in [1.0, 1e-8, 1e12, 1e-22, 1e18] {
                    let shape = Shape {
                        vectors,
                        dim,
                        decay,
                        zeros,
                        scale,
                    };
                    let rows = rows(shape, (i * 10 + j) as u64);
                    let sources: [Source<'_>; F32_LANES] = std::array::from_fn(|l| Source {
                        query: Values::from(&rows[l][0]),
                        vectors: rows[l][1..].iter().map(Values::from).collect(),
                        gamma: 0.0,
                    });
                    let (worst, counts, wanted) = set.run(Compare(&sources, shape));
                    let limit = f64::from(slack(vectors.min(dim)));
                    println!("{set} {shape:?}: {:.3} of the slack", worst / limit);
                    assert!(worst < limit / 8.0, "{set} {shape:?}: {worst} of {limit}");
                    assert_eq!(counts, wanted, "{set} {shape:?}");
                }
            }
        }
    }
}
