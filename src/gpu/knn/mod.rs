//! Exact k nearest neighbours on the device.
//!
//! No distance matrix is stored. A *tile* of points is *filtered*: for every pair of query and point a
//! lower bound of their squared distance is computed in f32, and points whose bound is below the query's
//! *threshold*, its k-th distance so far, are *noted*. Their distances are then computed in wide
//! arithmetic and *merged* into the query's candidate list. The bound accounts for every rounding error,
//! so the filter only ever rules out points that cannot be candidates, and the lists do not depend on
//! how points are split into tiles or on the kind of filter.
//!
//! How a query reaches its list:
//!
//! ```text
//! Analysis        analysis.rs  on the host: a frame per group (centre and scale), and which rows are equal
//! Points::new     points.rs   rows on the device as they were read
//!   knn_widen     widen.rs    where they were read as f16: from f16 to f32
//!   knn_norms     rows.rs     norms of queries and points in the frame of the queries
//!   knn_framed    rows.rs     rows as the f32 filter reads them: in that frame, padded to whole vectors
//!   knn_pack      half.rs     with cooperative matrices: rows as f16, and norms of the rounding errors
//! for each tile   pass.rs
//!   knn_half      half.rs     with cooperative matrices: notes points, by products of f16 rows
//!   knn_overflow  half.rs     marks queries for which more points were noted than there is room for
//!   knn_filter    pass.rs     notes points, by products of f32 rows: for all queries, or for the marked ones
//!   knn_merge     pass.rs     distances of the noted points in wide arithmetic, merged into the lists
//! lists, gather   lists.rs, rows.rs   lists to the host; candidates' vectors for the solver
//! ```
//!
//! The first tile is merged without a filter, because there are no thresholds yet. In a tile about
//! `k ln(after / before)` points are noted per query, where `before` and `after` are the numbers of points
//! seen, so tiles grow with these. Where more points are noted than there is room for, the merge computes the distances of the
//! whole tile: that is slower and gives the same result.
//!
//! Lower bounds of the cost for `g` groups of `Q` queries and `P` points of `d` numbers: `4 g (Q + P) d`
//! bytes and `2 g Q P d` operations.

mod analysis;
mod half;
mod kernels;
mod lift;
mod lists;
mod packing;
mod pass;
mod points;
mod rows;
mod widen;

pub use analysis::Analysis;
pub(super) use analysis::{analyse, analysis_bytes};
pub(super) use kernels::{Entry, RowNorm, SHADERS, with_kernel};
pub use lists::Candidates;
pub(super) use lists::{lists, state_bytes};
pub(super) use packing::padded_bytes;
pub use points::Points;
pub(super) use points::points_bytes;
pub(super) use rows::{cosine_norms, fetch, gather, norms};

use super::context::Context;
use super::guard::halve;
use super::memory::tile;
use crate::Result;
use crate::error::DeviceProblem;
use crate::ops::{GraphParams, Identical, check_search};
use kernels::{KnnParams, merge_bytes};
use lists::{capacity, per_list, per_pass};
use pass::{Pass, Search};
use std::ops::Range;

/// Most points of a tile. It bounds the cost of one query in one dispatch.
const MAX_TILE: usize = 32 << 10;

/// Searches `points` for the neighbours of the queries in `rows`, and merges them into `state`.
pub(super) fn search(
    context: &Context,
    queries: &Points,
    rows: Range<usize>,
    points: &Points,
    params: &GraphParams,
    state: &mut Candidates,
) -> Result<()> {
    check_search(
        queries.shape(),
        &rows,
        points.shape(),
        params,
        state.shape(),
    )?;
    let (groups, count) = (state.groups, rows.len());
    if groups == 0 || count == 0 || points.rows == 0 {
        return Ok(());
    }
    let lifted = queries.lifted || points.lifted;
    state.lifted |= lifted;
    if state.seen == 0 {
        state.begin(context, queries, &rows)?;
    }
    let (own, others) = (
        queries.lift(context, lifted)?,
        points.lift(context, lifted)?,
    );
    let queries = own.as_ref().unwrap_or(queries);
    let points = others.as_ref().unwrap_or(points);
    if merge_bytes(state.k) > context.workgroup_bytes as usize {
        return Err(context.fail(DeviceProblem::Lacks {
            feature: "workgroup memory for so large a k",
            advice: "use a smaller k",
        }));
    }
    // Bound of the rounding errors of a filtered distance, relative to the sum of both squared norms.
    // `cpu/knn` derives the terms; eight more are for the threshold, which is subtracted from the query's share of the
    // bound. It is at most four times the sum of both squared norms wherever its rounding error could matter.
    let gamma = (queries.dim as f64 + 40.0) * 2f64.powi(-24);
    let search = Search {
        context,
        queries,
        points,
        state,
        params: KnnParams {
            dim: queries.dim as u32,
            k: state.k as u32,
            query_rows: queries.rows as u32,
            query_first: rows.start as u32,
            list_count: state.queries as u32,
            point_rows: points.rows as u32,
            point_sample: points.first as u32,
            capacity: capacity(state.k) as u32,
            distinct: u32::from(params.identical == Identical::Replace),
            shrink: (1.0 - gamma) as f32,
            strip: 1,
            ..KnnParams::default()
        },
    };
    let bytes = per_list(state.k, packing::row_bytes(context, queries.dim));
    let lists = per_pass(context, groups, count, bytes);
    let (lists, survivors) = context.pool.get_tile(lists, capacity(state.k) as u64 * 4)?;
    // The rows of a group's points as the filter reads them are one buffer, and those of several groups too.
    let framed = points.rows as u64 * padded_bytes(queries.dim);
    let together = tile(groups, framed, context.max_buffer);
    // Less at a time where the device is out of memory.
    let mut group_step = (lists / count).clamp(1, together);
    let mut query_step = lists.min(count);
    let mut first = 0;
    while first < groups {
        let chunk = first..groups.min(first + group_step);
        let prepared = match search.prepare(points, &chunk, 0..points.rows, state.k) {
            Ok(prepared) => prepared,
            Err(e) => {
                halve(&mut group_step, e)?;
                continue;
            }
        };
        let mut done = 0;
        while done < count {
            let pass = Pass {
                groups: chunk.clone(),
                queries: done..count.min(done + query_step),
            };
            let own = rows.start + pass.queries.start..rows.start + pass.queries.end;
            match search.prepare(queries, &chunk, own, 0) {
                Ok(queries) => search.pass(&pass, &queries, &prepared, &survivors)?,
                Err(e) => {
                    halve(&mut query_step, e)?;
                    continue;
                }
            }
            done = pass.queries.end;
        }
        first = chunk.end;
    }
    state.seen += points.rows;
    Ok(())
}
