//! Cholesky solution of `K_SS z = b_S` for eight queries at once, one query in each SIMD lane and each on its
//! own support `S`.
//!
//! The eight supports differ, but the lanes have to work on matrices of one size. The list of candidates that
//! have a row in a lane's matrix is called the *frame* of the lane. There are two ways to choose frames:
//! - Own frames: each lane has the rows of its own support. The matrices are as small as can be, but the
//!   numbers have to be copied one by one.
//! - A shared frame: each lane has the rows of all eight supports. Whole vectors are copied, but the matrices
//!   are larger.
//!
//! Rows that a lane does not need are rows of the identity. They change nothing in the other rows, not even the
//! order of a sum, so the choice affects no result and only the cost decides.

use super::active_set::pivot_tolerance;
use super::lanes::GramLanes;
use super::layout::{leading_columns, packed};
use super::set::{CAPACITY, Set, lane_sets, members, row_flags};
use crate::simd::{F64_LANES, F64x8, LineF64, Simd};

/// Columns that are factorised together, and rows below them that are computed together.
const TILE: (usize, usize) = (4, 2);

/// The systems and their solutions.
#[derive(Default)]
pub(super) struct Factor<S> {
    /// Rows of each matrix.
    size: usize,
    /// The candidates that have a row, per lane.
    pub(super) frames: [S; F64_LANES],
    /// Whether all lanes have the same frame.
    shared: bool,
    /// The packed lower triangle of the matrix, which its Cholesky factor replaces. One more row below it holds
    /// the right-hand side, which the solution replaces.
    rows: Vec<LineF64>,
    /// Reciprocals of the factor's diagonal.
    inverse: Vec<LineF64>,
    /// A bit per lane for each row: set if the row belongs to the support, not to the identity.
    present: Vec<u8>,
    /// A bit per lane for each row: set if its column depends on the columns before.
    dependent: Vec<u8>,
}

/// Bytes of a [`Factor`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    (size_of::<LineF64>() * (packed(k + 1, 0) + k) + 2 * k) as u64
}

impl<S: Set> Factor<S> {
    /// The solutions, one line per row of the frames.
    pub(super) fn solution(&self) -> &[LineF64] {
        &self.rows[packed(self.size, 0)..][..self.size]
    }

    /// Copies the solutions of the lanes in `accepted` to the places of their candidates in `x`.
    #[inline(always)]
    pub(super) fn accept<I: Simd>(&self, accepted: u8, x: &mut [LineF64]) {
        let solution = self.solution();
        if self.shared {
            for ((z, present), j) in solution
                .iter()
                .zip(&self.present)
                .zip(members(self.frames[0]))
            {
                let (z, now) = (I::F64x8::load(z), I::F64x8::load(&x[j]));
                I::F64x8::select(present & accepted, z, now).store(&mut x[j]);
            }
            return;
        }
        for l in members(u64::from(accepted)) {
            for (z, j) in solution.iter().zip(members(self.frames[l])) {
                x[j].0[l] = z.0[l];
            }
        }
    }

    /// The rows whose column depends on the columns before, per lane.
    #[inline(always)]
    pub(super) fn dependent(&self) -> [S; F64_LANES] {
        lane_sets(&self.dependent)
    }

    /// The rows of the support whose solution is not positive, per lane.
    #[inline(always)]
    pub(super) fn negative<I: Simd>(&self) -> [S; F64_LANES] {
        let mut flags = [0; CAPACITY];
        for ((f, z), present) in flags.iter_mut().zip(self.solution()).zip(&self.present) {
            *f = present & !I::F64x8::splat(0.0).lt(I::F64x8::load(z));
        }
        lane_sets(&flags[..self.size])
    }

