//! Channel redundancy from channel-wise NNK graphs (arXiv 2110.11400; docs/definitions.md#channel-graphs).
//!
//! Three passes over a layer: a scan (non-finite values, dead channels), the graphs (candidates,
//! Gram matrices and solves on the device, a few numbers per query back), and the overlap of the
//! supports. Everything is streamed under one memory cap, and every mean is a sum of integers, so
//! that figures are equal to the bit whatever the block sizes or threads.

mod estimate;
mod graphs;
mod overlap;
mod sink;
mod stats;

pub use estimate::{Estimate, estimate, estimate_on};
pub use sink::{
    Arrays, GraphArrays, GraphRows, GraphShape, GraphSink, Space, SymmetricEdge, symmetric_graph,
};
pub use stats::SpaceSummary;

use crate::control::Control;
use crate::device::Device;
use crate::io::kept::Kept;
use crate::io::layer::Layer;
use crate::io::scan::{Scan, scan};
use crate::io::spill::SupportStore;
use crate::ops::{Backend, GraphParams, Identical, Kernel, MAX_K, Sigma};
use crate::stream::run::Layout;
use crate::tensor::LayerShape;
use crate::{Error, Result};
use graphs::GraphStage;
use ndarray::Array2;
use overlap::{Overlap, OverlapStage};
use std::path::PathBuf;

/// What to do with samples that hold NaN or infinities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// Refuse the layer, with the count and the first position.
    #[default]
    Reject,
    /// Leave those samples out, and say so.
    Skip,
}

/// Options of [`redundancy`].
#[derive(Clone, Debug, PartialEq)]
pub struct RedundancyOptions {
    /// Candidates, kernel, bandwidth, identical points.
    pub graph: GraphParams,
    /// Also the graph of all selected channels taken as one vector per sample.
    pub aggregate: bool,
    /// Channels, in the order of the results; `None`: all.
    pub channels: Option<Vec<usize>>,
    /// Samples that are not finite in the selected channels.
    pub non_finite: NonFinite,
    /// Cap for host and device working sets, bytes.
    pub memory: u64,
    /// Folder for an unnamed temporary file, used where supports do not fit in memory.
    pub scratch: PathBuf,
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
            memory: 1 << 30,
            scratch: std::env::temp_dir(),
        }
    }
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
    /// Samples left out because they are not finite.
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

/// Measures the channel redundancy of `layer`, with labels (`[N]`, leave-one-out interpolation) or
/// without; `sink` receives the graphs themselves. Prints and writes nothing.
///
/// # Errors
/// [`Error::Usage`] for parameters out of range, [`Error::Shape`] for labels or channels that do not
/// fit, [`Error::Data`] for non-finite values, [`Error::Memory`], [`Error::Cancelled`], and what
/// reading and the device report.
pub fn redundancy(
    device: &Device,
    layer: &dyn Layer,
    labels: Option<&[u32]>,
    options: &RedundancyOptions,
    sink: Option<&dyn GraphSink>,
    control: &Control<'_>,
) -> Result<LayerRedundancy> {
    match device {
        Device::Cpu(backend) => redundancy_on(backend, layer, labels, options, sink, control),
        Device::Gpu(backend) => {
            redundancy_on(backend.as_ref(), layer, labels, options, sink, control)
        }
    }
}

/// [`redundancy`] on a given backend.
///
/// # Errors
/// As [`redundancy`].
pub fn redundancy_on<B: Backend>(
    backend: &B,
    layer: &dyn Layer,
    labels: Option<&[u32]>,
    options: &RedundancyOptions,
    sink: Option<&dyn GraphSink>,
    control: &Control<'_>,
) -> Result<LayerRedundancy> {
    check_params(&options.graph)?;
    let shape = layer.shape();
    let channels = select(&options.channels, shape.channels, layer.name())?;
    check_labels(labels, shape.samples, layer.name())?;
    let found = scan(layer, &channels, options.memory, control)?;
    let skipped = refuse_or_skip(layer, &found, options.non_finite)?;
    let dead = dead_channels(&found, &channels);
    if skipped.is_empty() {
        let run = Run {
            backend,
            layer,
            channels: &channels,
            dead: &dead,
            labels,
            options,
            sink,
            control,
        };
        return run.measure(shape, skipped);
    }
    if found.good_samples().is_empty() {
        return Err(Error::Shape(format!(
            "{}: no sample is left without NaN or infinities; dump it again",
            layer.name()
        )));
    }
    let kept = Kept::new(layer, found.good_samples())?;
    // A channel may be zero on all the samples that are left.
    let dead = dead_channels(&scan(&kept, &channels, options.memory, control)?, &channels);
    let labels: Option<Vec<u32>> = labels.map(|l| kept.kept().iter().map(|&i| l[i]).collect());
    let run = Run {
        backend,
        layer: &kept,
        channels: &channels,
        dead: &dead,
        labels: labels.as_deref(),
        options,
        sink,
        control,
    };
    run.measure(shape, skipped)
}

