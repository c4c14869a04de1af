//! The results of a pass on their way to the host: one copy, submitted with the kernels. The host reads it while the
//! device works on the next pass.

use super::kernels::{Outcome, list_bytes};
use crate::Result;
use crate::gpu::context::{Context, Mapping};
use crate::gpu::knn::{Entry, Points};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::record::Recorder;
use crate::gpu::wide::Wide;
use crate::ops::GraphBlock;
use rayon::prelude::*;

/// Lists that a thread decodes at a time.
const RUN: usize = 512;

/// A copy that is submitted.
pub(super) struct Pending {
    staging: Buffer,
    mapping: Mapping,
    index: Option<wgpu::SubmissionIndex>,
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
    /// Adds neighbours, distances and weights to a block. The first list is number `first` of all, and there are
    /// `per_group` in every group of `queries`.
    pub(super) fn append(
        &self,
        (first, per_group): (usize, usize),
        queries: &Points,
        wide: Wide,
        block: &mut GraphBlock,
    ) {
        let lists = self.outcomes.len();
        let k = self.entries.len() / lists.max(1);
        let from = block.neighbors.len();
        block.neighbors.resize(from + self.entries.len(), 0);
        block.sq_distances.resize(from + self.entries.len(), 0.0);
        let neighbors = block.neighbors[from..].par_chunks_mut(k * RUN);
        let distances = block.sq_distances[from..].par_chunks_mut(k * RUN);
        let runs = neighbors
            .zip(distances)
            .zip(self.entries.par_chunks(k * RUN));
        runs.enumerate()
            .for_each(|(run, ((neighbors, distances), entries))| {
                let neighbors = neighbors.chunks_exact_mut(k);
                let lists = neighbors
                    .zip(distances.chunks_exact_mut(k))
                    .zip(entries.chunks_exact(k));
                for (i, ((neighbors, distances), entries)) in lists.enumerate() {
                    // The inverse of a power of two is exact.
                    let unit = 1.0 / queries.scale((first + run * RUN + i) / per_group);
                    for ((neighbor, distance), entry) in
                        neighbors.iter_mut().zip(distances).zip(entries)
                    {
                        *neighbor = entry.index();
                        *distance = entry.sq_distance(wide, unit);
                    }
                }
            });
        block.weights.extend_from_slice(self.weights);
    }
}
