//! Exact non-negative kernel regression (definitions, section 3; arXiv 1910.09383).
//!
//! Every query is a problem of its own, solved by one thread in one order, so the result does not
//! depend on the block, the thread count or the memory cap.

mod active_set;
mod factor;
mod gram;
mod lanes;
mod lockstep;
mod pca;
mod rows;

use super::f64x8::{self, Isa, LANES, Pack, Work};
use super::simd::{InstructionSet, prefetch};
use super::{Candidate, Candidates, Cpu, Points, pages};
use crate::device::{
    GraphBlock, GraphParams, Identical, Kernel, SUPPORT_THRESHOLD, Sigma, Vectors,
};
use crate::{Error, Result};
use active_set::ActiveSet;
use bytemuck::Zeroable;
use gram::{Gram, flat, flat_mut, resize};
use lanes::{Lanes, Source, Sources};
use lockstep::Lockstep;
use pca::Pca;
use rayon::prelude::*;
use std::ops::Range;

/// Queries of one task: enough to outweigh its cost, few enough to keep threads evenly busy.
const TASK: usize = 64;
/// Numbers of a candidate that are asked for early: those of eight queries fit the first-level cache.
const EARLY: usize = 32;
/// Sweeps of coordinate descent before the exact method, of a query by itself.
const SWEEPS: usize = 4;

/// Sweeps of coordinate descent before the exact method, of eight queries.
const fn sweeps(kernel: Kernel) -> usize {
    match kernel {
        Kernel::Gaussian => 3,
        // More alike, so that more is left to do, and a sweep costs less than what it saves.
        Kernel::Cosine => 6,
    }
}

/// Bytes of working memory for `threads` threads.
pub(super) fn scratch_bytes(threads: usize, k: usize, dim: usize) -> u64 {
    let one = gram::bytes(k, dim) + active_set::bytes(k) + pca::bytes(k, dim) + 16 * k as u64;
    let eight = match k <= lockstep::MOST {
        true => lanes::bytes(k, dim) + lockstep::bytes(k),
        false => 0,
    };
    threads as u64 * (one + eight)
}

/// Solves every query of `rows` in every group; `block` then holds their graphs.
pub(super) fn solve(
    queries: &Points,
    rows: Range<usize>,
    candidates: &Candidates,
    vectors: Vectors<'_, Cpu>,
    params: &GraphParams,
    set: InstructionSet,
    block: &mut GraphBlock,
) -> Result<()> {
    let inputs = Inputs::new(queries, rows, candidates, vectors, params)?;
    let (total, k) = (inputs.groups * inputs.count, params.k);
    refill(&mut block.neighbors, total * k);
    refill(&mut block.sq_distances, total * k);
    refill(&mut block.weights, total * k);
    refill(&mut block.objective, total);
    refill(&mut block.kkt_residual, total);
    refill(&mut block.pca_dimension, total);
    block.degenerate.clear();
    block.degenerate.resize(total, false);
    let tasks = split(block, k);
    tasks
        .into_par_iter()
        .try_for_each_init(Scratch::default, |scratch, task| {
            let work = Solve {
                inputs: &inputs,
                scratch,
                task,
            };
            f64x8::dispatch(set, work)
        })
}

/// Makes it `len` zeros.
fn refill<T: Zeroable + Clone>(values: &mut Vec<T>, len: usize) {
    if values.capacity() < len {
        *values = pages::zeros(len);
    } else {
        values.clear();
        values.resize(len, T::zeroed());
    }
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
struct Scratch<'a> {
    /// Slots of the candidates in use, per lane; later of the support.
    used: [Vec<u16>; LANES],
    /// The lanes' queries and the vectors in `used`.
    sources: Sources<'a>,
    lanes: Lanes,
    lockstep: Lockstep,
    pca: Pca,
    gram: Gram,
    active: ActiveSet,
    theta: Vec<Pack>,
}

struct Solve<'a, 's, 't> {
    inputs: &'s Inputs<'a>,
    scratch: &'s mut Scratch<'a>,
    task: Task<'t>,
}

impl Work for Solve<'_, '_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Result<()> {
        let Self {
            inputs,
            scratch,
            mut task,
        } = self;
        let (k, dim) = (inputs.params.k, inputs.queries.dim);
        let total = task.objective.len();
        for first in (0..total).step_by(LANES) {
            let lanes = 0..LANES.min(total - first);
            for source in &mut scratch.sources {
                source.vectors.clear();
            }
            for lane in lanes.clone() {
                prepare(inputs, scratch, &mut task, first + lane, lane)?;
            }
            if k <= lockstep::MOST {
                together::<I>(inputs, scratch, &mut task, first);
            } else {
                for lane in lanes.clone() {
                    alone::<I>(inputs, scratch, &mut task, first + lane, lane);
                }
            }
            if !inputs.params.pca_dimension {
                continue;
            }
            for lane in lanes.clone() {
                let weights = &task.weights[(first + lane) * k..][..k];
                keep_support(weights, &mut scratch.used[lane], &mut scratch.sources[lane]);
            }
            // A choice from the parameters alone: it must not depend on a lane's neighbours.
            let short = match inputs.params.kernel {
                Kernel::Gaussian => 3 * dim <= 2 * k,
                Kernel::Cosine => 4 * dim <= k,
            };
            let dimensions = scratch.pca.dimensions::<I>(&scratch.sources, dim, short);
            task.pca_dimension[first..first + lanes.len()].copy_from_slice(&dimensions[lanes]);
        }
        Ok(())
    }
}

