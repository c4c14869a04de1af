//! Exact k nearest neighbours.
//!
//! Every pair of a query and a point first meets a *filter*: a cheap lower bound on their distance. Points that may be
//! among the k nearest pass it and are measured again in float64, by plain differences of the values as read. The
//! result is ordered by (distance, index) of these exact distances. It has the same bits whatever the filter, the
//! instruction set, the block sizes and the number of threads.
//!
//! # The way of a query
//! ```text
//! rows of a dump (f16 or f32, widened to f32 on reading)
//!   |
//!   |  rows.rs: keep the rows as read --------------------------------------------.
//!   |  packed.rs, pack.rs: pack (x - centre) * scale into tiles of 32 points       |
//!   v                                                                              |
//! float32 tiles [dim, 32]                                                          |
//!   |  int8.rs: round to bytes, measure the rounding errors                        |
//!   v                                                                              |
//! int8 tiles [dim / 4, 32] of four bytes, an offset for each point                 |
//!   |  tree.rs: skip tiles outside of the query's radius (large blocks only)       |
//!   v                                                                              |
//! scan_int8.rs, a batch of up to 64 queries at a time                              |
//!   |  score = <query bytes, point bytes> + offset, 32 points at a time            |
//!   |  score < threshold of the query?  The point is not a neighbour: dropped.     |
//!   v                                                                              |
//! points that passed, buffered for each query                                      |
//!   |  coarse.rs: float32 distances of long rows, without what rounding adds  <----|
//!   |  distance > bound on the k-th distance?  Dropped.                            |
//!   |  exact.rs: float64 distances, eight at a time  <-----------------------------'
//!   |  distance > bound on the k-th distance?  Dropped.
//!   v
//! lists.rs: the points kept; their k-th distance lowers the bound, the bound raises
//!   |       the threshold, and the scan goes on
//!   v
//! select.rs: the k nearest, ordered by (distance, index)
//! ```
//!
//! There are two filters. The int8 filter needs a processor that adds up products of bytes (AVX-512 VNNI); it scans
//! four times as many pairs per instruction and lets about twice as many points pass. The float32 filter
//! (`scan_f32.rs`) runs everywhere. It also takes over the batches for which the bytes are too coarse.
//!
//! **What keeps the filters exact** is stated where the bounds are: in [`int8`] for bytes, in [`scan_f32`] for float32.
//!
//! # Where a new distance goes
//! Both filters and the tree work on rows whose Euclidean distance is the distance that is wanted, up to rounding.
//! So a new distance is a variant of [`Kernel`](crate::ops::Kernel), what it does to a row before the row is packed
//! (today `Rows::factor` in `rows.rs`, a number; for a Mahalanobis distance `|L'x - L'y|`, where `M = L L'`, it
//! would be the matrix `L'`), and the exact distance in float64 (`exact.rs`).
//!
//! # Glossary
//! | word | meaning |
//! |---|---|
//! | group | a channel; each has its own points and lists |
//! | query, point | rows; a search finds the nearest points of every query |
//! | tile | 32 points that are packed and scanned together; a leaf of the tree |
//! | batch | up to 64 queries that are searched together |
//! | score | `<q, p> - |p|^2 / 2` as far as the filter can tell: the higher, the nearer |
//! | threshold | the score that every possible neighbour of the query reaches |
//! | passes | said of a point whose score reaches the threshold |
//! | bound, radius | upper bound on the query's k-th distance: from the points kept so far |
//! | estimate | a threshold guessed from a sample, checked after the scan |
//! | false negative | a neighbour that an estimate has hidden; the check finds it, and the query is scanned again |
//! | outlier | a point that bytes cannot hold; it always passes |

mod coarse;
mod exact;
mod gathered;
mod int8;
mod lists;
mod pack;
mod packed;
mod points;
mod products;
mod rows;
mod scan_f32;
mod scan_int8;
mod select;
mod tree;

/// Tests for `crate::internals`.
#[cfg(feature = "internals")]
pub(super) mod internals {
    pub use super::coarse::tests::COARSE;
    pub use super::products::tests::PRODUCTS;
    pub use super::tree::tests::TREE;
}

pub use gathered::Gathered;
pub(super) use gathered::gather;
pub use points::Points;
pub(super) use points::{points_bytes, rows_bytes, usual_bytes};
pub(super) use select::state_bytes;
pub use select::{Candidate, Candidates};

