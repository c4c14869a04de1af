//! What [`super::redundancy`] is given: layers, labels, options.

use super::draw::{Sampling, draw};
use super::{GraphSink, LayerSupports, SupportSink, SupportSource};
use crate::error::LayerProblem;
use crate::io::layer::Layer;
use crate::io::supports::SupportShape;
use crate::measure::setters::setters;
use crate::ops::{GraphParams, Identical, Kernel, MAX_K, Sigma};
use crate::tensor::LayerShape;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Writing the supports to the results has one part in so many of the memory cap.
pub(super) const SUPPORTS_SHARE: u64 = 16;

/// The layers to measure and what belongs to their samples.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RedundancyInput<'a> {
    /// Layers `A[N, C, H, W]`, each measured by itself.
    pub layers: &'a [&'a dyn Layer],
    /// `[N]` class of every sample, the same for all layers.
    pub labels: Option<&'a [u32]>,
    /// Receives the graphs themselves.
    pub graphs: Option<&'a dyn GraphSink>,
    /// Receives the supports, which is what runs are compared by.
    pub supports: Option<&'a dyn SupportSink>,
}

impl<'a> RedundancyInput<'a> {
    /// Layers without labels, whose graphs are not kept.
    pub const fn new(layers: &'a [&'a dyn Layer]) -> Self {
        Self {
            layers,
            labels: None,
            graphs: None,
            supports: None,
        }
    }

    /// Adds the class of every sample.
    #[must_use]
    pub const fn with_labels(mut self, labels: Option<&'a [u32]>) -> Self {
        self.labels = labels;
        self
    }

    /// Hands the graphs of every layer to `sink`.
    #[must_use]
    pub const fn with_graphs(mut self, sink: Option<&'a dyn GraphSink>) -> Self {
        self.graphs = sink;
        self
    }

    /// Hands the supports of every layer to `sink`.
    #[must_use]
    pub const fn with_supports(mut self, sink: Option<&'a dyn SupportSink>) -> Self {
        self.supports = sink;
        self
    }
}

/// What to do with samples that hold NaN or infinities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NonFinite {
    /// Refuse the layer, with the count and the first position.
    #[default]
    Reject,
    /// Leave those samples out, and say so.
    Skip,
}

/// Options of [`super::redundancy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RedundancyOptions {
    /// Candidates, kernel, bandwidth, identical points.
    pub graph: GraphParams,
    /// Also the graph of all selected channels taken as one vector per sample.
    pub aggregate: bool,
    /// Channels, in the order of the results; `None`: all.
    pub channels: Option<Vec<usize>>,
    /// Samples that are not finite in the selected channels.
    pub non_finite: NonFinite,
    /// Also the similarity of channels, and CKA between several layers
    /// ([`crate::measure::baselines`]).
    pub baselines: bool,
    /// Also the Jaccard index between channels of different layers, which have the same samples
    /// (docs/definitions.md#across-layers).
    pub across: bool,
    /// Also the samples that excite each channel most (docs/definitions.md#strongest-samples).
    #[serde(default)]
    pub strongest: bool,
    /// Samples that are queries, drawn by `seed`; `None`, and as many as there are samples or more: all. Candidates come
    /// from all samples in any case, so the cost grows with the number of queries times that of samples. Means then have
    /// standard errors (docs/definitions.md#sampled-queries).
    pub queries: Option<usize>,
    /// Seed of the draw. The queries of a smaller draw are among those of a larger one with the same seed.
    pub seed: u64,
}

impl Default for RedundancyOptions {
    fn default() -> Self {
        Self {
            graph: GraphParams {
                k: 25,
                kernel: Kernel::Gaussian,
                sigma: Sigma::KthThird,
                identical: Identical::Keep,
                pca_dimension: true,
            },
            aggregate: false,
            channels: None,
            non_finite: NonFinite::Reject,
            baselines: true,
            across: false,
            strongest: false,
            queries: None,
            seed: 0,
        }
    }
}

