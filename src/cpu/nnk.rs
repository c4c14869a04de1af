//! Exact non-negative kernel regression (definitions, section 3; arXiv 1910.09383).
//!
//! Every query is a problem of its own, solved by one thread in one order, so the result does not
//! depend on the block, the thread count or the memory cap.

mod active_set;
mod gram;
mod lanes;
mod pca;
mod pivot;

use super::f64x8::{self, Isa, LANES, Pack, Work};
use super::simd::InstructionSet;
use super::{Candidate, Candidates, Cpu, Points};
use crate::device::{
    GraphBlock, GraphParams, Identical, Kernel, SUPPORT_THRESHOLD, Sigma, Vectors,
};
use crate::{Error, Result};
use active_set::ActiveSet;
use gram::{Gram, flat, flat_mut, packs, resize};
use lanes::{Lanes, Source};
use pca::Pca;
use pivot::Pivot;
use rayon::prelude::*;
use std::ops::Range;

/// Queries of one task: enough to outweigh its cost, few enough to keep threads evenly busy.
const TASK: usize = 64;
/// Sweeps of coordinate descent before the exact method.
const SWEEPS: usize = 4;

/// Bytes of working memory for `threads` threads.
pub(super) fn scratch_bytes(threads: usize, k: usize, dim: usize) -> u64 {
    let one = gram::bytes(k, dim) + active_set::bytes(k) + pca::bytes(k, dim) + 16 * k as u64;
    let eight = match k <= pivot::MOST {
        true => lanes::bytes(k, dim) + pivot::bytes(k),
        false => 0,
    };
    threads as u64 * (one + eight)
}

/// Solves every query of `rows` in every group.
pub(super) fn solve(
    queries: &Points,
    rows: Range<usize>,
    candidates: &Candidates,
    vectors: Vectors<'_, Cpu>,
    params: &GraphParams,
    set: InstructionSet,
) -> Result<GraphBlock> {
    let inputs = Inputs::new(queries, rows, candidates, vectors, params)?;
    let (total, k) = (inputs.groups * inputs.count, params.k);
    let mut block = GraphBlock {
        neighbors: vec![-1; total * k],
        sq_distances: vec![0.0; total * k],
        weights: vec![0.0; total * k],
        objective: vec![0.0; total],
        kkt_residual: vec![0.0; total],
        pca_dimension: vec![0; total],
        degenerate: vec![false; total],
    };
    let tasks = split(&mut block, k);
    tasks
        .into_par_iter()
        .try_for_each_init(Scratch::default, |scratch, task| {
            let work = Solve {
                inputs: &inputs,
                scratch,
                task,
            };
            f64x8::dispatch(set, work)
        })?;
    Ok(block)
}

/// What all queries share.
struct Inputs<'a> {
    queries: &'a Points,
    rows: Range<usize>,
    candidates: &'a Candidates,
    vectors: Vectors<'a, Cpu>,
    params: &'a GraphParams,
    groups: usize,
    count: usize,
}

impl<'a> Inputs<'a> {
    fn new(
        queries: &'a Points,
        rows: Range<usize>,
        candidates: &'a Candidates,
        vectors: Vectors<'a, Cpu>,
        params: &'a GraphParams,
    ) -> Result<Self> {
        let (groups, count, dim) = (queries.groups, rows.len(), queries.dim);
        let fits = match vectors {
            Vectors::Points(p) => p.groups == groups && p.dim == dim,
            Vectors::Gathered(t) => t.shape() == [groups, count, params.k, dim],
        };
        if !fits || rows.end > queries.rows {
            return Err(Error::Shape(format!(
                "the candidates' vectors do not belong to {count} queries of {groups} groups with {dim} numbers"
            )));
        }
        Ok(Self {
            queries,
            rows,
            candidates,
            vectors,
            params,
            groups,
            count,
        })
    }

    /// Group and query number `at` of all.
    #[inline(always)]
    fn place(&self, at: usize) -> (usize, usize) {
        (at / self.count, at % self.count)
    }

    /// Vector of the candidate in `slot` of query number `at`, known to be there.
    #[inline(always)]
    fn used(&self, at: usize, slot: u16) -> &'a [f32] {
        let (group, query) = self.place(at);
        let index = self.candidates.list(group, query)[usize::from(slot)].index;
        self.vector(group, query, usize::from(slot), index)
            .unwrap_or(&[])
    }

    /// Vector of candidate `slot` (sample `index`) of a query, `None` if it is not there.
    #[inline(always)]
    fn vector(&self, group: usize, query: usize, slot: usize, index: u32) -> Option<&'a [f32]> {
        match self.vectors {
            Vectors::Points(p) => {
                let row = (index as usize).checked_sub(p.first)?;
                (row < p.rows).then(|| p.row(group, row))
            }
            Vectors::Gathered(t) => {
                let dim = self.queries.dim;
                let at = ((group * self.count + query) * self.params.k + slot) * dim;
                t.data().get(at..at + dim)
            }
        }
    }
}

