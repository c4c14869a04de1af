//! The exact optimum for eight queries at once, one query in each SIMD lane.
//!
//! 1. Coordinate descent finds most of the support.
//! 2. The system on that support is solved. Members with a negative solution are removed, all at once, and the
//!    system is solved again, until the solution is feasible.
//! 3. From there Lawson and Hanson's active-set algorithm runs, whose objective falls at every step. It is the
//!    algorithm of [`super::active_set`], except that several indices may enter the support at once.
//!
//! A round solves the systems of all eight lanes; then each lane takes its own step. A lane that meets a
//! dependent column, or needs too many rounds, is left to [`super::active_set`]. Each lane's steps depend on
//! that lane alone.

use super::factor::{self, Factor};
use super::lanes::GramLanes;
use super::layout::{leading_columns, packed, reset};
use super::set::{Set, lane_sets, members};
use crate::simd::{F64_LANES, F64x8, LineF64, Simd, SimdKernel};

/// Rounds after which a lane is left to the active-set method for single queries.
const ROUNDS: usize = 48;
/// Rows of `K x` that are computed together.
const TILE: usize = 4;
/// All indices whose slope is at least this fraction of the steepest slope enter the support together.
const STEEP: f64 = 0.5;

/// The solutions of eight problems, and the working memory.
#[derive(Default)]
pub(super) struct Lockstep<S> {
    /// `x [n]`: the optimum, or a feasible point in lanes that are not solved.
    pub(super) x: Vec<LineF64>,
    /// The objective, per lane.
    pub(super) objective: [f64; F64_LANES],
    /// The largest violation of the optimality (KKT) conditions, per lane.
    pub(super) residual: [f64; F64_LANES],
    /// A bit per lane: set if the lane has its optimum.
    pub(super) solved: u8,
    /// The systems restricted to the supports.
    factor: Factor<S>,
    /// `K x - b`.
    slopes: Vec<LineF64>,
    /// A bit per lane for each index: first whether it is in the support, later whether it enters.
    flags: Vec<u8>,
}

/// Bytes of a [`Lockstep`] for `k` candidates.
pub(super) fn bytes(k: usize) -> u64 {
    factor::bytes(k) + (size_of::<LineF64>() * 2 * k + k) as u64
}

/// How far a lane is.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Removes members with a negative solution from the support that the descent found.
    Prune,
    /// `x` is feasible. New members of the support may still be 0.
    Feasible,
    /// `x` is the minimum over the support.
    Minimum,
    /// Solved, or left to the active-set method for single queries.
    Done,
}

#[derive(Clone, Copy)]
struct Lane<S> {
    support: S,
    phase: Phase,
}

