//! How many principal components hold 95 % of the squared norm of a query's NNK polytope.
//!
//! The polytope's vectors `y_j = x_j - x_i` give an `m x m` Gram matrix, or, where that is smaller,
//! a `dim x dim` one with the same non-zero eigenvalues. Householder's reduction to tridiagonal
//! form, then the square-root-free QL iteration of Pal, Walker and Kahan: only eigenvalues are
//! needed, to an absolute accuracy of rounding errors of the trace.

use super::gram::{centred, dot, flat, flat_mut, packs, resize};
use crate::cpu::f64x8::{F64x8, Isa, Pack};

/// Share of the squared norm that the components must hold.
const SHARE: f64 = 0.95;
/// Relative slack of the comparison: rounding errors of a sum that holds exactly the share (equal
/// integer-valued vectors do) must not count one component more.
const SLACK: f64 = 1e-12;

/// Room for one query.
#[derive(Default)]
pub(super) struct Pca {
    /// Centred vectors, `[m, row]`.
    vectors: Vec<Pack>,
    /// The matrix, `[n, width]`, 0 right of `n`.
    matrix: Vec<Pack>,
    /// Householder vector and update.
    reflector: Vec<Pack>,
    update: Vec<Pack>,
    /// Diagonal, then eigenvalues.
    diagonal: Vec<f64>,
    /// Squares of the entries beside the diagonal; the last is 0.
    beside: Vec<f64>,
}

/// Bytes of a [`Pca`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let n = k.min(dim);
    let (k, row, n, width) = (k as u64, packs(dim) as u64, n as u64, packs(n) as u64);
    size_of::<Pack>() as u64 * (k * row + (n + 2) * width) + 16 * (n + 1)
}

impl Pca {
    /// The dimension of `{vectors - query}`; 0 if they are all equal to the query or there are none.
    #[inline(always)]
    pub(super) fn dimension<'a, I: Isa>(
        &mut self,
        query: &[f32],
        vectors: impl ExactSizeIterator<Item = &'a [f32]>,
    ) -> u16 {
        let (m, row) = (vectors.len(), packs(query.len()));
        resize(&mut self.vectors, m * row);
        for (v, out) in vectors.zip(self.vectors.chunks_exact_mut(row)) {
            centred(v, query, out);
        }
        let n = m.min(query.len());
        let width = packs(n);
        resize(&mut self.matrix, n * width);
        if n == m {
            self.inner::<I>(row, width);
        } else {
            self.outer::<I>(width);
        }
        let trace: f64 = (0..n).map(|j| flat(&self.matrix)[j * width * 8 + j]).sum();
        if trace <= 0.0 {
            return 0;
        }
        self.tridiagonalise::<I>(n, width);
        eigenvalues(&mut self.diagonal, &mut self.beside, trace);
        self.diagonal.sort_unstable_by(|a, b| b.total_cmp(a));
        let enough = SHARE * trace * (1.0 - SLACK);
        let mut held = 0.0;
        for (i, value) in self.diagonal.iter().enumerate() {
            held += value;
            if held >= enough {
                return i as u16 + 1;
            }
        }
        n as u16
    }

    /// `Y Y'`.
    #[inline(always)]
    fn inner<I: Isa>(&mut self, row: usize, width: usize) {
        let n = self.vectors.len() / row;
        let matrix = flat_mut(&mut self.matrix);
        for (j, a) in self.vectors.chunks_exact(row).enumerate() {
            for (l, b) in self.vectors.chunks_exact(row).enumerate().take(n).skip(j) {
                let value = dot::<I>(a, b);
                matrix[j * width * 8 + l] = value;
                matrix[l * width * 8 + j] = value;
            }
        }
    }

    /// `Y' Y`; a vector has `width` packs.
    #[inline(always)]
    fn outer<I: Isa>(&mut self, width: usize) {
        for y in self.vectors.chunks_exact(width) {
            for (&a, out) in flat(y).iter().zip(self.matrix.chunks_exact_mut(width)) {
                let a = I::F64::splat(a);
                for (b, out) in y.iter().zip(out) {
                    a.mul_add(I::F64::load(b), I::F64::load(out)).store(out);
                }
            }
        }
    }

    /// Reduces the matrix to `diagonal` and `beside`.
    #[inline(always)]
    fn tridiagonalise<I: Isa>(&mut self, n: usize, width: usize) {
        self.diagonal.clear();
        self.beside.clear();
        for c in 0..n {
            let row = &self.matrix[c * width..][..width];
            self.diagonal.push(flat(row)[c]);
            if c + 2 >= n {
                let last = if c + 1 < n { flat(row)[c + 1] } else { 0.0 };
                self.beside.push(last * last);
                continue;
            }
            resize(&mut self.reflector, width);
            self.reflector.copy_from_slice(row);
            flat_mut(&mut self.reflector)[..=c].fill(0.0);
            let square = dot::<I>(&self.reflector, &self.reflector);
            self.beside.push(square);
            let head = flat(&self.reflector)[c + 1];
            let norm = square.sqrt().copysign(head);
            let length = 2.0 * (square + head * norm);
            if length > 0.0 {
                flat_mut(&mut self.reflector)[c + 1] = head + norm;
                self.reflect::<I>(c + 1, n, width, 2.0 / length);
            }
        }
    }

    /// Applies `I - beta v v'` from both sides to the rows and columns from `from` on.
    #[inline(always)]
    fn reflect<I: Isa>(&mut self, from: usize, n: usize, width: usize, beta: f64) {
        let first = from / 8;
        resize(&mut self.update, width);
        for r in from..n {
            let row = &self.matrix[r * width + first..(r + 1) * width];
            flat_mut(&mut self.update)[r] = beta * dot::<I>(row, &self.reflector[first..]);
        }
        let half = 0.5 * beta * dot::<I>(&self.update[first..], &self.reflector[first..]);
        let minus = I::F64::splat(half);
        for (u, v) in self.update.iter_mut().zip(&self.reflector) {
            minus.neg_mul_add(I::F64::load(v), I::F64::load(u)).store(u);
        }
        for r in from..n {
            let v = I::F64::splat(flat(&self.reflector)[r]);
            let w = I::F64::splat(flat(&self.update)[r]);
            let row = &mut self.matrix[r * width + first..(r + 1) * width];
            let parts = self.reflector[first..].iter().zip(&self.update[first..]);
            for (out, (rv, rw)) in row.iter_mut().zip(parts) {
                let less = v.neg_mul_add(I::F64::load(rw), I::F64::load(out));
                w.neg_mul_add(I::F64::load(rv), less).store(out);
            }
        }
    }
}