    /// Solves the systems of `supports`. The results of lanes with an empty support, and those behind a
    /// dependent column, are meaningless.
    #[inline(always)]
    pub(super) fn solve<I: Simd>(&mut self, problem: &GramLanes, supports: [S; F64_LANES]) {
        let all = supports.iter().fold(S::default(), |all, &s| all | s);
        let most = supports.iter().map(|s| s.len()).max().unwrap_or(0);
        let copied: usize = supports.iter().map(|s| s.len().pow(2)).sum();
        // Estimated costs: a factorisation takes about size^3 / 6 vector operations, and a number that is copied
        // by itself costs as much as two of them.
        let cost = |size: usize| size * size * (size + 12) / 6;
        self.shared = cost(all.len()) < cost(most) + 2 * copied;
        (self.size, self.frames) = match self.shared {
            true => (all.len(), [all; F64_LANES]),
            false => (most, supports),
        };
        self.rows.resize(packed(self.size + 1, 0), LineF64::ZERO);
        self.inverse.resize(self.size, LineF64::ZERO);
        self.dependent.resize(self.size, 0);
        match self.shared {
            true => self.fill_shared::<I>(problem, supports),
            false => self.fill_own(problem, supports),
        }
        self.factorise::<I>();
        self.substitute::<I>();
    }

    /// Fills the matrices for a shared frame.
    #[inline(always)]
    fn fill_shared<I: Simd>(&mut self, problem: &GramLanes, supports: [S; F64_LANES]) {
        let (zero, one) = (I::F64x8::splat(0.0), I::F64x8::splat(1.0));
        let owners = row_flags(supports);
        let mut chosen = [0; CAPACITY];
        for (m, j) in chosen.iter_mut().zip(members(self.frames[0])) {
            *m = j;
        }
        let chosen = &chosen[..self.size];
        self.present.clear();
        let (matrix, right) = self.rows.split_at_mut(packed(self.size, 0));
        for (a, &j) in chosen.iter().enumerate() {
            let row = &problem.kernel[packed(j, 0)..=packed(j, j)];
            let out = &mut matrix[packed(a, 0)..=packed(a, a)];
            for (out, &m) in out.iter_mut().zip(chosen) {
                let value = I::F64x8::load(&row[m]);
                I::F64x8::select(owners[j] & owners[m], value, zero).store(out);
            }
            I::F64x8::select(owners[j], I::F64x8::load(&row[j]), one).store(&mut out[a]);
            let b = I::F64x8::load(&problem.b[j]);
            I::F64x8::select(owners[j], b, zero).store(&mut right[a]);
            self.present.push(owners[j]);
        }
    }

    /// Fills the matrices for each lane's own frame.
    #[inline(always)]
    fn fill_own(&mut self, problem: &GramLanes, supports: [S; F64_LANES]) {
        self.present.clear();
        self.present.resize(self.size, 0);
        let (matrix, right) = self.rows.split_at_mut(packed(self.size, 0));
        for (l, support) in supports
            .into_iter()
            .enumerate()
            .filter(|(_, s)| !s.is_empty())
        {
            let mut chosen = [0u8; CAPACITY];
            let mut count = 0;
            for j in members(support) {
                chosen[count] = j as u8;
                let row = &problem.kernel[packed(j, 0)..=packed(j, j)];
                let out = &mut matrix[packed(count, 0)..=packed(count, count)];
                for (out, &m) in out.iter_mut().zip(&chosen) {
                    out.0[l] = row[usize::from(m)].0[l];
                }
                right[count].0[l] = problem.b[j].0[l];
                self.present[count] |= 1 << l;
                count += 1;
            }
            for a in count..self.size {
                for out in &mut matrix[packed(a, 0)..packed(a, a)] {
                    out.0[l] = 0.0;
                }
                matrix[packed(a, a)].0[l] = 1.0;
                right[a].0[l] = 0.0;
            }
        }
    }

    /// Cholesky factorisation in place. The right-hand side is treated as one more row, which is forward
    /// substitution. A dependent column is flagged and becomes 0.
    #[inline(always)]
    fn factorise<I: Simd>(&mut self) {
        let mut c = 0;
        // The number of support rows so far, per lane, on which the tolerance of the pivots depends.
        let mut before = I::F64x8::splat(0.0);
        while c + TILE.0 <= self.size {
            self.factorise_columns::<I, { TILE.0 }>(c, &mut before);
            c += TILE.0;
        }
        while c < self.size {
            self.factorise_columns::<I, 1>(c, &mut before);
            c += 1;
        }
    }

