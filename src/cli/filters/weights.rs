//! The convolutions of a file of weights.

use crate::cli::error::in_file;
use chanscope::io::foreign;
use chanscope::io::names::{Namer, module_path};
use chanscope::io::open::unread;
use chanscope::io::safetensors::{Replacement, SafetensorsFile, TensorInfo};
use chanscope::measure::FilterBank;
use chanscope::model::onnx::{self, ConvFilters};
use chanscope::ops::filters::FilterShape;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::Skipped;
use chanscope::{Error, Result};
use std::path::{Path, PathBuf};

/// A file with at least one convolution.
pub struct Weights {
    path: PathBuf,
    source: Source,
    skipped: Vec<Skipped>,
}

/// Weights are read when it is their turn.
enum Source {
    Safetensors {
        file: SafetensorsFile,
        layers: Vec<(String, String, FilterShape)>,
    },
    Onnx(Vec<ConvFilters>),
}

/// Filters of one layer in memory.
pub struct Layer {
    pub name: String,
    /// Key in a .safetensors; empty for a model.
    pub key: String,
    shape: FilterShape,
    weights: Box<dyn AsRef<[f32]>>,
}

impl Layer {
    pub fn filters(&self) -> FilterBank<'_> {
        FilterBank {
            name: &self.name,
            shape: self.shape,
            weights: (*self.weights).as_ref(),
        }
    }
}

impl Weights {
    /// Opens a file and lists its convolutions.
    ///
    /// # Errors
    /// [`Error::File`] where there is none, or the file is neither kind or damaged; [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let (source, skipped) = if extension == "onnx" {
            let found = onnx::filters(path)?;
            let skipped = found.skipped.into_iter().map(skip).collect();
            (Source::Onnx(found.layers), skipped)
        } else if extension == "safetensors" {
            safetensors(SafetensorsFile::open(path)?)?
        } else {
            let what = foreign::weights_advice(path);
            let what = what.unwrap_or_else(|| {
                "is neither .safetensors nor .onnx; save the weights as one of them".into()
            });
            return Err(Error::unsuitable(path, what));
        };
        let weights = Self {
            path: path.to_path_buf(),
            source,
            skipped,
        };
        if weights.len() == 0 {
            let others = match weights.skipped.first() {
                Some(s) => format!(
                    " ({} other layers, such as {}: {})",
                    weights.skipped.len(),
                    s.name,
                    s.reason
                ),
                None => String::new(),
            };
            return Err(Error::unsuitable(
                path,
                format!("holds no 2-D convolution{others}; name a file with the weights of a CNN"),
            ));
        }
        Ok(weights)
    }

    /// Convolutions.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Safetensors { layers, .. } => layers.len(),
            Source::Onnx(layers) => layers.len(),
        }
    }

    /// Name and number of weights of every convolution.
    pub fn sizes(&self) -> Vec<(&str, usize)> {
        match &self.source {
            Source::Safetensors { layers, .. } => {
                let size = |s: &FilterShape| s.filters * s.channels * s.area();
                layers
                    .iter()
                    .map(|(name, _, s)| (name.as_str(), size(s)))
                    .collect()
            }
            Source::Onnx(layers) => {
                let size = |l: &ConvFilters| l.shape.iter().product();
                layers.iter().map(|l| (l.name.as_str(), size(l))).collect()
            }
        }
    }

    /// Reads one convolution.
    ///
    /// # Errors
    /// What reading meets; a weight that is not finite.
    pub fn read(&self, at: usize) -> Result<Layer> {
        let layer = match &self.source {
            Source::Safetensors { file, layers } => {
                let (name, key, shape) = &layers[at];
                Layer {
                    name: name.clone(),
                    key: key.clone(),
                    shape: *shape,
                    weights: Box::new(file.read(key)?.values),
                }
            }
            Source::Onnx(layers) => {
                let layer = &layers[at];
                Layer {
                    name: layer.name.clone(),
                    key: String::new(),
                    shape: FilterShape::new(&layer.shape)?,
                    weights: Box::new(layer.weights.read()?.into_owned()),
                }
            }
        };
        let checked = layer.filters().check();
        checked.map_err(|e| in_file(&self.path, e))?;
        Ok(layer)
    }

    /// A convolution that could not be read.
    pub fn unreadable(&self, at: usize, error: &Error) -> Skipped {
        let (_, reason) = unread(&self.path, error);
        let name = self.sizes()[at].0.to_string();
        Skipped { name, reason }
    }

    /// Whether [`Weights::write`] can be used.
    pub const fn can_be_copied(&self) -> bool {
        matches!(self.source, Source::Safetensors { .. })
    }

    /// Writes a copy with some tensors replaced; everything else is as in the file, byte for byte.
    pub fn write(&self, to: &Path, force: bool, replacements: &[Replacement<'_>]) -> Result<()> {
        match &self.source {
            Source::Safetensors { file, .. } => file.copy_with(to, force, replacements),
            Source::Onnx(_) => Err(Error::unsuitable(
                &self.path,
                "is a model, which is not copied; save its weights as .safetensors",
            )),
        }
    }

    /// Names the file in the results, and its layers that are no convolutions.
    pub fn describe(&self, folder: &ResultsFolder) -> Result<()> {
        let kind = match &self.source {
            Source::Safetensors { .. } => "safetensors",
            Source::Onnx(_) => "onnx",
        };
        folder.input_file(&self.path, &[], kind)?;
        for skipped in &self.skipped {
            folder.skip(skipped.clone());
        }
        Ok(())
    }
}

fn skip((name, reason): (String, String)) -> Skipped {
    Skipped { name, reason }
}

fn safetensors(file: SafetensorsFile) -> Result<(Source, Vec<Skipped>)> {
    let mut namer = Namer::new();
    // As for the layers of a model.
    namer.reserve("output");
    namer.reserve("labels");
    let (mut layers, mut skipped) = (Vec::new(), Vec::new());
    for tensor in file.tensors() {
        match not_a_convolution(tensor) {
            None => {
                let shape: Vec<usize> = tensor.shape.iter().map(|&d| d as usize).collect();
                layers.push((
                    namer.module(&tensor.key),
                    tensor.key.clone(),
                    FilterShape::new(&shape)?,
                ));
            }
            Some(Some(reason)) => {
                skipped.push(skip((module_path(&tensor.key).to_string(), reason)));
            }
            Some(None) => {}
        }
    }
    Ok((Source::Safetensors { file, layers }, skipped))
}

/// Why a tensor is not compared; `Some(None)` for biases and the like, which nobody expects to be.
fn not_a_convolution(tensor: &TensorInfo) -> Option<Option<String>> {
    let floats = matches!(tensor.dtype.as_str(), "F16" | "BF16" | "F32" | "F64");
    Some(match tensor.shape.len() {
        0 | 1 => None,
        2 => Some("a matrix, such as a linear layer's; not a convolution".into()),
        4 if tensor.shape.contains(&0) => Some(format!("its shape is {:?}", tensor.shape)),
        4 if !floats => Some(format!(
            "its weights are {}, not floating-point numbers",
            tensor.dtype
        )),
        4 => return None,
        rank => Some(format!("{rank} dimensions; a 2-D convolution has 4")),
    })
}