/// Results of [`TASK`] queries, the first of them `first` in `[groups, Q]`.
struct Task<'a> {
    first: usize,
    neighbors: &'a mut [i32],
    sq_distances: &'a mut [f32],
    weights: &'a mut [f32],
    objective: &'a mut [f64],
    kkt_residual: &'a mut [f32],
    pca_dimension: &'a mut [u16],
    degenerate: &'a mut [bool],
}

fn split(block: &mut GraphBlock, k: usize) -> Vec<Task<'_>> {
    let slots = block
        .neighbors
        .chunks_mut(TASK * k)
        .zip(block.sq_distances.chunks_mut(TASK * k))
        .zip(block.weights.chunks_mut(TASK * k));
    let queries = block
        .objective
        .chunks_mut(TASK)
        .zip(block.kkt_residual.chunks_mut(TASK))
        .zip(block.pca_dimension.chunks_mut(TASK))
        .zip(block.degenerate.chunks_mut(TASK));
    let tasks = slots.zip(queries).enumerate().map(
        |(
            i,
            (
                ((neighbors, sq_distances), weights),
                (((objective, kkt_residual), pca_dimension), degenerate),
            ),
        )| Task {
            first: i * TASK,
            neighbors,
            sq_distances,
            weights,
            objective,
            kkt_residual,
            pca_dimension,
            degenerate,
        },
    );
    tasks.collect()
}

/// Working memory of one thread.
#[derive(Default)]
struct Scratch {
    /// Slots of the candidates in use, per lane.
    used: [Vec<u16>; LANES],
    lanes: Lanes,
    pivot: Pivot,
    gram: Gram,
    active: ActiveSet,
    pca: Pca,
    theta: Vec<Pack>,
}

struct Solve<'a, 't> {
    inputs: &'a Inputs<'a>,
    scratch: &'a mut Scratch,
    task: Task<'t>,
}

impl Work for Solve<'_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Result<()> {
        let Self {
            inputs,
            scratch,
            mut task,
        } = self;
        let total = task.objective.len();
        for first in (0..total).step_by(LANES) {
            let count = LANES.min(total - first);
            let mut sources = [EMPTY; LANES];
            for (lane, source) in sources[..count].iter_mut().enumerate() {
                let used = &mut scratch.used[lane];
                *source = prepare(inputs, &mut task, first + lane, used)?;
            }
            if inputs.params.k <= pivot::MOST {
                together::<I>(inputs, scratch, &mut task, first, &sources);
            } else {
                for lane in 0..count {
                    alone::<I>(
                        inputs,
                        scratch,
                        &mut task,
                        first + lane,
                        &sources[lane],
                        lane,
                    );
                }
            }
            for lane in 0..count {
                let used = &mut scratch.used[lane];
                dimension::<I>(inputs, &mut scratch.pca, used, &mut task, first + lane);
            }
        }
        Ok(())
    }
}

/// No query.
const EMPTY: Source<'static> = Source {
    query: &[],
    inverse: 0.0,
    n: 0,
};

/// Lists the candidates of query `at` of the task and finds out which are in use. A degenerate query
/// has none.
#[inline(always)]
fn prepare<'a>(
    inputs: &Inputs<'a>,
    task: &mut Task<'_>,
    at: usize,
    used: &mut Vec<u16>,
) -> Result<Source<'a>> {
    let k = inputs.params.k;
    let (group, query) = inputs.place(task.first + at);
    let list = inputs.candidates.list(group, query);
    let slots = at * k..(at + 1) * k;
    let neighbors = &mut task.neighbors[slots.clone()];
    let sq_distances = &mut task.sq_distances[slots];
    for (slot, c) in list.iter().enumerate() {
        neighbors[slot] = c.index as i32;
        sq_distances[slot] = c.sq_distance as f32;
        if inputs.vector(group, query, slot, c.index).is_none() {
            return Err(Error::Shape(format!(
                "candidate {} of query {query} lies outside the block of points given",
                c.index
            )));
        }
    }
    let row = inputs.queries.row(group, inputs.rows.start + query);
    let inverse = usable(inputs.params, row, list, used);
    task.degenerate[at] = inverse.is_none();
    if inverse.is_none() {
        used.clear();
    }
    Ok(Source {
        query: row,
        inverse: inverse.unwrap_or(0.0),
        n: used.len(),
    })
}

