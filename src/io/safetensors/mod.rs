//! Hugging Face's `.safetensors`: a strict reading of the header, tensors streamed from the file, and copies
//! with some tensors replaced.
//!
//! The header is JSON: a name, type, shape and byte range per tensor. Checked here: its length, that no name
//! comes twice, that every range has exactly the bytes its shape needs, and that the ranges follow each other
//! without gap or overlap up to the end of the file. Nothing larger than the file itself is ever allocated.
//!
//! `header` parses and checks the header, `file` reads tensors, `write` copies a file with new values, and
//! `open` makes layers of the tensors that are activations.

use super::layer::{Layer, layer_shape, other_rank};
use super::names::{Namer, module_path, sanitize};
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

/// The tensor that holds the labels of a file.
pub(super) const LABELS: &str = "labels";

/// What is in a file of activations.
pub(super) struct Found {
    /// Whether a tensor `labels` holds one number per sample.
    pub(super) labels: bool,
    /// Tensors that are neither layers nor labels, and why.
    pub(super) left_out: Vec<(String, String)>,
}

/// Adds the tensors that are activations as layers, sorted by key: those of four dimensions, and those of two or
/// three that have a row for each sample of these.
pub(super) fn open(
    path: &Path,
    namer: &mut Namer,
    layers: &mut Vec<Box<dyn Layer>>,
) -> Result<Found> {
    let file = SafetensorsFile::open(path)?;
    file.file.hint_sequential();
    let before = layers.len();
    let mut found = Found {
        labels: false,
        left_out: vec![],
    };
    let tensors = file.tensors();
    let maps: Vec<u64> = (tensors.iter())
        .filter(|t| t.shape.len() == 4)
        .map(|t| t.shape[0])
        .collect();
    for info in tensors {
        let kept = match info.shape.as_slice() {
            [_] | [_, 1] if info.key == LABELS => {
                found.labels = true;
                continue;
            }
            [_, _, _, _] => Ok(()),
            [n, rest @ ..]
                if matches!(rest.len(), 1 | 2) && !maps.is_empty() && !maps.contains(n) =>
            {
                let kind = if rest.len() == 1 {
                    "a matrix"
                } else {
                    "an array"
                };
                Err(format!(
                    "{kind} of {n} rows; the maps of the file have {} samples",
                    maps[0]
                ))
            }
            [_, _] | [_, _, _] => file
                .element(info)
                .map(drop)
                .map_err(|_| format!("its elements are {}, not activations", info.dtype)),
            other => Err(other_rank(other)),
        };
        if let Err(reason) = kept {
            let name = sanitize(&info.key);
            found.left_out.push((name, reason));
            continue;
        }
        let element = file.element(info)?;
        let shape = layer_shape(path, &format!("tensor {}", quoted(&info.key)), &info.shape)?;
        layers.push(Box::new(Stored::new(
            Arc::clone(&file.file),
            namer.name(module_path(&info.key)),
            shape,
            element,
            file.header.data_offset + info.start,
            info.shape.len(),
        )));
    }
    if layers.len() == before {
        return Err(Error::unsuitable(
            path,
            format!(
                "holds no activations among {} tensors; they are [N, C, H, W], [N, C, L] or [N, D]: reshape them",
                tensors.len()
            ),
        ));
    }
    Ok(found)
}
