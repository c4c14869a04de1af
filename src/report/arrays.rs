//! Where a report finds the arrays that lie beside `results.json`.

use crate::{Error, Result};
use ndarray::{Array2, ArrayD, IxDyn};
use npyz::{NpyFile, Order};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

/// Arrays by their path in the output folder, such as `layers/conv1/overlap.npy`.
pub trait Arrays {
    /// The array, or `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] when it is there but cannot be read.
    fn array(&self, path: &str) -> Result<Option<ArrayD<f64>>>;
}

/// Arrays in memory, for a report without files.
impl Arrays for BTreeMap<String, ArrayD<f64>> {
    fn array(&self, path: &str) -> Result<Option<ArrayD<f64>>> {
        Ok(self.get(path).cloned())
    }
}

/// An output folder.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder that holds `results.json`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }
}

impl Arrays for Folder {
    fn array(&self, path: &str) -> Result<Option<ArrayD<f64>>> {
        // Layer names come from a file: one that would leave the folder names nothing in it.
        let tame = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':', '\0'])
        };
        if !path.split('/').all(tame) {
            return Ok(None);
        }
        let path = self.0.join(path);
        match File::open(&path) {
            Ok(file) => read(&path, file).map(Some),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path, "open", e)),
        }
    }
}

/// Reads a `.npy` of f64, f32 or i32 in C order.
fn read(path: &Path, file: File) -> Result<ArrayD<f64>> {
    let bytes = file
        .metadata()
        .map_err(|e| Error::io(path, "open", e))?
        .len();
    let broken = |e: std::io::Error| {
        let what = format!("is not a readable .npy ({e}); run the command that made it again");
        Error::data(path, what)
    };
    let npy = NpyFile::new(BufReader::new(file)).map_err(broken)?;
    if npy.order() != Order::C {
        return Err(Error::data(path, "is in Fortran order; C order is needed"));
    }
    let shape: Vec<usize> = npy.shape().iter().map(|&d| d as usize).collect();
    let kind = npy.dtype().descr();
    // A header must not make us ask for more memory than the file could fill.
    let elements = crate::tensor::checked_product(npy.shape());
    if elements.is_none_or(|n| n > bytes) {
        let what = format!(
            "claims shape {shape:?} but holds {bytes} bytes; run the command that made it again"
        );
        return Err(Error::data(path, what));
    }
    let values: Vec<f64> = match kind.trim_matches('\'') {
        "<f8" => npy.into_vec::<f64>().map_err(broken)?,
        "<f4" => widen(npy.into_vec::<f32>().map_err(broken)?),
        "<i4" => widen(npy.into_vec::<i32>().map_err(broken)?),
        other => {
            let what = format!("holds elements of type {other}; f64, f32 or i32 is needed");
            return Err(Error::data(path, what));
        }
    };
    ArrayD::from_shape_vec(IxDyn(&shape), values)
        .map_err(|e| Error::data(path, format!("has data that do not fit its shape: {e}")))
}

fn widen<T: Into<f64>>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(Into::into).collect()
}

/// A matrix of the shape the results promise, or the reason why there is none, in words.
///
/// # Errors
/// Those of [`Arrays::array`].
pub fn matrix(
    arrays: &dyn Arrays,
    path: &str,
    shape: (usize, usize),
) -> Result<Result<Array2<f64>, String>> {
    let Some(array) = arrays.array(path)? else {
        return Ok(Err(format!(
            "{path} is missing beside results.json, so its matrix is not shown"
        )));
    };
    let found = array.shape().to_vec();
    Ok(match array.into_dimensionality() {
        Ok(matrix) if matrix.dim() == shape => Ok(matrix),
        _ => Err(format!(
            "{path} has shape {found:?} where results.json promises [{}, {}], so its matrix is not shown",
            shape.0, shape.1
        )),
    })
}
