//! Queries that are solved one at a time, and the results of a query.

use super::active_set;
use super::layout::{flat, reset};
use super::source::Source;
use super::task::{Inputs, Task};
use super::workspace::Workspace;
use crate::ops::SUPPORT_THRESHOLD;
use crate::ops::near::{self, Optimum, settle};
use crate::simd::{Simd, SimdKernel};

/// Sweeps of coordinate descent before the active-set method.
const SWEEPS: usize = 4;

/// A query whose results are written: its number in the task, the slots of its usable candidates, its vectors.
pub(super) struct Query<'a> {
    pub(super) at: usize,
    pub(super) used: &'a [u16],
    pub(super) source: &'a Source<'a>,
}

impl Query<'_> {
    /// Writes the results. Where `some_equal`, `equal(i, j)` says which candidates the kernel cannot tell apart.
    #[inline(always)]
    pub(super) fn write(
        &self,
        inputs: &Inputs<'_>,
        task: &mut Task<'_>,
        weights: &mut [f64],
        optimum: &Optimum,
        equal: impl Fn(usize, usize) -> bool,
        some_equal: bool,
    ) {
        let (at, k) = (self.at, inputs.params.k);
        if some_equal {
            let neighbors = &task.neighbors[at * k..];
            let index = |j: usize| neighbors[usize::from(self.used[j])] as u32;
            let threshold = f64::from(SUPPORT_THRESHOLD);
            task.not_unique[at] = settle(weights, equal, self.source, index, threshold);
        }
        let out = &mut task.weights[at * k..(at + 1) * k];
        for (&slot, &weight) in self.used.iter().zip(weights.iter()) {
            out[usize::from(slot)] = weight as f32;
        }
        task.objective[at] = optimum.objective;
        task.kkt_residual[at] = optimum.residual as f32;
    }
}

/// Solves query `at` of the task in double-double arithmetic.
pub(super) fn solve_near<'a>(
    inputs: &Inputs<'a>,
    workspace: &mut Workspace<'a>,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) {
    let (source, near) = (&workspace.sources[lane], &mut workspace.near);
    let optimum = near.solve(source, inputs.params.kernel);
    workspace.weights.clear();
    workspace.weights.extend(near.weights());
    let query = Query {
        at,
        used: &workspace.used[lane],
        source,
    };
    let equal = |i: usize, j: usize| near.equal(i, j);
    query.write(inputs, task, &mut workspace.weights, &optimum, equal, true);
}

/// Solves query `at` of the task alone.
#[inline(always)]
pub(super) fn solve_single<'a, I: Simd>(
    inputs: &Inputs<'a>,
    workspace: &mut Workspace<'a>,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) {
    let source = &workspace.sources[lane];
    if source.vectors.is_empty() {
        return;
    }
    workspace.gram.build::<I>(source, inputs.params.kernel);
    if workspace.gram.has_near_vectors() {
        return solve_near(inputs, workspace, task, at, lane);
    }
    reset(&mut workspace.theta, workspace.gram.width);
    active_set::descend::<I>(&workspace.gram.problem(), SWEEPS, &mut workspace.theta);
    I::call(Alone {
        inputs,
        workspace,
        task,
        at,
        lane,
    });
}

/// Finds the optimum of the problem in `workspace.gram`, starting from the feasible `workspace.theta`, and
/// writes the results of query `at`.
pub(super) struct Alone<'a, 'w, 't> {
    pub(super) inputs: &'w Inputs<'a>,
    pub(super) workspace: &'w mut Workspace<'a>,
    pub(super) task: &'w mut Task<'t>,
    pub(super) at: usize,
    pub(super) lane: usize,
}

impl SimdKernel for Alone<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) {
        let Self {
            inputs,
            workspace,
            task,
            at,
            lane,
        } = self;
        let problem = workspace.gram.problem();
        workspace.active.solve::<I>(&problem, &mut workspace.theta);
        let mut optimum = Optimum {
            objective: 0.0,
            residual: 0.0,
        };
        workspace.weights.clear();
        for j in 0..problem.n {
            let theta = flat(&workspace.theta)[j];
            let slope = problem.slope::<I>(j, &workspace.theta);
            optimum.objective += 0.5 * theta * (slope - problem.b[j]);
            let excess = if theta > 0.0 { slope.abs() } else { -slope };
            optimum.residual = optimum.residual.max(excess);
            workspace.weights.push(theta);
        }
        let query = Query {
            at,
            used: &workspace.used[lane],
            source: &workspace.sources[lane],
        };
        let equal = |i: usize, j: usize| flat(problem.row(i))[j] > near::EQUAL;
        query.write(inputs, task, &mut workspace.weights, &optimum, equal, true);
    }
}
