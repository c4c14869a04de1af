//! The results of a pass on their way to the host: one copy, submitted with the kernels. The host reads it while the
//! device works on the next pass.

use super::kernels::{DEGENERATE, NOT_UNIQUE, Outcome, list_bytes};
use crate::Result;
use crate::gpu::context::{Context, Mapping};
use crate::gpu::knn::{Entry, Points};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::record::Recorder;
use crate::gpu::wait::Submission;
use crate::gpu::wide::Wide;
use crate::ops::GraphBlock;
use rayon::prelude::*;
use std::ops::Range;

/// Lists that a thread decodes at a time.
const RUN: usize = 512;

/// A copy that is submitted.
pub(super) struct Pending {
    staging: Buffer,
    mapping: Mapping,
    index: Option<Submission>,
    lists: usize,
    k: usize,
    is_read: bool,
}

/// What a copy holds.
pub(super) struct Results<'a> {
    pub(super) outcomes: &'a [Outcome],
    entries: &'a [Entry],
    weights: &'a [f32],
}

impl Pending {
    /// Records the copy of the results of `lists` lists, submits everything recorded, and asks for the result.
    /// Buffers are outcomes, entries from the list `first` on, and weights.
    pub(super) fn submit(
        context: &Context,
        mut recorder: Recorder<'_>,
        [outcomes, entries, weights]: [&Buffer; 3],
        first: usize,
        lists: usize,
        k: usize,
    ) -> Result<Self> {
        let bytes = lists * list_bytes(k);
        let staging = context.pool.get(Kind::Readback, bytes as u64)?;
        let sizes =
            [size_of::<Outcome>(), k * size_of::<Entry>(), k * 4].map(|s| (lists * s) as u64);
        let skip = (first * k * size_of::<Entry>()) as u64;
        recorder.copy_to((outcomes, 0), (&staging, 0), sizes[0]);
        recorder.copy_to((entries, skip), (&staging, sizes[0]), sizes[1]);
        recorder.copy_to((weights, 0), (&staging, sizes[0] + sizes[1]), sizes[2]);
        let index = recorder.finish()?;
        let mapping = context.map(&staging, bytes);
        Ok(Self {
            staging,
            mapping,
            index,
            lists,
            k,
            is_read: false,
        })
    }

    /// Waits for the results and lets `work` read them.
    pub(super) fn read<T>(
        mut self,
        context: &Context,
        work: impl FnOnce(&Results<'_>) -> T,
    ) -> Result<T> {
        let (lists, k) = (self.lists, self.k);
        let result = context.mapped(&self.staging, &self.mapping, self.index.take(), |bytes| {
            let (outcomes, rest) = bytes.split_at(lists * size_of::<Outcome>());
            let (entries, weights) = rest.split_at(lists * k * size_of::<Entry>());
            work(&Results {
                outcomes: bytemuck::cast_slice(outcomes),
                entries: bytemuck::cast_slice(entries),
                weights: bytemuck::cast_slice(weights),
            })
        })?;
        self.is_read = true;
        Ok(result)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Its buffer goes back to the pool, which must not hold one that is asked for.
        if !self.is_read {
            self.staging.unmap();
        }
    }
}

impl Results<'_> {
    /// Writes the graphs of these lists, whose first is number `first` of all, to their places in `block`. `queries` has
    /// `per_group` lists in every group.
    pub(super) fn write(
        &self,
        (first, per_group): (usize, usize),
        queries: &Points,
        wide: Wide,
        block: &mut GraphBlock,
    ) {
        let lists = self.outcomes.len();
        let k = self.entries.len() / lists.max(1);
        let runs = runs(block, first..first + lists, k);
        let entries = self.entries.par_chunks(k * RUN);
        let weights = self.weights.par_chunks(k * RUN);
        let given = self.outcomes.par_chunks(RUN).zip(entries.zip(weights));
        let work = runs.into_par_iter().zip(given).enumerate();
        work.for_each(|(run, (to, (outcomes, (entries, weights))))| {
            to.weights.copy_from_slice(weights);
            let lists = to.neighbors.chunks_exact_mut(k);
            let lists = lists.zip(to.sq_distances.chunks_exact_mut(k));
            // Distances are in units of a group. The inverse of a power of two is exact.
            let (mut unit, mut end) = (0.0, 0);
            for (i, ((neighbors, distances), entries)) in
                lists.zip(entries.chunks_exact(k)).enumerate()
            {
                let list = first + run * RUN + i;
                if list >= end {
                    let group = list / per_group;
                    (unit, end) = (1.0 / queries.scale(group), (group + 1) * per_group);
                }
                // A loop for each arithmetic, without a test inside.
                match wide {
                    Wide::Float64 => decode(neighbors, distances, entries, |e| {
                        e.sq_distance(Wide::Float64, unit)
                    }),
                    Wide::DoubleFloat => decode(neighbors, distances, entries, |e| {
                        e.sq_distance(Wide::DoubleFloat, unit)
                    }),
                }
            }
            for (i, outcome) in outcomes.iter().enumerate() {
                to.objective[i] = wide.decode(outcome.objective);
                to.kkt_residual[i] = outcome.residual;
                to.pca_dimension[i] = outcome.dimension as u16;
                to.degenerate[i] = outcome.state == DEGENERATE;
                to.not_unique[i] = outcome.flags & NOT_UNIQUE != 0;
            }
        });
    }
}

fn decode(
    neighbors: &mut [i32],
    distances: &mut [f64],
    entries: &[Entry],
    sq_distance: impl Fn(Entry) -> f64,
) {
    for ((neighbor, distance), entry) in neighbors.iter_mut().zip(distances).zip(entries) {
        *neighbor = entry.index();
        *distance = sq_distance(*entry);
    }
}

/// Places of the graphs of some consecutive lists.
struct Run<'a> {
    neighbors: &'a mut [i32],
    sq_distances: &'a mut [f64],
    weights: &'a mut [f32],
    objective: &'a mut [f64],
    kkt_residual: &'a mut [f32],
    pca_dimension: &'a mut [u16],
    degenerate: &'a mut [bool],
    not_unique: &'a mut [bool],
}

/// The places of `lists`, in runs of [`RUN`].
fn runs(block: &mut GraphBlock, lists: Range<usize>, k: usize) -> Vec<Run<'_>> {
    let slots = lists.start * k..lists.end * k;
    let slots = (block.neighbors[slots.clone()].chunks_mut(RUN * k))
        .zip(block.sq_distances[slots.clone()].chunks_mut(RUN * k))
        .zip(block.weights[slots].chunks_mut(RUN * k));
    let figures = (block.objective[lists.clone()].chunks_mut(RUN))
        .zip(block.kkt_residual[lists.clone()].chunks_mut(RUN))
        .zip(block.pca_dimension[lists.clone()].chunks_mut(RUN));
    let flags = (block.degenerate[lists.clone()].chunks_mut(RUN))
        .zip(block.not_unique[lists].chunks_mut(RUN));
    let all = slots.zip(figures.zip(flags));
    all.map(|(slots, (figures, flags))| {
        let ((neighbors, sq_distances), weights) = slots;
        let ((objective, kkt_residual), pca_dimension) = figures;
        let (degenerate, not_unique) = flags;
        Run {
            neighbors,
            sq_distances,
            weights,
            objective,
            kkt_residual,
            pca_dimension,
            degenerate,
            not_unique,
        }
    })
    .collect()
}
