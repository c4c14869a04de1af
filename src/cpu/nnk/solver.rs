//! Solves the queries of one task, eight at a time.

use super::components::{Components, CountTaken, take_dots};
use super::lanes::{Build, keeps_dots};
use super::layout::{flat_mut, packed, reset};
use super::lockstep::{Lockstep, Solve};
use super::pca::{self, Pca};
use super::set::{Set, Set256};
use super::single::{Alone, Query, solve_near, solve_single};
use super::source::{Source, prefetch_values};
use super::task::{Inputs, Task};
use super::workspace::Workspace;
use crate::Result;
use crate::cpu::Candidate;
use crate::ops::near::{self, Optimum};
use crate::ops::{GraphParams, Identical, Kernel, missing_vectors};
use crate::simd::{F64_LANES, Simd, SimdKernel, prefetch};
use crate::tensor::Values;

/// Leading values of a candidate's vector that are prefetched. Those of eight queries fit the L1 cache.
const PREFETCHED: usize = 32;

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
        let keeps_dots = keeps_dots(inputs.params, inputs.queries.dim);
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
            if keeps_dots {
                for lane in lanes {
                    let weights = &task.weights[(first + lane) * k..][..k];
                    let (dots, dim) = (&workspace.lanes.dots, inputs.queries.dim);
                    take_dots(pca, (dots, lane), &workspace.used[lane], weights, dim);
                }
                let done = total.min(first + F64_LANES);
                if done.is_multiple_of(pca::BATCH) || done == total {
                    let first = (done - 1) / pca::BATCH * pca::BATCH;
                    I::call(CountTaken {
                        inputs,
                        polytope: &mut polytopes[0],
                        pca: &mut *pca,
                        task: &mut task,
                        queries: first..done,
                    });
                }
            }
        }
        if inputs.params.pca_dimension && !keeps_dots {
            I::call(Components {
                inputs,
                polytopes,
                pca,
                task: &mut task,
            });
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
fn solve_lockstep<'a, I: Simd, S: Set>(
    inputs: &Inputs<'a>,
    workspace: &mut Workspace<'a>,
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
    I::call(Build {
        lanes: &mut workspace.lanes,
        sources: &workspace.sources,
        params: inputs.params,
        dim,
    });
    let near = workspace.lanes.near & wanted;
    for lane in (0..F64_LANES).filter(|l| near >> l & 1 == 1) {
        solve_near(inputs, workspace, task, first + lane, lane);
    }
    let wanted = wanted & !near;
    I::call(Solve {
        lockstep,
        problem: &workspace.lanes,
        sweeps: lockstep_sweeps(inputs.params.kernel),
        wanted,
    });
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
            I::call(Alone {
                inputs,
                workspace,
                task,
                at,
                lane,
            });
        }
    }
}
