//! What the commands that run a network share.

use super::error;
use chanscope::Result;
use chanscope::io::labels::read_labels;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::model::graph::Graph;
use chanscope::model::layers::{ConvLayer, Tap};
use chanscope::model::onnx;
use chanscope::model::parts::LeftOut;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::Skipped;
use std::path::Path;

/// Makes all threads allocate from one heap, where the C library (glibc) would give each its own.
///
/// A network's values are allocated on one thread and freed on another. With a heap each, every heap grows
/// to what all values take together, and `--memory` is exceeded by the number of threads. To be called
/// before any thread is started.
pub fn share_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            safe fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
        }
        /// `M_ARENA_MAX` of malloc.h.
        const ARENA_MAX: std::ffi::c_int = -8;
        // 0 would mean that it is not supported: then nothing has changed.
        let _ = mallopt(ARENA_MAX, 1);
    }
}

/// Opens the images.
pub fn open_data(path: &Path) -> Result<Box<dyn Layer>> {
    npy::open(path, &path.display().to_string())
}

/// Reads a model; sizes it leaves open are those of the data.
pub fn open_model(path: &Path, data: &dyn Layer) -> Result<Graph> {
    let s = data.shape();
    onnx::load(path, Some(&[s.channels, s.height, s.width]))
}

/// What a network without data does not tell.
#[derive(clap::Args)]
pub struct InputArgs {
    /// Height and width of the input, where the model leaves them open
    #[arg(long, value_name = "HxW")]
    size: Option<String>,
    /// Axes of the input after the batch, where the model does not tell: nchw or nhwc
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,
}

impl InputArgs {
    /// Reads a model.
    pub fn open_model(&self, path: &Path) -> error::Result<Graph> {
        let options = onnx::ImportOptions::default()
            .with_size(self.size.as_deref().map(parse_size).transpose()?)
            .with_layout(self.layout.as_deref().map(str::parse).transpose()?);
        Ok(onnx::load_with(path, &options)?)
    }

    /// Records the options as they were written on the command line.
    pub fn describe(&self, folder: &ResultsFolder) {
        folder.parameter("size", self.size.clone());
        folder.parameter("layout", self.layout.clone());
    }
}

fn parse_size(text: &str) -> error::Result<[usize; 2]> {
    let parts: Vec<_> = text.split('x').map(str::parse::<usize>).collect();
    match parts.as_slice() {
        [Ok(h), Ok(w)] if *h > 0 && *w > 0 => Ok([*h, *w]),
        _ => Err(error::Error::Usage(format!(
            "--size '{text}' is not a height and a width such as 224x224"
        ))),
    }
}

/// Reads the labels, one per sample.
pub fn open_labels(path: Option<&Path>, data: &dyn Layer) -> Result<Option<Vec<u32>>> {
    path.map(|p| read_labels(p, data.shape().samples))
        .transpose()
}

/// Names the files in the results.
pub fn record_inputs(
    folder: &ResultsFolder,
    model: &Path,
    graph: &Graph,
    data: Option<&dyn Layer>,
    labels: Option<&Path>,
) -> Result<()> {
    let shape: Vec<u64> = graph.input_shape().iter().map(|&d| d as u64).collect();
    folder.input_file(model, &shape, "onnx")?;
    if let Some(data) = data {
        folder.input_layer(data)?;
        if let Some(labels) = labels {
            let samples = data.shape().samples as u64;
            folder.input_file(labels, &[samples], "labels")?;
        }
    }
    Ok(())
}

/// Layers to work on, and those that were meant but are not computed.
pub struct Chosen {
    pub layers: Vec<ConvLayer>,
    pub left_out: Vec<LeftOut>,
}

/// The layers of these names, in the order given, each by its name or its module path; without names all that
/// are computed at `tap`.
pub fn choose(graph: &Graph, tap: Tap, names: &[String], option: &str) -> error::Result<Chosen> {
    let (layers, left_out) = graph.layers_at(tap);
    if names.is_empty() {
        return Ok(Chosen { layers, left_out });
    }
    let find = |name: &String| {
        if let Some(layer) = layers.iter().find(|l| l.name == *name) {
            return Ok(layer.clone());
        }
        let modules: Vec<&ConvLayer> = (layers.iter())
            .filter(|l| l.module.as_ref() == Some(name))
            .collect();
        let list = |layers: &[&ConvLayer]| {
            let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
            names.join(", ")
        };
        Err(error::Error::Usage(match modules.as_slice() {
            [one] => return Ok((*one).clone()),
            [] => match left_out.iter().find(|l| l.name == *name) {
                Some(l) => format!("{option}: layer '{name}' is not computed: {}", l.reason),
                None => format!(
                    "{option}: the model has no layer '{name}'; it has {}",
                    list(&layers.iter().collect::<Vec<_>>())
                ),
            },
            several => format!(
                "{option}: module '{name}' is used more than once, as {}; name one of these",
                list(several)
            ),
        }))
    };
    let layers = names.iter().map(find).collect::<error::Result<_>>()?;
    Ok(Chosen {
        layers,
        left_out: vec![],
    })
}

/// Lists what is not computed in the results.
pub fn skip(folder: &ResultsFolder, left_out: &[LeftOut]) {
    for l in left_out {
        folder.skip(Skipped {
            name: l.name.clone(),
            reason: l.reason.clone(),
        });
    }
}

/// Runs `$work` with `$backend` the opened device's backend.
macro_rules! on_device {
    ($device:expr, |$backend:ident| $work:expr) => {
        match $device {
            chanscope::device::Device::Cpu($backend) => $work,
            chanscope::device::Device::Gpu(boxed) => {
                let $backend = boxed.as_ref();
                $work
            }
        }
    };
}
pub(crate) use on_device;
