//! Kernel matrices of eight queries at once, a query a lane.
//!
//! Small problems leave wide registers idle and wait for their own results; eight of them side by
//! side do neither. A lane never sees another's numbers, so its results do not depend on them.
//! The formulas are those of [`super::gram`].

use super::gram::resize;
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};
use crate::device::Kernel;

/// Dimensions accumulated at a time: bounds the transposed vectors to some 100 KiB.
const DEPTH: usize = 32;
/// Rows and columns of a register tile.
const TILE: (usize, usize) = (4, 2);

/// Place of `(j, l)`, `l <= j`, in a packed lower triangle.
#[inline(always)]
pub(super) const fn at(j: usize, l: usize) -> usize {
    j * (j + 1) / 2 + l
}

/// What one lane is built from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The query's vector.
    pub(super) query: &'a [f32],
    /// `1 / (2 s^2)`.
    pub(super) inverse: f64,
    /// Candidates.
    pub(super) n: usize,
}

/// Kernel matrices and right-hand sides of eight queries with at most `n` candidates each.
#[derive(Default)]
pub(super) struct Lanes {
    /// Rows: the most candidates a lane has.
    pub(super) n: usize,
    /// Lower triangles, packed; a lane's rows from its own `n` on are finite and meaningless.
    pub(super) kernel: Vec<Pack>,
    /// `b [n]`, 0 from a lane's own `n` on.
    pub(super) b: Vec<Pack>,
    /// Vectors of a slice of dimensions, `[rows, DEPTH]`.
    slice: Vec<Pack>,
    /// `|y_j|^2`, then under cosine `1 / |y_j|`.
    scale: Vec<Pack>,
}

/// Bytes of [`Lanes`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let rows = (k + 1).next_multiple_of(TILE.0);
    let depth = dim.min(DEPTH);
    (size_of::<Pack>() * (at(rows, 0) + k + rows * (depth + 1))) as u64
}

impl Lanes {
    /// Fills `kernel` and `b`. `vector(lane, j)` is candidate `j`'s, for `j` below the lane's `n`.
    #[inline(always)]
    pub(super) fn build<'a, I: Isa>(
        &mut self,
        sources: &[Source<'a>; LANES],
        vector: impl Fn(usize, usize) -> &'a [f32],
        kernel: Kernel,
        dim: usize,
    ) {
        self.n = sources.iter().map(|s| s.n).max().unwrap_or(0);
        // Under cosine the query is a row of its own, the last; rows are filled up to whole tiles.
        let rows = match kernel {
            Kernel::Gaussian => self.n,
            Kernel::Cosine => self.n + 1,
        };
        let padded = rows.next_multiple_of(TILE.0);
        let depth = dim.min(DEPTH);
        resize(&mut self.kernel, at(padded, 0));
        resize(&mut self.b, self.n);
        resize(&mut self.scale, rows);
        resize(&mut self.slice, padded * depth);
        for first in (0..dim).step_by(DEPTH) {
            let part = first..(first + DEPTH).min(dim);
            for (lane, source) in sources.iter().enumerate().filter(|(_, s)| s.n > 0) {
                let query = &source.query[part.clone()];
                for j in 0..source.n {
                    let v = &vector(lane, j)[part.clone()];
                    let out = &mut self.slice[j * depth..][..depth];
                    match kernel {
                        Kernel::Gaussian => {
                            for ((o, &a), &b) in out.iter_mut().zip(v).zip(query) {
                                o.0[lane] = f64::from(a) - f64::from(b);
                            }
                        }
                        Kernel::Cosine => widen(v, out, lane),
                    }
                }
                if kernel == Kernel::Cosine {
                    widen(query, &mut self.slice[self.n * depth..][..depth], lane);
                }
            }
            products::<I>(&self.slice, depth, part.len(), padded, &mut self.kernel);
        }
        match kernel {
            Kernel::Gaussian => self.gaussian::<I>(sources),
            Kernel::Cosine => self.cosine::<I>(),
        }
        for (lane, source) in sources.iter().enumerate() {
            for b in &mut self.b[source.n..] {
                b.0[lane] = 0.0;
            }
        }
    }

    #[inline(always)]
    fn gaussian<I: Isa>(&mut self, sources: &[Source<'_>; LANES]) {
        let minus = I::F64::load(&Pack(sources.map(|s| -s.inverse)));
        let zero = I::F64::splat(0.0);
        for j in 0..self.n {
            self.scale[j] = self.kernel[at(j, j)];
            let own = I::F64::load(&self.scale[j]);
            own.mul(minus).exp().store(&mut self.b[j]);
            let row = &mut self.kernel[at(j, 0)..=at(j, j)];
            for (k, norm) in row.iter_mut().zip(&self.scale) {
                let dot = I::F64::load(k);
                let apart = own.add(I::F64::load(norm)).sub(dot.add(dot)).max(zero);
                apart.mul(minus).exp().store(k);
            }
        }
    }

    #[inline(always)]
    fn cosine<I: Isa>(&mut self) {
        let (zero, one, half) = (I::F64::splat(0.0), I::F64::splat(1.0), I::F64::splat(0.5));
        for j in 0..=self.n {
            let norm = I::F64::load(&self.kernel[at(j, j)]).sqrt();
            // Rows that a lane does not have are 0.
            let own = I::F64::select(zero.lt(norm), one.div(norm), zero);
            own.store(&mut self.scale[j]);
            let row = &mut self.kernel[at(j, 0)..=at(j, j)];
            for (k, norm) in row.iter_mut().zip(&self.scale) {
                let cos = I::F64::load(k).mul(I::F64::load(norm).mul(own));
                cos.mul_add(half, half).store(k);
            }
        }
        self.b
            .copy_from_slice(&self.kernel[at(self.n, 0)..at(self.n, self.n)]);
    }
}

#[inline(always)]
fn widen(v: &[f32], out: &mut [Pack], lane: usize) {
    for (o, &a) in out.iter_mut().zip(v) {
        o.0[lane] = f64::from(a);
    }
}

/// Adds the inner products over `len` dimensions of all pairs of rows to the packed triangle. Every
/// pair is summed in the order of the dimensions, its own norm too.
#[inline(always)]
fn products<I: Isa>(slice: &[Pack], depth: usize, len: usize, rows: usize, out: &mut [Pack]) {
    let row = |j: usize| &slice[j * depth..][..len];
    for j in (0..rows).step_by(TILE.0) {
        let left: [&[Pack]; TILE.0] = std::array::from_fn(|i| row(j + i));
        for l in (0..j + TILE.0).step_by(TILE.1) {
            let right: [&[Pack]; TILE.1] = std::array::from_fn(|i| row(l + i));
            let mut acc = [[I::F64::splat(0.0); TILE.1]; TILE.0];
            for t in 0..len {
                let b: [I::F64; TILE.1] = std::array::from_fn(|i| I::F64::load(&right[i][t]));
                for (acc, left) in acc.iter_mut().zip(left) {
                    let a = I::F64::load(&left[t]);
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = a.mul_add(b, *acc);
                    }
                }
            }
            for (j, acc) in (j..).zip(acc) {
                for (l, acc) in (l..=j).zip(acc) {
                    let out = &mut out[at(j, l)];
                    I::F64::load(out).add(acc).store(out);
                }
            }
        }
    }
}