/// Eigenvalues of the symmetric tridiagonal matrix with diagonal `d` and squared entries `e2` beside
/// it (last one unused), in `d`, in no order.
fn eigenvalues(d: &mut [f64], e2: &mut [f64], trace: f64) {
    let n = d.len();
    let small = (0.25 * f64::EPSILON * trace).powi(2);
    let mut top = 0;
    // A matrix of size n needs about 2n sweeps; the bound only guards against endless rounding.
    for _ in 0..60 * n {
        while top < n && (top + 1 == n || e2[top] <= small) {
            top += 1;
        }
        if top >= n {
            return;
        }
        let mut end = top + 1;
        while end + 1 < n && e2[end] > small {
            end += 1;
        }
        sweep(&mut d[top..=end], &mut e2[top..end]);
    }
}

/// One QL sweep with Wilkinson's shift, squares of sines and cosines only.
fn sweep(d: &mut [f64], e2: &mut [f64]) {
    let last = e2.len();
    let beside = e2[0].sqrt();
    let ratio = (d[1] - d[0]) / (2.0 * beside);
    let shift = d[0] - beside / (ratio + ratio.hypot(1.0).copysign(ratio));
    let (mut cos2, mut sin2) = (1.0, 0.0);
    let mut gamma = d[last] - shift;
    let mut p = gamma * gamma;
    for i in (0..last).rev() {
        let square = e2[i];
        let r = p + square;
        if i + 1 < last {
            e2[i + 1] = sin2 * r;
        }
        let before = cos2;
        (cos2, sin2) = if r > 0.0 {
            (p / r, square / r)
        } else {
            (1.0, 0.0)
        };
        let old = gamma;
        gamma = cos2 * (d[i] - shift) - sin2 * old;
        d[i + 1] = old + (d[i] - gamma);
        p = if cos2 > 0.0 {
            gamma * gamma / cos2
        } else {
            before * square
        };
    }
    e2[0] = sin2 * p;
    d[0] = shift + gamma;
}
