//! What is done row by row: norms, and fetching candidates' vectors.

use super::lists::ENTRY;
use super::{Candidates, Points, with_kernel};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::pipeline::{Access, Kernel as Shader};
use crate::gpu::record::{DISPATCH_WORK, Recorder};
use crate::gpu::tensor::Tensor;
use crate::ops::check_gather;
use std::ops::Range;

const ROWS_SOURCE: &str = include_str!("../../../shaders/knn_rows.wgsl");

const NORMS: Shader = Shader {
    entry: "knn_norms",
    source: ROWS_SOURCE,
    buffers: &[Access::Read, Access::Read, Access::Read, Access::Write],
};

const GATHER: Shader = Shader {
    entry: "knn_gather",
    source: ROWS_SOURCE,
    buffers: &[Access::Read, Access::Read, Access::Write],
};

/// Parameters of `knn_norms` and `knn_gather`, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct RowsParams {
    dim: u32,
    rows: u32,
    row_first: u32,
    row_count: u32,
    group_first: u32,
    group_count: u32,
    k: u32,
    list_count: u32,
    sample: u32,
    first: u32,
    workgroups: u32,
    zero: u32,
}

/// Norms `[groups, rows]` of a part of `of` in the frames of `frame`. Rows with more than `k`
/// identical ones before them are marked as no candidates (`k` 0: none is).
pub(in crate::gpu) fn norms(
    context: &Context,
    of: &Points,
    frame: &Points,
    groups: Range<usize>,
    rows: Range<usize>,
    k: usize,
) -> Result<Buffer> {
    let params = RowsParams {
        dim: of.dim as u32,
        rows: of.rows as u32,
        row_first: rows.start as u32,
        row_count: rows.len() as u32,
        group_first: groups.start as u32,
        group_count: groups.len() as u32,
        k: k as u32,
        list_count: 0,
        sample: of.first as u32,
        first: 0,
        workgroups: 0,
        zero: 0,
    };
    run_norms(context, &of.raw, &of.copies, frame, params)
}

/// Norms of `rows` vectors that are no block, under the cosine kernel; `like` has their length.
pub(in crate::gpu) fn cosine_norms(
    context: &Context,
    vectors: &Buffer,
    rows: usize,
    like: &Points,
) -> Result<Buffer> {
    let params = RowsParams {
        dim: like.dim as u32,
        rows: rows as u32,
        row_first: 0,
        row_count: rows as u32,
        group_first: 0,
        group_count: 1,
        k: 0,
        list_count: 0,
        sample: 0,
        first: 0,
        workgroups: 0,
        zero: 0,
    };
    // Without a k the counts of copies are not read.
    run_norms(context, vectors, &like.copies, like, params)
}

fn run_norms(
    context: &Context,
    rows: &Buffer,
    copies: &Buffer,
    frame: &Points,
    mut params: RowsParams,
) -> Result<Buffer> {
    let all = u64::from(params.group_count) * u64::from(params.row_count);
    let result = context.pool.get(Kind::Storage, all * ENTRY)?;
    let pipeline = context.pipeline(&NORMS, &with_kernel(&[("NORMS", None)], frame.kernel))?;
    let buffers = [
        rows.whole(),
        frame.frames.whole(),
        copies.whole(),
        result.whole(),
    ];
    params.workgroups = all as u32;
    let work = u64::from(params.dim) * 4 + 256;
    let step = (DISPATCH_WORK / work).max(1);
    let mut recorder = Recorder::new(context);
    for first in (0..all).step_by(step as usize) {
        let count = step.min(all - first);
        params.first = first as u32;
        recorder.dispatch(&pipeline, &params, &buffers, count, count * work)?;
    }
    recorder.submit()?;
    Ok(result)
}

/// Copies the vectors of the candidates that lie in `points` to their places in `into`.
pub(in crate::gpu) fn gather(
    context: &Context,
    points: &Points,
    candidates: &Candidates,
    into: &Tensor,
) -> Result<()> {
    check_gather(points.shape(), candidates.shape(), into.shape())?;
    let all = (into.len() as u64).div_ceil(64);
    let params = RowsParams {
        dim: points.dim as u32,
        rows: points.rows as u32,
        row_first: 0,
        row_count: points.rows as u32,
        group_first: 0,
        group_count: points.groups as u32,
        k: candidates.k as u32,
        list_count: candidates.queries as u32,
        sample: points.first as u32,
        first: 0,
        workgroups: all as u32,
        zero: 0,
    };
    let pipeline = context.pipeline(&GATHER, &[("GATHER", None)])?;
    let buffers = [
        points.raw.whole(),
        candidates.entries.whole(),
        into.buffer.whole(),
    ];
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, &params, &buffers, all, all * 64)?;
    recorder.submit()
}
