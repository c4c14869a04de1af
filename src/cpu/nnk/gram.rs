//! Kernel matrix of a single query, in float64, for queries that are solved alone.
//!
//! The kernels are functions of inner products (docs/definitions.md#kernels):
//! - Gaussian: `exp(-gamma |y_j - y_l|^2)` with `|y_j - y_l|^2 = |y_j|^2 + |y_l|^2 - 2 <y_j, y_l>`. The vectors
//!   are taken relative to the query first, which is exact in float64 for `f32` data. Cancellation then costs
//!   no more than a rounding error of the distances to the query, and the bandwidth is of that size. All inner
//!   products are summed in the same order, norms included, so equal points have distance exactly 0.
//! - Cosine: `1/2 + 1/2 cos(y_j, y_l)`.

use super::lanes::GramLanes;
use super::layout::{flat, flat_mut, lines, packed, reset};
use super::problem::{Problem, dot};
use super::source::Source;
use crate::ops::{Kernel, near};
use crate::simd::{F64_LANES, F64x8, LineF64, Simd};

/// Kernel matrix and right-hand side of one query, with the working memory to build them.
#[derive(Default)]
pub(super) struct Gram {
    /// Number of candidates.
    pub(super) n: usize,
    /// Cache lines per row of `kernel`.
    pub(super) width: usize,
    /// `K [n, width]`. The columns from `n` on are finite and meaningless.
    pub(super) kernel: Vec<LineF64>,
    /// `b [width]`, 0 from `n` on.
    pub(super) b: Vec<LineF64>,
    /// Vectors in float64, `[n + 1, lines]`. The last is the query's (cosine only).
    rows: Vec<LineF64>,
    /// Under the Gaussian kernel `|y_j|^2`, under cosine `1 / |y_j|`.
    scale: Vec<LineF64>,
}

/// Bytes of a [`Gram`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let (k, width, row) = (k as u64, lines(k) as u64, lines(dim) as u64);
    size_of::<LineF64>() as u64 * (k * width + 2 * width + (k + 1) * row)
}

impl Gram {
    /// Computes `kernel` and `b`. Under cosine no vector may be zero; the neighbour search never returns one.
    #[inline(always)]
    pub(super) fn build<I: Simd>(&mut self, source: &Source<'_>, kernel: Kernel) {
        let (query, row) = (source.query.wide(), lines(source.query.len()));
        self.n = source.vectors.len();
        self.width = lines(self.n);
        reset(&mut self.rows, (self.n + 1) * row);
        reset(&mut self.kernel, self.n * self.width);
        reset(&mut self.b, self.width);
        reset(&mut self.scale, self.width);
        for (v, out) in source.vectors.iter().zip(self.rows.chunks_exact_mut(row)) {
            let v = v.wide();
            match kernel {
                Kernel::Gaussian => centred(&v, &query, out),
                Kernel::Cosine => widened(&v, out),
            }
        }
        match kernel {
            Kernel::Gaussian => self.gaussian::<I>(row, source.gamma),
            Kernel::Cosine => {
                widened(&query, &mut self.rows[self.n * row..][..row]);
                self.cosine::<I>(row);
            }
        }
        self.mirror();
    }

    /// Whether two vectors are so close that [`near`] has to solve the problem.
    pub(super) fn has_near_vectors(&self) -> bool {
        let range = 1.0 - near::RANGE.end..near::EQUAL;
        let row = self.width * F64_LANES;
        let close = |value: &f64| range.contains(value);
        flat(&self.b)[..self.n].iter().any(close)
            || (flat(&self.kernel).chunks(row)).any(|row| row[..self.n].iter().any(close))
    }

    /// Copies the problem of one lane, which has `n` candidates.
    #[inline(always)]
    pub(super) fn extract(&mut self, lanes: &GramLanes, lane: usize, n: usize) {
        self.n = n;
        self.width = lines(n);
        reset(&mut self.kernel, n * self.width);
        reset(&mut self.b, self.width);
        let stride = self.width * F64_LANES;
        let kernel = flat_mut(&mut self.kernel);
        for j in 0..n {
            flat_mut(&mut self.b)[j] = lanes.b[j].0[lane];
            for (l, k) in lanes.kernel[packed(j, 0)..=packed(j, j)].iter().enumerate() {
                kernel[j * stride + l] = k.0[lane];
                kernel[l * stride + j] = k.0[lane];
            }
        }
    }