impl<S: Set> Lockstep<S> {
    /// Solves the lanes whose bit in `wanted` is set, starting with `sweeps` sweeps of coordinate descent.
    #[inline(always)]
    fn solve<I: Simd>(&mut self, problem: &GramLanes, sweeps: usize, wanted: u8) {
        let n = problem.n;
        reset(&mut self.x, n);
        reset(&mut self.slopes, n);
        self.flags.clear();
        self.flags.resize(n, 0);
        self.solved = 0;
        self.descend::<I>(problem, sweeps);
        let mut scale = I::F64x8::splat(0.0);
        for b in &problem.b {
            scale = scale.max(I::F64x8::load(b));
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

    /// Coordinate descent on `min_t J(t x)`, the smallest objective over all multiples of `x`. This amounts to
    /// minimising the angle between `sum_j x_j phi_j` and the query's feature, `phi` being the feature map of
    /// the kernel. `K` has ones on its diagonal.
    ///
    /// Under the cosine kernel all candidates are similar to each other. Plain coordinate descent then makes
    /// short steps, because a single coordinate soon makes the sum too long. With the length left free,
    /// a coordinate moves according to how its candidate differs in direction from the sum.
    #[inline(always)]
    fn descend<I: Simd>(&mut self, problem: &GramLanes, sweeps: usize) {
        let Some((first, b)) = self.x.first_mut().zip(problem.b.first()) else {
            return;
        };
        let (zero, one) = (I::F64x8::splat(0.0), I::F64x8::splat(1.0));
        one.store(first);
        // square = x'Kx and share = b'x; x starts as the first candidate alone.
        let (mut square, mut share) = (one, I::F64x8::load(b));
        for _ in 0..sweeps {
            for j in 0..problem.n {
                let b = I::F64x8::load(&problem.b[j]);
                let image = product_row::<I>(problem, &self.x, j);
                let x = I::F64x8::load(&self.x[j]);
                // If the curvature is not positive, the candidate alone is better than any sum with the others,
                // and a small positive bound gives it a large weight.
                let least = share * I::F64x8::splat(1e-9);
                let least = least.max(I::F64x8::splat(f64::MIN_POSITIVE));
                let curvature = b.neg_mul_add(image, share).max(least);
                let slope = share.neg_mul_add(image, b * square);
                let next = (slope / curvature + x).max(zero);
                let step = next - x;
                square = (image + image + step).mul_add(step, square);
                share = step.mul_add(b, share);
                next.store(&mut self.x[j]);
            }
        }
        let multiple = share / square;
        for x in &mut self.x {
            (I::F64x8::load(x) * multiple).store(x);
        }
    }

    /// Takes the supports from the descent; negligible weights do not count.
    #[inline(always)]
    fn start<I: Simd>(&mut self, scale: I::F64x8, wanted: u8) -> [Lane<S>; F64_LANES] {
        let least = scale * I::F64x8::splat(1e-12);
        for (x, bits) in self.x.iter().zip(&mut self.flags) {
            *bits = least.lt(I::F64x8::load(x));
        }
        let support = lane_sets(&self.flags);
        std::array::from_fn(|l| Lane {
            support: support[l],
            phase: match wanted >> l & 1 {
                1 => Phase::Prune,
                _ => Phase::Done,
            },
        })
    }

    /// After the systems are solved: takes each lane to its next support or to its minimum.
    #[inline(always)]
    fn advance<I: Simd>(&mut self, lanes: &mut [Lane<S>; F64_LANES]) {
        let (dependent, negative) = (self.factor.dependent(), self.factor.negative::<I>());
        // The lanes whose solution is their minimum, and those of them whose `x` is still the descent's.
        let (mut accepted, mut fresh) = (0u8, 0u8);
        for (l, lane) in lanes.iter_mut().enumerate() {
            let (dependent, negative) = (dependent[l], negative[l]);
            match (lane.phase, dependent.is_empty(), negative.is_empty()) {
                (Phase::Done, ..) => {}
                (phase, true, true) => {
                    accepted |= 1 << l;
                    fresh |= u8::from(phase == Phase::Prune) << l;
                    lane.phase = Phase::Minimum;
                }
                // A dependent column is 0 in the factor, so the other rows are solved as if it were left out.
                // Dependent and negative members therefore leave together.
                (Phase::Prune, ..) => {
                    let out = dependent | negative;
                    for (a, j) in members(self.factor.frames[l]).enumerate() {
                        if out.contains(a) {
                            lane.support = lane.support & !S::range(j, 1);
                        }
                    }
                }
                (_, true, _) => self.step(l, lane),
                _ => lane.phase = Phase::Done,
            }
        }
        if fresh != 0 {
            let zero = I::F64x8::splat(0.0);
            for x in &mut self.x {
                I::F64x8::select(fresh, zero, I::F64x8::load(x)).store(x);
            }
        }
        if accepted != 0 {
            self.factor.accept::<I>(accepted, &mut self.x);
        }
    }

    /// Moves `x` of lane `l` towards the solution until a member of the support reaches 0, and removes it.
    #[inline(always)]
    fn step(&mut self, l: usize, lane: &mut Lane<S>) {
        let support = lane.support;
        let mut step = f64::INFINITY;
        let solution = self.factor.solution();
        let members = || {
            let frame = members(self.factor.frames[l]).enumerate();
            frame.filter(|(_, j)| support.contains(*j))
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
            // A member that has just entered is still 0, and stays 0 if the step has length 0.
            if goal <= 0.0 && (limit <= step || next <= 0.0) {
                self.x[j].0[l] = 0.0;
                lane.support = lane.support & !S::range(j, 1);
            } else {
                self.x[j].0[l] = next.max(0.0);
            }
        }
    }

    /// For the lanes at the minimum over their support: those that satisfy the optimality conditions are done,
    /// in the others the indices with the steepest slopes enter the support.
    #[inline(always)]
    fn enter<I: Simd>(
        &mut self,
        problem: &GramLanes,
        scale: I::F64x8,
        lanes: &mut [Lane<S>; F64_LANES],
    ) {
        let zero = I::F64x8::splat(0.0);
        let (mut objective, mut residual, mut steepest) = (zero, zero, zero);
        // Outside these members, `x` is 0 in the lanes in question.
        let at_minimum = lanes.iter().filter(|lane| lane.phase == Phase::Minimum);
        let members = at_minimum.fold(S::default(), |all, lane| all | lane.support);
        let mut j = 0;
        while j + TILE <= problem.n {
            product_rows::<I, S, TILE>(problem, &self.x, members, j, &mut self.slopes);
            j += TILE;
        }
        while j < problem.n {
            product_rows::<I, S, 1>(problem, &self.x, members, j, &mut self.slopes);
            j += 1;
        }
        for ((slopes, x), b) in self.slopes.iter_mut().zip(&self.x).zip(&problem.b) {
            let (x, b) = (I::F64x8::load(x), I::F64x8::load(b));
            let slope = I::F64x8::load(slopes) - b;
            slope.store(slopes);
            // 2 J = x'Kx - 2 b'x = sum_j x_j (slope_j - b_j).
            objective = (slope - b).mul_add(x, objective);
            // The slope must be 0 where x is positive, and must not be negative elsewhere.
            let positive = zero.lt(x);
            let excess = I::F64x8::select(positive, slope, zero);
            residual = residual.max(zero - slope).max(excess);
            steepest = steepest.min(I::F64x8::select(positive, zero, slope));
        }
        // Slopes carry rounding errors of a few ulp of b and of K x.
        let noise = scale * I::F64x8::splat(-4e-15);
        let limit = noise.min(steepest * I::F64x8::splat(STEEP));
        for ((slope, x), bits) in self.slopes.iter().zip(&self.x).zip(&mut self.flags) {
            *bits = I::F64x8::load(slope).lt(limit) & !zero.lt(I::F64x8::load(x));
        }
        let steep = lane_sets(&self.flags);
        let (mut objectives, mut residuals) = (LineF64::ZERO, LineF64::ZERO);
        (objective * I::F64x8::splat(0.5)).store(&mut objectives);
        residual.store(&mut residuals);
        for (l, lane) in lanes.iter_mut().enumerate() {
            if lane.phase != Phase::Minimum {
                continue;
            }
            lane.support = lane.support | steep[l];
            lane.phase = Phase::Feasible;
            if steep[l].is_empty() {
                self.objective[l] = objectives.0[l];
                self.residual[l] = residuals.0[l];
                self.solved |= 1 << l;
                lane.phase = Phase::Done;
            }
        }
    }
}

/// The kernel: solves the lanes of `problem` whose bit in `wanted` is set, starting with `sweeps` sweeps of coordinate
/// descent.
pub(super) struct Solve<'l, S> {
    pub(super) lockstep: &'l mut Lockstep<S>,
    pub(super) problem: &'l GramLanes,
    pub(super) sweeps: usize,
    pub(super) wanted: u8,
}

impl<S: Set> SimdKernel for Solve<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) {
        (self.lockstep).solve::<I>(self.problem, self.sweeps, self.wanted);
    }
}

