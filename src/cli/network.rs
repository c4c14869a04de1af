//! What the commands that run a network share.

use super::error;
use chanscope::Result;
use chanscope::io::labels::read_labels;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::model::graph::Graph;
use chanscope::model::layers::ConvLayer;
use chanscope::model::onnx;
use chanscope::report::folder::ResultsFolder;
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
pub fn open_model(path: &Path, data: Option<&dyn Layer>) -> Result<Graph> {
    let sample = data.map(|d| {
        let s = d.shape();
        [s.channels, s.height, s.width]
    });
    onnx::load(path, sample.as_ref().map(<[usize; 3]>::as_slice))
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

/// The layers of these names, in the order given; all of `layers` without names.
pub fn choose(
    layers: &[ConvLayer],
    names: &[String],
    option: &str,
) -> error::Result<Vec<ConvLayer>> {
    if names.is_empty() {
        return Ok(layers.to_vec());
    }
    let find = |name: &String| {
        let found = layers.iter().find(|l| l.name == *name).cloned();
        found.ok_or_else(|| {
            let known: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
            error::Error::Usage(format!(
                "{option}: the model has no layer '{name}'; it has {}",
                known.join(", ")
            ))
        })
    };
    names.iter().map(find).collect()
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
