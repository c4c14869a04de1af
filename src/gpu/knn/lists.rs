//! Candidate lists on the device.

use super::Points;
use super::kernels::{Entry, Progress, RowNorm};
use super::packing::row_bytes;
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::memory::{Buffer, Kind, share, tile};
use crate::gpu::record::Recorder;
use crate::gpu::wide::Wide;
use crate::ops::{ListsShape, check_lists, check_part, number};
use std::ops::Range;

/// Most bytes per pass for noted points, and for queries as the filters read them.
const SCRATCH: u64 = 64 << 20;
/// Queries per pass that fill a card of 132 units with four workgroups each, even where a tile has only 1024 points: a
/// workgroup of the filter takes 64 queries and 64 points.
const CARD_LISTS: u64 = 33 * 64;

/// Device bytes of one list entry, of a query's progress, and of a row's norm.
const ENTRY: u64 = size_of::<Entry>() as u64;
const PROGRESS: u64 = size_of::<Progress>() as u64;
const NORM: u64 = size_of::<RowNorm>() as u64;

/// The k nearest points so far of a block of queries, `[groups, queries, k]`.
pub struct Candidates {
    pub(in crate::gpu) groups: usize,
    pub(in crate::gpu) queries: usize,
    pub(in crate::gpu) k: usize,
    pub(in crate::gpu) entries: Buffer,
    pub(super) progress: Buffer,
    /// Points seen so far.
    pub(super) seen: usize,
    /// Whether the queries or some points were lifted ([`Points::lifted`]).
    pub(in crate::gpu) lifted: bool,
}

/// Points that can be noted per query: several times as many as are expected to pass the filter in one
/// tile.
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
    let each = per_list(k, row_bytes(context, dim));
    lists * (k as u64 * ENTRY + PROGRESS) + (lists * each).min(scratch(context, each).max(each))
}

/// Most scratch bytes of a pass, whose lists take `each` bytes.
fn scratch(context: &Context, each: u64) -> u64 {
    match context.shares_host_memory {
        true => SCRATCH,
        false => SCRATCH.max(2 * CARD_LISTS.saturating_mul(each)),
    }
}

/// Lists of a pass, of `count` lists in each of some groups: whole groups, or equal parts of one. So no part is below half
/// of what there is room for, and each fills a card.
pub(super) fn per_pass(context: &Context, groups: usize, count: usize, each: u64) -> usize {
    let room = scratch(context, each).min(context.max_buffer);
    match tile(groups * count, each, room) {
        most if most < count => share(count, each, room),
        most => most,
    }
}

/// Scratch bytes of one list during a search. `packed` is the size of its query for the filter on
/// cooperative matrices.
pub(super) fn per_list(k: usize, packed: u64) -> u64 {
    capacity(k) as u64 * 4 + NORM + packed
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
        // An entry occupies as much memory as four f32.
        context.count(&[groups, queries, k, 4])?;
        let lists = (groups * queries) as u64;
        let entries = context.pool.get(Kind::Storage, lists * k as u64 * ENTRY)?;
        let progress = context.pool.get(Kind::Storage, lists * PROGRESS)?;
        let mut recorder = Recorder::new(context);
        recorder.clear(&entries, lists * k as u64 * ENTRY);
        recorder.submit()?;
        Ok(Self {
            groups,
            queries,
            k,
            entries,
            progress,
            seen: 0,
            lifted: false,
        })
    }

    /// A copy of the lists of some queries.
    ///
    /// # Errors
    /// Those of [`check_part`]; what the device reports.
    pub(in crate::gpu) fn part(&self, context: &Context, queries: Range<usize>) -> Result<Self> {
        check_part(self.shape(), &queries)?;
        let part = Self::new(context, 1, queries.len(), self.k)?;
        let (first, count) = (queries.start as u64, queries.len() as u64);
        let mut recorder = Recorder::new(context);
        let entry = self.k as u64 * ENTRY;
        recorder.copy(&self.entries, first * entry, &part.entries, count * entry);
        let progress = first * PROGRESS;
        recorder.copy(&self.progress, progress, &part.progress, count * PROGRESS);
        recorder.submit()?;
        Ok(Self {
            seen: self.seen,
            lifted: self.lifted,
            ..part
        })
    }

    /// The samples in the lists, ascending, each once, and the lists with their places there.
    ///
    /// # Errors
    /// Those of [`check_part`]; what the device reports.
    pub(in crate::gpu) fn numbered(&self, context: &Context) -> Result<(Vec<usize>, Self)> {
        let copy = self.part(context, 0..self.queries)?;
        let mut entries: Vec<Entry> = context.read(&self.entries, self.queries * self.k)?;
        // In an entry, samples are counted from 1, and 0 is none.
        let listed = entries.iter_mut().filter(|entry| entry.sample > 0);
        let mut listed: Vec<&mut u32> = listed
            .map(|entry| {
                entry.sample -= 1;
                &mut entry.sample
            })
            .collect();
        let samples = number(&mut listed);
        listed.into_iter().for_each(|place| *place += 1);
        context.write(&copy.entries, &entries)?;
        Ok((samples, copy))
    }

    /// Writes the state of every query's search before its first tile: which sample it is, no threshold, nothing noted.
    /// `rows` are the queries' rows in their block.
    pub(super) fn begin(
        &self,
        context: &Context,
        queries: &Points,
        rows: &Range<usize>,
    ) -> Result<()> {
        let of_group = rows.clone().map(|row| Progress {
            own: queries.sample(row),
            ..Progress::default()
        });
        let of_group: Vec<Progress> = of_group.collect();
        context.write(&self.progress, &of_group.repeat(self.groups))
    }
}

impl Entry {
    /// Sample index, -1 where the list has ended.
    pub(in crate::gpu) fn index(self) -> i32 {
        self.sample as i32 - 1
    }

    /// Squared distance. `unit` is the length that distances are in units of, a power of two.
    pub(in crate::gpu) fn sq_distance(self, wide: Wide, unit: f64) -> f64 {
        wide.decode(self.distance) * unit * unit
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
        entry.sq_distance(context.wide, 1.0 / queries.scale(i / per_group))
    };
    Ok((
        entries.iter().map(|e| e.index()).collect(),
        entries.iter().enumerate().map(decode).collect(),
    ))
}
