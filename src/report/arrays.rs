//! Where a report finds the arrays that lie beside `results.json`.

use crate::io::npy::read_array;
use crate::{Error, Result};
use ndarray::{Array2, ArrayD};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Arrays by their path in the output folder, such as `layers/conv1/overlap.npy`.
pub trait Arrays {
    /// The array, or `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] when it is there but cannot be read.
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
        match std::fs::metadata(&path) {
            Ok(_) => read_array(&path).map(Some),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path, "open", e)),
        }
    }
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
