//! Candidate lists on the device.

use super::half::row_bytes;
use super::{Points, SCRATCH};
use crate::Result;
use crate::gpu::context::{Context, Wide};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::record::Recorder;
use crate::ops::{ListsShape, check_lists};

/// Bytes of one list entry and of one row norm.
pub(super) const ENTRY: u64 = 16;

/// Running k nearest of a block of queries, `[groups, queries, k]`.
pub struct Candidates {
    pub(in crate::gpu) groups: usize,
    pub(in crate::gpu) queries: usize,
    pub(in crate::gpu) k: usize,
    pub(in crate::gpu) entries: Buffer,
    pub(super) progress: Buffer,
    /// Points seen so far.
    pub(super) seen: usize,
}

/// Noted points per query: several times as many as are expected to pass in one tile.
pub(super) fn capacity(k: usize) -> usize {
    (4 * k.next_power_of_two()).max(128)
}

/// Device bytes of the lists of a block of queries and of the search's scratch.
pub(in crate::gpu) fn state_bytes(
    context: &Context,
    groups: usize,
    queries: usize,
    k: usize,
    dim: usize,
) -> u64 {
    let lists = groups as u64 * queries as u64;
    let scratch = per_list(k, row_bytes(context, dim));
    lists * (k as u64 * ENTRY + 8) + (lists * scratch).min(SCRATCH.max(scratch))
}

/// Scratch of one list during a search; `packed`: bytes of its query as the filter reads it.
pub(super) fn per_list(k: usize, packed: u64) -> u64 {
    capacity(k) as u64 * 4 + ENTRY + packed
}

impl Candidates {
    /// Sizes, for checks of arguments.
    pub(in crate::gpu) fn shape(&self) -> ListsShape {
        ListsShape {
            groups: self.groups,
            queries: self.queries,
            k: self.k,
        }
    }

    pub(in crate::gpu) fn new(
        context: &Context,
        groups: usize,
        queries: usize,
        k: usize,
    ) -> Result<Self> {
        check_lists(groups, queries, k)?;
        // Entries take the room of four f32 each.
        context.count(&[groups, queries, k, 4])?;
        let lists = (groups * queries) as u64;
        let entries = context.pool.get(Kind::Storage, lists * k as u64 * ENTRY)?;
        let progress = context.pool.get(Kind::Storage, lists * 8)?;
        let mut recorder = Recorder::new(context);
        recorder.clear(&entries, lists * k as u64 * ENTRY);
        recorder.clear(&progress, lists * 8);
        recorder.submit()?;
        Ok(Self {
            groups,
            queries,
            k,
            entries,
            progress,
            seen: 0,
        })
    }
}

/// One entry of a candidate list, as the device keeps it.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(in crate::gpu) struct Entry {
    distance: [u32; 2],
    sample: u32,
    unused: u32,
}

impl Entry {
    /// Sample index, -1 where the list has ended.
    pub(in crate::gpu) fn index(self) -> i32 {
        self.sample as i32 - 1
    }

    /// Squared distance in units of `1 / scale^2`.
    pub(in crate::gpu) fn sq_distance(self, wide: Wide, scale: f32) -> f64 {
        let scale = f64::from(scale);
        wide.decode(self.distance) / scale / scale
    }
}

/// Brings lists to the host: sample indices (-1: none) and squared distances, `[groups, queries, k]`.
/// `queries` is the block that was searched for.
pub(in crate::gpu) fn lists(
    context: &Context,
    candidates: &Candidates,
    queries: &Points,
) -> Result<(Vec<i32>, Vec<f64>)> {
    let per_group = candidates.queries * candidates.k;
    let entries: Vec<Entry> = context.read(&candidates.entries, candidates.groups * per_group)?;
    let decode = |(i, entry): (usize, &Entry)| {
        entry.sq_distance(context.wide, queries.scales[i / per_group])
    };
    Ok((
        entries.iter().map(|e| e.index()).collect(),
        entries.iter().enumerate().map(decode).collect(),
    ))
}
