//! The systems `K_SS z = b_S` of eight queries at once, a query a lane, each on its own support.
//!
//! A system has either the rows of its support alone, which costs a copy number by number, or those
//! of all eight supports, which costs none but more arithmetic; rows of the identity fill it up. They
//! change nothing in the others, not even the order of a sum, so the choice shows in no result.

use super::active_set::dependence;
use super::lanes::{Lanes, at};
use super::set::{MOST, Set, members, owners, transposed};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// Columns factorised at a time, and rows below them.
const TILE: (usize, usize) = (4, 2);

/// Room for the systems, and their solutions.
#[derive(Default)]
pub(super) struct Factor<S> {
    /// Rows of a system.
    size: usize,
    /// Candidates that have a row, per lane.
    pub(super) frames: [S; LANES],
    /// All frames are the same.
    shared: bool,
    /// Packed lower triangle of the matrix, then of its factor; the row below it is the right-hand
    /// side, then the solution.
    rows: Vec<Pack>,
    /// Reciprocals of the factor's diagonal.
    inverse: Vec<Pack>,
    /// Bit per lane for each row: it is the support's, not the identity's.
    present: Vec<u8>,
    /// Bit per lane for each row: its column depends on those before.
    dependent: Vec<u8>,
}

/// Bytes of a [`Factor`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    (size_of::<Pack>() * (at(k + 1, 0) + k) + 2 * k) as u64
}

impl<S: Set> Factor<S> {
    /// Right-hand sides, then solutions, a row a pack.
    pub(super) fn solution(&self) -> &[Pack] {
        &self.rows[at(self.size, 0)..][..self.size]
    }

    /// Puts the solutions of the lanes in `accepted` to their places in `x`.
    #[inline(always)]
    pub(super) fn accept<I: Isa>(&self, accepted: u8, x: &mut [Pack]) {
        let solution = self.solution();
        if self.shared {
            for ((z, present), j) in solution
                .iter()
                .zip(&self.present)
                .zip(members(self.frames[0]))
            {
                let (z, now) = (I::F64::load(z), I::F64::load(&x[j]));
                I::F64::select(present & accepted, z, now).store(&mut x[j]);
            }
            return;
        }
        for l in members(u64::from(accepted)) {
            for (z, j) in solution.iter().zip(members(self.frames[l])) {
                x[j].0[l] = z.0[l];
            }
        }
    }

    /// Rows whose column depends on those before, per lane.
    #[inline(always)]
    pub(super) fn dependent(&self) -> [S; LANES] {
        transposed(&self.dependent)
    }

    /// Rows of the support whose solution is not positive, per lane.
    #[inline(always)]
    pub(super) fn negative<I: Isa>(&self) -> [S; LANES] {
        let mut flags = [0; MOST];
        for ((f, z), present) in flags.iter_mut().zip(self.solution()).zip(&self.present) {
            *f = present & !I::F64::splat(0.0).lt(I::F64::load(z));
        }
        transposed(&flags[..self.size])
    }

    /// Solves the systems of `supports`; what lanes with an empty one compute is not used, nor what
    /// follows a dependent column.
    #[inline(always)]
    pub(super) fn solve<I: Isa>(&mut self, problem: &Lanes, supports: [S; LANES]) {
        let all = supports.iter().fold(S::default(), |all, &s| all | s);
        let most = supports.iter().map(|s| s.len()).max().unwrap_or(0);
        let copied: usize = supports.iter().map(|s| s.len().pow(2)).sum();
        // In numbers copied singly (a few cycles each) and packs factorised.
        let cost = |size: usize| size * size * (size + 12) / 6;
        let wide = all.len();
        self.shared = cost(wide) < cost(most) + 2 * copied;
        self.size = if self.shared { wide } else { most };
        self.frames = if self.shared { [all; LANES] } else { supports };
        self.rows.resize(at(self.size + 1, 0), Pack::ZERO);
        self.inverse.resize(self.size, Pack::ZERO);
        self.dependent.resize(self.size, 0);
        match self.shared {
            true => self.select::<I>(problem, supports),
            false => self.gather(problem, supports),
        }
        self.factorise::<I>();
        self.substitute::<I>();
    }