/// Puts the slots of the candidates in use into `used` and returns `1 / (2 s^2)`; `None` if the
/// query is degenerate.
#[inline(always)]
fn usable(
    params: &GraphParams,
    row: &[f32],
    list: &[Candidate],
    used: &mut Vec<u16>,
) -> Option<f64> {
    let apart = |slot: &u16| list[usize::from(*slot)].sq_distance > 0.0;
    used.clear();
    used.extend(0..list.len() as u16);
    if params.identical == Identical::Drop && used.iter().any(apart) {
        used.retain(apart);
    }
    let last = list[usize::from(*used.last()?)].sq_distance;
    match (params.kernel, params.sigma) {
        (Kernel::Cosine, _) => row.iter().any(|&x| x != 0.0).then_some(0.0),
        // s = sqrt(last) / 3
        (Kernel::Gaussian, Sigma::KthThird) => (last > 0.0).then(|| 4.5 / last),
        // A bandwidth whose square underflows still separates all distinct points.
        (Kernel::Gaussian, Sigma::Fixed(s)) => Some((0.5 / (s * s)).min(1e300)),
    }
}

/// Solves eight queries from `first` on, a lane each.
#[inline(always)]
fn together<I: Isa>(
    inputs: &Inputs<'_>,
    scratch: &mut Scratch,
    task: &mut Task<'_>,
    first: usize,
    sources: &[Source<'_>; LANES],
) {
    let wanted = (0..LANES).fold(0, |m, l| m | u8::from(sources[l].n > 0) << l);
    if wanted == 0 {
        return;
    }
    let used = &scratch.used;
    let vector = |lane: usize, j: usize| inputs.used(task.first + first + lane, used[lane][j]);
    let dim = inputs.queries.dim;
    scratch
        .lanes
        .build::<I>(sources, vector, inputs.params.kernel, dim);
    scratch.pivot.solve::<I>(&scratch.lanes, wanted);
    let k = inputs.params.k;
    for (lane, source) in sources.iter().enumerate().filter(|(_, s)| s.n > 0) {
        let at = first + lane;
        if scratch.pivot.solved >> lane & 1 == 1 {
            let weights = &mut task.weights[at * k..(at + 1) * k];
            for (&slot, x) in scratch.used[lane].iter().zip(&scratch.pivot.x) {
                weights[usize::from(slot)] = x.0[lane] as f32;
            }
            task.objective[at] = scratch.pivot.objective[lane];
            task.kkt_residual[at] = scratch.pivot.residual[lane] as f32;
        } else {
            scratch.gram.extract(&scratch.lanes, lane, source.n);
            resize(&mut scratch.theta, packs(source.n));
            for (j, x) in scratch.pivot.x[..source.n].iter().enumerate() {
                flat_mut(&mut scratch.theta)[j] = x.0[lane];
            }
            finish::<I>(inputs, scratch, task, at, lane);
        }
    }
}

/// Solves query `at` of the task by itself.
#[inline(always)]
fn alone<I: Isa>(
    inputs: &Inputs<'_>,
    scratch: &mut Scratch,
    task: &mut Task<'_>,
    at: usize,
    source: &Source<'_>,
    lane: usize,
) {
    if source.n == 0 {
        return;
    }
    let slots = scratch.used[lane].iter();
    let vectors = slots.map(|&slot| inputs.used(task.first + at, slot));
    let kernel = inputs.params.kernel;
    scratch
        .gram
        .build::<I>(source.query, vectors, kernel, source.inverse);
    resize(&mut scratch.theta, scratch.gram.width);
    active_set::descend::<I>(&scratch.gram.problem(), SWEEPS, &mut scratch.theta);
    finish::<I>(inputs, scratch, task, at, lane);
}

/// Takes the problem in `scratch.gram` from the feasible `scratch.theta` to the optimum.
#[inline(always)]
fn finish<I: Isa>(
    inputs: &Inputs<'_>,
    scratch: &mut Scratch,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) {
    let problem = scratch.gram.problem();
    scratch.active.solve::<I>(&problem, &mut scratch.theta);
    let (mut objective, mut residual) = (0.0, 0.0f64);
    let k = inputs.params.k;
    for (j, &slot) in scratch.used[lane].iter().enumerate() {
        let (theta, slope) = (
            flat(&scratch.theta)[j],
            problem.slope::<I>(j, &scratch.theta),
        );
        objective += 0.5 * theta * (slope - problem.b[j]);
        residual = residual.max(if theta > 0.0 { slope.abs() } else { -slope });
        task.weights[at * k + usize::from(slot)] = theta as f32;
    }
    task.objective[at] = objective;
    task.kkt_residual[at] = residual as f32;
}

/// Counts the principal components of the polytope of query `at`.
#[inline(always)]
fn dimension<I: Isa>(
    inputs: &Inputs<'_>,
    pca: &mut Pca,
    used: &mut Vec<u16>,
    task: &mut Task<'_>,
    at: usize,
) {
    let weights = &task.weights[at * inputs.params.k..(at + 1) * inputs.params.k];
    used.retain(|&slot| weights[usize::from(slot)] > SUPPORT_THRESHOLD);
    let (group, query) = inputs.place(task.first + at);
    let row = inputs.queries.row(group, inputs.rows.start + query);
    let support = used.iter().map(|&slot| inputs.used(task.first + at, slot));
    task.pca_dimension[at] = pca.dimension::<I>(row, support);
}
