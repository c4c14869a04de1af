//! How many principal components hold 95 % of the squared norm of a query's NNK polytope: eight
//! queries at once, a query a lane.
//!
//! The polytope's vectors `y_j = x_j - x_i` give an `m x m` Gram matrix, or, where the vectors are
//! short, a `dim x dim` one with the same non-zero eigenvalues. Householder's reduction to
//! tridiagonal form, then the square-root-free QL iteration of Pal, Walker and Kahan: only
//! eigenvalues are needed, to an absolute accuracy of rounding errors of the trace. Rows that a lane
//! lacks are 0 and change nothing in the others.

use super::gram::resize;
use super::lanes::{Products, Sources, at, most, products_bytes};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};

/// Share of the squared norm that the components must hold.
const SHARE: f64 = 0.95;
/// Relative slack of the comparison: rounding errors of a sum that holds exactly the share (equal
/// integer-valued vectors do) must not count one component more.
const SLACK: f64 = 1e-12;

/// Room for eight queries.
#[derive(Default)]
pub(super) struct Pca {
    products: Products,
    /// Lower triangle of the matrix, packed.
    matrix: Vec<Pack>,
    /// `A u`, then the update of the reflection.
    update: Vec<Pack>,
    /// Diagonal, then eigenvalues.
    diagonal: Vec<Pack>,
    /// Squares of the entries beside the diagonal, `beside[i]` between `i` and `i + 1`.
    beside: Vec<Pack>,
    /// Bit per lane at its first row that has not split off.
    tops: Vec<u8>,
}

/// Bytes of a [`Pca`] for `k` candidates.
pub(super) fn bytes(k: usize, dim: usize) -> u64 {
    let n = k.next_multiple_of(LANES);
    products_bytes(k, dim) + (size_of::<Pack>() * (at(n, 0) + 3 * n) + n) as u64
}

impl Pca {
    /// Dimensions of `vectors - query` of all lanes, 0 where there are none or all equal the query.
    /// `short`: use the `dim x dim` matrix.
    #[inline(always)]
    pub(super) fn dimensions<I: Isa>(
        &mut self,
        sources: &Sources<'_>,
        dim: usize,
        short: bool,
    ) -> [u16; LANES] {
        let n = match short {
            true => dim,
            false => most(sources),
        };
        if n == 0 || most(sources) == 0 {
            return [0; LANES];
        }
        match short {
            true => self.products.outer::<I>(sources, dim, &mut self.matrix),
            false => self
                .products
                .inner::<I>(sources, n, true, dim, &mut self.matrix),
        }
        let mut trace = I::F64::splat(0.0);
        for j in 0..n {
            trace = trace.add(I::F64::load(&self.matrix[at(j, j)]));
        }
        self.tridiagonalise::<I>(n);
        self.eigenvalues::<I>(trace);
        self.count::<I>(trace)
    }

    /// Reduces the matrix to `diagonal` and `beside`, from the last row up.
    #[inline(always)]
    fn tridiagonalise<I: Isa>(&mut self, n: usize) {
        resize(&mut self.update, n);
        resize(&mut self.diagonal, n);
        resize(&mut self.beside, n);
        let (zero, one) = (I::F64::splat(0.0), I::F64::splat(1.0));
        for i in (1..n).rev() {
            let (block, rest) = self.matrix.split_at_mut(at(i, 0));
            let (row, own) = rest.split_at_mut(i);
            self.diagonal[i] = own[0];
            let mut square = zero;
            for x in row.iter() {
                square = I::F64::load(x).mul_add(I::F64::load(x), square);
            }
            square.store(&mut self.beside[i - 1]);
            if i == 1 {
                break;
            }
            // u = row + sign(last) |row| e_last; H = |u|^2 / 2.
            let last = I::F64::load(&row[i - 1]);
            let norm = square.sqrt();
            let norm = I::F64::select(last.lt(zero), zero.sub(norm), norm);
            let half = last.mul_add(norm, square);
            last.add(norm).store(&mut row[i - 1]);
            let inverse = I::F64::select(zero.lt(half), one.div(half), zero);
            reflect::<I>(block, row, &mut self.update[..i], inverse);
        }
        self.diagonal[0] = self.matrix[0];
    }

    /// Eigenvalues of the tridiagonal matrices, in `diagonal`, in no order.
    #[inline(always)]
    fn eigenvalues<I: Isa>(&mut self, trace: I::F64) {
        let last = self.diagonal.len() - 1;
        let small = trace.mul(I::F64::splat(0.25 * f64::EPSILON));
        let small = small.mul(small);
        self.tops.clear();
        self.tops.resize(last + 1, 0);
        self.tops[0] = 0xff;
        let mut first = 0;
        // A matrix of size n takes about 2n sweeps; the bound only guards against endless rounding.
        for _ in 0..60 * (last + 1) {
            let (mut d, mut next) = (I::F64::splat(0.0), I::F64::splat(0.0));
            let mut square = I::F64::splat(1.0);
            let mut found = 0;
            for i in first..last {
                let beside = I::F64::load(&self.beside[i]);
                let deflated = self.tops[i] & !small.lt(beside);
                self.tops[i] &= !deflated;
                self.tops[i + 1] |= deflated;
                let here = self.tops[i];
                d = I::F64::select(here, I::F64::load(&self.diagonal[i]), d);
                next = I::F64::select(here, I::F64::load(&self.diagonal[i + 1]), next);
                square = I::F64::select(here, beside, square);
                found |= here;
                if found | self.tops[last] == 0xff {
                    break;
                }
            }
            if self.tops[last] == 0xff {
                return;
            }
            while self.tops[first] == 0 {
                first += 1;
            }
            self.sweep::<I>(first, wilkinson(d, next, square));
        }
    }

