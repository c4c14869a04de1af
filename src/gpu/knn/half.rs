//! The search's filter on cooperative matrices: products of rows rounded to f16, summed in f32.
//!
//! For rows x and y, rounded to hx and hy, `x.y - hx.hy = x.(y - hy) + (x - hx).hy`, so by
//! Cauchy-Schwarz the product is off by at most `|x| |y - hy| + |x - hx| |hy|`, norms that are measured
//! for every row and rounded up; and by what the device's sums are off. The filter takes both off, so a
//! point that it leaves out is no candidate, whatever the device. What it notes is computed again in
//! wide arithmetic, as what the f32 filter notes is: lists have the same bits.
//!
//! Where so many points pass that there is no room for them (clusters that are tight for their distance
//! from the centre), the f32 filter goes over that query's tile once more.
//!
//! Floors for `g` groups of `Q` queries and `P` points of `d`: `2 g (Q + P) d` bytes of halves, written and
//! read once; `2 g Q P d` operations on matrices; and, since a thread cannot look into a matrix, `8 g Q P`
//! bytes through workgroup memory with five f32 operations a pair. On a card with 30 TB/s of workgroup
//! memory the last floor is the higher one up to d = 64 or so.

use super::lists::Candidates;
use super::{KnnParams, Points, with_kernel};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::cooperative::{Cooperative, SPEEDUP};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::pipeline::{Access, Kernel as Shader};
use crate::gpu::record::{DISPATCH_WORK, Recorder};
use std::ops::Range;

const SOURCE: &str = include_str!("../../../shaders/knn_half.wgsl");
const PACK: Shader = Shader {
    entry: "knn_pack",
    source: SOURCE,
    buffers: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
        Access::Write,
    ],
};
const OVERFLOW: Shader = Shader {
    entry: "knn_overflow",
    source: SOURCE,
    buffers: &[Access::Write],
};
const FILTER: Shader = Shader {
    entry: "knn_half",
    source: SOURCE,
    buffers: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
        Access::Write,
    ],
};

/// Longer rows have sums whose bound is wider than the differences between their distances.
const MAX_DIM: usize = 4096;

/// Parameters of `knn_pack`, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct PackParams {
    dim: u32,
    rows: u32,
    row_first: u32,
    row_count: u32,
    group_first: u32,
    pitch: u32,
    first: u32,
    workgroups: u32,
}

/// Parameters of `knn_half` and `knn_overflow`, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct HalfParams {
    pitch: u32,
    group_first: u32,
    query_count: u32,
    list_first: u32,
    list_count: u32,
    query_sample: u32,
    point_rows: u32,
    point_first: u32,
    point_count: u32,
    point_sample: u32,
    capacity: u32,
    shrink: f32,
    gamma: f32,
    first: u32,
    workgroups: u32,
}

/// Vectors of four numbers per packed row: whole matrices of 16 terms.
const fn pitch(dim: usize) -> usize {
    dim.div_ceil(16) * 4
}

/// The matrices that a search among rows of `dim` numbers runs on, if on any.
pub(super) fn usable(context: &Context, dim: usize) -> Option<Cooperative> {
    context.cooperative_for(dim).filter(|_| dim <= MAX_DIM)
}

/// Device bytes of a packed row.
pub(super) fn row_bytes(context: &Context, dim: usize) -> u64 {
    match usable(context, dim) {
        Some(_) => pitch(dim) as u64 * 8 + 16,
        None => 0,
    }
}

/// Rows as the filter reads them.
pub(super) struct Packed {
    matrices: Cooperative,
    /// f16, `[groups, rows, 4 pitch]`.
    halves: Buffer,
    /// `[groups, rows, 4]`: see the shader.
    bounds: Buffer,
}