setters!(RedundancyOptions {
    with_graph(graph: GraphParams),
    with_aggregate(aggregate: bool),
    with_channels(channels: Option<Vec<usize>>),
    with_non_finite(non_finite: NonFinite),
    with_baselines(baselines: bool),
    with_across(across: bool),
    with_strongest(strongest: bool),
    with_queries(queries: Option<usize>),
    with_seed(seed: u64),
});

/// A layer whose samples are all finite, as the stages need it.
#[derive(Clone, Copy)]
pub struct Prepared<'a> {
    /// The samples that are measured.
    pub layer: &'a dyn Layer,
    /// Their indices in the file, where some were left out.
    pub kept: Option<&'a [usize]>,
    /// Selected channels.
    pub channels: &'a [usize],
    /// Which of these are zero on every sample.
    pub dead: &'a [bool],
    /// Class of every sample that is measured.
    pub labels: Option<&'a [u32]>,
    /// Which samples are queries, where not all of those measured are: positions among these, as [`draw_queries`] gives
    /// them. Ranges of queries count positions in this list.
    pub queries: Option<&'a [usize]>,
    /// Options of the run.
    pub options: &'a RedundancyOptions,
}

impl Prepared<'_> {
    /// Number of queries.
    pub fn query_count(&self) -> usize {
        match self.queries {
            Some(queries) => queries.len(),
            None => self.layer.shape().samples,
        }
    }

    /// The supports of all queries in all channels, of a layer whose file has this shape; `memory` bytes may be used to pass
    /// them on.
    pub fn supports<'s>(
        &'s self,
        shape: LayerShape,
        source: &'s dyn SupportSource,
        memory: u64,
    ) -> LayerSupports<'s> {
        LayerSupports {
            layer: self.layer.name(),
            shape: SupportShape {
                channels: self.channels.len(),
                queries: self.query_count(),
                k: self.options.graph.k,
                samples: shape.samples,
            },
            kept: self.kept,
            source,
            memory: memory / SUPPORTS_SHARE,
        }
    }

    /// How the queries were drawn, if they were.
    pub(super) fn sampling(&self) -> Option<Sampling> {
        self.queries.map(|queries| Sampling {
            queries: queries.len(),
            samples: self.layer.shape().samples,
        })
    }
}

/// Which of the `samples` that are measured are queries: positions among these, ascending. `None` where all are. `kept` are
/// the samples' indices in the file, where some were left out.
pub fn draw_queries(
    options: &RedundancyOptions,
    samples: usize,
    kept: Option<&[usize]>,
) -> Option<Vec<usize>> {
    let count = options.queries.filter(|&count| count < samples)?;
    Some(draw(samples, kept, count, options.seed))
}

pub(super) fn check_options(options: &RedundancyOptions) -> Result<()> {
    if options.queries == Some(0) {
        return Err(Error::argument("queries", 0, "at least 1"));
    }
    check_params(&options.graph)
}

pub(in crate::measure) fn check_params(p: &GraphParams) -> Result<()> {
    if p.k == 0 || p.k > MAX_K {
        return Err(Error::argument("k", p.k, format!("1 to {MAX_K}")));
    }
    match p.sigma {
        Sigma::Fixed(s) if !(s.is_finite() && s > 0.0) => {
            Err(Error::argument("sigma", s, "a positive number, or kth/3"))
        }
        Sigma::Fixed(_) if p.kernel == Kernel::Cosine => Err(Error::argument(
            "sigma",
            "a number",
            "no bandwidth with the cosine kernel, or the gaussian kernel",
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_labels(labels: Option<&[u32]>, samples: usize, name: &str) -> Result<()> {
    match labels {
        Some(l) if l.len() != samples => {
            let problem = LayerProblem::SampleCount {
                got: samples,
                other: "the list of labels".into(),
                expected: l.len(),
            };
            Err(Error::layer(name, None::<&Path>, problem))
        }
        _ => Ok(()),
    }
}
