//! What a run as a rule has in memory at each moment, for estimates. Plans go by an upper bound ([`GraphPlan::bytes`]), which
//! also counts what is not in memory at the same time, and what few searches need.

use super::RedundancyOptions;
use super::graphs::BackendCosts;
use super::input::SUPPORTS_SHARE;
use super::overlap::overlap_bytes;
use crate::io::supports::SupportShape;
use crate::measure::baselines::ChannelSums;
use crate::ops::{Backend, PointsSize};
use crate::stream::plan::{Costs, GraphJob, GraphPlan};
use crate::tensor::LayerShape;

/// A run on one layer.
pub(super) struct Moments<'a, B: Backend> {
    pub backend: &'a B,
    /// The cap, bytes.
    pub memory: u64,
    pub options: &'a RedundancyOptions,
    /// Channels that are measured.
    pub channels: usize,
}

impl<B: Backend> Moments<'_, B> {
    /// Bytes while the layer is surveyed. The scan by itself, without correlations of channels, takes little.
    pub fn survey(&self, shape: LayerShape) -> u64 {
        if !self.options.baselines {
            return 0;
        }
        let (c, d) = (self.channels, shape.dim());
        let step = ChannelSums::samples_at_a_time(c, d, self.memory / 2).min(shape.samples);
        // The block that is used and the one that is read, and two operands in float64 of as much of the former as is multiplied at
        // a time.
        let blocks = step.saturating_mul(2).min(shape.samples) * c * d;
        let multiplied = ChannelSums::numbers_at_a_time(self.backend, c, d, step * c * d);
        (4 * blocks + 16 * multiplied) as u64 + self.correlations()
    }

    /// Bytes of the correlations of channels, which are kept to the end.
    pub fn correlations(&self) -> u64 {
        match self.options.baselines {
            true => 2 * self.matrix(),
            false => 0,
        }
    }

    /// Bytes while graphs are made whose supports come to take `supports` bytes in memory.
    pub fn graphs(&self, job: &GraphJob, plan: &GraphPlan, supports: u64) -> u64 {
        let costs = BackendCosts(self.backend);
        if !plan.whole(job) {
            return plan.bytes(job, &costs) + supports;
        }
        let (groups, rows, dim) = (plan.groups, plan.points, job.dim);
        let values = |rows: usize| (job.values.size() * groups * rows * dim) as u64;
        let points = self.backend.usual_bytes(&PointsSize {
            groups,
            rows,
            dim,
            values: job.values,
            kernel: self.options.graph.kernel,
            queries: job.queries,
        });
        // With the supports that are cut out of them.
        let results = (groups * plan.queries * (20 * job.k + 20)) as u64;
        let lists = costs.graph_bytes(groups, plan.queries, job.k, dim);
        let analysis = match plan.ahead {
            true => costs.analysis_bytes(groups, rows, dim).unwrap_or(0),
            false => 0,
        };
        let both = |host: u64, device: u64| match costs.shares_host_memory() {
            true => host + device,
            false => host.max(device),
        };
        // The last block is dropped once its points are made, unless queries are picked from it. Of several, the next one is read
        // meanwhile, and results and supports of those before are there.
        let last = groups >= job.spaces;
        let (blocks, before) = match last {
            true => (values(rows), 0),
            false => (2 * values(rows), results + supports),
        };
        let kept = match (last, job.drawn) {
            (true, false) => 0,
            (false, false) => blocks,
            // The queries picked, and their copy.
            (_, true) => blocks + 2 * values(plan.queries),
        };
        let making = both(blocks + before + analysis, points.making);
        let searching = kept + results + supports + analysis;
        making.max(both(searching, points.made + lists))
    }

    /// Bytes once the graphs of `job` are there, beside `held` bytes: while the supports of channels are compared, or while they
    /// are written to the results.
    pub fn after_graphs(&self, job: &GraphJob, kept: &SupportShape, held: u64) -> u64 {
        let compared = overlap_bytes(job, self.memory);
        let found = match job.drawn {
            true => 5 * self.matrix(),
            false => 3 * self.matrix(),
        };
        let written = found + kept.writing_bytes(self.memory / SUPPORTS_SHARE);
        held + compared.max(written)
    }

    /// Bytes of a number for each pair of channels.
    fn matrix(&self) -> u64 {
        8 * self.channels as u64 * self.channels as u64
    }
}
