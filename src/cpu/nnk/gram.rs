//! Kernel matrix of one query's candidates, in float64.
//!
//! Gaussian: vectors are centred at the query first, which float64 does exactly for `f32` data, so
//! that `|y_j|^2 + |y_l|^2 - 2 y_j y_l` loses nothing that matters: its error is a rounding of the
//! distance to the query, and the bandwidth is of that size. Each inner product is summed in the
//! same order, the norms too, so that equal points are at distance exactly 0.

use super::active_set::Problem;
use super::lanes::{Lanes, Source, at};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};
use crate::ops::Kernel;
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// Kernel matrix and right-hand side of one query, with the room to build them.
#[derive(Default)]
pub(super) struct Gram {
    /// Candidates.
    pub(super) n: usize,
    /// Packs per row of `kernel`.
    pub(super) width: usize,
    /// `K [n, width]`; columns from `n` on are finite and meaningless.
    pub(super) kernel: Vec<Pack>,
    /// `b [width]`, 0 from `n` on.
    pub(super) b: Vec<Pack>,
    /// Vectors, `[n + 1, row]` packs, the query's last (cosine only).
    rows: Vec<Pack>,
    /// `|y_j|^2`, then under cosine `1 / |y_j|`.
    scale: Vec<Pack>,
}

/// Packs that hold `n` numbers.
pub(super) const fn packs(n: usize) -> usize {
    n.div_ceil(LANES)
}

/// Bytes of a [`Gram`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let (k, width, row) = (k as u64, packs(k) as u64, packs(dim) as u64);
    size_of::<Pack>() as u64 * (k * width + 2 * width + (k + 1) * row)
}

impl Gram {
    /// Fills `kernel` and `b`. Under cosine no vector is zero.
    #[inline(always)]
    pub(super) fn build<I: Isa>(&mut self, source: &Source<'_>, kernel: Kernel) {
        let (query, row) = (source.query, packs(source.query.len()));
        self.n = source.vectors.len();
        self.width = packs(self.n);
        resize(&mut self.rows, (self.n + 1) * row);
        resize(&mut self.kernel, self.n * self.width);
        resize(&mut self.b, self.width);
        resize(&mut self.scale, self.width);
        for (v, out) in source.vectors.iter().zip(self.rows.chunks_exact_mut(row)) {
            match kernel {
                Kernel::Gaussian => centred(v, query, out),
                Kernel::Cosine => widened(v, out),
            }
        }
        match kernel {
            Kernel::Gaussian => self.gaussian::<I>(row, source.inverse),
            Kernel::Cosine => {
                widened(query, &mut self.rows[self.n * row..][..row]);
                self.cosine::<I>(row);
            }
        }
        self.mirror();
    }

    /// Takes over the problem of one lane.
    #[inline(always)]
    pub(super) fn extract(&mut self, lanes: &Lanes, lane: usize, n: usize) {
        self.n = n;
        self.width = packs(n);
        resize(&mut self.kernel, n * self.width);
        resize(&mut self.b, self.width);
        let stride = self.width * LANES;
        let kernel = flat_mut(&mut self.kernel);
        for j in 0..n {
            flat_mut(&mut self.b)[j] = lanes.b[j].0[lane];
            for (l, k) in lanes.kernel[at(j, 0)..=at(j, j)].iter().enumerate() {
                kernel[j * stride + l] = k.0[lane];
                kernel[l * stride + j] = k.0[lane];
            }
        }
    }

