//! Block principal pivoting (Kim and Park, SIAM J. Sci. Comput. 33, 2011) on eight problems at once.
//!
//! Exchanging all violators in one step reaches most optima in a round or two, each a small Cholesky
//! factorisation. It may cycle where the matrix is singular: a lane that meets a dependent column or
//! runs out of rounds is left to [`super::active_set`]. What a lane does depends on that lane alone.

use super::active_set::dependence;
use super::lanes::{Lanes, at};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};

/// Most candidates: a support is a bit set.
pub(super) const MOST: usize = 64;
/// Sweeps of projected coordinate descent from 0: they find most of the support.
const SWEEPS: usize = 4;
/// Rounds after which a lane is given up.
const ROUNDS: usize = 10;
/// Full exchanges without progress before single ones.
const BACKUP: u8 = 3;

/// Room for eight problems, and their solutions.
#[derive(Default)]
pub(super) struct Pivot {
    /// `x [n]`; of an unsolved lane a feasible point.
    pub(super) x: Vec<Pack>,
    /// Objective per lane.
    pub(super) objective: [f64; LANES],
    /// Largest violation of the optimality conditions per lane.
    pub(super) residual: [f64; LANES],
    /// Bit per lane that has its optimum.
    pub(super) solved: u8,
    /// Factor of the matrix restricted to the support, packed lower triangle.
    factor: Vec<Pack>,
    /// Reciprocals of its diagonal.
    inverse: Vec<Pack>,
    /// Right-hand side, then solution on the support.
    part: Vec<Pack>,
    /// Bit per lane for each row: negative weight, negative slope.
    negative: Vec<u8>,
    downhill: Vec<u8>,
    latest_objective: Pack,
    latest_residual: Pack,
}

/// Bytes of a [`Pivot`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    (size_of::<Pack>() * (at(k, 0) + 3 * k) + 2 * k) as u64
}

/// State of one lane.
#[derive(Clone, Copy)]
struct Lane {
    support: u64,
    /// Fewest violators so far.
    fewest: u32,
    backup: u8,
}

impl Pivot {
    /// Solves the lanes whose bit in `wanted` is set, as far as pivoting can.
    #[inline(always)]
    pub(super) fn solve<I: Isa>(&mut self, problem: &Lanes, wanted: u8) {
        let n = problem.n;
        for v in [&mut self.x, &mut self.part, &mut self.inverse] {
            v.clear();
            v.resize(n, Pack::ZERO);
        }
        self.factor.resize(at(n, 0), Pack::ZERO);
        for v in [&mut self.negative, &mut self.downhill] {
            v.clear();
            v.resize(n, 0);
        }
        self.solved = 0;
        self.descend::<I>(problem);
        let scale = problem
            .b
            .iter()
            .fold(I::F64::splat(0.0), |m, b| m.max(I::F64::load(b)));
        let mut lanes = self.start::<I>(n, scale);
        let mut active = wanted;
        for _ in 0..ROUNDS {
            let size = (0..LANES)
                .filter(|l| active >> l & 1 == 1)
                .map(|l| lanes[l].support.count_ones() as usize)
                .max();
            let Some(size) = size else { return };
            self.gather(problem, &lanes, active, size);
            active &= !self.factorise::<I>(size);
            self.substitute::<I>(size);
            self.scatter(&lanes, active);
            self.inspect::<I>(problem, scale);
            active = self.exchange(&mut lanes, active);
        }
    }

    /// Projected coordinate descent; the diagonal is 1.
    #[inline(always)]
    fn descend<I: Isa>(&mut self, problem: &Lanes) {
        for _ in 0..SWEEPS {
            for j in 0..problem.n {
                let slope = slope::<I>(problem, &self.x, j);
                let x = I::F64::load(&self.x[j]).sub(slope);
                x.max(I::F64::splat(0.0)).store(&mut self.x[j]);
            }
        }
    }

