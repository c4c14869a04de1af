//! What [`super::redundancy`] is given: layers, labels, options.

use super::GraphSink;
use crate::error::LayerProblem;
use crate::io::layer::Layer;
use crate::measure::setters::setters;
use crate::ops::{GraphParams, Identical, Kernel, MAX_K, Sigma};
use crate::{Error, Result};
use std::path::Path;

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
}

impl<'a> RedundancyInput<'a> {
    /// Layers without labels, whose graphs are not kept.
    pub const fn new(layers: &'a [&'a dyn Layer]) -> Self {
        Self {
            layers,
            labels: None,
            graphs: None,
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
}

/// What to do with samples that hold NaN or infinities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// Refuse the layer, with the count and the first position.
    #[default]
    Reject,
    /// Leave those samples out, and say so.
    Skip,
}

/// Options of [`super::redundancy`].
#[derive(Clone, Debug, PartialEq)]
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
        }
    }
}

setters!(RedundancyOptions {
    with_graph(graph: GraphParams),
    with_aggregate(aggregate: bool),
    with_channels(channels: Option<Vec<usize>>),
    with_non_finite(non_finite: NonFinite),
    with_baselines(baselines: bool),
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
    /// Options of the run.
    pub options: &'a RedundancyOptions,
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
