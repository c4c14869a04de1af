//! The stages of a layer as functions of a part of it: the graphs of some channels and queries, and the overlaps of some
//! queries.
//!
//! Channels are independent of each other for graphs, and queries for everything that is added up. So a layer can be cut
//! along both, its parts computed in any order, at any time, by any process, and their sums added ([`SpaceSums::merge`],
//! [`OverlapPart::merge`]): the sums are integers, and the result has the same bits as that of one uninterrupted run.
//! [`super::redundancy`] computes a layer as one part.

use super::graphs::GraphStage;
use super::input::Prepared;
use super::overlap::{OverlapPart, OverlapStage, SupportSource};
use super::reading::repack_on;
use super::spaces::Spaces;
use super::stats::SpaceSums;
use super::work::{Work, part};
use super::{GraphShape, GraphSink, LayerRedundancy};
use crate::Result;
use crate::device::on_backend;
use crate::io::spill::SupportStore;
use crate::measure::Context;
use crate::ops::Backend;
use crate::stream::repack::Repacked;
use crate::stream::run::Layout;
use crate::tensor::LayerShape;
use std::ops::Range;

/// Computes the graphs of `spaces` for `queries`, with all samples as candidates. Returns the sums of each space. The
/// supports go to `supports`, which has as many channels as there are spaces and as many samples as queries; the graphs
/// themselves to `sink`, with spaces counted from the first of `spaces`.
///
/// # Errors
/// As [`super::redundancy`]; what the sink returns.
pub fn graphs(
    ctx: &Context<'_>,
    prepared: &Prepared<'_>,
    spaces: &Spaces,
    queries: Range<usize>,
    supports: &SupportStore,
    sink: Option<&dyn GraphSink>,
) -> Result<Vec<SpaceSums>> {
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            Stages { backend, ctx }.graphs(prepared, spaces, queries, supports, sink)
        })
    })
}

/// Compares the supports of all channels for `queries`, and with those of the aggregate if they are there.
///
/// # Errors
/// As [`super::redundancy`]; what the sources return.
pub fn overlap(
    ctx: &Context<'_>,
    prepared: &Prepared<'_>,
    queries: Range<usize>,
    supports: &dyn SupportSource,
    aggregate: Option<&dyn SupportSource>,
) -> Result<OverlapPart> {
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            Stages { backend, ctx }.overlap(prepared, queries, supports, aggregate)
        })
    })
}

/// Both stages on a backend.
pub(super) struct Stages<'a, B: Backend> {
    pub backend: &'a B,
    pub ctx: &'a Context<'a>,
}