    /// The support after the descent.
    #[inline(always)]
    fn start<I: Isa>(&mut self, n: usize, scale: I::F64) -> [Lane; LANES] {
        let least = scale.mul(I::F64::splat(1e-12));
        for (x, bits) in self.x.iter().zip(&mut self.negative) {
            *bits = least.lt(I::F64::load(x));
        }
        let support = transposed(&self.negative);
        std::array::from_fn(|l| Lane {
            support: support[l],
            fewest: n as u32 + 1,
            backup: BACKUP,
        })
    }

    /// Copies the matrix and right-hand side restricted to each support, filled up to `size` with
    /// rows of the identity.
    #[inline(always)]
    fn gather(&mut self, problem: &Lanes, lanes: &[Lane; LANES], active: u8, size: usize) {
        let mut members = [0u8; MOST];
        for (l, lane) in lanes.iter().enumerate() {
            let mut count = 0;
            let mut left = if active >> l & 1 == 1 {
                lane.support
            } else {
                0
            };
            while left != 0 {
                members[count] = left.trailing_zeros() as u8;
                count += 1;
                left &= left - 1;
            }
            let members = &members[..count];
            let mut out = 0;
            for (a, &j) in members.iter().enumerate() {
                let row = &problem.kernel[at(usize::from(j), 0)..];
                for &m in &members[..=a] {
                    self.factor[out].0[l] = row[usize::from(m)].0[l];
                    out += 1;
                }
                self.part[a].0[l] = problem.b[usize::from(j)].0[l];
            }
            for a in count..size {
                for f in &mut self.factor[at(a, 0)..at(a, a)] {
                    f.0[l] = 0.0;
                }
                self.factor[at(a, a)].0[l] = 1.0;
                self.part[a].0[l] = 0.0;
            }
        }
    }

    /// Cholesky in place; returns the lanes with a dependent column, whose factor is meaningless.
    #[inline(always)]
    fn factorise<I: Isa>(&mut self, size: usize) -> u8 {
        let one = I::F64::splat(1.0);
        let mut dependent = 0;
        for c in 0..size {
            let mut pivot = I::F64::load(&self.factor[at(c, c)]);
            for l in &self.factor[at(c, 0)..at(c, c)] {
                let l = I::F64::load(l);
                pivot = l.neg_mul_add(l, pivot);
            }
            let bad = pivot.lt(I::F64::splat(dependence(c)));
            dependent |= bad;
            let inverse = one.div(I::F64::select(bad, one, pivot).sqrt());
            inverse.store(&mut self.inverse[c]);
            for a in c + 1..size {
                let (done, rest) = self.factor.split_at_mut(at(a, 0));
                let (left, value) = rest.split_at_mut(c);
                let mut sum = I::F64::load(&value[0]);
                for (x, y) in left.iter().zip(&done[at(c, 0)..at(c, c)]) {
                    sum = I::F64::load(x).neg_mul_add(I::F64::load(y), sum);
                }
                sum.mul(inverse).store(&mut value[0]);
            }
        }
        dependent
    }

    /// Solves with the factor: `part` becomes the solution.
    #[inline(always)]
    fn substitute<I: Isa>(&mut self, size: usize) {
        for a in 0..size {
            let (done, rest) = self.part.split_at_mut(a);
            let mut sum = I::F64::load(&rest[0]);
            for (l, z) in self.factor[at(a, 0)..].iter().zip(done.iter()) {
                sum = I::F64::load(l).neg_mul_add(I::F64::load(z), sum);
            }
            sum.mul(I::F64::load(&self.inverse[a])).store(&mut rest[0]);
        }
        for a in (0..size).rev() {
            let value = I::F64::load(&self.part[a]).mul(I::F64::load(&self.inverse[a]));
            value.store(&mut self.part[a]);
            for (l, z) in self.factor[at(a, 0)..].iter().zip(&mut self.part[..a]) {
                value.neg_mul_add(I::F64::load(l), I::F64::load(z)).store(z);
            }
        }
    }

    /// Puts the solution of the active lanes into `x`.
    #[inline(always)]
    fn scatter(&mut self, lanes: &[Lane; LANES], active: u8) {
        for (l, lane) in lanes.iter().enumerate() {
            if active >> l & 1 == 0 {
                continue;
            }
            let mut a = 0;
            for (j, x) in self.x.iter_mut().enumerate() {
                if lane.support >> j & 1 == 1 {
                    x.0[l] = self.part[a].0[l];
                    a += 1;
                } else {
                    x.0[l] = 0.0;
                }
            }
        }
    }