fn dead_channels(found: &Scan, channels: &[usize]) -> Vec<bool> {
    let dead = found.dead_channels();
    channels.iter().map(|c| dead.contains(c)).collect()
}

struct Run<'a, B: Backend> {
    backend: &'a B,
    layer: &'a dyn Layer,
    channels: &'a [usize],
    dead: &'a [bool],
    labels: Option<&'a [u32]>,
    options: &'a RedundancyOptions,
    sink: Option<&'a dyn GraphSink>,
    control: &'a Control<'a>,
}

impl<B: Backend> Run<'_, B> {
    fn measure(&self, shape: LayerShape, skipped: Vec<usize>) -> Result<LayerRedundancy> {
        let (samples, k) = (self.layer.shape().samples, self.options.graph.k);
        if samples < 2 {
            return Err(Error::Shape(format!(
                "{}: a single sample has no neighbours; at least 2 are needed",
                self.layer.name()
            )));
        }
        if let Some(sink) = self.sink {
            sink.begin(GraphShape {
                channels: self.channels.len(),
                samples,
                k,
                aggregate: self.options.aggregate,
            })?;
        }
        let store = |spaces| {
            let budget = self.options.memory / 8;
            SupportStore::new(spaces, samples, k, budget, &self.options.scratch)
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
            memory: self.options.memory / 2,
            control: self.control,
            stage: format!("{}: overlap", self.layer.name()),
        }
        .run()?;
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
            memory: self.options.memory,
            store,
            sink: self.sink,
            control: self.control,
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
        }
    }
}

fn check_params(p: &GraphParams) -> Result<()> {
    if p.k == 0 || p.k > MAX_K {
        return Err(Error::Usage(format!(
            "k is {}; it must be between 1 and {MAX_K}",
            p.k
        )));
    }
    match p.sigma {
        Sigma::Fixed(s) if !(s.is_finite() && s > 0.0) => Err(Error::Usage(format!(
            "sigma is {s}; it must be a positive number, or kth/3"
        ))),
        Sigma::Fixed(_) if p.kernel == Kernel::Cosine => Err(Error::Usage(
            "the cosine kernel has no bandwidth; leave sigma out, or use the gaussian kernel"
                .into(),
        )),
        _ => Ok(()),
    }
}

fn select(asked: &Option<Vec<usize>>, channels: usize, name: &str) -> Result<Vec<usize>> {
    let Some(asked) = asked else {
        return Ok((0..channels).collect());
    };
    if asked.is_empty() {
        return Err(Error::Usage("no channel selected".into()));
    }
    let mut seen = vec![false; channels];
    for &c in asked {
        match seen.get_mut(c) {
            None => {
                return Err(Error::Usage(format!(
                    "{name}: channel {c} does not exist; the layer has {channels}, counted from 0"
                )));
            }
            Some(true) => return Err(Error::Usage(format!("channel {c} is asked for twice"))),
            Some(slot) => *slot = true,
        }
    }
    Ok(asked.clone())
}

fn check_labels(labels: Option<&[u32]>, samples: usize, name: &str) -> Result<()> {
    match labels {
        Some(l) if l.len() != samples => Err(Error::Shape(format!(
            "{} labels for the {samples} samples of {name}; one label a sample is needed",
            l.len()
        ))),
        _ => Ok(()),
    }
}

fn refuse_or_skip(layer: &dyn Layer, found: &Scan, rule: NonFinite) -> Result<Vec<usize>> {
    match (rule, found.refusal(layer)) {
        (NonFinite::Reject, Some(error)) => Err(error),
        _ => Ok(found.bad_samples.clone()),
    }
}

/// A `[c, c]` matrix from a function of the flat index.
fn matrix<T>(c: usize, value: impl Fn(usize) -> T) -> Array2<T> {
    Array2::from_shape_fn((c, c), |(i, j)| value(i * c + j))
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
