//! `redundancy`: channel-wise NNK graphs.

use crate::call::{Settings, long, still_wanted};
use crate::cli::network::open_data;
use crate::cli::samples;
use crate::error::usage;
use crate::input::Input;
use crate::output::{Finished, Found};
use chanscope::io::labels::read_labels;
use chanscope::io::layer::Layer;
use chanscope::io::open::ids_of;
use chanscope::measure::redundancy::{GraphSink, NonFinite, SupportSink, redundancy_each};
use chanscope::measure::{RedundancyInput, RedundancyOptions};
use chanscope::ops::{GraphParams, Identical, Kernel, Sigma};
use chanscope::report::folder::{ResultsFolder, check_images};
use chanscope::report::results::Skipped;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of a graph, as Python gives them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct GraphArguments {
    k: usize,
    kernel: String,
    /// `None` for kth/3.
    sigma: Option<f64>,
    identical: String,
}

impl GraphArguments {
    pub fn params(&self, py: Python<'_>, pca_dimension: bool) -> PyResult<GraphParams> {
        Ok(GraphParams {
            k: self.k,
            kernel: match self.kernel.as_str() {
                "gaussian" => Kernel::Gaussian,
                "cosine" => Kernel::Cosine,
                other => return Err(unknown(py, "kernel", other, "gaussian or cosine")),
            },
            sigma: self.sigma.map_or(Sigma::KthThird, Sigma::Fixed),
            identical: match self.identical.as_str() {
                "keep" => Identical::Keep,
                "drop" => Identical::Drop,
                "replace" => Identical::Replace,
                other => return Err(unknown(py, "identical", other, "keep, drop or replace")),
            },
            pca_dimension,
        })
    }
}

/// The other options of `redundancy`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Arguments {
    across: bool,
    aggregate: bool,
    channels: Option<Vec<usize>>,
    non_finite: String,
    pub skip_unreadable: bool,
    pub save_graph: bool,
    pub supports: bool,
    baselines: bool,
    strongest: bool,
    queries: Option<usize>,
    seed: u64,
}

pub fn unknown(py: Python<'_>, name: &str, got: &str, choices: &str) -> PyErr {
    usage(
        py,
        format!("unknown {name} '{}': use {choices}", got.escape_debug()),
    )
}

/// The options of the measure.
pub fn options(
    py: Python<'_>,
    graph: &GraphArguments,
    arguments: &Arguments,
) -> PyResult<RedundancyOptions> {
    Ok(RedundancyOptions::default()
        .with_graph(graph.params(py, true)?)
        .with_across(arguments.across)
        .with_aggregate(arguments.aggregate)
        .with_channels(arguments.channels.clone())
        .with_baselines(arguments.baselines)
        .with_strongest(arguments.strongest)
        .with_queries(arguments.queries)
        .with_seed(arguments.seed)
        .with_non_finite(match arguments.non_finite.as_str() {
            "raise" => NonFinite::Reject,
            "skip" => NonFinite::Skip,
            other => return Err(unknown(py, "non_finite", other, "raise or skip")),
        }))
}

/// Labels: a file, or the bytes of a uint32 per sample.
#[derive(FromPyObject)]
pub enum Labels<'py> {
    Bytes(Bound<'py, PyBytes>),
    File(PathBuf),
}

/// Where labels come from.
enum LabelSource {
    None,
    Given(Vec<u32>),
    File(PathBuf),
}

/// The images behind the samples: one layer that Python holds, or a file.
#[derive(FromPyObject)]
pub enum Images<'py> {
    Layer(PyRef<'py, Input>),
    File(PathBuf),
}

/// Where images come from.
enum ImageSource {
    Layer(Arc<dyn Layer>),
    File(PathBuf),
}

impl Images<'_> {
    fn source(&self) -> Option<ImageSource> {
        match self {
            Self::Layer(input) => {
                let layer = input.collected().layers.first().cloned();
                layer.map(ImageSource::Layer)
            }
            Self::File(path) => Some(ImageSource::File(path.clone())),
        }
    }

    /// The exception that a reader raised, if any, in place of `error`.
    fn blame(&self, error: PyErr) -> PyErr {
        match self {
            Self::Layer(input) => input.blame(error),
            Self::File(_) => error,
        }
    }
}

