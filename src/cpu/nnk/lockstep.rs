//! The exact optimum for eight queries at once, a query a lane.
//!
//! Coordinate descent finds most of the support. What a solve on it makes negative is left out, all
//! at once, until a feasible start remains; from there on Lawson and Hanson's algorithm, whose
//! objective falls at every step. A lane that meets a dependent column on the way, or needs too many
//! rounds, is left to [`super::active_set`]. What a lane does depends on that lane alone.

use super::active_set::dependence;
use super::gram::resize;
use super::lanes::{Lanes, at};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};

/// Most candidates: a support is a bit set.
pub(super) const MOST: usize = 64;
/// Rounds after which a lane is given up.
const ROUNDS: usize = 48;
/// Every index whose slope is at least this share of the steepest enters at once.
const STEEP: f64 = 0.5;

/// Room for eight problems, and their solutions.
#[derive(Default)]
pub(super) struct Lockstep {
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
    /// `K x - b`.
    slopes: Vec<Pack>,
    /// Bit per lane for each row of the factor: a dependent column; then for each index: steep.
    flags: Vec<u8>,
}

/// Bytes of a [`Lockstep`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    (size_of::<Pack>() * (at(k, 0) + 4 * k) + k) as u64
}

/// Where a lane is.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Leaving out what is negative, from the support of the descent.
    Start,
    /// `x` is feasible; the support has members at 0 that just entered.
    Step,
    /// `x` is the minimum over the support.
    Minimum,
    /// Solved or given up.
    Done,
}

#[derive(Clone, Copy)]
struct Lane {
    support: u64,
    phase: Phase,
}

impl Lockstep {
    /// Solves the lanes whose bit in `wanted` is set, from `sweeps` of coordinate descent.
    #[inline(always)]
    pub(super) fn solve<I: Isa>(&mut self, problem: &Lanes, sweeps: usize, wanted: u8) {
        let n = problem.n;
        for v in [
            &mut self.x,
            &mut self.part,
            &mut self.inverse,
            &mut self.slopes,
        ] {
            resize(v, n);
        }
        self.factor.resize(at(n, 0), Pack::ZERO);
        self.flags.clear();
        self.flags.resize(n, 0);
        self.solved = 0;
        self.descend::<I>(problem, sweeps);
        let mut scale = I::F64::splat(0.0);
        for b in &problem.b {
            scale = scale.max(I::F64::load(b));
        }
        let mut lanes = self.start::<I>(scale, wanted);
        for _ in 0..ROUNDS {
            let busy = lanes.iter().filter(|lane| lane.phase != Phase::Done);
            let Some(size) = busy.map(|lane| lane.support.count_ones()).max() else {
                return;
            };
            self.gather(problem, &lanes, size as usize);
            self.factorise::<I>(size as usize);
            self.substitute::<I>(size as usize);
            for (l, lane) in lanes.iter_mut().enumerate() {
                self.advance(l, lane);
            }
            if lanes.iter().any(|lane| lane.phase == Phase::Minimum) {
                self.enter::<I>(problem, scale, &mut lanes);
            }
        }
    }

    /// Coordinate descent on the least objective over all multiples of `x`, that is, on the angle
    /// between `sum_j x_j phi_j` and the query's feature; the diagonal is 1.
    ///
    /// Under cosine all candidates look alike: with the others fixed one of them can hardly move
    /// before the sum is too long. Where the length of the sum is free, it moves as far as what sets
    /// it apart from the sum asks for.
    #[inline(always)]
    fn descend<I: Isa>(&mut self, problem: &Lanes, sweeps: usize) {
        let Some((first, b)) = self.x.first_mut().zip(problem.b.first()) else {
            return;
        };
        let (zero, one) = (I::F64::splat(0.0), I::F64::splat(1.0));
        one.store(first);
        // x'Kx and b'x.
        let (mut square, mut share) = (one, I::F64::load(b));
        for _ in 0..sweeps {
            for j in 0..problem.n {
                let b = I::F64::load(&problem.b[j]);
                let image = product::<I>(problem, &self.x, j);
                let x = I::F64::load(&self.x[j]);
                // Where it is not positive the candidate alone does better than any sum with it.
                let least = share.mul(I::F64::splat(1e-9));
                let least = least.max(I::F64::splat(f64::MIN_POSITIVE));
                let curvature = b.neg_mul_add(image, share).max(least);
                let slope = share.neg_mul_add(image, b.mul(square));
                let next = slope.div(curvature).add(x).max(zero);
                let step = next.sub(x);
                square = image.add(image).add(step).mul_add(step, square);
                share = step.mul_add(b, share);
                next.store(&mut self.x[j]);
            }
        }
        let multiple = share.div(square);
        for x in &mut self.x {
            I::F64::load(x).mul(multiple).store(x);
        }
    }

    /// The support after the descent.
    #[inline(always)]
    fn start<I: Isa>(&mut self, scale: I::F64, wanted: u8) -> [Lane; LANES] {
        let least = scale.mul(I::F64::splat(1e-12));
        for (x, bits) in self.x.iter().zip(&mut self.flags) {
            *bits = least.lt(I::F64::load(x));
        }
        let support = transposed(&self.flags);
        std::array::from_fn(|l| Lane {
            support: support[l],
            phase: match wanted >> l & 1 {
                1 => Phase::Start,
                _ => Phase::Done,
            },
        })
    }

