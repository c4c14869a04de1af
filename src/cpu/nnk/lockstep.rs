//! The exact optimum for eight queries at once, a query a lane.
//!
//! Coordinate descent finds most of the support. What a solve on it makes negative is left out, all
//! at once, until a feasible start remains; from there on Lawson and Hanson's algorithm, whose
//! objective falls at every step. A lane that meets a dependent column on the way, or needs too many
//! rounds, is left to [`super::active_set`]. What a lane does depends on that lane alone.

use super::factor::{self, Factor, first_columns};
use super::gram::resize;
use super::lanes::{Lanes, at};
use super::set::{Set, members, transposed};
use crate::cpu::f64x8::{F64x8, Isa, LANES, Pack};
#[allow(unused_imports, reason = "methods until they are operators")]
use std::ops::{Add as _, Div as _, Mul as _, Sub as _};

/// Rounds after which a lane is given up.
const ROUNDS: usize = 48;
/// Rows of `K x` computed together.
const TILE: usize = 4;
/// Every index whose slope is at least this share of the steepest enters at once.
const STEEP: f64 = 0.5;

/// Room for eight problems, and their solutions.
#[derive(Default)]
pub(super) struct Lockstep<S> {
    /// `x [n]`; of an unsolved lane a feasible point.
    pub(super) x: Vec<Pack>,
    /// Objective per lane.
    pub(super) objective: [f64; LANES],
    /// Largest violation of the optimality conditions per lane.
    pub(super) residual: [f64; LANES],
    /// Bit per lane that has its optimum.
    pub(super) solved: u8,
    /// The matrix restricted to the support.
    factor: Factor<S>,
    /// `K x - b`.
    slopes: Vec<Pack>,
    /// Bit per lane for each index: in the support; then: steep.
    flags: Vec<u8>,
}

/// Bytes of a [`Lockstep`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    factor::bytes(k) + (size_of::<Pack>() * 2 * k + k) as u64
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
struct Lane<S> {
    support: S,
    phase: Phase,
}

