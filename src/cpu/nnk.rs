//! Exact non-negative kernel regression (docs/definitions.md#nnk; arXiv 1910.09383).
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
mod set;
mod task;

use super::f64x8::{self, Isa, LANES, Pack, Work};
use super::simd::{InstructionSet, prefetch};
use super::{Candidate, Candidates, Cpu, Points, pages};
use crate::Result;
use crate::ops::{
    GraphBlock, GraphParams, Identical, Kernel, SUPPORT_THRESHOLD, Sigma, Vectors, missing_vectors,
};
use active_set::ActiveSet;
use bytemuck::Zeroable;
use gram::{Gram, flat, flat_mut, resize};
use lanes::{Lanes, Source, Sources};
use lockstep::Lockstep;
use pca::Pca;
use rayon::prelude::*;
use set::{Set, Wide};
use std::ops::Range;
use task::{Inputs, Task, split};

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
    // What tells where a lane's vectors are, and its slots in use.
    let lists = size_of::<&[f32]>() * (LANES + pca::BATCH) + size_of::<u16>() * LANES;
    let one = gram::bytes(k, dim) + active_set::bytes(k) + pca::bytes(k, dim) + (lists * k) as u64;
    let eight = match k <= set::MOST {
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

/// Working memory of one thread.
#[derive(Default)]
struct Scratch<'a> {
    room: Room<'a>,
    /// For at most 64 candidates, at most 128, and at most 256.
    few: Lockstep<u64>,
    many: Lockstep<u128>,
    most: Lockstep<Wide>,
    /// Queries and the vectors of their supports.
    polytopes: [Source<'a>; pca::BATCH],
    pca: Pca,
}

/// Working memory, whatever the number of candidates.
#[derive(Default)]
struct Room<'a> {
    /// Slots of the candidates in use, per lane.
    used: [Vec<u16>; LANES],
    /// The lanes' queries and the vectors in `used`.
    sources: Sources<'a>,
    lanes: Lanes,
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
        let Scratch {
            room,
            few,
            many,
            most,
            polytopes,
            pca,
        } = scratch;
        let k = inputs.params.k;
        let total = task.objective.len();
        for first in (0..total).step_by(LANES) {
            let lanes = 0..LANES.min(total - first);
            for source in &mut room.sources {
                source.vectors.clear();
            }
            for lane in lanes.clone() {
                prepare(inputs, room, &mut task, first + lane, lane)?;
            }
            if k <= <u64 as Set>::MOST {
                together::<I, u64>(inputs, room, few, &mut task, first);
            } else if k <= <u128 as Set>::MOST {
                together::<I, u128>(inputs, room, many, &mut task, first);
            } else if k <= Wide::MOST {
                together::<I, Wide>(inputs, room, most, &mut task, first);
            } else {
                for lane in lanes.clone() {
                    alone::<I>(inputs, room, &mut task, first + lane, lane);
                }
            }
        }
        if inputs.params.pca_dimension {
            dimensions::<I>(inputs, polytopes, pca, &mut task);
        }
        Ok(())
    }
}