    /// Copies the matrix and right-hand side restricted to each support, filled up to `size` with
    /// rows of the identity.
    #[inline(always)]
    fn gather(&mut self, problem: &Lanes, lanes: &[Lane; LANES], size: usize) {
        let mut members = [0u8; MOST];
        for (l, lane) in lanes.iter().enumerate() {
            let mut count = 0;
            if lane.phase != Phase::Done {
                for j in bits(lane.support) {
                    members[count] = j as u8;
                    count += 1;
                }
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

    /// Cholesky in place. A dependent column is flagged and its pivot replaced; what that lane
    /// computes from it is not used.
    #[inline(always)]
    fn factorise<I: Isa>(&mut self, size: usize) {
        let one = I::F64::splat(1.0);
        for c in 0..size {
            let mut pivot = I::F64::load(&self.factor[at(c, c)]);
            for l in &self.factor[at(c, 0)..at(c, c)] {
                let l = I::F64::load(l);
                pivot = l.neg_mul_add(l, pivot);
            }
            let dependent = pivot.lt(I::F64::splat(dependence(c)));
            self.flags[c] = dependent;
            // Infinite: the column's part of the factor is 0, the others' are as without it.
            let inverse = I::F64::select(dependent, I::F64::splat(0.0), one.div(pivot.sqrt()));
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

    /// Takes one lane from the solution on its support to its next support.
    #[inline(always)]
    fn advance(&mut self, l: usize, lane: &mut Lane) {
        if lane.phase == Phase::Done {
            return;
        }
        let (mut dependent, mut negative) = (0u64, 0u64);
        for (a, j) in bits(lane.support).enumerate() {
            dependent |= u64::from(self.flags[a] >> l & 1) << j;
            negative |= u64::from(self.part[a].0[l] <= 0.0) << j;
        }
        match (lane.phase, dependent, negative) {
            (Phase::Start, 0, 0) => {
                for x in &mut self.x {
                    x.0[l] = 0.0;
                }
                self.accept(l, lane);
            }
            // Without dependent columns the rest of the factor is what it would be.
            (Phase::Start, ..) => lane.support &= !(dependent | negative),
            (_, 0, 0) => self.accept(l, lane),
            (_, 0, _) => self.step(l, lane),
            _ => lane.phase = Phase::Done,
        }
    }

    #[inline(always)]
    fn accept(&mut self, l: usize, lane: &mut Lane) {
        for (a, j) in bits(lane.support).enumerate() {
            self.x[j].0[l] = self.part[a].0[l];
        }
        lane.phase = Phase::Minimum;
    }

    /// Goes towards the solution until a member of the support is 0, and leaves it out.
    #[inline(always)]
    fn step(&mut self, l: usize, lane: &mut Lane) {
        let mut step = f64::INFINITY;
        for (a, j) in bits(lane.support).enumerate() {
            let (now, goal) = (self.x[j].0[l], self.part[a].0[l]);
            if goal <= 0.0 {
                step = step.min(now / (now - goal).max(f64::MIN_POSITIVE));
            }
        }
        for (a, j) in bits(lane.support).enumerate() {
            let (now, goal) = (self.x[j].0[l], self.part[a].0[l]);
            let limit = now / (now - goal).max(f64::MIN_POSITIVE);
            let next = now + step * (goal - now);
            // A member that just entered stays at 0 on a step of length 0.
            if goal <= 0.0 && (limit <= step || next <= 0.0) {
                self.x[j].0[l] = 0.0;
                lane.support &= !(1 << j);
            } else {
                self.x[j].0[l] = next.max(0.0);
            }
        }
    }

    /// Ends the lanes at their optimum and lets the steepest indices of the others enter.
    #[inline(always)]
    fn enter<I: Isa>(&mut self, problem: &Lanes, scale: I::F64, lanes: &mut [Lane; LANES]) {
        let zero = I::F64::splat(0.0);
        let (mut objective, mut residual, mut steepest) = (zero, zero, zero);
        for j in 0..problem.n {
            let b = I::F64::load(&problem.b[j]);
            let slope = product::<I>(problem, &self.x, j).sub(b);
            slope.store(&mut self.slopes[j]);
            let x = I::F64::load(&self.x[j]);
            objective = slope.sub(b).mul_add(x, objective);
            let inside = zero.lt(x);
            let up = I::F64::select(inside, slope, zero);
            residual = residual.max(zero.sub(slope)).max(up);
            steepest = steepest.min(I::F64::select(inside, zero, slope));
        }
        // Rounding errors of a slope are a few ulp of b and of K x.
        let noise = scale.mul(I::F64::splat(-4e-15));
        let limit = noise.min(steepest.mul(I::F64::splat(STEEP)));
        for ((slope, x), bits) in self.slopes.iter().zip(&self.x).zip(&mut self.flags) {
            *bits = I::F64::load(slope).lt(limit) & !zero.lt(I::F64::load(x));
        }
        let steep = transposed(&self.flags);
        let (mut o, mut r) = (Pack::ZERO, Pack::ZERO);
        objective.mul(I::F64::splat(0.5)).store(&mut o);
        residual.store(&mut r);
        for (l, lane) in lanes.iter_mut().enumerate() {
            if lane.phase != Phase::Minimum {
                continue;
            }
            lane.support |= steep[l];
            lane.phase = Phase::Step;
            if steep[l] == 0 {
                (self.objective[l], self.residual[l]) = (o.0[l], r.0[l]);
                self.solved |= 1 << l;
                lane.phase = Phase::Done;
            }
        }
    }
}

/// `(K x)_j`.
#[inline(always)]
fn product<I: Isa>(problem: &Lanes, x: &[Pack], j: usize) -> I::F64 {
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
    row.add(column)
}

/// Numbers of the bits set, ascending.
#[inline(always)]
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let bit = set.trailing_zeros() as usize;
            set &= set - 1;
            bit
        })
    })
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
