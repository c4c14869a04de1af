//! How many principal components hold 95 % of the squared norm of a query's NNK polytope.
//!
//! The polytope's vectors `y_j = x_j - x_i` give an `m x m` Gram matrix, or, where they are short, a
//! `dim x dim` one with the same non-zero eigenvalues. Householder's reduction to tridiagonal form, then
//! the square-root-free QL iteration of Pal, Walker and Kahan: only eigenvalues are needed.
//!
//! Sixteen queries at once, a query a lane, in float32, which nearly always tells: a count is taken where
//! no sum of the largest eigenvalues comes near the share, measured by what rounding and the early end of
//! the iteration can do to it. Where one does, [`Single`] decides in float64. So no count depends on the
//! instruction set, or on which queries were taken together. Rows that a lane lacks are 0.

mod single;
mod tridiagonal;

use super::lanes::{Source, at};
use crate::cpu::f32x16::{F32x16, LANES, Pack};
use crate::cpu::f64x8::Isa;
use crate::cpu::transpose::transpose;
use single::Single;
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};
use tridiagonal::{Found, Tridiagonal};

/// Queries taken together.
pub(super) const BATCH: usize = LANES;
/// Share of the squared norm that the components must hold.
const SHARE: f64 = 0.95;
/// Terms of inner products summed at a time, so that the transposed vectors fit the first-level cache.
const DEPTH: usize = 16;
/// Rows and columns of a register tile.
const TILE: (usize, usize) = (4, 2);

/// Room for sixteen queries.
#[derive(Default)]
pub(super) struct Pca {
    /// A row of each lane's vectors, `[LANES, dim]`.
    staged: Vec<f32>,
    /// The queries transposed, `[dim]`.
    origin: Vec<Pack>,
    /// Vectors less the query, `[rows, DEPTH]`.
    slice: Vec<Pack>,
    tridiagonal: Tridiagonal,
    single: Single,
}

/// Bytes of a [`Pca`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let rows = k.next_multiple_of(TILE.0);
    let packs = dim + rows * DEPTH + at(rows, 0) + 3 * rows;
    (size_of::<Pack>() * packs + size_of::<f32>() * LANES * dim + size_of::<u16>() * rows) as u64
        + single::bytes(k, dim)
}