/// `(K x)_j`.
#[inline(always)]
fn product_row<I: Simd>(problem: &GramLanes, x: &[LineF64], j: usize) -> I::F64x8 {
    let mut row = I::F64x8::splat(0.0);
    for (k, x) in problem.kernel[packed(j, 0)..=packed(j, j)].iter().zip(x) {
        row = I::F64x8::load(k).mul_add(I::F64x8::load(x), row);
    }
    // To the right of the diagonal, row j of the symmetric matrix is stored as column j.
    let mut column = I::F64x8::splat(0.0);
    let mut place = packed(j + 1, j);
    for (l, x) in (j + 1..).zip(&x[j + 1..]) {
        column = I::F64x8::load(&problem.kernel[place]).mul_add(I::F64x8::load(x), column);
        place += l + 1;
    }
    row + column
}

/// The `R` rows from `j` on of `K x`, for an `x` that is 0 outside of `columns`.
#[inline(always)]
fn product_rows<I: Simd, S: Set, const R: usize>(
    problem: &GramLanes,
    x: &[LineF64],
    columns: S,
    j: usize,
    out: &mut [LineF64],
) {
    let mut sums = [I::F64x8::splat(0.0); R];
    let rows = leading_columns::<R>(&problem.kernel, j, j);
    let before = S::range(0, j);
    for l in members(columns & before) {
        let x = I::F64x8::load(&x[l]);
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum = I::F64x8::load(&row[l]).mul_add(x, *sum);
        }
    }
    let own = S::range(j, R);
    for l in members(columns & own) {
        let x = I::F64x8::load(&x[l]);
        for (i, sum) in sums.iter_mut().enumerate() {
            let place = packed(l.max(j + i), l.min(j + i));
            *sum = I::F64x8::load(&problem.kernel[place]).mul_add(x, *sum);
        }
    }
    // To the right of the diagonal, rows of the symmetric matrix are stored as columns.
    for l in members(columns & !before & !own) {
        let x = I::F64x8::load(&x[l]);
        let column = &problem.kernel[packed(l, j)..][..R];
        for (sum, k) in sums.iter_mut().zip(column) {
            *sum = I::F64x8::load(k).mul_add(x, *sum);
        }
    }
    for (sum, out) in sums.into_iter().zip(&mut out[j..]) {
        sum.store(out);
    }
}
