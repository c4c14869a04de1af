//! Exact k nearest neighbours.
//!
//! A fast filter in `f32` bounds squared distances from below; whatever might be among the k nearest is
//! measured again in float64 by plain differences of the values as read, and ordered by
//! (distance, index). The result is that order, whatever the instruction set, the blocks or the threads.

mod exact;
mod points;
mod scan;
mod select;

pub use points::Points;
pub(super) use points::points_bytes;
pub(super) use select::state_bytes;
pub use select::{Candidate, Candidates};

use super::Tensor;
use super::simd::InstructionSet;
use crate::device::{GraphParams, MAX_K};
use crate::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;

pub(super) fn search(
    queries: &Points,
    rows: Range<usize>,
    points: &Points,
    params: &GraphParams,
    state: &mut Candidates,
    set: InstructionSet,
) -> Result<()> {
    check(queries, &rows, points, params, state)?;
    let k = params.k;
    let tile = scan::tile_rows(k);
    let count = rows.len();
    if count == 0 || points.rows == 0 {
        return Ok(());
    }
    let (entries, lens) = state.parts_mut();
    entries
        .par_chunks_mut(count * k)
        .zip(lens.par_chunks_mut(count))
        .enumerate()
        .for_each(|(group, (entries, lens))| {
            let job = scan::Job::new(queries, points, group, params);
            entries
                .par_chunks_mut(tile * k)
                .zip(lens.par_chunks_mut(tile))
                .enumerate()
                .for_each(|(t, (entries, lens))| {
                    let first = rows.start + t * tile;
                    set.run(scan::Tile::new(&job, first, entries, lens));
                });
        });
    Ok(())
}

fn check(
    queries: &Points,
    rows: &Range<usize>,
    points: &Points,
    params: &GraphParams,
    state: &Candidates,
) -> Result<()> {
    if params.k == 0 || params.k > MAX_K {
        return Err(Error::Usage(format!("k is {}: use 1 to {MAX_K}", params.k)));
    }
    if queries.kernel != params.kernel || points.kernel != params.kernel {
        return Err(Error::Usage(format!(
            "rows were prepared for the {:?} and {:?} kernels, the search is for {:?}",
            queries.kernel, points.kernel, params.kernel
        )));
    }
    if queries.groups != points.groups || queries.dim != points.dim {
        return Err(Error::Shape(format!(
            "queries [groups {}, dim {}] and points [groups {}, dim {}] differ",
            queries.groups, queries.dim, points.groups, points.dim
        )));
    }
    if rows.start > rows.end || rows.end > queries.rows {
        return Err(Error::Shape(format!(
            "query rows {rows:?} of a block of {}",
            queries.rows
        )));
    }
    state.check(queries.groups, rows.len(), params.k)
}

pub(super) fn gather(points: &Points, candidates: &Candidates, into: &mut Tensor) -> Result<()> {
    let (groups, queries, k) = candidates.shape();
    let dim = points.dim;
    if into.shape() != [groups, queries, k, dim] || points.groups != groups {
        return Err(Error::Shape(format!(
            "vectors of [groups {}, dim {dim}] for candidates {:?} do not go into {:?}",
            points.groups,
            [groups, queries, k],
            into.shape()
        )));
    }
    if queries == 0 {
        return Ok(());
    }
    into.data_mut()
        .par_chunks_mut(k * dim)
        .enumerate()
        .for_each(|(i, into)| {
            let (group, query) = (i / queries, i % queries);
            for (candidate, into) in candidates
                .list(group, query)
                .iter()
                .zip(into.chunks_exact_mut(dim))
            {
                let row = (candidate.index as usize).wrapping_sub(points.first);
                if row < points.rows {
                    into.copy_from_slice(points.row(group, row));
                }
            }
        });
    Ok(())
}