/// Lists the candidates of query `at` of the task and finds those in use; a degenerate query has
/// none.
#[inline(always)]
fn prepare<'a>(
    inputs: &Inputs<'a>,
    room: &mut Room<'a>,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) -> Result<()> {
    let k = inputs.params.k;
    let (group, query) = inputs.place(task.first + at);
    let list = inputs.candidates.list(group, query);
    let ahead = task.first + at + LANES;
    if ahead < inputs.groups * inputs.count {
        let (group, query) = inputs.place(ahead);
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
    let used = &mut room.used[lane];
    let source = &mut room.sources[lane];
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
        let vector = vector.ok_or_else(|| missing_vectors(query))?;
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
fn together<I: Isa, S: Set>(
    inputs: &Inputs<'_>,
    room: &mut Room<'_>,
    lockstep: &mut Lockstep<S>,
    task: &mut Task<'_>,
    first: usize,
) {
    let (k, dim) = (inputs.params.k, inputs.queries.dim);
    let busy = |s: &Source<'_>| !s.vectors.is_empty();
    let wanted = (0..LANES).fold(0, |m, l| m | u8::from(busy(&room.sources[l])) << l);
    if wanted == 0 {
        return;
    }
    room.lanes
        .build::<I>(&room.sources, inputs.params.kernel, dim);
    lockstep.solve::<I>(&room.lanes, sweeps(inputs.params.kernel), wanted);
    for lane in (0..LANES).filter(|l| wanted >> l & 1 == 1) {
        let (at, used) = (first + lane, &room.used[lane]);
        let x = lockstep.x.iter().map(|x| x.0[lane]);
        if lockstep.solved >> lane & 1 == 1 {
            let weights = &mut task.weights[at * k..(at + 1) * k];
            for (&slot, x) in used.iter().zip(x) {
                weights[usize::from(slot)] = x as f32;
            }
            task.objective[at] = lockstep.objective[lane];
            task.kkt_residual[at] = lockstep.residual[lane] as f32;
        } else {
            room.gram.extract(&room.lanes, lane, used.len());
            resize(&mut room.theta, room.gram.width);
            for (theta, x) in flat_mut(&mut room.theta).iter_mut().zip(x) {
                *theta = x;
            }
            finish::<I>(room, task, k, at, lane);
        }
    }
}

/// Solves query `at` of the task by itself.
#[inline(always)]
fn alone<I: Isa>(
    inputs: &Inputs<'_>,
    room: &mut Room<'_>,
    task: &mut Task<'_>,
    at: usize,
    lane: usize,
) {
    let source = &room.sources[lane];
    if source.vectors.is_empty() {
        return;
    }
    room.gram.build::<I>(source, inputs.params.kernel);
    resize(&mut room.theta, room.gram.width);
    active_set::descend::<I>(&room.gram.problem(), SWEEPS, &mut room.theta);
    finish::<I>(room, task, inputs.params.k, at, lane);
}

/// Takes the problem in `room.gram` from the feasible `room.theta` to the optimum.
#[inline(always)]
fn finish<I: Isa>(room: &mut Room<'_>, task: &mut Task<'_>, k: usize, at: usize, lane: usize) {
    let problem = room.gram.problem();
    room.active.solve::<I>(&problem, &mut room.theta);
    let (mut objective, mut residual) = (0.0, 0.0f64);
    for (j, &slot) in room.used[lane].iter().enumerate() {
        let theta = flat(&room.theta)[j];
        let slope = problem.slope::<I>(j, &room.theta);
        objective += 0.5 * theta * (slope - problem.b[j]);
        residual = residual.max(if theta > 0.0 { slope.abs() } else { -slope });
        task.weights[at * k + usize::from(slot)] = theta as f32;
    }
    task.objective[at] = objective;
    task.kkt_residual[at] = residual as f32;
}

/// Counts the principal components of all queries of the task, from their weights.
#[inline(always)]
fn dimensions<'a, I: Isa>(
    inputs: &Inputs<'a>,
    polytopes: &mut [Source<'a>; pca::BATCH],
    pca: &mut Pca,
    task: &mut Task<'_>,
) {
    let k = inputs.params.k;
    let batches = task.pca_dimension.chunks_mut(pca::BATCH);
    for (first, out) in (0..).step_by(pca::BATCH).zip(batches) {
        for (at, polytope) in (first..).zip(polytopes.iter_mut()) {
            polytope.query = &[];
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
                    // A weight has a candidate, whose vector was there.
                    polytope
                        .vectors
                        .extend(inputs.vector(group, query, slot, index as u32));
                }
            }
        }
        pca.dimensions::<I>(polytopes, inputs.queries.dim, out);
    }
}