    /// One QL sweep over the rows from each lane's top on, in squares of sines and cosines.
    #[inline(always)]
    fn sweep<I: Isa>(&mut self, first: usize, shift: I::F64) {
        let last = self.diagonal.len() - 1;
        let (zero, one) = (I::F64::splat(0.0), I::F64::splat(1.0));
        let (mut cos2, mut sin2) = (one, zero);
        let mut gamma = I::F64::load(&self.diagonal[last]).sub(shift);
        let mut p = gamma.mul(gamma);
        let mut done = 0;
        for i in (first..last).rev() {
            done |= self.tops[i + 1];
            let square = I::F64::load(&self.beside[i]);
            let r = p.add(square);
            if i + 1 < last {
                let out = &mut self.beside[i + 1];
                I::F64::select(done, I::F64::load(out), sin2.mul(r)).store(out);
            }
            // No entry: no rotation, exactly, so that rows past a lane's own leave no trace.
            let turned = zero.lt(square);
            let cos = I::F64::select(turned, p.div(r), one);
            let sin = I::F64::select(turned, square.div(r), zero);
            // Found beside the cosine, not from it: the chain from one row to the next stays short.
            let secant = I::F64::select(turned, r.div(p), one);
            let d = I::F64::load(&self.diagonal[i]);
            let next = d.sub(shift).mul(cos).sub(sin.mul(gamma));
            let out = &mut self.diagonal[i + 1];
            let above = gamma.add(d.sub(next));
            I::F64::select(done, I::F64::load(out), above).store(out);
            let regular = zero.lt(cos);
            let ratio = next.mul(next).mul(I::F64::select(regular, secant, one));
            p = I::F64::select(done, p, I::F64::select(regular, ratio, cos2.mul(square)));
            gamma = I::F64::select(done, gamma, next);
            cos2 = I::F64::select(done, cos2, cos);
            sin2 = I::F64::select(done, sin2, sin);
            let top = self.tops[i];
            if top != 0 {
                let (beside, diagonal) = (&mut self.beside[i], &mut self.diagonal[i]);
                I::F64::select(top, sin2.mul(p), I::F64::load(beside)).store(beside);
                I::F64::select(top, gamma.add(shift), d).store(diagonal);
            }
        }
    }

    /// How many of the largest eigenvalues hold the share.
    #[inline(always)]
    fn count<I: Isa>(&mut self, trace: I::F64) -> [u16; LANES] {
        let n = self.diagonal.len();
        let enough = trace.mul(I::F64::splat(SHARE * (1.0 - SLACK)));
        let mut held = I::F64::splat(0.0);
        let mut counts = [0; LANES];
        for i in 0..n {
            let short = held.lt(enough);
            if short == 0 {
                break;
            }
            // The largest of the rest comes to place i.
            for j in (i + 1..n).rev() {
                let (a, b) = (
                    I::F64::load(&self.diagonal[j - 1]),
                    I::F64::load(&self.diagonal[j]),
                );
                a.max(b).store(&mut self.diagonal[j - 1]);
                a.min(b).store(&mut self.diagonal[j]);
            }
            held = held.add(I::F64::load(&self.diagonal[i]));
            for (l, count) in counts.iter_mut().enumerate() {
                *count += u16::from(short >> l & 1);
            }
        }
        counts
    }
}

/// Eigenvalue of the block `[[d, b], [b, next]]`, `square = b^2 > 0`, that is nearer to `d`.
#[inline(always)]
fn wilkinson<F: F64x8>(d: F, next: F, square: F) -> F {
    let (zero, one) = (F::splat(0.0), F::splat(1.0));
    let beside = square.sqrt();
    let ratio = next.sub(d).div(beside.add(beside));
    // A ratio whose square overflows leaves d as it is, as it should.
    let root = ratio.mul_add(ratio, one).sqrt();
    let signed = F::select(ratio.lt(zero), zero.sub(root), root);
    d.sub(beside.div(ratio.add(signed)))
}

/// Replaces the symmetric `a` by `(I - u u'/H) a (I - u u'/H)`; `inverse` is `1 / H`.
#[inline(always)]
fn reflect<I: Isa>(a: &mut [Pack], u: &[Pack], update: &mut [Pack], inverse: I::F64) {
    let n = u.len();
    for j in 0..n {
        let own = I::F64::load(&u[j]);
        let mut sum = I::F64::splat(0.0);
        let row = &a[at(j, 0)..at(j, j)];
        for ((a, u), p) in row.iter().zip(u).zip(update.iter_mut()) {
            let a = I::F64::load(a);
            sum = a.mul_add(I::F64::load(u), sum);
            a.mul_add(own, I::F64::load(p)).store(p);
        }
        I::F64::load(&a[at(j, j)])
            .mul_add(own, sum)
            .store(&mut update[j]);
    }
    let mut product = I::F64::splat(0.0);
    for (p, u) in update.iter_mut().zip(u) {
        let scaled = I::F64::load(p).mul(inverse);
        product = scaled.mul_add(I::F64::load(u), product);
        scaled.store(p);
    }
    let half = product.mul(inverse).mul(I::F64::splat(0.5));
    for (p, u) in update.iter_mut().zip(u) {
        half.neg_mul_add(I::F64::load(u), I::F64::load(p)).store(p);
    }
    for j in 0..n {
        let (v, w) = (I::F64::load(&u[j]), I::F64::load(&update[j]));
        let row = &mut a[at(j, 0)..=at(j, j)];
        for ((a, u), p) in row.iter_mut().zip(u).zip(update.iter()) {
            let less = v.neg_mul_add(I::F64::load(p), I::F64::load(a));
            w.neg_mul_add(I::F64::load(u), less).store(a);
        }
    }
}
