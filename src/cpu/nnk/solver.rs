//! Solves the queries of one task, eight at a time.

use super::active_set::{self, ActiveSet};
use super::gram::Gram;
use super::lanes::GramLanes;
use super::layout::{flat, flat_mut, packed, reset};
use super::lockstep::Lockstep;
use super::pca::{self, Pca};
use super::set::{Set, Set256};
use super::source::{Source, Sources, prefetch_values};
use super::task::{Inputs, Task};
use crate::Result;
use crate::cpu::Candidate;
use crate::ops::near::{self, Near, Optimum, settle};
use crate::ops::{GraphParams, Identical, Kernel, SUPPORT_THRESHOLD, missing_vectors};
use crate::simd::{F64_LANES, LineF64, Simd, SimdKernel, prefetch};
use crate::tensor::Values;

/// Leading values of a candidate's vector that are prefetched. Those of eight queries fit the L1 cache.
const PREFETCHED: usize = 32;
/// Sweeps of coordinate descent before the active-set method, for a query solved alone.
const SINGLE_SWEEPS: usize = 4;

/// Sweeps of coordinate descent before the active-set method, for eight queries in lockstep.
const fn lockstep_sweeps(kernel: Kernel) -> usize {
    match kernel {
        Kernel::Gaussian => 3,
        // Under the cosine kernel candidates are more alike, so that more work is left after a sweep than a
        // sweep costs.
        Kernel::Cosine => 6,
    }
}

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Scratch<'a> {
    workspace: Workspace<'a>,
    // One of the three is used, the smallest that holds the candidates.
    lockstep_64: Lockstep<u64>,
    lockstep_128: Lockstep<u128>,
    lockstep_256: Lockstep<Set256>,
    /// The queries and the vectors of their supports, for the principal components.
    polytopes: [Source<'a>; pca::BATCH],
    pca: Pca,
}

/// Working memory that does not depend on the type of the bit sets.
#[derive(Default)]
struct Workspace<'a> {
    /// Slots of the usable candidates in the query's candidate list, per lane.
    used: [Vec<u16>; F64_LANES],
    /// The lanes' queries and the vectors of their usable candidates, in the order of `used`.
    sources: Sources<'a>,
    /// Kernel matrices of eight queries.
    lanes: GramLanes,
    /// Kernel matrix of a query that is solved alone.
    gram: Gram,
    active: ActiveSet,
    /// Weights of a query that is solved alone.
    theta: Vec<LineF64>,
    near: Near,
    /// Weights of the query whose results are written.
    weights: Vec<f64>,
}

/// The kernel: solves all queries of `task`.
pub(super) struct Solver<'a, 's, 't> {
    pub(super) inputs: &'s Inputs<'a>,
    pub(super) scratch: &'s mut Scratch<'a>,
    pub(super) task: Task<'t>,
}

impl SimdKernel for Solver<'_, '_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<I: Simd, const R: usize, const V: usize>(self) -> Result<()> {
        let Self {
            inputs,
            scratch,
            mut task,
        } = self;
        let Scratch {
            workspace,
            lockstep_64,
            lockstep_128,
            lockstep_256,
            polytopes,
            pca,
        } = scratch;
        let k = inputs.params.k;
        let total = task.objective.len();
        for first in (0..total).step_by(F64_LANES) {
            let lanes = 0..F64_LANES.min(total - first);
            for source in &mut workspace.sources {
                source.vectors.clear();
            }
            for lane in lanes.clone() {
                prepare_query(inputs, workspace, &mut task, first + lane, lane)?;
            }
            if k <= <u64 as Set>::CAPACITY {
                solve_lockstep::<I, u64>(inputs, workspace, lockstep_64, &mut task, first);
            } else if k <= <u128 as Set>::CAPACITY {
                solve_lockstep::<I, u128>(inputs, workspace, lockstep_128, &mut task, first);
            } else if k <= Set256::CAPACITY {
                solve_lockstep::<I, Set256>(inputs, workspace, lockstep_256, &mut task, first);
            } else {
                for lane in lanes.clone() {
                    solve_single::<I>(inputs, workspace, &mut task, first + lane, lane);
                }
            }
        }
        if inputs.params.pca_dimension {
            count_components::<I>(inputs, polytopes, pca, &mut task);
        }
        Ok(())
    }
}