use super::disjoint::Disjoint;
use crate::ops::{GraphParams, check_search};
use crate::simd::InstructionSet;
use crate::{Error, Result};
use rayon::prelude::*;
use scan_f32::{FloatBatch, FloatJob};
use scan_int8::{TreePlaces, scores_bytes};
use std::ops::Range;
use std::sync::OnceLock;

/// Bytes of the largest working memory of a search by `threads` threads: all scores of a batch, where they are kept.
pub(super) fn scratch_bytes(threads: usize, k: usize, dim: usize) -> u64 {
    threads as u64 * scores_bytes(scan_f32::batch_rows(k), dim)
}

/// Enters the nearest `points` of the queries `rows` into `state`, beside those that earlier calls have found.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument), [`Error::OutOfRange`](crate::Error::OutOfRange) or
/// [`Error::WrongShape`](crate::Error::WrongShape) if the arguments do not belong together.
pub(super) fn search(
    queries: &Points,
    rows: Range<usize>,
    points: &Points,
    params: &GraphParams,
    state: &mut Candidates,
    set: InstructionSet,
) -> Result<()> {
    check_search(
        queries.shape(),
        &rows,
        points.shape(),
        params,
        state.lists(),
    )?;
    if points.packed.len() < points.groups {
        return Err(Error::argument(
            "points",
            "rows that were not prepared for a search",
            "a block that was",
        ));
    }
    let k = params.k;
    let batch = scan_f32::batch_rows(k);
    let count = rows.len();
    if count == 0 || points.rows == 0 {
        return Ok(());
    }
    let (entries, lens) = state.parts_mut();
    entries
        .par_chunks_mut(count * k)
        .zip(lens.par_chunks_mut(count))
        .enumerate()
        .for_each(|(group, (entries, lens))| {
            let job = lists::Job::new(queries, points, group, params);
            // Only where a batch needs it.
            let float = OnceLock::new();
            let int8 = scan_int8::Int8Job::new(&job);
            let search_batch = |rows: Vec<u32>,
                                places: Option<TreePlaces<'_>>,
                                entries: &mut [_],
                                lens: &mut [_]| {
                let done = int8
                    .as_ref()
                    .is_some_and(|int8| int8.search(rows.clone(), places, entries, lens));
                if !done {
                    let float = float.get_or_init(|| FloatJob::new(&job));
                    set.run(FloatBatch::new(float, rows, entries, lens));
                }
            };
            let sorted = int8.as_ref().and_then(|int8| int8.sorted(rows.clone()));
            let Some(sorted) = sorted else {
                entries
                    .par_chunks_mut(batch * k)
                    .zip(lens.par_chunks_mut(batch))
                    .enumerate()
                    .for_each(|(b, (entries, lens))| {
                        let first = (rows.start + b * batch) as u32;
                        let rows = (first..).take(lens.len()).collect();
                        search_batch(rows, None, entries, lens);
                    });
                return;
            };
            // Queries near each other are searched together; their lists lie apart, and are copied.
            let (all_entries, all_lens) = (Disjoint::new(entries), Disjoint::new(lens));
            let batches = sorted.rows.par_chunks(batch).enumerate();
            batches.for_each(|(b, batch_rows)| {
                let mut entries = vec![Candidate::default(); batch_rows.len() * k];
                let mut lens = vec![0; batch_rows.len()];
                let lists = |i: usize| {
                    let place = batch_rows[i] as usize - rows.start;
                    // SAFETY: every row is in one batch, once, so nobody else has its lists.
                    unsafe { (all_entries.part(place * k, k), all_lens.part(place, 1)) }
                };
                for (i, (entries, len)) in entries.chunks_exact_mut(k).zip(&mut lens).enumerate() {
                    let (from, from_len) = lists(i);
                    entries.copy_from_slice(from);
                    *len = from_len[0];
                }
                let places = sorted.places(b * batch..b * batch + batch_rows.len());
                search_batch(batch_rows.to_vec(), Some(places), &mut entries, &mut lens);
                for (i, (entries, len)) in entries.chunks_exact(k).zip(&lens).enumerate() {
                    let (to, to_len) = lists(i);
                    to.copy_from_slice(entries);
                    to_len[0] = *len;
                }
            });
        });
    Ok(())
}
