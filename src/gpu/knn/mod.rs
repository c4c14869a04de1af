//! Exact k nearest neighbours on the device, fused: no distance is ever stored, save for those that
//! might win.
//!
//! A tile of points is filtered with f32 lower bounds against each query's k-th distance; what passes
//! (about `k ln(seen after / seen before)` points a query) is computed again in wide arithmetic and
//! merged. Tiles grow with the points seen, so there are few. Where more points pass than there is
//! room for, the merge looks at the whole tile instead: slower, the same result.
//!
//! Floors for `g` groups of `Q` queries and `P` points of `d`: `4 g (Q + P) d` bytes, `2 g Q P d`
//! operations.

mod half;
mod lists;
mod points;
mod rows;

pub use lists::Candidates;
pub(super) use lists::{Entry, lists, state_bytes};
pub use points::Points;
pub(super) use points::points_bytes;
pub(super) use rows::{cosine_norms, gather, norms};

use super::context::Context;
use super::memory::{Buffer, tile};
use super::pipeline::{Access, Define, Kernel as Shader};
use super::record::{DISPATCH_WORK, Recorder};
use crate::Result;
use crate::error::DeviceProblem;
use crate::ops::{GraphParams, Identical, Kernel, check_search};
use half::{Half, Packed};
use lists::{capacity, per_list};
use std::ops::Range;

const SOURCE: &str = include_str!("../../../shaders/knn.wgsl");
const SEARCH_BUFFERS: &[Access] = &[
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Write,
    Access::Write,
    Access::Write,
];
const FILTER: Shader = Shader {
    entry: "knn_filter",
    source: SOURCE,
    buffers: SEARCH_BUFFERS,
};
const MERGE: Shader = Shader {
    entry: "knn_merge",
    source: SOURCE,
    buffers: SEARCH_BUFFERS,
};

/// Bytes of noted points per pass.
const SCRATCH: u64 = 64 << 20;
/// A tile holds at most so many points: bounds what one query can cost in a dispatch.
const MAX_TILE: usize = 32 << 10;

/// Parameters of `knn_filter` and `knn_merge`, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct KnnParams {
    dim: u32,
    k: u32,
    group_first: u32,
    group_count: u32,
    query_rows: u32,
    query_first: u32,
    query_count: u32,
    list_first: u32,
    list_count: u32,
    query_sample: u32,
    point_rows: u32,
    point_first: u32,
    point_count: u32,
    point_sample: u32,
    capacity: u32,
    direct: u32,
    distinct: u32,
    shrink: f32,
    strip: u32,
    first: u32,
    workgroups: u32,
    zero: u32,
}

/// Entries that the merge sorts at once.
fn sort_size(k: usize) -> usize {
    (2 * k.next_power_of_two()).max(256)
}

/// Threads that merge one list.
fn width(k: usize) -> usize {
    if sort_size(k) > 512 { 256 } else { 64 }
}

/// Threads that share a distance.
const fn lanes(dim: usize) -> usize {
    match dim {
        0..128 => 1,
        128..1024 => 8,
        _ => 64,
    }
}

/// One search: what stays the same over its passes.
struct Search<'a> {
    context: &'a Context,
    queries: &'a Points,
    points: &'a Points,
    state: &'a Candidates,
    params: KnnParams,
}