impl<B: Backend> Stages<'_, B> {
    /// All of a layer, whose file has this shape and these samples that were left out; and the supports of its channels,
    /// which are kept in memory up to a share of one in `stores` of what the supports of a layer may take.
    pub fn measure(
        &self,
        prepared: &Prepared<'_>,
        shape: LayerShape,
        skipped: Vec<usize>,
        sink: Option<&dyn GraphSink>,
        stores: usize,
    ) -> Result<(LayerRedundancy, SupportStore)> {
        let (queries, k) = (prepared.query_count(), prepared.options.graph.k);
        let channels = prepared.channels.len();
        if let Some(sink) = sink {
            let shape = GraphShape {
                channels,
                queries,
                k,
                aggregate: prepared.options.aggregate,
            };
            sink.begin(prepared.layer.name(), shape)?;
        }
        let store = |spaces| {
            let budget = self.ctx.memory() / 8 / stores.max(1) as u64;
            SupportStore::new(spaces, queries, k, budget, self.ctx.scratch())
        };
        let all = 0..queries;
        let [of_graphs, of_aggregate, of_overlap] =
            Work::new(prepared.layer.shape(), channels, prepared.options).shares();
        let stage = |share| part(self.ctx, share);
        let backend = self.backend;
        let supports = store(channels)?;
        let spaces = Spaces::Channels(0..channels);
        let ctx = &stage(&of_graphs);
        let stages = Stages { backend, ctx };
        let sums = stages.graphs(prepared, &spaces, all.clone(), &supports, sink)?;
        let aggregate = match prepared.options.aggregate {
            true => {
                let (spaces, supports) = (Spaces::Aggregate, store(1)?);
                let ctx = &stage(&of_aggregate);
                let stages = Stages { backend, ctx };
                let sums = stages.graphs(prepared, &spaces, all.clone(), &supports, sink)?;
                Some((sums, supports))
            }
            false => None,
        };
        let own = aggregate
            .as_ref()
            .map(|(_, store)| store as &dyn SupportSource);
        let ctx = &stage(&of_overlap);
        let overlap = Stages { backend, ctx }.overlap(prepared, all, &supports, own)?;
        if let Some(sink) = sink {
            sink.end()?;
        }
        let aggregate = aggregate.as_ref().and_then(|(sums, _)| sums.first());
        let found = LayerRedundancy::assemble(prepared, shape, skipped, &sums, aggregate, &overlap);
        Ok((found, supports))
    }

    fn graphs(
        &self,
        prepared: &Prepared<'_>,
        spaces: &Spaces,
        queries: Range<usize>,
        store: &SupportStore,
        sink: Option<&dyn GraphSink>,
    ) -> Result<Vec<SpaceSums>> {
        let all_dead = [prepared.dead.iter().all(|&dead| dead)];
        let (range, layout, dead, what) = match spaces {
            Spaces::Channels(range) => {
                let dead = &prepared.dead[range.clone()];
                (range.clone(), Layout::ChannelMajor, dead, "graphs")
            }
            Spaces::Aggregate => {
                let range = 0..prepared.channels.len();
                (range, Layout::SampleMajor, &all_dead[..], "aggregate graph")
            }
        };
        let job = spaces.job(prepared, queries.len());
        let (ctx, copy) = match spaces {
            Spaces::Channels(range) => self.copy(prepared, range, &queries)?,
            Spaces::Aggregate => (self.ctx.clone(), None),
        };
        let stage = GraphStage {
            backend: self.backend,
            job,
            layer: match &copy {
                Some(copy) => copy,
                None => prepared.layer,
            },
            selection: &prepared.channels[range],
            layout,
            queries,
            drawn: prepared.queries,
            dead,
            labels: prepared.labels,
            params: &prepared.options.graph,
            memory: self.ctx.memory(),
            store,
            kept: prepared.kept,
            sink,
            control: ctx.control(),
            stage: format!("{}: {what}", prepared.layer.name()),
        };
        stage.run()
    }

    /// A copy of the layer by channels, where that pays, and the context for what is left to do.
    fn copy<'p>(
        &self,
        prepared: &Prepared<'p>,
        channels: &Range<usize>,
        queries: &Range<usize>,
    ) -> Result<(Context<'_>, Option<Repacked<'p>>)> {
        let work = Work::new(prepared.layer.shape(), channels.len(), prepared.options);
        let share = work.copying();
        let used = (channels.clone(), queries.clone());
        let ctx = part(self.ctx, &(0.0..share));
        let layer = Box::new(prepared.layer);
        let copy = repack_on(self.backend, &ctx, prepared, layer, &used)?;
        let left = match copy {
            Some(_) => part(self.ctx, &(share..1.0)),
            None => self.ctx.clone(),
        };
        Ok((left, copy))
    }

    fn overlap(
        &self,
        prepared: &Prepared<'_>,
        queries: Range<usize>,
        supports: &dyn SupportSource,
        aggregate: Option<&dyn SupportSource>,
    ) -> Result<OverlapPart> {
        let stage = OverlapStage {
            backend: self.backend,
            channels: prepared.channels.len(),
            samples: prepared.layer.shape().samples,
            queries,
            sampled: prepared.queries.is_some(),
            k: prepared.options.graph.k,
            supports,
            aggregate,
            memory: self.ctx.memory(),
            control: self.ctx.control(),
            stage: format!("{}: overlap", prepared.layer.name()),
        };
        stage.run()
    }
}
