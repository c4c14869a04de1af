//! Non-negative kernel regression of every query, exact (docs/definitions.md#nnk; arXiv 1910.09383).
//!
//! For query `i` with candidates `S`, the weights are `theta = argmin 1/2 theta' K_SS theta - k_Si' theta`
//! over `theta >= 0`. The candidates with a weight above the threshold are the support of the query, its
//! neighbours in the graph.
//!
//! # How data passes through the parts
//!
//! 1. [`task`] cuts the queries into tasks, one per thread at a time, and hands out the places where their
//!    results go. [`solver`] runs a task: it reads each query's candidates from the neighbour search, drops
//!    the unusable ones and collects pointers to their vectors (a [`source::Source`]). What it works in is a
//!    [`workspace`], kept from task to task.
//! 2. **Vectors to Gram matrix.** [`lanes`] builds the kernel matrices of eight queries at once, one query in
//!    each SIMD lane. The inner products come from [`products`]: short vectors are transposed so that a lane
//!    sums its own query ([`products::short`]), long ones are multiplied query by query
//!    ([`products::long`]).
//! 3. **Gram matrix to weights.** [`lockstep`] finds the eight optima in lockstep: coordinate descent for a
//!    first support, then an active-set method whose linear systems [`factor`] solves by Cholesky
//!    decomposition. [`set`] holds supports as bit sets.
//! 4. A lane that meets a numerically singular system or takes too many rounds is copied out ([`gram`]) and
//!    solved alone ([`single`]) by [`active_set`], which always terminates. More candidates than a bit set holds go this
//!    way from the start. Queries with vectors so close that float64 kernel values cannot resolve them are solved
//!    by [`near`], which both backends share, in double-double arithmetic.
//! 5. **Weights that are not unique**, because candidates are equal in the kernel's eyes, are moved to one of them by
//!    [`near::settle`].
//! 6. **Weights to principal components.** [`components`] collects the support's vectors, or their inner products where these
//!    are known from step 2. [`pca`] counts their principal components, for sixteen queries at once.
//!
//! The results land in the [`GraphBlock`]: candidates, distances, weights, objective, residual and number of
//! components of each query.
//!
//! # Reproducibility
//!
//! Each query is an independent problem, and a lane never reads another lane's numbers. A query is solved by
//! one thread in a fixed order, so its result does not depend on the block, the thread count or the memory
//! cap.

mod active_set;
mod components;
mod factor;
mod gram;
mod lanes;
mod layout;
mod lockstep;
mod pca;
mod problem;
mod products;
mod set;
mod single;
mod solver;
mod source;
mod task;
mod workspace;

/// Tests for `crate::internals`.
#[cfg(feature = "internals")]
pub(super) mod internals {
    pub use super::pca::tests::PCA;
}

use super::{Candidates, Cpu, Points, pages};
use crate::Result;
use crate::ops::{GraphBlock, GraphParams, Vectors, near};
use crate::simd::{F64_LANES, InstructionSet};
use bytemuck::Zeroable;
use rayon::prelude::*;
use solver::{Scratch, Solver};
use std::ops::Range;
use task::{Inputs, split};

/// Queries per task: enough to outweigh the cost of starting it, few enough to keep all threads busy.
const TASK: usize = 64;

/// Bytes of working memory for `threads` threads.
pub(super) fn scratch_bytes(threads: usize, k: usize, dim: usize) -> u64 {
    // The vector pointers and slot list of each lane.
    let lists = size_of::<&[f32]>() * (F64_LANES + pca::BATCH) + size_of::<u16>() * F64_LANES;
    let one = gram::bytes(k, dim)
        + active_set::bytes(k)
        + near::bytes(k)
        + pca::bytes(k, dim)
        + ((lists + size_of::<f64>()) * k) as u64;
    let eight = match k <= set::CAPACITY {
        true => lanes::bytes(k, dim) + lockstep::bytes(k),
        false => 0,
    };
    threads as u64 * (one + eight)
}

/// Solves the queries `rows` of every group and writes their graphs to `block`.
///
/// # Errors
/// [`Error`](crate::Error) if the candidates' vectors do not belong to these queries, or if a
/// candidate lies outside the block of points.
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
    for flags in [&mut block.degenerate, &mut block.not_unique] {
        flags.clear();
        flags.resize(total, false);
    }
    // Fewer queries in a task where there would not be enough tasks.
    let share = total.div_ceil(rayon::current_num_threads());
    let tasks = split(
        block,
        k,
        share.next_multiple_of(F64_LANES).clamp(F64_LANES, TASK),
    );
    tasks
        .into_par_iter()
        .try_for_each_init(Scratch::default, |scratch, task| {
            let work = Solver {
                inputs: &inputs,
                scratch,
                task,
            };
            set.run(work)
        })
}

/// Sets `values` to `len` zeros. A larger array is allocated afresh, which avoids copying the old values.
fn refill<T: Zeroable + Clone>(values: &mut Vec<T>, len: usize) {
    if values.capacity() < len {
        *values = pages::zeros(len);
    } else {
        values.clear();
        values.resize(len, T::zeroed());
    }
}