/// The part of a search that one pass works on.
struct Pass {
    groups: Range<usize>,
    /// Relative to the searched rows.
    queries: Range<usize>,
}

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
    if sort_size(state.k) * 12 + 2048 > context.workgroup_bytes as usize {
        return Err(context.fail(DeviceProblem::Lacks {
            feature: "workgroup memory for so large a k",
            advice: "use a smaller k",
        }));
    }
    // What f32 rounding can do to a distance relative to both norms: see `cpu/knn` for the terms.
    let gamma = (queries.dim as f64 + 24.0) * 2f64.powi(-24);
    let search = Search {
        context,
        queries,
        points,
        state,
        params: KnnParams {
            dim: queries.dim as u32,
            k: state.k as u32,
            group_first: 0,
            group_count: 0,
            query_rows: queries.rows as u32,
            query_first: rows.start as u32,
            query_count: 0,
            list_first: 0,
            list_count: state.queries as u32,
            query_sample: (queries.first + rows.start) as u32,
            point_rows: points.rows as u32,
            point_first: 0,
            point_count: 0,
            point_sample: points.first as u32,
            capacity: capacity(state.k) as u32,
            direct: 0,
            distinct: u32::from(params.identical == Identical::Replace),
            shrink: (1.0 - gamma) as f32,
            strip: 1,
            first: 0,
            workgroups: 0,
            zero: 0,
        },
    };
    let budget = SCRATCH.min(context.max_buffer);
    let bytes = per_list(state.k, half::row_bytes(context, queries.dim));
    let lists = tile(groups * count, bytes, budget);
    let (lists, survivors) = context.pool.get_tile(lists, capacity(state.k) as u64 * 4)?;
    let group_step = (lists / count).max(1);
    let query_step = lists.min(count);
    for g in (0..groups).step_by(group_step) {
        let chunk = g..groups.min(g + group_step);
        let point_norms = norms(
            context,
            points,
            queries,
            chunk.clone(),
            0..points.rows,
            state.k,
        )?;
        let packed = search.pack(points, chunk.clone(), 0..points.rows, &point_norms)?;
        for q in (0..count).step_by(query_step) {
            let pass = Pass {
                groups: chunk.clone(),
                queries: q..count.min(q + query_step),
            };
            search.pass(&pass, &rows, &point_norms, packed.as_ref(), &survivors)?;
        }
    }
    state.seen += points.rows;
    Ok(())
}

fn with_kernel(defines: &[Define], kernel: Kernel) -> Vec<Define> {
    let mut all = defines.to_vec();
    if kernel == Kernel::Cosine {
        all.push(("COSINE", None));
    }
    all
}