    /// The problem, for the active-set method.
    pub(super) fn problem(&self) -> Problem<'_> {
        Problem {
            n: self.n,
            width: self.width,
            kernel: &self.kernel,
            b: flat(&self.b),
        }
    }

    #[inline(always)]
    fn gaussian<I: Simd>(&mut self, row: usize, inverse: f64) {
        let minus = I::F64x8::splat(-inverse);
        norms::<I>(&self.rows, row, self.n, flat_mut(&mut self.scale));
        for (b, s) in self.b.iter_mut().zip(&self.scale) {
            (I::F64x8::load(s) * minus).exp().store(b);
        }
        flat_mut(&mut self.b)[self.n..].fill(0.0);
        for j in 0..self.n {
            let own = I::F64x8::splat(flat(&self.scale)[j]);
            for p in j / F64_LANES..self.width {
                let dots = products::<I>(&self.rows, row, self.n, j, p);
                let norm = I::F64x8::load(&self.scale[p]);
                let sq_distance = (own + norm - (dots + dots)).max(I::F64x8::splat(0.0));
                (sq_distance * minus)
                    .exp()
                    .store(&mut self.kernel[j * self.width + p]);
            }
        }
    }

    #[inline(always)]
    fn cosine<I: Simd>(&mut self, row: usize) {
        let half = I::F64x8::splat(0.5);
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
            let from = if j < self.n { j / F64_LANES } else { 0 };
            for p in from..self.width {
                let dots = products::<I>(&self.rows, row, self.n, j, p);
                let cos = dots * (I::F64x8::load(&self.scale[p]) * I::F64x8::splat(own));
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
        let (n, stride) = (self.n, self.width * F64_LANES);
        let k = flat_mut(&mut self.kernel);
        for j in 1..n {
            for l in 0..j {
                k[j * stride + l] = k[l * stride + j];
            }
        }
    }
}

/// Writes `v - origin` in float64.
#[inline(always)]
fn centred(v: &[f32], origin: &[f32], out: &mut [LineF64]) {
    for ((o, &a), &b) in flat_mut(out).iter_mut().zip(v).zip(origin) {
        *o = f64::from(a) - f64::from(b);
    }
}

/// Writes `v` in float64.
#[inline(always)]
fn widened(v: &[f32], out: &mut [LineF64]) {
    for (o, &a) in flat_mut(out).iter_mut().zip(v) {
        *o = f64::from(a);
    }
}

/// Squared norms of the first `n` rows, each `row` lines long.
#[inline(always)]
fn norms<I: Simd>(rows: &[LineF64], row: usize, n: usize, out: &mut [f64]) {
    for (o, r) in out[..n].iter_mut().zip(rows.chunks_exact(row)) {
        *o = dot::<I>(r, r);
    }
}

/// Inner products of row `j` with the eight rows from `8 p` on, each summed in the order of [`dot`].
#[inline(always)]
fn products<I: Simd>(rows: &[LineF64], row: usize, n: usize, j: usize, p: usize) -> I::F64x8 {
    let mut out = LineF64::ZERO;
    let own = &rows[j * row..][..row];
    for (q, out) in out.0.chunks_exact_mut(4).enumerate() {
        let first = p * F64_LANES + q * 4;
        if first >= n {
            break;
        }
        // Past the end the last row is repeated; those results are not used.
        let mut others: [&[LineF64]; 4] = [&[]; 4];
        for (i, other) in others.iter_mut().enumerate() {
            *other = &rows[(first + i).min(n - 1) * row..][..row];
        }
        let mut acc = [I::F64x8::splat(0.0); 4];
        for (t, a) in own.iter().enumerate() {
            let a = I::F64x8::load(a);
            for (acc, other) in acc.iter_mut().zip(others) {
                *acc = a.mul_add(I::F64x8::load(&other[t]), *acc);
            }
        }
        for (o, acc) in out.iter_mut().zip(acc) {
            *o = acc.sum();
        }
    }
    I::F64x8::load(&out)
}
