//! Kernels that process rows one by one: before a search their norms, and rows as the f32 filter reads them;
//! after it, fetching the candidates' vectors.

use super::kernels::{Entry, FRAMED, GATHER, NORMS, PackParams, RowNorm, RowsParams, with_kernel};
use super::packing::framed_pitch;
use super::{Candidates, Points};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::record::{Recorder, number};
use crate::gpu::tensor::Tensor;
use crate::ops::check_gather;
use std::ops::Range;

/// Norms `[groups, rows]` of some rows of `of`, in the frames of `frame`. Rows with more than `k`
/// identical rows before them are marked, because they can be in no list of `k`; with `k` = 0 none is
/// marked.
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
        sample: of.first as u32,
        ..RowsParams::default()
    };
    run_norms(context, &of.raw, &of.copies, frame, params)
}

/// Norms for the cosine kernel of `rows` vectors in a buffer; `like` has rows of their length.
pub(in crate::gpu) fn cosine_norms(
    context: &Context,
    vectors: &Buffer,
    rows: usize,
    like: &Points,
) -> Result<Buffer> {
    let params = RowsParams {
        dim: like.dim as u32,
        rows: rows as u32,
        row_count: rows as u32,
        group_count: 1,
        ..RowsParams::default()
    };
    // With k = 0 the shader does not read the counts of copies.
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
    let bytes = all * size_of::<RowNorm>() as u64;
    let result = context.pool.get(Kind::Storage, bytes)?;
    let pipeline = context.pipeline(&NORMS, &with_kernel(&[], frame.kernel))?;
    let buffers = [
        rows.whole(),
        frame.frames.whole(),
        copies.whole(),
        result.whole(),
    ];
    params.workgroups = all as u32;
    let work = u64::from(params.dim) * 4 + 256;
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, params, &buffers, all, work)?;
    recorder.submit()?;
    Ok(result)
}

/// For kernels that write some rows of `of`, in some of its groups, in another form of `pitch` vectors each.
pub(super) fn pack_params(
    of: &Points,
    groups: &Range<usize>,
    rows: &Range<usize>,
    pitch: usize,
    workgroups: u64,
) -> PackParams {
    PackParams {
        dim: of.dim as u32,
        rows: of.rows as u32,
        row_first: rows.start as u32,
        row_count: rows.len() as u32,
        group_first: groups.start as u32,
        group_count: groups.len() as u32,
        pitch: pitch as u32,
        workgroups: workgroups as u32,
        ..PackParams::default()
    }
}

/// Some rows of `of` in the frames of `frame`, `[groups, rows, 4 framed_pitch]`, for the f32 filter. `norms` are the
/// norms of those rows.
pub(super) fn framed(
    context: &Context,
    of: &Points,
    frame: &Points,
    groups: Range<usize>,
    rows: Range<usize>,
    norms: &Buffer,
) -> Result<Buffer> {
    let pitch = framed_pitch(of.dim);
    let vectors = groups.len() * rows.len() * pitch;
    let result = context.pool.get(Kind::Storage, vectors as u64 * 16)?;
    let all = FRAMED.workgroups(vectors);
    let params = pack_params(of, &groups, &rows, pitch, all);
    let pipeline = context.pipeline(&FRAMED, &with_kernel(&[], of.kernel))?;
    let buffers = [
        of.raw.whole(),
        frame.frames.whole(),
        norms.whole(),
        result.whole(),
    ];
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, params, &buffers, all, 64 * 32)?;
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
    let lifted = points.lift(context, candidates.lifted)?;
    let points = lifted.as_ref().unwrap_or(points);
    let all = GATHER.workgroups(into.len());
    let params = RowsParams {
        dim: points.dim as u32,
        rows: points.rows as u32,
        row_count: points.rows as u32,
        group_count: points.groups as u32,
        k: candidates.k as u32,
        list_count: candidates.queries as u32,
        sample: points.first as u32,
        workgroups: all as u32,
        ..RowsParams::default()
    };
    let pipeline = context.pipeline(&GATHER, &[])?;
    let buffers = [
        points.raw.whole(),
        candidates.entries.whole(),
        into.buffer.whole(),
    ];
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, params, &buffers, all, 64)?;
    recorder.submit()
}

/// Brings some rows of a buffer `[all, dim]` to the host.
pub(in crate::gpu) fn fetch(
    context: &Context,
    from: &Buffer,
    [all, dim]: [usize; 2],
    rows: &[usize],
) -> Result<Vec<f32>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    // The kernel that gathers candidates, given lists of one entry, and all rows as one group.
    let entry = |&row: &usize| {
        Ok(Entry {
            sample: number(context, row + 1)?,
            ..Entry::default()
        })
    };
    let entries: Vec<Entry> = rows.iter().map(entry).collect::<Result<_>>()?;
    let len = rows.len() * dim;
    let list = context
        .pool
        .get(Kind::Storage, size_of_val(&entries[..]) as u64)?;
    context.write(&list, &entries)?;
    let into = context.pool.get(Kind::Storage, len as u64 * 4)?;
    let workgroups = GATHER.workgroups(len);
    let params = RowsParams {
        dim: dim as u32,
        rows: number(context, all)?,
        group_count: 1,
        k: 1,
        list_count: rows.len() as u32,
        workgroups: workgroups as u32,
        ..RowsParams::default()
    };
    let pipeline = context.pipeline(&GATHER, &[])?;
    let buffers = [from.whole(), list.whole(), into.whole()];
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, params, &buffers, workgroups, 64)?;
    recorder.submit()?;
    context.read(&into, len)
}