impl<S: Set> Lockstep<S> {
    /// Solves the lanes whose bit in `wanted` is set, from `sweeps` of coordinate descent.
    #[inline(always)]
    pub(super) fn solve<I: Isa>(&mut self, problem: &Lanes, sweeps: usize, wanted: u8) {
        let n = problem.n;
        resize(&mut self.x, n);
        resize(&mut self.slopes, n);
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
            if lanes.iter().all(|lane| lane.phase == Phase::Done) {
                return;
            }
            let supports = lanes.map(|lane| match lane.phase {
                Phase::Done => S::default(),
                _ => lane.support,
            });
            self.factor.solve::<I>(problem, supports);
            self.advance::<I>(&mut lanes);
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
    fn start<I: Isa>(&mut self, scale: I::F64, wanted: u8) -> [Lane<S>; LANES] {
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

    /// Takes the lanes from the solution on their support to the next support.
    #[inline(always)]
    fn advance<I: Isa>(&mut self, lanes: &mut [Lane<S>; LANES]) {
        let (dependent, negative) = (self.factor.dependent(), self.factor.negative::<I>());
        // Lanes at their minimum, and those of them whose `x` is still the descent's.
        let (mut accepted, mut fresh) = (0u8, 0u8);
        for (l, lane) in lanes.iter_mut().enumerate() {
            let (dependent, negative) = (dependent[l], negative[l]);
            match (lane.phase, dependent.is_empty(), negative.is_empty()) {
                (Phase::Done, ..) => {}
                (phase, true, true) => {
                    accepted |= 1 << l;
                    fresh |= u8::from(phase == Phase::Start) << l;
                    lane.phase = Phase::Minimum;
                }
                // Without dependent columns the rest of the factor is what it would be.
                (Phase::Start, ..) => {
                    let out = dependent | negative;
                    for (a, j) in members(self.factor.frames[l]).enumerate() {
                        if out.has(a) {
                            lane.support = lane.support & !S::run(j, 1);
                        }
                    }
                }
                (_, true, _) => self.step(l, lane),
                _ => lane.phase = Phase::Done,
            }
        }
        if fresh != 0 {
            let zero = I::F64::splat(0.0);
            for x in &mut self.x {
                I::F64::select(fresh, zero, I::F64::load(x)).store(x);
            }
        }
        if accepted != 0 {
            self.factor.accept::<I>(accepted, &mut self.x);
        }
    }

    /// Goes towards the solution until a member of the support is 0, and leaves it out.
    #[inline(always)]
    fn step(&mut self, l: usize, lane: &mut Lane<S>) {
        let support = lane.support;
        let mut step = f64::INFINITY;
        let solution = self.factor.solution();
        let members = || {
            let frame = members(self.factor.frames[l]).enumerate();
            frame.filter(|(_, j)| support.has(*j))
        };
        for (a, j) in members() {
            let (now, goal) = (self.x[j].0[l], solution[a].0[l]);
            if goal <= 0.0 {
                step = step.min(now / (now - goal).max(f64::MIN_POSITIVE));
            }
        }
        for (a, j) in members() {
            let (now, goal) = (self.x[j].0[l], solution[a].0[l]);
            let limit = now / (now - goal).max(f64::MIN_POSITIVE);
            let next = now + step * (goal - now);
            // A member that just entered stays at 0 on a step of length 0.
            if goal <= 0.0 && (limit <= step || next <= 0.0) {
                self.x[j].0[l] = 0.0;
                lane.support = lane.support & !S::run(j, 1);
            } else {
                self.x[j].0[l] = next.max(0.0);
            }
        }
    }

    /// Ends the lanes at their optimum and lets the steepest indices of the others enter.
    #[inline(always)]
    fn enter<I: Isa>(&mut self, problem: &Lanes, scale: I::F64, lanes: &mut [Lane<S>; LANES]) {
        let zero = I::F64::splat(0.0);
        let (mut objective, mut residual, mut steepest) = (zero, zero, zero);
        // Elsewhere the lanes in question are 0.
        let at_minimum = lanes.iter().filter(|lane| lane.phase == Phase::Minimum);
        let members = at_minimum.fold(S::default(), |all, lane| all | lane.support);
        let mut j = 0;
        while j + TILE <= problem.n {
            images::<I, S, TILE>(problem, &self.x, members, j, &mut self.slopes);
            j += TILE;
        }
        while j < problem.n {
            images::<I, S, 1>(problem, &self.x, members, j, &mut self.slopes);
            j += 1;
        }
        for ((slope, x), b) in self.slopes.iter_mut().zip(&self.x).zip(&problem.b) {
            let (x, b) = (I::F64::load(x), I::F64::load(b));
            let down = I::F64::load(slope).sub(b);
            down.store(slope);
            objective = down.sub(b).mul_add(x, objective);
            let inside = zero.lt(x);
            let up = I::F64::select(inside, down, zero);
            residual = residual.max(zero.sub(down)).max(up);
            steepest = steepest.min(I::F64::select(inside, zero, down));
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
            lane.support = lane.support | steep[l];
            lane.phase = Phase::Step;
            if steep[l].is_empty() {
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

/// `K x`, `R` rows from `j` on, where `x` is 0 outside of `columns`.
#[inline(always)]
fn images<I: Isa, S: Set, const R: usize>(
    problem: &Lanes,
    x: &[Pack],
    columns: S,
    j: usize,
    out: &mut [Pack],
) {
    let mut sums = [I::F64::splat(0.0); R];
    let rows = first_columns::<R>(&problem.kernel, j, j);
    let before = S::run(0, j);
    for l in members(columns & before) {
        let x = I::F64::load(&x[l]);
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum = I::F64::load(&row[l]).mul_add(x, *sum);
        }
    }
    let own = S::run(j, R);
    for l in members(columns & own) {
        let x = I::F64::load(&x[l]);
        for (i, sum) in sums.iter_mut().enumerate() {
            let place = at(l.max(j + i), l.min(j + i));
            *sum = I::F64::load(&problem.kernel[place]).mul_add(x, *sum);
        }
    }
    // Below the diagonal a row goes on as a column.
    for l in members(columns & !before & !own) {
        let x = I::F64::load(&x[l]);
        let column = &problem.kernel[at(l, j)..][..R];
        for (sum, k) in sums.iter_mut().zip(column) {
            *sum = I::F64::load(k).mul_add(x, *sum);
        }
    }
    for (sum, out) in sums.into_iter().zip(&mut out[j..]) {
        sum.store(out);
    }
}