    /// Copies the rows of all supports.
    #[inline(always)]
    fn select<I: Isa>(&mut self, problem: &Lanes, supports: [S; LANES]) {
        let (zero, one) = (I::F64::splat(0.0), I::F64::splat(1.0));
        let owners = owners(supports);
        let mut chosen = [0; MOST];
        for (m, j) in chosen.iter_mut().zip(members(self.frames[0])) {
            *m = j;
        }
        let chosen = &chosen[..self.size];
        self.present.clear();
        let (matrix, right) = self.rows.split_at_mut(at(self.size, 0));
        for (a, &j) in chosen.iter().enumerate() {
            let row = &problem.kernel[at(j, 0)..=at(j, j)];
            let out = &mut matrix[at(a, 0)..=at(a, a)];
            for (out, &m) in out.iter_mut().zip(chosen) {
                let value = I::F64::load(&row[m]);
                I::F64::select(owners[j] & owners[m], value, zero).store(out);
            }
            I::F64::select(owners[j], I::F64::load(&row[j]), one).store(&mut out[a]);
            let b = I::F64::load(&problem.b[j]);
            I::F64::select(owners[j], b, zero).store(&mut right[a]);
            self.present.push(owners[j]);
        }
    }

    /// Copies each lane's own rows.
    #[inline(always)]
    fn gather(&mut self, problem: &Lanes, supports: [S; LANES]) {
        self.present.clear();
        self.present.resize(self.size, 0);
        let (matrix, right) = self.rows.split_at_mut(at(self.size, 0));
        for (l, support) in supports
            .into_iter()
            .enumerate()
            .filter(|(_, s)| !s.is_empty())
        {
            let mut chosen = [0u8; MOST];
            let mut count = 0;
            for j in members(support) {
                chosen[count] = j as u8;
                let row = &problem.kernel[at(j, 0)..=at(j, j)];
                let out = &mut matrix[at(count, 0)..=at(count, count)];
                for (out, &m) in out.iter_mut().zip(&chosen) {
                    out.0[l] = row[usize::from(m)].0[l];
                }
                right[count].0[l] = problem.b[j].0[l];
                self.present[count] |= 1 << l;
                count += 1;
            }
            for a in count..self.size {
                for out in &mut matrix[at(a, 0)..at(a, a)] {
                    out.0[l] = 0.0;
                }
                matrix[at(a, a)].0[l] = 1.0;
                right[a].0[l] = 0.0;
            }
        }
    }

    /// Cholesky in place, and the forward substitution with it. A dependent column is flagged and
    /// becomes 0.
    #[inline(always)]
    fn factorise<I: Isa>(&mut self) {
        let mut c = 0;
        // Members of the support before this row, as dependence counts them.
        let mut before = I::F64::splat(0.0);
        while c + TILE.0 <= self.size {
            self.columns::<I, { TILE.0 }>(c, &mut before);
            c += TILE.0;
        }
        while c < self.size {
            self.columns::<I, 1>(c, &mut before);
            c += 1;
        }
    }

    /// Factorises `C` columns from `c` on.
    #[inline(always)]
    fn columns<I: Isa, const C: usize>(&mut self, c: usize, before: &mut I::F64) {
        let (zero, one) = (I::F64::splat(0.0), I::F64::splat(1.0));
        let (step, least) = (dependence(1) - dependence(0), dependence(0));
        let mut block = [[zero; C]; C];
        for (i, row) in block.iter_mut().enumerate() {
            for (k, value) in row.iter_mut().enumerate().take(i + 1) {
                *value = I::F64::load(&self.rows[at(c + i, c + k)]);
            }
        }
        let left = first_columns::<C>(&self.rows, c, c);
        for t in 0..c {
            let mut values = [zero; C];
            for (value, left) in values.iter_mut().zip(left) {
                *value = I::F64::load(&left[t]);
            }
            for (i, row) in block.iter_mut().enumerate() {
                for (k, value) in row.iter_mut().enumerate().take(i + 1) {
                    *value = values[i].neg_mul_add(values[k], *value);
                }
            }
        }
        let mut inverse = [zero; C];
        for i in 0..C {
            for k in 0..i {
                let mut value = block[i][k];
                for (x, y) in block[i].iter().zip(&block[k]).take(k) {
                    value = x.neg_mul_add(*y, value);
                }
                block[i][k] = value.mul(inverse[k]);
                block[i][k].store(&mut self.rows[at(c + i, c + k)]);
            }
            let mut pivot = block[i][i];
            for x in &block[i][..i] {
                pivot = x.neg_mul_add(*x, pivot);
            }
            let limit = before.mul_add(I::F64::splat(step), I::F64::splat(least));
            let dependent = pivot.lt(limit);
            inverse[i] = I::F64::select(dependent, zero, one.div(pivot.sqrt()));
            inverse[i].store(&mut self.inverse[c + i]);
            self.dependent[c + i] = dependent & self.present[c + i];
            *before = before.add(I::F64::select(self.present[c + i], one, zero));
        }
        // The right-hand side is the last row.
        let mut a = c + C;
        while a + TILE.1 <= self.size + 1 {
            self.below::<I, { TILE.1 }, C>(a, c, &block, &inverse);
            a += TILE.1;
        }
        if a <= self.size {
            self.below::<I, 1, C>(a, c, &block, &inverse);
        }
    }

