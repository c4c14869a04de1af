//! First stage: the NNK graph of every query in every space, streamed through a device.
//!
//! Blocks come from the reader, go to the device once, and what returns per query (indices, weights)
//! is turned at once into sums and supports; nothing of size N x N, nor the graph itself, is kept.

use super::stats::{QueryGraph, SpaceSums};
use super::{GraphRows, GraphSink, Space};
use crate::Result;
use crate::control::{Control, Step};
use crate::io::layer::Layer;
use crate::io::spill::SupportStore;
use crate::ops::{Backend, GraphBlock, GraphParams, Kernel, Vectors};
use crate::stream::plan::{Costs, GraphJob, GraphPlan, plan_graph};
use crate::stream::run::{Block, Layout, Read, ranges};
use crate::tensor::ValueType;
use rayon::prelude::*;
use std::ops::Range;

/// The backend's own figures, for planning.
pub(super) struct BackendCosts<'a, B: Backend>(pub &'a B);

impl<B: Backend> Costs for BackendCosts<'_, B> {
    fn points_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
        self.0.points_bytes(groups, rows, dim, values)
    }

    fn rows_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
        self.0.rows_bytes(groups, rows, dim, values)
    }

    fn fetched_bytes(&self, dim: usize, values: ValueType) -> u64 {
        self.0.fetched_bytes(dim, values)
    }

    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64 {
        self.0.graph_bytes(groups, queries, k, dim)
    }

    fn analysis_bytes(&self, groups: usize, rows: usize, dim: usize) -> Option<u64> {
        self.0.analysis_bytes(groups, rows, dim)
    }

    fn max_block_bytes(&self) -> u64 {
        self.0.limits().max_block_bytes
    }

    fn row_bytes(&self, dim: usize) -> u64 {
        self.0.row_bytes(dim)
    }

    fn shares_host_memory(&self) -> bool {
        self.0.limits().shares_host_memory
    }
}

/// Everything the stage needs for one kind of space.
pub(super) struct GraphStage<'a, B: Backend> {
    pub backend: &'a B,
    /// The sizes of all that follows.
    pub job: GraphJob,
    pub layer: &'a dyn Layer,
    /// Channels asked for.
    pub selection: &'a [usize],
    /// Channel-major: a space per channel; sample-major: the aggregate.
    pub layout: Layout,
    /// The queries of this part; the points are all samples.
    pub queries: Range<usize>,
    /// The samples that are queries, ascending, where not all are; `queries` counts positions in this list.
    pub drawn: Option<&'a [usize]>,
    /// Spaces whose every query is degenerate by definition (dead channels).
    pub dead: &'a [bool],
    pub labels: Option<&'a [u32]>,
    pub params: &'a GraphParams,
    pub memory: u64,
    /// Takes the supports of `queries`, the first of which is its query 0.
    pub store: &'a SupportStore,
    /// The samples that are measured, where some were left out.
    pub kept: Option<&'a [usize]>,
    pub sink: Option<&'a dyn GraphSink>,
    pub control: &'a Control<'a>,
    pub stage: String,
}

