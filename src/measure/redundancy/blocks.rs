//! Blocks of a layer on their way to the device: points, and queries that were drawn.
//!
//! A card would wait while the host makes points of a block. So where the backend divides that ([`Backend::analyse`]), all but
//! the copying is done ahead, on threads of its own, for the block after the one that the device works on ([`read_blocks`]).
//!
//! Copying is left to the block's turn, for three reasons. Copies wait in the device's queue for the kernels that were
//! submitted before, so that no more would get there than the buffers hold through which they go. The rows of two blocks would
//! take room on the device, and blocks would have to be smaller. And where a device is lost, wgpu unmaps all buffers in the thread
//! that waits for the device, so that no other thread may be writing to one. So only the caller's thread calls the device: its
//! calls, and with them its failures, come in the order that they have when nothing is done ahead.

use super::graphs::GraphStage;
use crate::Result;
use crate::io::kept::Kept;
use crate::ops::{Backend, PointsBlock};
use crate::stream::plan::{GraphJob, GraphPlan};
use crate::stream::run::{Analyse, Block, Layout, Read, read_blocks, read_values};
use crate::tensor::{Value, Values};
use std::ops::Range;

impl<B: Backend> GraphStage<'_, B> {
    /// A block that was read, as the backend takes it.
    fn block<'b>(&self, read: &Read, data: Values<'b>) -> PointsBlock<'b> {
        PointsBlock {
            data,
            groups: match self.layout {
                Layout::ChannelMajor => read.channels.len(),
                Layout::SampleMajor => 1,
            },
            rows: read.rows.len(),
            dim: self.job.dim,
            first: read.rows.start,
        }
    }

    /// Points of a block, among which the neighbours of `queries` queries are searched.
    pub(super) fn points(
        &self,
        read: &Read,
        data: Values<'_>,
        analysis: Option<B::Analysis>,
        queries: usize,
    ) -> Result<B::Points> {
        let (block, kernel) = (self.block(read, data), self.params.kernel);
        match analysis {
            Some(analysis) => self.backend.analysed_points(block, kernel, analysis),
            None => self.backend.points_for(block, kernel, queries),
        }
    }

    /// Hands blocks to `work`, read one ahead, and where the plan says so analysed ahead as well.
    pub(super) fn read_points(
        &self,
        plan: &GraphPlan,
        reads: impl Iterator<Item = Read> + Send,
        work: impl FnMut(&Read, Block, Option<B::Analysis>) -> Result<()>,
    ) -> Result<()> {
        // Threads beside this one, which mostly waits for the device. It must not be kept from that by work of the analysis,
        // as in a pool that both share. Without threads nothing is analysed.
        let threads = rayon::current_num_threads().saturating_sub(1).max(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = plan.ahead.then(|| pool.build().ok()).flatten();
        let analyse = |read: &Read, data: Values<'_>| {
            let analyse = || {
                self.backend
                    .analyse(self.block(read, data), self.params.kernel)
            };
            pool.as_ref()?.install(analyse)
        };
        let analyse = pool
            .is_some()
            .then_some(&analyse as Analyse<'_, B::Analysis>);
        let (layer, selection) = (self.layer, self.selection);
        read_blocks(
            layer,
            selection,
            self.layout,
            reads,
            analyse,
            self.control,
            work,
        )
    }

    /// Drawn queries of a part, whose values are `data [groups, Q, dim]`.
    fn drawn_queries(
        &self,
        groups: usize,
        dim: usize,
        samples: &[usize],
        data: Values<'_>,
    ) -> Result<B::Points> {
        let block = PointsBlock {
            data,
            groups,
            rows: samples.len(),
            dim,
            first: 0,
        };
        let samples: Vec<u32> = samples.iter().map(|&sample| sample as u32).collect();
        self.backend.queries(block, &samples, self.params.kernel)
    }

    /// Drawn queries from the values of all samples, `[groups, N, dim]`.
    pub(super) fn pick_queries(
        &self,
        job: &GraphJob,
        groups: usize,
        samples: &[usize],
        data: Values<'_>,
    ) -> Result<B::Points> {
        match data {
            Values::F16(data) => {
                let picked = pick(data, job, samples);
                self.drawn_queries(groups, job.dim, samples, Values::F16(&picked))
            }
            Values::F32(data) => {
                let picked = pick(data, job, samples);
                self.drawn_queries(groups, job.dim, samples, Values::F32(&picked))
            }
        }
    }

    /// Drawn queries in one space, read by themselves.
    pub(super) fn read_queries(
        &self,
        job: &GraphJob,
        channels: Range<usize>,
        samples: &[usize],
    ) -> Result<B::Points> {
        let kept = Kept::new(self.layer, samples.to_vec())?;
        let read = Read {
            channels,
            rows: 0..samples.len(),
        };
        let values = read_values(&kept, self.selection, self.layout, &read)?;
        self.drawn_queries(1, job.dim, samples, values.values())
    }
}

/// The values `[groups, samples, dim]` of some samples, from those of all.
fn pick<T: Value>(data: &[T], job: &GraphJob, samples: &[usize]) -> Vec<T> {
    let groups = data.len() / (job.samples * job.dim).max(1);
    let mut picked = Vec::with_capacity(groups * samples.len() * job.dim);
    for group in data.chunks_exact(job.samples * job.dim) {
        for &sample in samples {
            picked.extend_from_slice(&group[sample * job.dim..][..job.dim]);
        }
    }
    picked
}