/// Writes the candidate list of query `at` of the task to its results and collects the vectors of the usable
/// candidates in `lane`. A degenerate query gets none.
#[inline(always)]
fn prepare_query<'a>(
    inputs: &Inputs<'a>,
    workspace: &mut Workspace<'a>,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) -> Result<()> {
    let k = inputs.params.k;
    let (group, query) = inputs.place(task.first + at);
    let list = inputs.candidates.list(group, query);
    let ahead = task.first + at + F64_LANES;
    if ahead < inputs.groups * inputs.count {
        let (group, query) = inputs.place(ahead);
        prefetch(inputs.candidates.list(group, query));
    }
    let neighbors = &mut task.neighbors[at * k..(at + 1) * k];
    let sq_distances = &mut task.sq_distances[at * k..(at + 1) * k];
    let (neighbors, missing) = neighbors.split_at_mut(list.len());
    for ((c, neighbor), sq_distance) in list.iter().zip(neighbors).zip(sq_distances) {
        *neighbor = c.index as i32;
        *sq_distance = c.sq_distance;
    }
    missing.fill(-1);
    let used = &mut workspace.used[lane];
    let source = &mut workspace.sources[lane];
    source.query = inputs.queries.row(group, inputs.rows.start + query);
    let gamma = select_candidates(inputs.params, source.query, list, used);
    task.degenerate[at] = gamma.is_none();
    source.gamma = gamma.unwrap_or(0.0);
    if gamma.is_none() {
        used.clear();
    }
    for &slot in used.iter() {
        let index = list[usize::from(slot)].index;
        let vector = inputs.vector(group, query, usize::from(slot), index);
        let vector = vector.ok_or_else(|| missing_vectors(query))?;
        // The vectors lie far apart in memory, and are read only after all eight queries are prepared.
        prefetch_values(vector.slice(0..vector.len().min(PREFETCHED)));
        source.vectors.push(vector);
    }
    Ok(())
}

/// Puts the slots of the usable candidates into `used` and returns `gamma = 1 / (2 s^2)` (0 under cosine), or
/// `None` if the query is degenerate.
#[inline(always)]
fn select_candidates(
    params: &GraphParams,
    row: Values<'_>,
    list: &[Candidate],
    used: &mut Vec<u16>,
) -> Option<f64> {
    let distinct = |slot: &u16| list[usize::from(*slot)].sq_distance > 0.0;
    used.clear();
    used.extend(0..list.len() as u16);
    if params.identical == Identical::Drop && used.iter().any(distinct) {
        used.retain(distinct);
    }
    let last = list[usize::from(*used.last()?)].sq_distance;
    if params.kernel == Kernel::Cosine && row.are_zero() {
        return None;
    }
    params.gamma(last)
}