impl<B: Backend> GraphStage<'_, B> {
    /// Runs the stage; sums per space.
    pub fn run(&self) -> Result<Vec<SpaceSums>> {
        let job = self.job;
        let plan = plan_graph(&job, &BackendCosts(self.backend), self.memory)?;
        let mut sums = vec![SpaceSums::default(); job.spaces];
        let mut done = 0u64;
        let mut finish = |spaces: Range<usize>, queries: Range<usize>, block: &mut GraphBlock| {
            let count = (spaces.len() * queries.len()) as u64;
            self.absorb(&mut sums, spaces, queries, block)?;
            done += count;
            self.control.report(Step {
                stage: &self.stage,
                done,
                total: (job.spaces * self.queries.len()) as u64,
                unit: "queries",
            });
            self.control.check()
        };
        if plan.whole(&job) {
            self.whole_channels(&job, &plan, &mut finish)?;
        } else {
            self.streamed(&job, &plan, &mut finish)?;
        }
        Ok(sums)
    }

    /// The sample that a query is.
    fn sample(&self, query: usize) -> usize {
        self.drawn.map_or(query, |drawn| drawn[query])
    }

    /// The queries of this part in blocks of `step`.
    pub(super) fn blocks(
        &self,
        step: usize,
    ) -> impl Iterator<Item = Range<usize>> + Clone + use<B> {
        let first = self.queries.start;
        ranges(self.queries.len(), step).map(move |r| first + r.start..first + r.end)
    }

    /// Positions in the selection that make up `spaces`.
    pub(super) fn channels_of(&self, spaces: &Range<usize>) -> Range<usize> {
        match self.layout {
            Layout::ChannelMajor => spaces.clone(),
            Layout::SampleMajor => 0..self.selection.len(),
        }
    }

    /// Every channel's points fit: read once, query block by block.
    fn whole_channels(
        &self,
        job: &GraphJob,
        plan: &GraphPlan,
        finish: &mut impl FnMut(Range<usize>, Range<usize>, &mut GraphBlock) -> Result<()>,
    ) -> Result<()> {
        let n = job.samples;
        let reads = ranges(job.spaces, plan.groups).map(|spaces| Read {
            channels: self.channels_of(&spaces),
            rows: 0..n,
        });
        let mut groups = ranges(job.spaces, plan.groups);
        let mut block = GraphBlock::default();
        let work = |read: &Read, values: Block, analysis| {
            let Some(spaces) = groups.next() else {
                return Ok(());
            };
            let points = self.points(read, values.values(), analysis, self.queries.len())?;
            // Drawn queries are picked from the values. Nothing else needs them any more.
            let drawn = self.drawn.map(|drawn| (drawn, values));
            for queries in self.blocks(plan.queries) {
                self.control.check()?;
                let mut state =
                    self.backend
                        .candidates(spaces.len(), queries.len(), self.params.k)?;
                let drawn = match &drawn {
                    Some((drawn, values)) => {
                        let (samples, data) = (&drawn[queries.clone()], values.values());
                        Some(self.pick_queries(job, spaces.len(), samples, data)?)
                    }
                    None => None,
                };
                let (own, rows) = match &drawn {
                    Some(drawn) => (drawn, 0..queries.len()),
                    None => (&points, queries.clone()),
                };
                self.backend
                    .knn(own, rows.clone(), &points, self.params, &mut state)?;
                let vectors = Vectors::Points(&points);
                self.backend
                    .nnk_into(own, rows, &state, vectors, self.params, &mut block)?;
                finish(spaces.clone(), queries, &mut block)?;
            }
            Ok(())
        };
        self.read_points(plan, reads, work)
    }

    /// Adds a finished block to the sums, the supports and the sink.
    fn absorb(
        &self,
        sums: &mut [SpaceSums],
        spaces: Range<usize>,
        queries: Range<usize>,
        block: &mut GraphBlock,
    ) -> Result<()> {
        let (q, k) = (queries.len(), self.params.k);
        for (local, space) in spaces.clone().enumerate() {
            if self.dead[space] {
                kill(block, local * q..(local + 1) * q, k);
            }
        }
        let block = &*block;
        sums[spaces.clone()]
            .par_iter_mut()
            .enumerate()
            .try_for_each(|(local, total)| {
                let first = local * q;
                let supports = self.summarize(total, block, first, &queries);
                let rows = first..first + q;
                let space = spaces.start + local;
                self.store.put(
                    space,
                    queries.start - self.queries.start,
                    &supports,
                    &block.degenerate[rows.clone()],
                )?;
                let Some(sink) = self.sink else {
                    return Ok(());
                };
                let values = rows.start * k..rows.end * k;
                // The file's indices, where samples were left out.
                let of_file: Option<Vec<i32>> = self.kept.map(|kept| {
                    let local = block.neighbors[values.clone()].iter();
                    local
                        .map(|&i| usize::try_from(i).map_or(i, |i| kept[i] as i32))
                        .collect()
                });
                sink.put(
                    match self.layout {
                        Layout::ChannelMajor => Space::Channel(space),
                        Layout::SampleMajor => Space::Aggregate,
                    },
                    GraphRows {
                        first_query: queries.start,
                        k,
                        neighbors: of_file
                            .as_deref()
                            .unwrap_or(&block.neighbors[values.clone()]),
                        sq_distances: &block.sq_distances[values.clone()],
                        weights: &block.weights[values],
                        objective: &block.objective[rows.clone()],
                        degenerate: &block.degenerate[rows],
                    },
                )
            })
    }

    fn summarize(
        &self,
        total: &mut SpaceSums,
        block: &GraphBlock,
        first: usize,
        queries: &Range<usize>,
    ) -> Vec<i32> {
        let k = self.params.k;
        let mut supports = vec![-1; queries.len() * k];
        // Chunks, not queries: a query is a few hundred nanoseconds of work.
        let part = supports
            .par_chunks_mut(k * 512)
            .enumerate()
            .map(|(chunk, out)| {
                let (mut part, mut scratch) = (SpaceSums::default(), Vec::new());
                for (i, slots) in out.chunks_mut(k).enumerate() {
                    let local = chunk * 512 + i;
                    let graph = QueryGraph::of(block, first + local, k);
                    let size = graph.support(slots);
                    if self.params.kernel == Kernel::Gaussian {
                        part.add_nearest(&graph);
                    }
                    part.add(
                        self.sample(queries.start + local),
                        &graph,
                        size,
                        self.labels,
                        &mut scratch,
                    );
                }
                part
            })
            .reduce(SpaceSums::default, |mut a, b| {
                a.merge(&b);
                a
            });
        total.merge(&part);
        supports
    }
}

/// A dead channel is degenerate throughout, also where a fixed bandwidth would give its equal
/// vectors weights.
fn kill(block: &mut GraphBlock, queries: Range<usize>, k: usize) {
    block.weights[queries.start * k..queries.end * k].fill(0.0);
    block.objective[queries.clone()].fill(0.0);
    block.kkt_residual[queries.clone()].fill(0.0);
    block.pca_dimension[queries.clone()].fill(0);
    block.not_unique[queries.clone()].fill(false);
    block.degenerate[queries].fill(true);
}
