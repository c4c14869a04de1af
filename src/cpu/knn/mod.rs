//! Exact k nearest neighbours.
//!
//! A fast filter bounds squared distances from below; whatever might be among the k nearest is measured
//! again in float64 by plain differences of the values as read, and ordered by (distance, index). The
//! result is that order, whatever the filter, the instruction set, the blocks or the threads.
//!
//! There are two filters. The one in `f32` runs anywhere. The one in bytes (`int8`, on processors that
//! multiply those four at a time) lets about twice as many points pass; a tile of queries for which it
//! lets too many pass begins again with the other. Of many points that vary along few directions it looks
//! at those near the queries only ([`tree`]).

mod exact;
mod int8;
mod lists;
mod points;
mod products;
mod scan_f32;
mod scan_int8;
mod select;
mod tree;

pub use points::Points;
pub(super) use points::points_bytes;
pub(super) use select::state_bytes;
pub use select::{Candidate, Candidates};

use super::Tensor;
use super::disjoint::Disjoint;
use super::simd::InstructionSet;
use crate::ops::{GraphParams, MAX_K};
use crate::{Error, Result};
use rayon::prelude::*;
use scan_f32::FloatTile;
use scan_int8::{Int8Tile, Places};
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
    let tile = scan_f32::tile_rows(k);
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
            let job = lists::Job::new(queries, points, group, params);
            let float = scan_f32::FloatJob::new(&job);
            let int8 = scan_int8::Int8Job::new(&job);
            let search_tile =
                |tile: Vec<u32>, places: Option<Places<'_>>, entries: &mut [_], lens: &mut [_]| {
                    let done = int8
                        .as_ref()
                        .filter(|int8| !int8.is_blunt())
                        .is_some_and(|int8| {
                            set.run(Int8Tile::new(int8, tile.clone(), places, entries, lens))
                        });
                    if !done {
                        set.run(FloatTile::new(&float, tile, entries, lens));
                    }
                };
            let sorted = int8.as_ref().and_then(|int8| int8.sorted(rows.clone()));
            let Some(sorted) = sorted else {
                entries
                    .par_chunks_mut(tile * k)
                    .zip(lens.par_chunks_mut(tile))
                    .enumerate()
                    .for_each(|(t, (entries, lens))| {
                        let first = (rows.start + t * tile) as u32;
                        let rows = (first..).take(lens.len()).collect();
                        search_tile(rows, None, entries, lens);
                    });
                return;
            };
            // Queries near each other are searched together, wherever their lists are.
            let (all_entries, all_lens) = (Disjoint::new(entries), Disjoint::new(lens));
            let tiles = sorted.rows.par_chunks(tile).enumerate();
            tiles.for_each(|(t, tile_rows)| {
                let mut entries = vec![Candidate::default(); tile_rows.len() * k];
                let mut lens = vec![0; tile_rows.len()];
                let lists = |i: usize| {
                    let place = tile_rows[i] as usize - rows.start;
                    // SAFETY: a row is in one tile only, once.
                    unsafe { (all_entries.part(place * k, k), all_lens.part(place, 1)) }
                };
                for (i, (entries, len)) in entries.chunks_exact_mut(k).zip(&mut lens).enumerate() {
                    let (from, from_len) = lists(i);
                    entries.copy_from_slice(from);
                    *len = from_len[0];
                }
                let places = sorted.places(t * tile..t * tile + tile_rows.len());
                search_tile(tile_rows.to_vec(), Some(places), &mut entries, &mut lens);
                for (i, (entries, len)) in entries.chunks_exact(k).zip(&lens).enumerate() {
                    let (to, to_len) = lists(i);
                    to.copy_from_slice(entries);
                    to_len[0] = *len;
                }
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
