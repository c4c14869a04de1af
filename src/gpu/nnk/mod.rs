//! Exact non-negative kernel regression (NNK) on the device (docs/definitions.md#nnk; arXiv 1910.09383).
//!
//! All arithmetic is wide and in a fixed order, so a query's result does not depend on the block or pass
//! that it is solved in. Queries are solved in passes whose scratch fits in [`kernels::scratch`] bytes:
//!
//! ```text
//! Candidates, Points   from gpu/knn: candidate lists, and vectors of queries and candidates
//!   nnk_prepare        which candidates are used, and the bandwidth            -> problems
//!   nnk_gram           K between the candidates, [k, k] per query              -> kernels
//!   nnk                weights, objective, residual; slots of the support      -> weights, outcomes, supports
//!   nnk_polytope       Gram matrix of the neighbours that have weight          -> kernels (overwritten)
//!   nnk_pca            principal components of that matrix                     -> outcomes
//!   Solve::solve_near  on the host: queries that the device has not solved   -> all of these
//! GraphBlock           on the host
//! ```
//!
//! * this file: arguments, and what all passes have in common;
//! * `pass`: the kernels of one pass;
//! * `near`: queries with vectors that wide arithmetic does not resolve, which the host solves;
//! * `results`: its results on their way to the host, which reads them while the device works on the next pass;
//! * `kernels`: shaders, structs that are shared with them, and sizes in memory.
//!
//! The solver keeps its working memory (vectors and the factor) in workgroup memory where it fits, and
//! can then finish each query in one dispatch. Otherwise the memory is in a buffer, and the solver stops
//! after a quota of linear systems, so that no dispatch takes too long. Three dispatches are submitted
//! together; where a query needs more, which is rare, the host solves the pass once more and waits.
//!
//! Lower bounds of the cost per query, for `k` candidates of `d` numbers and a support of `s`: `4 k d +
//! 12 k` bytes; `k^2 d` wide operations for the matrix, `8 k^2` for the sweeps, and about `s^3 / 3` per
//! linear system.

mod kernels;
mod near;
mod pass;
mod results;

pub(super) use kernels::{SHADERS, scratch_bytes};

use super::context::Context;
use super::guard::halve;
use super::knn::{self, Candidates, Points};
use super::memory::{Buffer, Kind, share};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::{GraphBlock, GraphParams, Identical, Kernel, Sigma, VectorsShape, check_nnk};
use kernels::{NnkParams, Unit, per_list, scratch};
use pass::Solve;
use std::ops::Range;

/// The candidates' vectors.
pub(super) enum Source<'a> {
    /// The block of points that holds all candidates.
    Points(&'a Points),
    /// `[groups, queries, k, dim]`.
    Gathered(&'a Tensor),
}

/// Largest support that can be factorised; software adapters limit loops.
fn most_members(context: &Context) -> usize {
    match context.loop_budget() {
        usize::MAX => i32::MAX as usize,
        _ => 128,
    }
}

/// Solves every query of `rows` in every group, and writes their graphs to `block`.
pub(super) fn solve(
    context: &Context,
    queries: &Points,
    rows: Range<usize>,
    candidates: &Candidates,
    source: Source<'_>,
    params: &GraphParams,
    block: &mut GraphBlock,
) -> Result<()> {
    let vectors = match &source {
        Source::Points(p) => VectorsShape::Points(p.shape()),
        Source::Gathered(t) => VectorsShape::Gathered(t.shape()),
    };
    check_nnk(queries.shape(), &rows, candidates.shape(), vectors, params)?;
    let (k, lists) = (candidates.k, candidates.groups * candidates.queries);
    block.resize(lists, k);
    if lists == 0 {
        return Ok(());
    }
    // The vectors and the queries, lifted or not as the search had them.
    let own = queries.lift(context, candidates.lifted)?;
    let queries = own.as_ref().unwrap_or(queries);
    let others = match &source {
        Source::Points(p) => p.lift(context, candidates.lifted)?,
        Source::Gathered(_) => None,
    };
    let source = match &others {
        Some(lifted) => Source::Points(lifted),
        None => source,
    };
    let units: Vec<Unit> = (0..queries.groups)
        .map(|g| unit(context, queries, g, params))
        .collect();
    let unit_buffer = context.pool.get(Kind::Storage, units.len() as u64 * 16)?;
    context.write(&unit_buffer, &units)?;
    let (point_rows, point_sample) = match &source {
        Source::Points(p) => (p.rows, p.first),
        Source::Gathered(_) => (0, 0),
    };
    let work = Solve {
        context,
        candidates,
        queries,
        norms: vector_norms(context, queries, candidates, &source)?,
        params: NnkParams {
            dim: queries.dim as u32,
            k: k as u32,
            list_count: candidates.queries as u32,
            point_rows: point_rows as u32,
            point_sample: point_sample as u32,
            gathered: u32::from(matches!(source, Source::Gathered(_))),
            query_rows: queries.rows as u32,
            query_first: rows.start as u32,
            drop_identical: u32::from(params.identical == Identical::Drop),
            fixed_sigma: u32::from(matches!(params.sigma, Sigma::Fixed(_))),
            most_members: most_members(context) as u32,
            ..near::limits(context.wide, queries.kernel)
        },
        source,
        kernel: queries.kernel,
        units: unit_buffer,
        graph: params,
    };
    let wanted = share(lists, per_list(k), scratch(context).min(context.max_buffer));
    let (mut step, kernels) = context.pool.get_tile(wanted, (k * k * 8) as u64)?;
    // While the host reads the results of a pass, the device works on the next one.
    let mut running = None;
    let mut first = 0;
    while first < lists {
        let count = step.min(lists - first);
        let done = match work.start(first, count, &kernels, false) {
            Ok(next) => {
                first += count;
                running.replace(next)
            }
            // Out of memory, of which the pass before has some.
            Err(e) => {
                halve(&mut step, e)?;
                running.take()
            }
        };
        if let Some(done) = done {
            work.collect(done, &kernels, block)?;
        }
    }
    match running {
        Some(done) => work.collect(done, &kernels, block),
        None => Ok(()),
    }
}

/// Parameters of a group.
fn unit(context: &Context, queries: &Points, group: usize, params: &GraphParams) -> Unit {
    let factor = match params.sigma {
        // A bandwidth whose square underflows still separates all distinct points, so it is limited.
        Sigma::Fixed(s) => (0.5 / (s * s) / queries.scale(group).powi(2)).min(1e300),
        Sigma::KthThird => 0.0,
    };
    Unit {
        factor: context.wide.encode(factor),
        scale: queries.scales[group],
        ..Unit::default()
    }
}

/// Norms of all vectors that may be candidates; for the Gaussian kernel a buffer that is not read.
fn vector_norms(
    context: &Context,
    queries: &Points,
    candidates: &Candidates,
    source: &Source<'_>,
) -> Result<Buffer> {
    match (queries.kernel, source) {
        (Kernel::Gaussian, _) => context.pool.get(Kind::Storage, 16),
        (Kernel::Cosine, Source::Points(p)) => {
            knn::norms(context, p, queries, 0..p.groups, 0..p.rows, 0)
        }
        (Kernel::Cosine, Source::Gathered(t)) => {
            let rows = candidates.groups * candidates.queries * candidates.k;
            knn::cosine_norms(context, &t.buffer, rows, queries)
        }
    }
}
