//! The graphs of one layer and what they add up to.

use super::graphs::GraphStage;
use super::overlap::{Overlap, OverlapStage};
use super::{GraphShape, GraphSink, RedundancyOptions, SpaceSummary};
use crate::Result;
use crate::io::layer::Layer;
use crate::io::spill::SupportStore;
use crate::measure::Context;
use crate::measure::baselines::{ChannelSimilarity, Cka};
use crate::ops::Backend;
use crate::stream::run::Layout;
use crate::tensor::LayerShape;
use ndarray::Array2;

/// Channel redundancy of layers.
#[derive(Clone, Debug)]
pub struct Redundancy {
    /// In the order of the input.
    pub layers: Vec<LayerRedundancy>,
    /// Linear CKA between the layers, on the samples that none of them left out. `None` for a single layer,
    /// for layers of different numbers of samples, and unless
    /// [`RedundancyOptions::baselines`] asks for it.
    pub cka: Option<Cka>,
}

/// Channel redundancy of one layer. Matrices are `[C, C]` over the selected channels in their order,
/// NaN in the rows and columns of dead channels.
#[derive(Clone, Debug)]
pub struct LayerRedundancy {
    /// Layer name.
    pub name: String,
    /// Shape as read.
    pub shape: LayerShape,
    /// Selected channels, the order of everything below.
    pub channels: Vec<usize>,
    /// Samples left out because they, or the same samples of another layer, are not finite. Everything below is of
    /// the others.
    pub samples_skipped: Vec<usize>,
    /// Which of the selected channels are zero on every sample.
    pub dead: Vec<bool>,
    /// Figures per channel; all means `None` where dead.
    pub per_channel: Vec<SpaceSummary>,
    /// Mean `|S_c ∩ S_e|` over the queries degenerate in neither.
    pub overlap: Array2<f64>,
    /// Mean `|S_c ∩ S_e| / |S_c ∪ S_e|`, empty unions left out; 1 on the diagonal.
    pub jaccard: Array2<f64>,
    /// Queries behind each pair.
    pub pair_queries: Array2<u64>,
    /// Mean of `overlap` off the diagonal over live channels.
    pub overlap_mean: Option<f64>,
    /// Mean of `jaccard` off the diagonal over live channels.
    pub jaccard_mean: Option<f64>,
    /// Mean of `sum_c |S_c(i)| / |union_c S_c(i)|`: 1 if disjoint, C if identical.
    pub redundancy: Option<f64>,
    /// Figures of the aggregate, if asked for.
    pub aggregate: Option<SpaceSummary>,
    /// Mean share of the aggregate's support found in some channel's support.
    pub recall: Option<f64>,
    /// Error of always answering the most frequent label.
    pub majority_error: Option<f64>,
    /// Cosine and Pearson correlation of the channels, on the same samples, if asked for.
    pub similarity: Option<ChannelSimilarity>,
}

impl LayerRedundancy {
    /// Largest KKT violation over all solutions.
    pub fn kkt_residual_max(&self) -> f32 {
        self.per_channel
            .iter()
            .chain(&self.aggregate)
            .fold(0.0, |worst, space| worst.max(space.kkt_residual_max))
    }
}

/// The graphs and overlaps of one layer, whose samples are all finite.
pub(super) struct LayerRun<'a, B: Backend> {
    pub backend: &'a B,
    pub ctx: &'a Context<'a>,
    pub layer: &'a dyn Layer,
    /// The samples of the file that the layer holds, where some were left out.
    pub kept: Option<&'a [usize]>,
    pub channels: &'a [usize],
    /// Which of these are zero on every sample.
    pub dead: &'a [bool],
    pub labels: Option<&'a [u32]>,
    pub options: &'a RedundancyOptions,
    pub sink: Option<&'a dyn GraphSink>,
}

impl<B: Backend> LayerRun<'_, B> {
    /// Measures the layer, whose file has this shape and these samples that were left out.
    pub fn measure(&self, shape: LayerShape, skipped: Vec<usize>) -> Result<LayerRedundancy> {
        let (samples, k) = (self.layer.shape().samples, self.options.graph.k);
        if let Some(sink) = self.sink {
            let shape = GraphShape {
                channels: self.channels.len(),
                samples,
                k,
                aggregate: self.options.aggregate,
            };
            sink.begin(self.layer.name(), shape)?;
        }
        let store = |spaces| {
            let budget = self.ctx.memory() / 8;
            SupportStore::new(spaces, samples, k, budget, self.ctx.scratch())
        };
        let supports = store(self.channels.len())?;
        let per_channel = self.graphs(Layout::ChannelMajor, self.dead, &supports, "graphs")?;
        let aggregate = if self.options.aggregate {
            let supports = store(1)?;
            let dead = [self.dead.iter().all(|&d| d)];
            let sums = self.graphs(Layout::SampleMajor, &dead, &supports, "aggregate graph")?;
            sums.first().map(|s| (s.clone(), supports))
        } else {
            None
        };
        let overlap = OverlapStage {
            backend: self.backend,
            channels: self.channels.len(),
            samples,
            k,
            supports: &supports,
            aggregate: aggregate.as_ref().map(|(_, store)| store),
            memory: self.ctx.memory(),
            control: self.ctx.control(),
            stage: format!("{}: overlap", self.layer.name()),
        }
        .run()?;
        if let Some(sink) = self.sink {
            sink.end()?;
        }
        let aggregate = aggregate.map(|(summary, _)| summary);
        Ok(self.assemble(shape, skipped, per_channel, aggregate, overlap))
    }

    fn graphs(
        &self,
        layout: Layout,
        dead: &[bool],
        store: &SupportStore,
        what: &str,
    ) -> Result<Vec<SpaceSummary>> {
        let stage = GraphStage {
            backend: self.backend,
            layer: self.layer,
            selection: self.channels,
            layout,
            dead,
            labels: self.labels,
            params: &self.options.graph,
            memory: self.ctx.memory(),
            store,
            kept: self.kept,
            sink: self.sink,
            control: self.ctx.control(),
            stage: format!("{}: {what}", self.layer.name()),
        };
        Ok(stage.run()?.iter().map(|s| s.summary()).collect())
    }

    fn assemble(
        &self,
        shape: LayerShape,
        samples_skipped: Vec<usize>,
        per_channel: Vec<SpaceSummary>,
        aggregate: Option<SpaceSummary>,
        found: Overlap,
    ) -> LayerRedundancy {
        LayerRedundancy {
            name: self.layer.name().to_string(),
            shape,
            channels: self.channels.to_vec(),
            samples_skipped,
            dead: self.dead.to_vec(),
            overlap_mean: off_diagonal_mean(&found.overlap),
            jaccard_mean: off_diagonal_mean(&found.jaccard),
            per_channel,
            overlap: found.overlap,
            jaccard: found.jaccard,
            pair_queries: found.pair_queries,
            redundancy: found.redundancy,
            aggregate,
            recall: found.recall,
            majority_error: self.labels.map(majority_error),
            similarity: None,
        }
    }
}

fn off_diagonal_mean(m: &Array2<f64>) -> Option<f64> {
    let values: Vec<f64> = m
        .indexed_iter()
        .filter(|((i, j), v)| i != j && v.is_finite())
        .map(|(_, &v)| v)
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn majority_error(labels: &[u32]) -> f64 {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let most = sorted
        .chunk_by(|a, b| a == b)
        .map(<[u32]>::len)
        .max()
        .unwrap_or(0);
    1.0 - most as f64 / labels.len().max(1) as f64
}