impl Pca {
    /// Dimensions of `vectors - query` of each source, 0 where there are none or all equal the query.
    #[inline(always)]
    pub(super) fn dimensions<I: Isa>(
        &mut self,
        sources: &[Source<'_>; BATCH],
        dim: usize,
        out: &mut [u16],
    ) {
        let most = sources.iter().map(|s| s.vectors.len()).max().unwrap_or(0);
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

    /// Products of the vectors, or of the dimensions if there are fewer.
    #[inline(always)]
    fn matrix<I: Isa>(&mut self, sources: &[Source<'_>; BATCH], [most, dim]: [usize; 2]) {
        let outer = dim <= most;
        let (n, terms) = if outer { (dim, most) } else { (most, dim) };
        let rows = n.next_multiple_of(TILE.0);
        let matrix = &mut self.tridiagonal.matrix;
        // Rows past the last vector stay 0; all else that is read is written first.
        matrix.resize(at(rows, 0), Pack::ZERO);
        self.slice.clear();
        self.slice.resize(rows * DEPTH, Pack::ZERO);
        self.staged.resize(LANES * dim.max(1), 0.0);
        self.origin.resize(dim, Pack::ZERO);
        for (staged, source) in self.staged.chunks_exact_mut(dim).zip(sources) {
            copy(source.query, staged);
        }
        transpose(
            &self.staged,
            dim,
            [LANES, dim],
            bytemuck::cast_slice_mut(&mut self.origin),
            LANES,
        );
        for first in (0..terms).step_by(DEPTH) {
            let len = DEPTH.min(terms - first);
            // Numbers `from..` of the vectors in `vectors`.
            let (vectors, from, width) = match outer {
                true => (first..first + len, 0, dim),
                false => (0..most, first, len),
            };
            for j in vectors {
                for (staged, source) in self.staged.chunks_exact_mut(width).zip(sources) {
                    let vector = source.vectors.get(j).copied().unwrap_or(source.query);
                    copy(vector.get(from..).unwrap_or_default(), staged);
                }
                let (place, stride) = match outer {
                    true => (j - first, DEPTH),
                    false => (j * DEPTH, 1),
                };
                let slice = &mut self.slice[place..];
                transpose(
                    &self.staged,
                    width,
                    [LANES, width],
                    bytemuck::cast_slice_mut(slice),
                    LANES * stride,
                );
                for (x, origin) in slice
                    .iter_mut()
                    .step_by(stride)
                    .zip(&self.origin[from..][..width])
                {
                    I::F32x16::load(x).sub(I::F32x16::load(origin)).store(x);
                }
            }
            accumulate::<I::F32x16>(&self.slice, rows, len, first > 0, matrix);
        }
    }
}

/// Copies as many numbers as `to` has, 0 for those that there are not.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    let len = to.len().min(from.len());
    to[..len].copy_from_slice(&from[..len]);
    to[len..].fill(0.0);
}

/// Products of all pairs of rows of `len` terms, into a packed triangle or added to it.
#[inline(always)]
fn accumulate<F: F32x16>(slice: &[Pack], rows: usize, len: usize, add: bool, out: &mut [Pack]) {
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
                    let out = &mut out[at(i, l)];
                    match add {
                        true => F::load(out).add(sum).store(out),
                        false => sum.store(out),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::InstructionSet;
    use crate::cpu::f64x8::{Work, dispatch};
    use tridiagonal::{TRACE, slack};

    /// What it takes to make 16 polytopes of a kind.
    #[derive(Clone, Copy, Debug)]
    struct Shape {
        vectors: usize,
        dim: usize,
        /// Each dimension's spread is so much of the one before.
        decay: f32,
        /// Share of zeros.
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
        (0..LANES)
            .map(|lane| (0..=shape.vectors - lane % 3).map(|_| row()).collect())
            .collect()
    }

    /// Largest error of a sum of largest eigenvalues in float32, and the counts, both ways.
    struct Compare<'a>(&'a [Source<'a>; LANES], Shape);

    impl Work for Compare<'_> {
        type Output = (f64, [u16; LANES], [u16; LANES]);

        #[inline(always)]
        fn run<I: Isa>(self) -> Self::Output {
            let Self(sources, shape) = self;
            let (mut pca, mut single) = (Pca::default(), Single::default());
            let (mut counts, mut wanted) = ([0; LANES], [0; LANES]);
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

    #[test]
    fn float32_is_trusted_only_where_it_can_be() {
        let sets = [
            InstructionSet::Avx512,
            InstructionSet::Avx2,
            InstructionSet::Portable,
        ];
        for set in sets.into_iter().filter(|set| set.is_available()) {
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
                for (j, (decay, zeros)) in
                    [(1.0, 0.0), (0.9, 0.5), (0.5, 0.0), (0.97, 0.9), (0.1, 0.2)]
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
                        let sources: [Source<'_>; LANES] = std::array::from_fn(|l| Source {
                            query: &rows[l][0],
                            vectors: rows[l][1..].iter().map(Vec::as_slice).collect(),
                            inverse: 0.0,
                        });
                        let (worst, counts, wanted) = dispatch(set, Compare(&sources, shape));
                        let limit = f64::from(slack(vectors.min(dim)));
                        println!("{set} {shape:?}: {:.3} of the slack", worst / limit);
                        assert!(worst < limit / 8.0, "{set} {shape:?}: {worst} of {limit}");
                        assert_eq!(counts, wanted, "{set} {shape:?}");
                    }
                }
            }
        }
    }
}