    /// The problem to solve.
    pub(super) fn problem(&self) -> Problem<'_> {
        Problem {
            n: self.n,
            width: self.width,
            kernel: &self.kernel,
            b: flat(&self.b),
        }
    }

    #[inline(always)]
    fn gaussian<I: Isa>(&mut self, row: usize, inverse: f64) {
        let minus = I::F64::splat(-inverse);
        norms::<I>(&self.rows, row, self.n, flat_mut(&mut self.scale));
        for (b, s) in self.b.iter_mut().zip(&self.scale) {
            I::F64::load(s).mul(minus).exp().store(b);
        }
        flat_mut(&mut self.b)[self.n..].fill(0.0);
        for j in 0..self.n {
            let own = I::F64::splat(flat(&self.scale)[j]);
            for p in j / LANES..self.width {
                let dots = products::<I>(&self.rows, row, self.n, j, p);
                let apart = own
                    .add(I::F64::load(&self.scale[p]))
                    .sub(dots.add(dots))
                    .max(I::F64::splat(0.0));
                apart
                    .mul(minus)
                    .exp()
                    .store(&mut self.kernel[j * self.width + p]);
            }
        }
    }

    #[inline(always)]
    fn cosine<I: Isa>(&mut self, row: usize) {
        let half = I::F64::splat(0.5);
        norms::<I>(&self.rows, row, self.n, flat_mut(&mut self.scale));
        for s in &mut flat_mut(&mut self.scale)[..self.n] {
            *s = 1.0 / s.sqrt();
        }
        let query = &self.rows[self.n * row..][..row];
        let own = 1.0 / dot::<I>(query, query).sqrt();
        for j in 0..=self.n {
            let own = if j < self.n {
                flat(&self.scale)[j]
            } else {
                own
            };
            let from = if j < self.n { j / LANES } else { 0 };
            for p in from..self.width {
                let cos = products::<I>(&self.rows, row, self.n, j, p)
                    .mul(I::F64::load(&self.scale[p]).mul(I::F64::splat(own)));
                let out = match j < self.n {
                    true => &mut self.kernel[j * self.width + p],
                    false => &mut self.b[p],
                };
                cos.mul_add(half, half).store(out);
            }
        }
        flat_mut(&mut self.b)[self.n..].fill(0.0);
    }

    /// Copies the upper triangle to the lower.
    #[inline(always)]
    fn mirror(&mut self) {
        let (n, stride) = (self.n, self.width * LANES);
        let k = flat_mut(&mut self.kernel);
        for j in 1..n {
            for l in 0..j {
                k[j * stride + l] = k[l * stride + j];
            }
        }
    }
}

/// Makes room and clears it.
pub(super) fn resize(v: &mut Vec<Pack>, len: usize) {
    v.clear();
    v.resize(len, Pack::ZERO);
}

/// The numbers in packs.
pub(super) fn flat(v: &[Pack]) -> &[f64] {
    bytemuck::cast_slice(v)
}

/// The numbers in packs.
pub(super) fn flat_mut(v: &mut [Pack]) -> &mut [f64] {
    bytemuck::cast_slice_mut(v)
}

#[inline(always)]
fn centred(v: &[f32], origin: &[f32], out: &mut [Pack]) {
    for ((o, &a), &b) in flat_mut(out).iter_mut().zip(v).zip(origin) {
        *o = f64::from(a) - f64::from(b);
    }
}

#[inline(always)]
fn widened(v: &[f32], out: &mut [Pack]) {
    for (o, &a) in flat_mut(out).iter_mut().zip(v) {
        *o = f64::from(a);
    }
}

#[inline(always)]
pub(super) fn dot<I: Isa>(a: &[Pack], b: &[Pack]) -> f64 {
    let mut acc = I::F64::splat(0.0);
    for (a, b) in a.iter().zip(b) {
        acc = I::F64::load(a).mul_add(I::F64::load(b), acc);
    }
    acc.sum()
}

#[inline(always)]
fn norms<I: Isa>(rows: &[Pack], row: usize, n: usize, out: &mut [f64]) {
    for (o, r) in out[..n].iter_mut().zip(rows.chunks_exact(row)) {
        *o = dot::<I>(r, r);
    }
}

/// Inner products of row `j` with the eight rows of pack `p`; each summed as [`dot`] does.
#[inline(always)]
fn products<I: Isa>(rows: &[Pack], row: usize, n: usize, j: usize, p: usize) -> I::F64 {
    let mut out = Pack::ZERO;
    let own = &rows[j * row..][..row];
    for (q, out) in out.0.chunks_exact_mut(4).enumerate() {
        let first = p * LANES + q * 4;
        if first >= n {
            break;
        }
        // Past the end the last row is repeated: its results are not used.
        let others: [&[Pack]; 4] =
            std::array::from_fn(|i| &rows[(first + i).min(n - 1) * row..][..row]);
        let mut acc = [I::F64::splat(0.0); 4];
        for (t, a) in own.iter().enumerate() {
            let a = I::F64::load(a);
            for (acc, other) in acc.iter_mut().zip(others) {
                *acc = a.mul_add(I::F64::load(&other[t]), *acc);
            }
        }
        for (o, acc) in out.iter_mut().zip(acc) {
            *o = acc.sum();
        }
    }
    I::F64::load(&out)
}