/// Solves the eight queries from `first` on, one in each lane.
#[inline(always)]
fn solve_lockstep<I: Simd, S: Set>(
    inputs: &Inputs<'_>,
    workspace: &mut Workspace<'_>,
    lockstep: &mut Lockstep<S>,
    task: &mut Task<'_>,
    first: usize,
) {
    let dim = inputs.queries.dim;
    let busy = |s: &Source<'_>| !s.vectors.is_empty();
    let wanted = (0..F64_LANES).fold(0, |m, l| m | u8::from(busy(&workspace.sources[l])) << l);
    if wanted == 0 {
        return;
    }
    workspace
        .lanes
        .build::<I>(&workspace.sources, inputs.params.kernel, dim);
    let near = workspace.lanes.near & wanted;
    for lane in (0..F64_LANES).filter(|l| near >> l & 1 == 1) {
        solve_near(inputs, workspace, task, first + lane, lane);
    }
    let wanted = wanted & !near;
    lockstep.solve::<I>(
        &workspace.lanes,
        lockstep_sweeps(inputs.params.kernel),
        wanted,
    );
    for lane in (0..F64_LANES).filter(|l| wanted >> l & 1 == 1) {
        let (at, used) = (first + lane, &workspace.used[lane]);
        let x = lockstep.x.iter().take(used.len()).map(|x| x.0[lane]);
        if lockstep.solved >> lane & 1 == 1 {
            workspace.weights.clear();
            workspace.weights.extend(x);
            let kernel = &workspace.lanes.kernel;
            let equal =
                |i: usize, j: usize| kernel[packed(i.max(j), i.min(j))].0[lane] > near::EQUAL;
            let some_equal = workspace.lanes.equal >> lane & 1 == 1;
            let optimum = Optimum {
                objective: lockstep.objective[lane],
                residual: lockstep.residual[lane],
            };
            let query = Query {
                at,
                used,
                source: &workspace.sources[lane],
            };
            query.write(
                inputs,
                task,
                &mut workspace.weights,
                &optimum,
                equal,
                some_equal,
            );
        } else {
            workspace.gram.extract(&workspace.lanes, lane, used.len());
            reset(&mut workspace.theta, workspace.gram.width);
            for (theta, x) in flat_mut(&mut workspace.theta).iter_mut().zip(x) {
                *theta = x;
            }
            solve_active_set::<I>(inputs, workspace, task, at, lane);
        }
    }
}

/// A query whose results are written: its number in the task, the slots of its usable candidates, its vectors.
struct Query<'a> {
    at: usize,
    used: &'a [u16],
    source: &'a Source<'a>,
}

impl Query<'_> {
    /// Writes the results. Where `some_equal`, `equal(i, j)` says which candidates the kernel cannot tell apart.
    #[inline(always)]
    fn write(
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
fn solve_near(
    inputs: &Inputs<'_>,
    workspace: &mut Workspace<'_>,
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
fn solve_single<I: Simd>(
    inputs: &Inputs<'_>,
    workspace: &mut Workspace<'_>,
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
    active_set::descend::<I>(
        &workspace.gram.problem(),
        SINGLE_SWEEPS,
        &mut workspace.theta,
    );
    solve_active_set::<I>(inputs, workspace, task, at, lane);
}

/// Finds the optimum of the problem in `workspace.gram`, starting from the feasible `workspace.theta`, and
/// writes the results of query `at`.
#[inline(always)]
fn solve_active_set<I: Simd>(
    inputs: &Inputs<'_>,
    workspace: &mut Workspace<'_>,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) {
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

/// Counts the principal components of all queries of the task, whose weights are known by now.
#[inline(always)]
fn count_components<'a, I: Simd>(
    inputs: &Inputs<'a>,
    polytopes: &mut [Source<'a>; pca::BATCH],
    pca: &mut Pca,
    task: &mut Task<'_>,
) {
    let k = inputs.params.k;
    let batches = task.pca_dimension.chunks_mut(pca::BATCH);
    for (first, out) in (0..).step_by(pca::BATCH).zip(batches) {
        for (at, polytope) in (first..).zip(polytopes.iter_mut()) {
            polytope.query = Values::default();
            polytope.vectors.clear();
            if at < first + out.len() {
                let (group, query) = inputs.place(task.first + at);
                polytope.query = inputs.queries.row(group, inputs.rows.start + query);
                let slots = task.weights[at * k..][..k]
                    .iter()
                    .zip(&task.neighbors[at * k..]);
                for (slot, (_, &index)) in slots
                    .enumerate()
                    .filter(|(_, (w, _))| **w > SUPPORT_THRESHOLD)
                {
                    // A positive weight belongs to a usable candidate, so its vector exists.
                    polytope
                        .vectors
                        .extend(inputs.vector(group, query, slot, index as u32));
                }
            }
        }
        pca.dimensions::<I>(polytopes, inputs.queries.dim, out);
    }
}