impl Search<'_> {
    /// Rows as the filter on cooperative matrices reads them, where that is the one to use.
    fn pack(
        &self,
        of: &Points,
        groups: Range<usize>,
        rows: Range<usize>,
        norms: &Buffer,
    ) -> Result<Option<Packed>> {
        half::usable(self.context, of.dim)
            .map(|m| half::pack(self.context, m, of, self.queries, groups, rows, norms))
            .transpose()
    }

    fn pass(
        &self,
        pass: &Pass,
        rows: &Range<usize>,
        point_norms: &Buffer,
        packed_points: Option<&Packed>,
        survivors: &Buffer,
    ) -> Result<()> {
        let (context, state) = (self.context, self.state);
        let own = rows.start + pass.queries.start..rows.start + pass.queries.end;
        let query_norms = norms(
            context,
            self.queries,
            self.queries,
            pass.groups.clone(),
            own.clone(),
            0,
        )?;
        let packed_queries = self.pack(self.queries, pass.groups.clone(), own, &query_norms)?;
        let packed = packed_queries.as_ref().zip(packed_points);
        let half = packed.map(|(queries, points)| Half {
            queries,
            points,
            survivors,
        });
        let mut params = self.params;
        params.group_first = pass.groups.start as u32;
        params.group_count = pass.groups.len() as u32;
        params.query_first += pass.queries.start as u32;
        params.query_sample += pass.queries.start as u32;
        params.query_count = pass.queries.len() as u32;
        params.list_first = pass.queries.start as u32;
        let buffers = [
            self.queries.raw.whole(),
            self.points.raw.whole(),
            self.queries.frames.whole(),
            query_norms.whole(),
            point_norms.whole(),
            state.progress.whole(),
            survivors.whole(),
            state.entries.whole(),
        ];
        let mut recorder = Recorder::new(context);
        let (first_tile, longest) = self.tiles()?;
        let mut start = 0;
        while start < self.points.rows {
            let seen = state.seen + start;
            let size = match seen {
                // Nothing to filter against yet.
                0 => first_tile,
                _ => (3 * seen).max(1024).min(longest),
            };
            let count = size.min(self.points.rows - start);
            params.point_first = start as u32;
            params.point_count = count as u32;
            params.direct = u32::from(seen == 0);
            if seen > 0 {
                if let Some(half) = &half {
                    half.filter(context, &mut recorder, &params, state)?;
                }
                self.filter(&mut recorder, params, &buffers, half.is_some())?;
            }
            self.merge(&mut recorder, params, &buffers)?;
            start += count;
        }
        recorder.submit()
    }

    /// Points of the first tile and at most of any: what one invocation of the merge can look at.
    fn tiles(&self) -> Result<(usize, usize)> {
        let (dim, k) = (self.queries.dim, self.state.k);
        let lanes = lanes(dim);
        let per_point = (dim / lanes / 2 + 4) * lanes / width(k) + 2;
        let longest = (self.context.loop_budget() / per_point / 2).min(MAX_TILE);
        // Noted points are fewer; the filter has 21 steps per 16 terms.
        let what = format!("a search among vectors of {dim} numbers");
        self.context
            .check_loops(&what, dim.div_ceil(16) * 26 + 100)?;
        self.context
            .check_loops(&what, capacity(k).min(longest) * per_point)?;
        Ok((sort_size(k).min(longest), longest))
    }

    /// `again`: only for the queries that another filter marked. Few are, so that each workgroup looks
    /// for them before a whole strip of tiles.
    fn filter(
        &self,
        recorder: &mut Recorder<'_>,
        mut params: KnnParams,
        buffers: &[wgpu::BufferBinding<'_>],
        again: bool,
    ) -> Result<()> {
        let mut defines = vec![("FILTER", None)];
        let tiles = |n: u32| u64::from(n.div_ceil(64));
        let columns = u64::from(params.group_count) * tiles(params.query_count);
        params.strip = 1;
        if again {
            defines.push(("AGAIN", None));
            // Workgroups enough for any device; loops that a software adapter finishes.
            let steps = params.dim as usize / 16 * 26 + 150;
            let longest = (self.context.loop_budget() / steps).clamp(1, 32) as u64;
            let strip = columns * tiles(params.point_count) / 4096;
            params.strip = strip.clamp(1, longest) as u32;
        }
        let defines = with_kernel(&defines, self.queries.kernel);
        let pipeline = self.context.pipeline(&FILTER, &defines)?;
        let strip = u64::from(params.strip);
        let all = columns * tiles(params.point_count).div_ceil(strip);
        let work = 4096 * (2 * u64::from(params.dim) + 16) * strip;
        let step = (DISPATCH_WORK / work).max(1);
        params.workgroups = u32::try_from(all).unwrap_or(u32::MAX);
        for first in (0..all).step_by(step as usize) {
            params.first = first as u32;
            let count = step.min(all - first);
            recorder.dispatch(&pipeline, &params, buffers, count, count * work)?;
        }
        Ok(())
    }

    fn merge(
        &self,
        recorder: &mut Recorder<'_>,
        mut params: KnnParams,
        buffers: &[wgpu::BufferBinding<'_>],
    ) -> Result<()> {
        let sort = sort_size(self.state.k) as u32;
        let lanes = lanes(params.dim as usize) as u32;
        let mut defines = vec![
            ("MERGE", None),
            ("SORT", Some(sort)),
            ("WIDTH", Some(width(self.state.k) as u32)),
            ("LANES", Some(lanes)),
        ];
        if lanes > 1 {
            defines.push(("SHARED_ROWS", None));
        }
        let defines = with_kernel(&defines, self.queries.kernel);
        let pipeline = self.context.pipeline(&MERGE, &defines)?;
        let all = u64::from(params.group_count) * u64::from(params.query_count);
        // The worst case, that all points are looked at.
        let work = u64::from(params.point_count) * (8 * u64::from(params.dim) + 100);
        let step = (DISPATCH_WORK / work).max(1);
        params.workgroups = u32::try_from(all).unwrap_or(u32::MAX);
        for first in (0..all).step_by(step as usize) {
            params.first = first as u32;
            let count = step.min(all - first);
            recorder.dispatch(&pipeline, &params, buffers, count, count * work)?;
        }
        Ok(())
    }
}