impl ImageSource {
    /// The images, and what `parameters` says of them: the file, as on the command line, or that there are some.
    fn open(self) -> chanscope::Result<(Arc<dyn Layer>, Value)> {
        match self {
            Self::Layer(layer) => Ok((layer, true.into())),
            Self::File(path) => {
                let layer = open_data(&path)?;
                let name = layer.name().into();
                Ok((Arc::from(layer), name))
            }
        }
    }
}

/// Measures the layers of `input`.
#[pyfunction]
#[pyo3(signature = (input, labels, images, graph, arguments, settings))]
pub fn redundancy(
    py: Python<'_>,
    input: &Input,
    labels: Option<Labels<'_>>,
    images: Option<Images<'_>>,
    graph: GraphArguments,
    arguments: Arguments,
    settings: Settings,
) -> PyResult<Found> {
    let options = options(py, &graph, &arguments)?;
    let (layers, mut paths, left_out, beside) = {
        let collected = input.collected();
        (
            collected.layers.clone(),
            collected.paths.clone(),
            collected.left_out.clone(),
            collected.labels.clone(),
        )
    };
    let labels = match (labels, beside) {
        (Some(Labels::Bytes(bytes)), _) => {
            let (labels, _) = bytes.as_bytes().as_chunks::<4>();
            LabelSource::Given(labels.iter().map(|&b| u32::from_ne_bytes(b)).collect())
        }
        (Some(Labels::File(path)), _) | (None, Some(path)) => {
            paths.push(path.clone());
            LabelSource::File(path)
        }
        (None, None) => LabelSource::None,
    };
    let image_source = images.as_ref().and_then(Images::source);
    if let Some(ImageSource::File(path)) = &image_source {
        paths.push(path.clone());
    }
    let target = settings.target();
    let found = long(py, settings, move |ctx| {
        let layers: Vec<&dyn Layer> = layers.iter().map(Arc::as_ref).collect();
        let pictured = image_source.map(ImageSource::open).transpose()?;
        if let Some((images, _)) = &pictured {
            let layers = layers.iter().map(|l| (l.name(), l.shape().samples));
            check_images(images.as_ref(), layers)?;
        }
        let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let folder = ResultsFolder::begin(target.output(&inputs)?, "redundancy");
        let ctx = ctx.clone().with_scratch(folder.scratch());
        folder.redundancy_parameters(&ctx, &options, arguments.save_graph);
        folder.parameter("skip-unreadable", arguments.skip_unreadable);
        folder.parameter("no-supports", !arguments.supports);
        for (name, reason) in left_out {
            folder.skip(Skipped { name, reason });
        }
        let mut classes = None;
        for layer in &layers {
            folder.input_layer(*layer)?;
            if let LabelSource::File(path) = &labels {
                classes = Some(read_labels(path, layer.shape().samples)?);
            }
        }
        match labels {
            LabelSource::Given(given) => classes = Some(given),
            LabelSource::File(path) => {
                let samples = layers.first().map_or(0, |l| l.shape().samples as u64);
                folder.input_file(&path, &[samples], "labels")?;
            }
            LabelSource::None => {}
        }
        if let Some((images, parameter)) = &pictured {
            folder.parameter("images", parameter.clone());
            folder.input_layer(images.as_ref())?;
        }
        folder.samples(classes.as_deref(), ids_of(&paths).as_deref())?;
        let (graphs, supports) = (folder.graphs(), folder.supports());
        let input = RedundancyInput::new(&layers)
            .with_labels(classes.as_deref())
            .with_graphs(arguments.save_graph.then_some(&graphs as &dyn GraphSink))
            .with_supports(arguments.supports.then_some(&supports as &dyn SupportSink));
        let compared = redundancy_each(&ctx, &input, &options, |found| {
            folder.redundancy_layer(&found)?;
            folder.stage(found.name);
            Ok(())
        })?;
        drop(graphs);
        if let Some(reason) = samples::unequal(&layers) {
            let name = "CKA between layers".into();
            folder.skip(Skipped { name, reason });
        }
        folder.compared(&compared)?;
        if let Some((images, _)) = &pictured {
            folder.images(images.as_ref())?;
        }
        still_wanted(&ctx)?;
        Ok(Finished::of(folder, &target, true)?)
    });
    let found = found.map_err(|e| match &images {
        Some(images) => images.blame(input.blame(e)),
        None => input.blame(e),
    });
    found?.into_found(py)
}
