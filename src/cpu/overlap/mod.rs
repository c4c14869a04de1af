//! Intersections and unions of supports for all pairs of channels (docs/definitions.md#overlap-and-jaccard-index).
//!
//! A *member* is a pair of a channel and a sample in its support of the query at hand. Three steps, each in a file:
//!
//! 1. [`members`] reorders the supports by query and replaces a sample by its *rank* among the samples of the query, so
//!    that what follows can index small tables by it.
//! 2. [`tile`] counts the intersections of some channels, the rows of a tile, with 64 others, its columns. Every sample
//!    has a row of 64 counters with a 1 for each column whose support has it. The sum of the rows of one support is its
//!    intersection with all columns at once, so a member costs one vector addition for 64 pairs. The Jaccard indices
//!    follow by vector divisions in float64, which give the integers of the definition exactly.
//! 3. [`alive`] counts the queries behind each pair from bit sets of queries.
//!
//! A task is a tile and some queries. It adds up in memory of its own, which stays in the second-level cache, and locks
//! a row of the sums only to add what it found. All sums are integers, so the order of the tasks does not matter.

mod alive;
mod members;
mod tile;

use crate::Result;
use crate::ops::{OverlapSums, Supports, check_overlap};
use crate::simd::InstructionSet;
use alive::Alive;
use members::Members;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use tile::{Counter, Rows, Scratch, Tile, WIDTH};

/// Slots of supports that are reordered at a time: their members take at most 8 MiB.
const SLOTS: usize = 1 << 21;
/// Most queries of a task: its sums in float64 stay exact.
const QUERIES: usize = 4096;
/// Tasks that a thread should find, so that all of them end at about the same time.
const TASKS: usize = 4;
/// Rows and columns of the blocks in which a matrix is mirrored.
const MIRRORED: usize = 64;

/// Adds the overlaps of the queries in `supports` to `sums`, whose matrices `[C, C]` are symmetric and stay so.
///
/// # Errors
/// Those of [`check_overlap`].
pub(super) fn accumulate(
    supports: Supports<'_>,
    sums: &mut OverlapSums,
    set: InstructionSet,
) -> Result<()> {
    let (c, k) = (supports.channels, supports.k);
    check_overlap(supports, sums)?;
    if c == 0 || supports.queries == 0 {
        return Ok(());
    }
    let alive = Alive::collect(&supports);
    let step = (SLOTS / (c * k)).clamp(1, QUERIES);
    for first in (0..supports.queries).step_by(step) {
        let queries = first..supports.queries.min(first + step);
        let members = Members::collect(&supports, queries);
        let largest = members.iter().map(Members::largest).max();
        match largest.unwrap_or(0) {
            0 => {}
            1..=255 => meet::<u8>(&members, c, sums, set),
            _ => meet::<u16>(&members, c, sums, set),
        }
    }
    let rows = sums.queries.par_chunks_exact_mut(c);
    let rows = rows.zip(sums.unions.par_chunks_exact_mut(c)).enumerate();
    rows.for_each(|(channel, (queries, unions))| alive.count(channel, queries, unions));
    for matrix in [
        &mut sums.intersection,
        &mut sums.jaccard_q40,
        &mut sums.queries,
        &mut sums.unions,
    ] {
        mirror(matrix, c);
    }
    Ok(())
}

/// Adds intersections and Jaccard indices to the upper triangle of `sums`.
fn meet<T: Counter>(members: &[Members], c: usize, sums: &mut OverlapSums, set: InstructionSet) {
    let intersection = sums.intersection.chunks_exact_mut(c);
    let rows = intersection.zip(sums.jaccard_q40.chunks_exact_mut(c));
    let rows: Vec<Mutex<Rows<'_>>> = rows
        .map(|(intersection, jaccard_q40)| {
            Mutex::new(Rows {
                intersection,
                jaccard_q40,
            })
        })
        .collect();
    let tasks = tasks(c, members.len(), TASKS * rayon::current_num_threads());
    let run = |scratch: &mut Scratch<T>, task: Task| {
        let (channels, columns) = (task.rows.clone(), task.columns.clone());
        set.run(Tile {
            members: &members[task.members],
            rows: task.rows,
            columns: task.columns,
            scratch,
        });
        for (at, channel) in channels.enumerate() {
            let mut row = rows[channel].lock().unwrap_or_else(PoisonError::into_inner);
            let upper = columns.start.max(channel)..columns.end;
            scratch.add_to(at, upper.start - columns.start, upper, &mut row);
        }
    };
    tasks.into_par_iter().for_each_init(Scratch::new, run);
}

/// A tile, and a range of the blocks of queries.
struct Task {
    rows: Range<usize>,
    columns: Range<usize>,
    members: Range<usize>,
}

/// The tiles that cover the upper triangle of `[c, c]`, each for all blocks of queries or, where there are fewer tiles
/// than `wanted` tasks, several times for some of them.
fn tasks(c: usize, blocks: usize, wanted: usize) -> Vec<Task> {
    let mut tiles = Vec::new();
    for first in (0..c).step_by(WIDTH) {
        let columns = first..c.min(first + WIDTH);
        for row in (0..columns.end).step_by(tile::ROWS) {
            tiles.push((row..columns.end.min(row + tile::ROWS), columns.clone()));
        }
    }
    let parts = wanted.div_ceil(tiles.len()).min(blocks);
    let step = blocks.div_ceil(parts);
    let mut tasks = Vec::with_capacity(parts * tiles.len());
    for first in (0..blocks).step_by(step) {
        tasks.extend(tiles.iter().map(|(rows, columns)| Task {
            rows: rows.clone(),
            columns: columns.clone(),
            members: first..blocks.min(first + step),
        }));
    }
    tasks
}

/// Copies the upper triangle of `[c, c]` to the lower one, block by block: a column is read from the cache.
fn mirror(matrix: &mut [u64], c: usize) {
    for top in (0..c).step_by(MIRRORED) {
        for left in (0..=top).step_by(MIRRORED) {
            for a in top..c.min(top + MIRRORED) {
                for b in left..a.min(left + MIRRORED) {
                    matrix[a * c + b] = matrix[b * c + a];
                }
            }
        }
    }
}