    /// The part of `R` rows from `a` on in the columns of a factorised block.
    #[inline(always)]
    fn below<I: Isa, const R: usize, const C: usize>(
        &mut self,
        a: usize,
        c: usize,
        block: &[[I::F64; C]; C],
        inverse: &[I::F64; C],
    ) {
        let zero = I::F64::splat(0.0);
        let mut sums = [[zero; C]; R];
        for (i, sums) in sums.iter_mut().enumerate() {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = I::F64::load(&self.rows[at(a + i, c + k)]);
            }
        }
        let above = first_columns::<C>(&self.rows, c, c);
        let left = first_columns::<R>(&self.rows, a, c);
        for t in 0..c {
            let mut factors = [zero; C];
            for (factor, above) in factors.iter_mut().zip(above) {
                *factor = I::F64::load(&above[t]);
            }
            for (sums, left) in sums.iter_mut().zip(left) {
                let value = I::F64::load(&left[t]);
                for (sum, factor) in sums.iter_mut().zip(factors) {
                    *sum = value.neg_mul_add(factor, *sum);
                }
            }
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            for k in 0..C {
                let mut value = sums[k];
                for (x, y) in sums.iter().zip(&block[k]).take(k) {
                    value = x.neg_mul_add(*y, value);
                }
                sums[k] = value.mul(inverse[k]);
                sums[k].store(&mut self.rows[at(a + i, c + k)]);
            }
        }
    }

    /// Solves with the transposed factor.
    #[inline(always)]
    fn substitute<I: Isa>(&mut self) {
        let (factor, solution) = self.rows.split_at_mut(at(self.size, 0));
        let mut end = self.size;
        // Two rows at a time: half the traffic.
        while end >= 2 {
            let (a, b) = (end - 1, end - 2);
            let (rest, last) = solution.split_at_mut(b);
            let (upper, lower) = factor[at(b, 0)..].split_at(b + 1);
            let z = I::F64::load(&last[1]).mul(I::F64::load(&self.inverse[a]));
            let y = z.neg_mul_add(I::F64::load(&lower[b]), I::F64::load(&last[0]));
            let y = y.mul(I::F64::load(&self.inverse[b]));
            z.store(&mut last[1]);
            y.store(&mut last[0]);
            for ((out, lower), upper) in rest.iter_mut().zip(lower).zip(upper) {
                let value = z.neg_mul_add(I::F64::load(lower), I::F64::load(out));
                y.neg_mul_add(I::F64::load(upper), value).store(out);
            }
            end -= 2;
        }
        if end == 1 {
            let value = I::F64::load(&solution[0]).mul(I::F64::load(&self.inverse[0]));
            value.store(&mut solution[0]);
        }
    }
}

/// The first `c` columns of `N` rows from `a` on.
///
/// Loops fill arrays here: what a closure of `map` or `from_fn` does may be compiled by itself, without
/// the wider instructions.
#[inline(always)]
pub(super) fn first_columns<const N: usize>(rows: &[Pack], a: usize, c: usize) -> [&[Pack]; N] {
    let mut out: [&[Pack]; N] = [&[]; N];
    for (i, out) in out.iter_mut().enumerate() {
        *out = &rows[at(a + i, 0)..][..c];
    }
    out
}
