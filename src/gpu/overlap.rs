//! Overlaps of supports on the device: exact integers, the same as the CPU's to the bit.
//!
//! Floors, for `C` channels, `Q` queries and supports of `s` of `k` slots: `4 C Q k` bytes in,
//! `C^2 Q s` steps of merging.

use super::context::Context;
use super::memory::{Buffer, Kind, tile};
use super::pipeline::{Access, Kernel as Shader};
use super::record::{DISPATCH_WORK, Recorder};
use crate::Result;
use crate::ops::{OverlapSums, Supports, check_overlap};
use std::ops::Range;

const SOURCE: &str = include_str!("../../shaders/overlap.wgsl");
const BUFFERS: &[Access] = &[Access::Read, Access::Write, Access::Write, Access::Write];
const SORT: Shader = Shader {
    entry: "overlap_sort",
    source: SOURCE,
    buffers: BUFFERS,
};
const OVERLAP: Shader = Shader {
    entry: "overlap",
    source: SOURCE,
    buffers: BUFFERS,
};

/// Bytes of supports on the device at a time.
const LIST_BYTES: u64 = 64 << 20;
/// Bytes of sums on the device at a time.
const SUM_BYTES: u64 = 32 << 20;
/// Most queries of a part: 2^20 times as many fit in 32 bits.
const MAX_PART: usize = 2048;
/// Threads that fill a large device; below, queries are split into more parts.
const THREADS: usize = 1 << 17;

/// Parameters of both kernels, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct OverlapParams {
    channels: u32,
    queries: u32,
    k: u32,
    row_first: u32,
    row_count: u32,
    part: u32,
    first: u32,
    workgroups: u32,
}

/// Sums of a pair over a part, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Sums {
    intersection: u32,
    jaccard_high: u32,
    jaccard_low: u32,
    queries: u32,
    unions: u32,
}

/// Adds the overlaps of these queries to `sums`.
pub(super) fn accumulate(
    context: &Context,
    supports: Supports<'_>,
    sums: &mut OverlapSums,
) -> Result<()> {
    let Supports {
        channels,
        queries,
        k,
        ..
    } = supports;
    check_overlap(supports, sums)?;
    if channels == 0 || queries == 0 {
        return Ok(());
    }
    let per_query = (channels * k.max(1) * 4) as u64;
    let step = tile(queries, per_query, LIST_BYTES.min(context.max_buffer));
    for first in (0..queries).step_by(step) {
        let chunk = first..queries.min(first + step);
        let (lists, sizes) = upload(context, supports, chunk.clone())?;
        let rows = tile(channels, (channels * size_of::<Sums>()) as u64, SUM_BYTES);
        for row in (0..channels).step_by(rows) {
            let rows = row..channels.min(row + rows);
            count(
                context,
                supports,
                chunk.len(),
                &rows,
                [&lists, &sizes],
                sums,
            )?;
        }
    }
    Ok(())
}

/// Supports `[queries, channels, k]`, sorted on the device, and their sizes.
fn upload(context: &Context, s: Supports<'_>, queries: Range<usize>) -> Result<(Buffer, Buffer)> {
    let (mut slots, mut flags) = (Vec::new(), Vec::new());
    for q in queries.clone() {
        for c in 0..s.channels {
            let list = c * s.queries + q;
            slots.extend_from_slice(&s.indices[list * s.k..][..s.k]);
            flags.push(if s.degenerate[list] { u32::MAX } else { 0 });
        }
    }
    let given = context.pool.get(Kind::Storage, slots.len() as u64 * 4)?;
    let lists = context.pool.get(Kind::Storage, slots.len() as u64 * 4)?;
    let sizes = context.pool.get(Kind::Storage, flags.len() as u64 * 4)?;
    context.write(&given, &slots)?;
    context.write(&sizes, &flags)?;
    let sums = context.pool.get(Kind::Storage, 32)?;
    let all = (slots.len() as u64).div_ceil(64);
    let mut params = OverlapParams {
        channels: s.channels as u32,
        queries: queries.len() as u32,
        k: s.k as u32,
        row_first: 0,
        row_count: 0,
        part: 0,
        first: 0,
        workgroups: all as u32,
    };
    let pipeline = context.pipeline(&SORT, &[])?;
    let buffers = [given.whole(), lists.whole(), sizes.whole(), sums.whole()];
    let work = 64 * 4 * s.k as u64;
    let step = (DISPATCH_WORK / work.max(1)).max(1);
    let mut recorder = Recorder::new(context);
    for first in (0..all).step_by(step as usize) {
        let count = step.min(all - first);
        params.first = first as u32;
        recorder.dispatch(&pipeline, &params, &buffers, count, count * work)?;
    }
    recorder.submit()?;
    Ok((lists, sizes))
}

/// Queries per part, so that there are threads enough and sums not too many.
fn part_length(queries: usize, rows: usize, channels: usize) -> usize {
    let pairs = rows.next_multiple_of(16) * channels.next_multiple_of(16);
    let room = (SUM_BYTES as usize / (rows * channels * size_of::<Sums>())).max(1);
    let parts = (THREADS / pairs).clamp(1, room).min(queries.div_ceil(16));
    queries.div_ceil(parts)
}

/// Adds the overlaps of channels `rows` with all from them on.
fn count(
    context: &Context,
    supports: Supports<'_>,
    queries: usize,
    rows: &Range<usize>,
    [lists, sizes]: [&Buffer; 2],
    sums: &mut OverlapSums,
) -> Result<()> {
    let (channels, k) = (supports.channels, supports.k);
    let longest = (context.loop_budget() / (2 * k + 2)).clamp(1, MAX_PART);
    let part = part_length(queries, rows.len(), channels).min(longest);
    let parts = queries.div_ceil(part);
    let len = parts * rows.len() * channels;
    let size = (len * size_of::<Sums>()) as u64;
    let partial = context.pool.get(Kind::Storage, size)?;
    let all = (parts * rows.len().div_ceil(16) * channels.div_ceil(16)) as u64;
    let mut params = OverlapParams {
        channels: channels as u32,
        queries: queries as u32,
        k: k as u32,
        row_first: rows.start as u32,
        row_count: rows.len() as u32,
        part: part as u32,
        first: 0,
        workgroups: all as u32,
    };
    let pipeline = context.pipeline(&OVERLAP, &[])?;
    let none = context.pool.get(Kind::Storage, 16)?;
    let buffers = [none.whole(), lists.whole(), sizes.whole(), partial.whole()];
    let work = (256 * part * (10 * k + 30)) as u64;
    let step = (DISPATCH_WORK / work).max(1);
    let mut recorder = Recorder::new(context);
    for first in (0..all).step_by(step as usize) {
        let count = step.min(all - first);
        params.first = first as u32;
        recorder.dispatch(&pipeline, &params, &buffers, count, count * work)?;
    }
    recorder.submit()?;
    let partial: Vec<Sums> = context.read(&partial, len)?;
    for (i, s) in partial.iter().enumerate() {
        let a = rows.start + i / channels % rows.len();
        let b = i % channels;
        if a > b {
            continue;
        }
        add(sums, a * channels + b, s);
        if a < b {
            add(sums, b * channels + a, s);
        }
    }
    Ok(())
}

fn add(sums: &mut OverlapSums, at: usize, s: &Sums) {
    sums.intersection[at] += u64::from(s.intersection);
    sums.jaccard_q40[at] += (u64::from(s.jaccard_high) << 20) + u64::from(s.jaccard_low);
    sums.queries[at] += u64::from(s.queries);
    sums.unions[at] += u64::from(s.unions);
}
