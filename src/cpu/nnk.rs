//! Exact non-negative kernel regression (definitions, section 3; arXiv 1910.09383).
//!
//! Every query is a problem of its own, solved by one thread in one order, so the result does not
//! depend on the block, the thread count or the memory cap.

mod active_set;
mod gram;
mod pca;

use super::f64x8::{self, Isa, Pack, Work};
use super::simd::InstructionSet;
use super::{Candidates, Cpu, Points};
use crate::device::{
    GraphBlock, GraphParams, Identical, Kernel, SUPPORT_THRESHOLD, Sigma, Vectors,
};
use crate::{Error, Result};
use active_set::{ActiveSet, Problem};
use gram::{Gram, flat, packs};
use pca::Pca;
use rayon::prelude::*;
use std::ops::Range;

/// Queries of one task: enough to outweigh its cost, few enough to keep threads evenly busy.
const TASK: usize = 64;
/// Sweeps of coordinate descent before the exact method.
const SWEEPS: usize = 4;

/// Bytes of working memory for `threads` threads.
pub(super) fn scratch_bytes(threads: usize, k: usize, dim: usize) -> u64 {
    let vectors = 4 * size_of::<Pack>() as u64 * packs(k) as u64;
    threads as u64 * (gram::bytes(k, dim) + active_set::bytes(k) + pca::bytes(k, dim) + vectors)
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
    /// Slots of the candidates in use.
    used: Vec<u16>,
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
        for at in 0..task.objective.len() {
            solve_one::<I>(inputs, scratch, &mut task, at)?;
        }
        Ok(())
    }
}

/// Solves query `at` of the task.
#[inline(always)]
fn solve_one<I: Isa>(
    inputs: &Inputs<'_>,
    scratch: &mut Scratch,
    task: &mut Task<'_>,
    at: usize,
) -> Result<()> {
    let k = inputs.params.k;
    let (group, query) = (
        (task.first + at) / inputs.count,
        (task.first + at) % inputs.count,
    );
    let list = inputs.candidates.list(group, query);
    let slots = at * k..(at + 1) * k;
    for (slot, c) in list.iter().enumerate() {
        task.neighbors[slots.start + slot] = c.index as i32;
        task.sq_distances[slots.start + slot] = c.sq_distance as f32;
    }
    let row = inputs.queries.row(group, inputs.rows.start + query);
    let Some(inverse) = usable(inputs, row, group, query, &mut scratch.used) else {
        task.degenerate[at] = true;
        return Ok(());
    };
    let vector = |slot: usize| inputs.vector(group, query, slot, list[slot].index);
    if let Some(slot) = (0..list.len()).find(|&slot| vector(slot).is_none()) {
        return Err(Error::Shape(format!(
            "candidate {} of query {query} lies outside the block of points given",
            list[slot].index
        )));
    }
    let at_slot = |slot: &u16| vector(usize::from(*slot)).unwrap_or(row);
    let kernel = inputs.params.kernel;
    let vectors = scratch.used.iter().map(at_slot);
    scratch.gram.build::<I>(row, vectors, kernel, inverse);
    let problem = Problem {
        n: scratch.gram.n,
        width: scratch.gram.width,
        kernel: &scratch.gram.kernel,
        b: flat(&scratch.gram.b),
    };
    scratch.theta.clear();
    scratch.theta.resize(problem.width, Pack::ZERO);
    active_set::descend::<I>(&problem, SWEEPS, &mut scratch.theta);
    scratch.active.solve::<I>(&problem, &mut scratch.theta);
    let mut objective = 0.0;
    let mut residual = 0.0f64;
    for j in 0..problem.n {
        let (theta, slope) = (
            flat(&scratch.theta)[j],
            problem.slope::<I>(j, &scratch.theta),
        );
        objective += 0.5 * theta * (slope - problem.b[j]);
        residual = residual.max(if theta > 0.0 { slope.abs() } else { -slope });
        task.weights[slots.start + usize::from(scratch.used[j])] = theta as f32;
    }
    task.objective[at] = objective;
    task.kkt_residual[at] = residual as f32;
    let weights = &task.weights[slots];
    scratch
        .used
        .retain(|&slot| weights[usize::from(slot)] > SUPPORT_THRESHOLD);
    let support = scratch.used.iter().map(at_slot);
    task.pca_dimension[at] = scratch.pca.dimension::<I>(row, support);
    Ok(())
}

/// Puts the slots of the candidates in use into `used` and returns `1 / (2 s^2)`; `None` if the
/// query is degenerate.
#[inline(always)]
fn usable(
    inputs: &Inputs<'_>,
    row: &[f32],
    group: usize,
    query: usize,
    used: &mut Vec<u16>,
) -> Option<f64> {
    let list = inputs.candidates.list(group, query);
    let apart = |slot: &u16| list[usize::from(*slot)].sq_distance > 0.0;
    used.clear();
    used.extend(0..list.len() as u16);
    if inputs.params.identical == Identical::Drop && used.iter().any(apart) {
        used.retain(apart);
    }
    let last = list[usize::from(*used.last()?)].sq_distance;
    match (inputs.params.kernel, inputs.params.sigma) {
        (Kernel::Cosine, _) => row.iter().any(|&x| x != 0.0).then_some(0.0),
        // s = sqrt(last) / 3
        (Kernel::Gaussian, Sigma::KthThird) => (last > 0.0).then(|| 4.5 / last),
        // A bandwidth whose square underflows still separates all distinct points.
        (Kernel::Gaussian, Sigma::Fixed(s)) => Some((0.5 / (s * s)).min(1e300)),
    }
}
