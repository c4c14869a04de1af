//! One pass of a search: some queries of some groups against all points.

use super::half::{self, Half, Packed};
use super::kernels::{
    FILTER, KnnParams, MERGE, TILE, lanes, merge_defines, sort_size, width, with_kernel,
};
use super::lists::{Candidates, capacity};
use super::packing;
use super::rows::{framed, norms};
use super::{MAX_TILE, Points};
use crate::Result;
use crate::error::DeviceProblem;
use crate::gpu::context::Context;
use crate::gpu::memory::Buffer;
use crate::gpu::record::Recorder;
use std::ops::Range;

/// One search: what all its passes have in common.
pub(super) struct Search<'a> {
    pub(super) context: &'a Context,
    pub(super) queries: &'a Points,
    pub(super) points: &'a Points,
    pub(super) state: &'a Candidates,
    pub(super) params: KnnParams,
}

/// Some rows of one search, points or queries, as its kernels read them.
pub(super) struct Prepared {
    norms: Buffer,
    framed: Buffer,
    packed: Option<Packed>,
}

/// The queries that one pass searches for.
pub(super) struct Pass {
    pub(super) groups: Range<usize>,
    /// Relative to the first row of the search.
    pub(super) queries: Range<usize>,
}

impl Search<'_> {
    /// Prepares rows for both filters, and leaves no trace where that fails. Points with more than `k` identical ones
    /// before them are marked, because they can be in no list; with `k` = 0 none is.
    pub(super) fn prepare(
        &self,
        of: &Points,
        groups: &Range<usize>,
        rows: Range<usize>,
        k: usize,
    ) -> Result<Prepared> {
        let (context, frame) = (self.context, self.queries);
        // Norms take no more.
        let bytes = groups.len() as u64 * rows.len() as u64 * packing::padded_bytes(of.dim);
        if bytes > context.max_buffer {
            return Err(context.fail(DeviceProblem::TooLarge {
                what: format!(
                    "{} rows of {} numbers, padded for a search,",
                    rows.len(),
                    of.dim
                ),
                limit: Some(context.max_buffer),
            }));
        }
        let norms = norms(context, of, frame, groups.clone(), rows.clone(), k)?;
        let packed = packing::usable(context, of.dim)
            .map(|m| half::pack(context, m, of, frame, groups.clone(), rows.clone(), &norms))
            .transpose()?;
        Ok(Prepared {
            packed,
            framed: framed(context, of, frame, groups.clone(), rows, &norms)?,
            norms,
        })
    }

    /// Searches all points, tile by tile. Tiles grow with the number of points seen, because the
    /// thresholds that the filter compares with get sharper.
    pub(super) fn pass(
        &self,
        pass: &Pass,
        queries: &Prepared,
        points: &Prepared,
        survivors: &Buffer,
    ) -> Result<()> {
        let (context, state) = (self.context, self.state);
        let packed = queries.packed.as_ref().zip(points.packed.as_ref());
        let half = packed.map(|(queries, points)| Half {
            queries,
            points,
            survivors,
        });
        let mut params = self.params;
        params.group_first = pass.groups.start as u32;
        params.group_count = pass.groups.len() as u32;
        params.query_first += pass.queries.start as u32;
        params.query_count = pass.queries.len() as u32;
        params.list_first = pass.queries.start as u32;
        let filtered = [
            queries.framed.whole(),
            points.framed.whole(),
            queries.norms.whole(),
            points.norms.whole(),
            state.progress.whole(),
            survivors.whole(),
        ];
        let merged = [
            self.queries.raw.whole(),
            self.points.raw.whole(),
            self.queries.frames.whole(),
            queries.norms.whole(),
            points.norms.whole(),
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
                // The lists are still empty, so there is no threshold to filter with.
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
                self.filter(&mut recorder, params, &filtered, half.is_some())?;
            }
            self.merge(&mut recorder, params, &merged)?;
            start += count;
        }
        recorder.submit()
    }

    /// Points of the first tile, and of the largest one: what one thread of the merge can process on a
    /// software adapter, which limits loops.
    fn tiles(&self) -> Result<(usize, usize)> {
        let (dim, k) = (self.queries.dim, self.state.k);
        let lanes = lanes(dim);
        let per_point = (dim / lanes / 2 + 4) * lanes / width(k) + 2;
        let longest = (self.context.loop_budget() / per_point / 2).min(MAX_TILE);
        // The filter takes 21 steps per 16 terms, and some to note points.
        let what = format!("a search among vectors of {dim} numbers");
        self.context
            .check_loops(&what, dim.div_ceil(16) * 26 + 100)?;
        self.context
            .check_loops(&what, capacity(k).min(longest) * per_point)?;
        Ok((sort_size(k).min(longest), longest))
    }

    /// Records the f32 filter. With `retry` it filters only the queries that the filter on cooperative
    /// matrices marked. Those are few, so each workgroup looks for them once and then goes over a whole
    /// strip of tiles.
    fn filter(
        &self,
        recorder: &mut Recorder<'_>,
        mut params: KnnParams,
        buffers: &[wgpu::BufferBinding<'_>],
        retry: bool,
    ) -> Result<()> {
        let tiles = |n: u32| u64::from(n.div_ceil(TILE));
        let columns = u64::from(params.group_count) * tiles(params.query_count);
        let mut defines = vec![];
        params.strip = 1;
        if retry {
            defines.push(("RETRY", None));
            // Enough workgroups to fill any device, with loops that a software adapter can finish.
            let steps = params.dim as usize / 16 * 26 + 150;
            let longest = (self.context.loop_budget() / steps).clamp(1, 32) as u64;
            let strip = columns * tiles(params.point_count) / 4096;
            params.strip = strip.clamp(1, longest) as u32;
        }
        let defines = with_kernel(&defines, self.queries.kernel);
        let pipeline = self.context.pipeline(&FILTER, &defines)?;
        let strip = u64::from(params.strip);
        let all = columns * tiles(params.point_count).div_ceil(strip);
        let pairs = u64::from(TILE * TILE);
        let work = pairs * (2 * u64::from(params.dim) + 16) * strip;
        params.workgroups = u32::try_from(all).unwrap_or(u32::MAX);
        recorder.dispatch(&pipeline, params, buffers, all, work)
    }

    /// Records the merge of the noted points, or of all, into the candidate lists.
    fn merge(
        &self,
        recorder: &mut Recorder<'_>,
        mut params: KnnParams,
        buffers: &[wgpu::BufferBinding<'_>],
    ) -> Result<()> {
        let defines = merge_defines(self.state.k, params.dim as usize);
        let defines = with_kernel(&defines, self.queries.kernel);
        let pipeline = self.context.pipeline(&MERGE, &defines)?;
        let all = u64::from(params.group_count) * u64::from(params.query_count);
        // The distances of as many points as can be noted are computed, and now and then those of all.
        let noted = match params.direct {
            0 => (params.capacity + params.point_count / 16).min(params.point_count),
            _ => params.point_count,
        };
        let work = u64::from(noted) * (8 * u64::from(params.dim) + 100);
        params.workgroups = u32::try_from(all).unwrap_or(u32::MAX);
        recorder.dispatch(&pipeline, params, buffers, all, work)
    }
}