/// Lists the candidates of query `at` of the task and finds those in use; a degenerate query has
/// none.
#[inline(always)]
fn prepare<'a>(
    inputs: &Inputs<'a>,
    scratch: &mut Scratch<'a>,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) -> Result<()> {
    let k = inputs.params.k;
    let (group, query) = (
        (task.first + at) / inputs.count,
        (task.first + at) % inputs.count,
    );
    let list = inputs.candidates.list(group, query);
    let ahead = task.first + at + LANES;
    if ahead < inputs.groups * inputs.count {
        let (group, query) = (ahead / inputs.count, ahead % inputs.count);
        prefetch(inputs.candidates.list(group, query));
    }
    let neighbors = &mut task.neighbors[at * k..(at + 1) * k];
    let sq_distances = &mut task.sq_distances[at * k..(at + 1) * k];
    let (neighbors, missing) = neighbors.split_at_mut(list.len());
    for ((c, neighbor), sq_distance) in list.iter().zip(neighbors).zip(sq_distances) {
        *neighbor = c.index as i32;
        *sq_distance = c.sq_distance as f32;
    }
    missing.fill(-1);
    let used = &mut scratch.used[lane];
    let source = &mut scratch.sources[lane];
    source.query = inputs.queries.row(group, inputs.rows.start + query);
    let inverse = usable(inputs.params, source.query, list, used);
    task.degenerate[at] = inverse.is_none();
    source.inverse = inverse.unwrap_or(0.0);
    if inverse.is_none() {
        used.clear();
    }
    for &slot in used.iter() {
        let index = list[usize::from(slot)].index;
        let vector = inputs.vector(group, query, usize::from(slot), index);
        let vector = vector.ok_or_else(|| {
            Error::Shape(format!(
                "candidate {index} of query {query} lies outside the block of points given"
            ))
        })?;
        // They lie far apart, and are not read before all eight queries are prepared.
        prefetch(&vector[..vector.len().min(EARLY)]);
        source.vectors.push(vector);
    }
    Ok(())
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
    scratch: &mut Scratch<'_>,
    task: &mut Task<'_>,
    first: usize,
) {
    let (k, dim) = (inputs.params.k, inputs.queries.dim);
    let busy = |s: &Source<'_>| !s.vectors.is_empty();
    let wanted = (0..LANES).fold(0, |m, l| m | u8::from(busy(&scratch.sources[l])) << l);
    if wanted == 0 {
        return;
    }
    let (lanes, lockstep) = (&mut scratch.lanes, &mut scratch.lockstep);
    lanes.build::<I>(&scratch.sources, inputs.params.kernel, dim);
    lockstep.solve::<I>(lanes, sweeps(inputs.params.kernel), wanted);
    for lane in (0..LANES).filter(|l| wanted >> l & 1 == 1) {
        let (at, used) = (first + lane, &scratch.used[lane]);
        let x = scratch.lockstep.x.iter().map(|x| x.0[lane]);
        if scratch.lockstep.solved >> lane & 1 == 1 {
            let weights = &mut task.weights[at * k..(at + 1) * k];
            for (&slot, x) in used.iter().zip(x) {
                weights[usize::from(slot)] = x as f32;
            }
            task.objective[at] = scratch.lockstep.objective[lane];
            task.kkt_residual[at] = scratch.lockstep.residual[lane] as f32;
        } else {
            scratch.gram.extract(&scratch.lanes, lane, used.len());
            resize(&mut scratch.theta, scratch.gram.width);
            for (theta, x) in flat_mut(&mut scratch.theta).iter_mut().zip(x) {
                *theta = x;
            }
            finish::<I>(scratch, task, k, at, lane);
        }
    }
}

/// Solves query `at` of the task by itself.
#[inline(always)]
fn alone<I: Isa>(
    inputs: &Inputs<'_>,
    scratch: &mut Scratch<'_>,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) {
    let source = &scratch.sources[lane];
    if source.vectors.is_empty() {
        return;
    }
    scratch.gram.build::<I>(source, inputs.params.kernel);
    resize(&mut scratch.theta, scratch.gram.width);
    active_set::descend::<I>(&scratch.gram.problem(), SWEEPS, &mut scratch.theta);
    finish::<I>(scratch, task, inputs.params.k, at, lane);
}

/// Takes the problem in `scratch.gram` from the feasible `scratch.theta` to the optimum.
#[inline(always)]
fn finish<I: Isa>(
    scratch: &mut Scratch<'_>,
    task: &mut Task<'_>,
    k: usize,
    at: usize,
    lane: usize,
) {
    let problem = scratch.gram.problem();
    scratch.active.solve::<I>(&problem, &mut scratch.theta);
    let (mut objective, mut residual) = (0.0, 0.0f64);
    for (j, &slot) in scratch.used[lane].iter().enumerate() {
        let theta = flat(&scratch.theta)[j];
        let slope = problem.slope::<I>(j, &scratch.theta);
        objective += 0.5 * theta * (slope - problem.b[j]);
        residual = residual.max(if theta > 0.0 { slope.abs() } else { -slope });
        task.weights[at * k + usize::from(slot)] = theta as f32;
    }
    task.objective[at] = objective;
    task.kkt_residual[at] = residual as f32;
}

/// Leaves the support in `used` and `source`.
#[inline(always)]
fn keep_support(weights: &[f32], used: &mut Vec<u16>, source: &mut Source<'_>) {
    let mut kept = 0;
    for i in 0..used.len() {
        if weights[usize::from(used[i])] > SUPPORT_THRESHOLD {
            source.vectors[kept] = source.vectors[i];
            used[kept] = used[i];
            kept += 1;
        }
    }
    used.truncate(kept);
    source.vectors.truncate(kept);
}
