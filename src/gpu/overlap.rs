//! Overlaps of supports on the device: exact integers, the same as the CPU's to the bit.
//!
//! Lower bounds of the cost, for `C` channels, `Q` queries and supports of `s` of `k` slots: `4 C Q k`
//! bytes in, `C^2 Q s` steps of merging.

use super::context::Context;
use super::guard::halve;
use super::memory::{Buffer, Kind, tile};
use super::record::Recorder;
use super::shader::{
    Shader, Storage, Threads, file, reads, shader_params, shader_struct, writes, writes_structs,
};
use crate::Result;
use crate::ops::{OverlapSums, Supports, check_overlap};
use std::ops::Range;

const STORAGE: &[Storage] = &[
    reads("slots", "i32"),
    writes("lists", "i32"),
    writes("sizes", "u32"),
    writes_structs::<Sums>("sums"),
];

static SORT: Shader = Shader::new::<OverlapParams>(
    "overlap_sort",
    file!("overlap"),
    Threads::Fixed(64),
    STORAGE,
)
.constants(&[("DEGENERATE", DEGENERATE)]);

static OVERLAP: Shader = Shader::new::<OverlapParams>(
    "overlap",
    file!("overlap"),
    Threads::Fixed((SIDE * SIDE) as u32),
    STORAGE,
);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&SORT, &OVERLAP];

/// Size of a support that stands for a query without a graph.
const DEGENERATE: u32 = u32::MAX;
/// A workgroup has this many channels on either side of its pairs.
const SIDE: usize = 16;
/// Bytes of supports on the device at a time.
const LIST_BYTES: u64 = 64 << 20;
/// Bytes of sums on the device at a time.
const SUM_BYTES: u64 = 32 << 20;
/// Most queries of a part, whose sums of 20-bit numbers have to fit in 32 bits.
const MAX_PART: usize = 2048;
/// Threads that fill a large device. With fewer pairs of channels, queries are split into more parts.
const THREADS: usize = 1 << 17;

shader_params! {
    /// Parameters of both kernels; the shader explains the fields.
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
}

shader_struct! {
    /// Sums of a pair over a part.
    struct Sums {
        intersection: u32,
        jaccard_high: u32,
        jaccard_low: u32,
        queries: u32,
        unions: u32,
    }
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
    // Less at a time where the device is out of memory.
    let mut query_step = tile(queries, per_query, LIST_BYTES.min(context.max_buffer));
    let mut row_step = tile(channels, (channels * size_of::<Sums>()) as u64, SUM_BYTES);
    let mut first = 0;
    while first < queries {
        let chunk = first..queries.min(first + query_step);
        let (lists, sizes) = match upload(context, supports, chunk.clone()) {
            Ok(found) => found,
            Err(e) => {
                halve(&mut query_step, e)?;
                continue;
            }
        };
        let mut row = 0;
        while row < channels {
            let rows = row..channels.min(row + row_step);
            let lists = [&lists, &sizes];
            match count(context, supports, chunk.len(), &rows, lists, sums) {
                Ok(()) => row = rows.end,
                Err(e) => halve(&mut row_step, e)?,
            }
        }
        first = chunk.end;
    }
    Ok(())
}

/// Uploads supports and sorts them on the device: `[queries, channels, k]`, and their sizes.
fn upload(context: &Context, s: Supports<'_>, queries: Range<usize>) -> Result<(Buffer, Buffer)> {
    let (mut slots, mut flags) = (Vec::new(), Vec::new());
    for q in queries.clone() {
        for c in 0..s.channels {
            let list = c * s.queries + q;
            slots.extend_from_slice(&s.indices[list * s.k..][..s.k]);
            flags.push(if s.degenerate[list] { DEGENERATE } else { 0 });
        }
    }
    let given = context.pool.get(Kind::Storage, slots.len() as u64 * 4)?;
    let lists = context.pool.get(Kind::Storage, slots.len() as u64 * 4)?;
    let sizes = context.pool.get(Kind::Storage, flags.len() as u64 * 4)?;
    context.write(&given, &slots)?;
    context.write(&sizes, &flags)?;
    let sums = context.pool.get(Kind::Storage, 32)?;
    let all = SORT.workgroups(slots.len());
    let params = OverlapParams {
        channels: s.channels as u32,
        queries: queries.len() as u32,
        k: s.k as u32,
        workgroups: all as u32,
        ..OverlapParams::default()
    };
    let pipeline = context.pipeline(&SORT, &[])?;
    let buffers = [given.whole(), lists.whole(), sizes.whole(), sums.whole()];
    let work = 64 * 4 * s.k as u64;
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, params, &buffers, all, work)?;
    recorder.submit()?;
    Ok((lists, sizes))
}

/// Queries per part: few enough to occupy the device, many enough for the sums to fit in memory.
fn part_length(queries: usize, rows: usize, channels: usize) -> usize {
    let pairs = rows.next_multiple_of(SIDE) * channels.next_multiple_of(SIDE);
    let room = (SUM_BYTES as usize / (rows * channels * size_of::<Sums>())).max(1);
    let parts = (THREADS / pairs).clamp(1, room).min(queries.div_ceil(16));
    queries.div_ceil(parts)
}

/// Adds the overlaps of the channels in `rows` with all channels that do not come before them.
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
    let all = (parts * rows.len().div_ceil(SIDE) * channels.div_ceil(SIDE)) as u64;
    let params = OverlapParams {
        channels: channels as u32,
        queries: queries as u32,
        k: k as u32,
        row_first: rows.start as u32,
        row_count: rows.len() as u32,
        part: part as u32,
        workgroups: all as u32,
        ..OverlapParams::default()
    };
    let pipeline = context.pipeline(&OVERLAP, &[])?;
    let none = context.pool.get(Kind::Storage, 16)?;
    let buffers = [none.whole(), lists.whole(), sizes.whole(), partial.whole()];
    let work = (SIDE * SIDE * part * (10 * k + 30)) as u64;
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, params, &buffers, all, work)?;
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