    /// Factorises the `C` columns from `c` on.
    #[inline(always)]
    fn factorise_columns<I: Simd, const C: usize>(&mut self, c: usize, before: &mut I::F64x8) {
        let (zero, one) = (I::F64x8::splat(0.0), I::F64x8::splat(1.0));
        let (step, least) = (pivot_tolerance(1) - pivot_tolerance(0), pivot_tolerance(0));
        let mut block = [[zero; C]; C];
        for (i, row) in block.iter_mut().enumerate() {
            for (k, value) in row.iter_mut().enumerate().take(i + 1) {
                *value = I::F64x8::load(&self.rows[packed(c + i, c + k)]);
            }
        }
        let left = leading_columns::<C>(&self.rows, c, c);
        for t in 0..c {
            let mut values = [zero; C];
            for (value, left) in values.iter_mut().zip(left) {
                *value = I::F64x8::load(&left[t]);
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
                block[i][k] = value * inverse[k];
                block[i][k].store(&mut self.rows[packed(c + i, c + k)]);
            }
            let mut pivot = block[i][i];
            for x in &block[i][..i] {
                pivot = x.neg_mul_add(*x, pivot);
            }
            let limit = before.mul_add(I::F64x8::splat(step), I::F64x8::splat(least));
            let dependent = pivot.lt(limit);
            inverse[i] = I::F64x8::select(dependent, zero, one / pivot.sqrt());
            inverse[i].store(&mut self.inverse[c + i]);
            self.dependent[c + i] = dependent & self.present[c + i];
            *before = *before + I::F64x8::select(self.present[c + i], one, zero);
        }
        // The right-hand side is the last row.
        let mut a = c + C;
        while a + TILE.1 <= self.size + 1 {
            self.rows_below::<I, { TILE.1 }, C>(a, c, &block, &inverse);
            a += TILE.1;
        }
        if a <= self.size {
            self.rows_below::<I, 1, C>(a, c, &block, &inverse);
        }
    }

    /// Computes the `R` rows from `a` on in the `C` columns from `c` on, whose own block is factorised.
    #[inline(always)]
    fn rows_below<I: Simd, const R: usize, const C: usize>(
        &mut self,
        a: usize,
        c: usize,
        block: &[[I::F64x8; C]; C],
        inverse: &[I::F64x8; C],
    ) {
        let zero = I::F64x8::splat(0.0);
        let mut sums = [[zero; C]; R];
        for (i, sums) in sums.iter_mut().enumerate() {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = I::F64x8::load(&self.rows[packed(a + i, c + k)]);
            }
        }
        let above = leading_columns::<C>(&self.rows, c, c);
        let left = leading_columns::<R>(&self.rows, a, c);
        for t in 0..c {
            let mut factors = [zero; C];
            for (factor, above) in factors.iter_mut().zip(above) {
                *factor = I::F64x8::load(&above[t]);
            }
            for (sums, left) in sums.iter_mut().zip(left) {
                let value = I::F64x8::load(&left[t]);
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
                sums[k] = value * inverse[k];
                sums[k].store(&mut self.rows[packed(a + i, c + k)]);
            }
        }
    }

    /// Back substitution with the transposed factor.
    #[inline(always)]
    fn substitute<I: Simd>(&mut self) {
        let (factor, solution) = self.rows.split_at_mut(packed(self.size, 0));
        let mut end = self.size;
        // Two rows at a time halve the memory traffic.
        while end >= 2 {
            let (a, b) = (end - 1, end - 2);
            let (rest, last) = solution.split_at_mut(b);
            let (upper, lower) = factor[packed(b, 0)..].split_at(b + 1);
            let z = I::F64x8::load(&last[1]) * I::F64x8::load(&self.inverse[a]);
            let y = z.neg_mul_add(I::F64x8::load(&lower[b]), I::F64x8::load(&last[0]));
            let y = y * I::F64x8::load(&self.inverse[b]);
            z.store(&mut last[1]);
            y.store(&mut last[0]);
            for ((out, lower), upper) in rest.iter_mut().zip(lower).zip(upper) {
                let value = z.neg_mul_add(I::F64x8::load(lower), I::F64x8::load(out));
                y.neg_mul_add(I::F64x8::load(upper), value).store(out);
            }
            end -= 2;
        }
        if end == 1 {
            let value = I::F64x8::load(&solution[0]) * I::F64x8::load(&self.inverse[0]);
            value.store(&mut solution[0]);
        }
    }
}