/// Packs a part of `of` in the frames of `frame`. `norms` are those of the same part.
pub(super) fn pack(
    context: &Context,
    matrices: Cooperative,
    of: &Points,
    frame: &Points,
    groups: Range<usize>,
    rows: Range<usize>,
    norms: &Buffer,
) -> Result<Packed> {
    let all = groups.len() as u64 * rows.len() as u64;
    let pitch = pitch(of.dim);
    let packed = Packed {
        matrices,
        halves: context.pool.get(Kind::Storage, all * pitch as u64 * 8)?,
        bounds: context.pool.get(Kind::Storage, all * 16)?,
    };
    let mut params = PackParams {
        dim: of.dim as u32,
        rows: of.rows as u32,
        row_first: rows.start as u32,
        row_count: rows.len() as u32,
        group_first: groups.start as u32,
        pitch: pitch as u32,
        first: 0,
        workgroups: all as u32,
    };
    let pipeline = context.pipeline(&PACK, &with_kernel(&[("PACK", None)], of.kernel))?;
    let buffers = [
        of.raw.whole(),
        frame.frames.whole(),
        norms.whole(),
        packed.halves.whole(),
        packed.bounds.whole(),
    ];
    let work = of.dim as u64 * 12 + 512;
    let step = (DISPATCH_WORK / work).max(1);
    let mut recorder = Recorder::new(context);
    for first in (0..all).step_by(step as usize) {
        let count = step.min(all - first);
        params.first = first as u32;
        recorder.dispatch(&pipeline, &params, &buffers, count, count * work)?;
    }
    recorder.submit()?;
    Ok(packed)
}

/// What the filter of one pass reads and writes.
pub(super) struct Half<'a> {
    pub(super) queries: &'a Packed,
    pub(super) points: &'a Packed,
    pub(super) survivors: &'a Buffer,
}

impl Half<'_> {
    /// Notes what might win among the points of a tile, then marks the queries that noted too many.
    pub(super) fn filter(
        &self,
        context: &Context,
        recorder: &mut Recorder<'_>,
        params: &KnnParams,
        state: &Candidates,
    ) -> Result<()> {
        let dim = params.dim as usize;
        let mut half = HalfParams {
            pitch: pitch(dim) as u32,
            group_first: params.group_first,
            query_count: params.query_count,
            list_first: params.list_first,
            list_count: params.list_count,
            query_sample: params.query_sample,
            point_rows: params.point_rows,
            point_first: params.point_first,
            point_count: params.point_count,
            point_sample: params.point_sample,
            capacity: params.capacity,
            shrink: shrink(dim) as f32,
            gamma: gamma(dim) as f32,
            first: 0,
            workgroups: 0,
        };
        let pipeline = context.pipeline(&FILTER, &self.points.matrices.defines())?;
        let buffers = [
            self.queries.halves.whole(),
            self.points.halves.whole(),
            self.queries.bounds.whole(),
            self.points.bounds.whole(),
            state.progress.whole(),
            self.survivors.whole(),
        ];
        let block = self.points.matrices.block();
        let blocks = |n: u32| n.div_ceil(block as u32);
        let pairs = u64::from(blocks(params.query_count)) * u64::from(blocks(params.point_count));
        let all = u64::from(params.group_count) * pairs;
        let work = (block * block * (8 * pitch(dim) + 64)) as u64 / SPEEDUP;
        let step = (DISPATCH_WORK / work).max(1);
        half.workgroups = u32::try_from(all).unwrap_or(u32::MAX);
        for first in (0..all).step_by(step as usize) {
            half.first = first as u32;
            let count = step.min(all - first);
            recorder.dispatch(&pipeline, &half, &buffers, count, count * work)?;
        }
        let pipeline = context.pipeline(&OVERFLOW, &[("OVERFLOW", None)])?;
        let lists = u64::from(params.group_count) * u64::from(params.query_count);
        half.first = 0;
        half.workgroups = lists as u32;
        let buffers = [state.progress.whole()];
        recorder.dispatch(&pipeline, &half, &buffers, lists.div_ceil(64), lists * 4)
    }
}

/// What a device's sum of products of f16 may be off by, relative to the norms of both rows.
///
/// Products of two f16 are exact in f32. Tensor cores add groups of `m` of them to the sum so far: all
/// are aligned to the largest and cut off (not rounded) at an f32's last bit there, and the result is cut
/// off again (Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021; the
/// cards measured there keep one to three bits more). No partial sum is larger than the product of both
/// norms, so a step is off by at most `(m + 2) 2^-23` of that, and `dim / m` steps by `dim (1 + 2 / m)
/// 2^-23`. This is `4 dim 2^-23`, enough for any `m`, also for sums one by one that are cut off.
fn gamma(dim: usize) -> f64 {
    (dim as f64 + 24.0) * 2f64.powi(-21)
}

/// 1 - what the f32 operations on norms, thresholds and bounds may be off by, and numbers that were
/// centred in f32, relative to both squared norms.
fn shrink(dim: usize) -> f64 {
    1.0 - (dim as f64 + 64.0) * 2f64.powi(-24)
}
