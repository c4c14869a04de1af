//! Hugging Face's `.safetensors`: a strict reading of the header, tensors streamed from the file, and copies
//! with some tensors replaced.
//!
//! The header is JSON: a name, type, shape and byte range per tensor. Checked here: its length, that no name
//! comes twice, that every range has exactly the bytes its shape needs, and that the ranges follow each other
//! without gap or overlap up to the end of the file. Nothing larger than the file itself is ever allocated.
//!
//! `header` parses and checks the header, `file` reads tensors, `write` copies a file with new values, and
//! `open` makes layers of the tensors that are activations.

use super::layer::{Layer, layer_shape};
use super::names::{Namer, module_path};
use super::stored::Stored;
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;

mod file;
mod header;
mod write;

pub use file::{SafetensorsFile, Weight, read_weights};
pub use header::TensorInfo;
use header::quoted;
pub use write::Replacement;

/// Adds every 4-D tensor as a layer, sorted by key; tensors of other dimensions are passed over.
pub(super) fn open(path: &Path, namer: &mut Namer, layers: &mut Vec<Box<dyn Layer>>) -> Result<()> {
    let file = SafetensorsFile::open(path)?;
    file.file.hint_sequential();
    let before = layers.len();
    for info in file.tensors().iter().filter(|t| t.shape.len() == 4) {
        let element = file.element(info)?;
        let shape = layer_shape(path, &format!("tensor {}", quoted(&info.key)), &info.shape)?;
        layers.push(Box::new(Stored::new(
            Arc::clone(&file.file),
            namer.name(module_path(&info.key)),
            shape,
            element,
            file.header.data_offset + info.start,
        )));
    }
    if layers.len() == before {
        return Err(Error::unsuitable(
            path,
            format!(
                "holds no 4-D tensor among {}; activations are [N, C, H, W]: reshape them",
                file.tensors().len()
            ),
        ));
    }
    Ok(())
}