    /// Objective, residual and violators of all lanes at `x`.
    #[inline(always)]
    fn inspect<I: Isa>(&mut self, problem: &Lanes, scale: I::F64) {
        let zero = I::F64::splat(0.0);
        let allowed = scale.mul(I::F64::splat(-4e-15));
        let (mut objective, mut residual) = (zero, zero);
        for j in 0..problem.n {
            let slope = slope::<I>(problem, &self.x, j);
            let x = I::F64::load(&self.x[j]);
            let b = I::F64::load(&problem.b[j]);
            objective = slope.sub(b).mul_add(x, objective);
            let minus = zero.sub(slope);
            let inside = zero.lt(x);
            residual = residual.max(minus).max(I::F64::select(inside, slope, zero));
            self.negative[j] = x.lt(zero);
            self.downhill[j] = slope.lt(allowed) & !inside;
        }
        objective
            .mul(I::F64::splat(0.5))
            .store(&mut self.latest_objective);
        residual.store(&mut self.latest_residual);
    }

    /// Ends the lanes without violators and exchanges those of the others; returns who goes on.
    #[inline(always)]
    fn exchange(&mut self, lanes: &mut [Lane; LANES], mut active: u8) -> u8 {
        let (negative, downhill) = (transposed(&self.negative), transposed(&self.downhill));
        for (l, lane) in lanes.iter_mut().enumerate() {
            if active >> l & 1 == 0 {
                continue;
            }
            let violators = negative[l] | downhill[l];
            let count = violators.count_ones();
            if count == 0 {
                self.objective[l] = self.latest_objective.0[l];
                self.residual[l] = self.latest_residual.0[l];
                self.solved |= 1 << l;
                active &= !(1 << l);
            } else if count < lane.fewest {
                (lane.fewest, lane.backup) = (count, BACKUP);
                lane.support ^= violators;
            } else if lane.backup > 0 {
                lane.backup -= 1;
                lane.support ^= violators;
            } else {
                lane.support ^= 1 << (63 - violators.leading_zeros());
            }
        }
        active
    }
}

/// `(K x - b)_j`.
#[inline(always)]
fn slope<I: Isa>(problem: &Lanes, x: &[Pack], j: usize) -> I::F64 {
    let mut row = I::F64::splat(0.0);
    for (k, x) in problem.kernel[at(j, 0)..=at(j, j)].iter().zip(x) {
        row = I::F64::load(k).mul_add(I::F64::load(x), row);
    }
    // Below the diagonal the row goes on as a column.
    let mut column = I::F64::splat(0.0);
    let mut place = at(j + 1, j);
    for (l, x) in (j + 1..).zip(&x[j + 1..]) {
        column = I::F64::load(&problem.kernel[place]).mul_add(I::F64::load(x), column);
        place += l + 1;
    }
    row.add(column).sub(I::F64::load(&problem.b[j]))
}

/// Turns a bit per lane for each row into a bit per row for each lane.
#[inline(always)]
fn transposed(rows: &[u8]) -> [u64; LANES] {
    let mut lanes = [0; LANES];
    for (block, rows) in rows.chunks(LANES).enumerate() {
        let mut bytes = [0; LANES];
        bytes[..rows.len()].copy_from_slice(rows);
        let mut m = u64::from_le_bytes(bytes);
        // Swap the off-diagonal halves of ever larger squares of the 8 x 8 bit matrix.
        for (shift, mask) in [
            (7, 0x00aa_00aa_00aa_00aa),
            (14, 0x0000_cccc_0000_cccc),
            (28, 0x0000_0000_f0f0_f0f0),
        ] {
            let swap = (m ^ (m >> shift)) & mask;
            m ^= swap ^ (swap << shift);
        }
        for (lane, byte) in lanes.iter_mut().zip(m.to_le_bytes()) {
            *lane |= u64::from(byte) << (block * LANES);
        }
    }
    lanes
}
