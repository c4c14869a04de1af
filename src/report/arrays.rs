//! Where a report finds the arrays that lie beside `results.json`.

use crate::io::npy::{read_array, read_shape};
use crate::{Error, Result};
use ndarray::{Array2, ArrayD};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Arrays by their path in the output folder, such as `layers/conv1/overlap.npy`.
pub trait Arrays {
    /// The shape of an array, without reading its values; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] when it is there but is no sound array.
    fn shape(&self, path: &str) -> Result<Option<Vec<usize>>>;

    /// The array, or `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] when it is there but cannot be read.
    fn array(&self, path: &str) -> Result<Option<ArrayD<f64>>>;
}

/// Arrays in memory, for a report without files.
impl Arrays for BTreeMap<String, ArrayD<f64>> {
    fn shape(&self, path: &str) -> Result<Option<Vec<usize>>> {
        Ok(self.get(path).map(|array| array.shape().to_vec()))
    }

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

impl Folder {
    /// The file of an array, if there is one of that name.
    fn file(&self, path: &str) -> Result<Option<PathBuf>> {
        // Layer names come from a file: one that would leave the folder names nothing in it.
        let tame = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':', '\0'])
        };
        if !path.split('/').all(tame) {
            return Ok(None);
        }
        let path = self.0.join(path);
        match std::fs::metadata(&path) {
            Ok(_) => Ok(Some(path)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path, "open", e)),
        }
    }
}

impl Arrays for Folder {
    fn shape(&self, path: &str) -> Result<Option<Vec<usize>>> {
        self.file(path)?.map(read_shape).transpose()
    }

    fn array(&self, path: &str) -> Result<Option<ArrayD<f64>>> {
        self.file(path)?.map(read_array).transpose()
    }
}

/// How far two entries of a symmetric matrix may be apart, as a share of the larger one.
const ASYMMETRY: f64 = 1e-9;

/// A matrix of the shape the results promise, or the reason why there is none, in words. Nothing of another shape is read.
///
/// # Errors
/// Those of [`Arrays::array`].
pub fn matrix(
    arrays: &dyn Arrays,
    path: &str,
    shape: (usize, usize),
) -> Result<Result<Array2<f64>, String>> {
    let missing = || format!("{path} is missing beside results.json, so its matrix is not shown");
    let Some(found) = arrays.shape(path)? else {
        return Ok(Err(missing()));
    };
    if found != [shape.0, shape.1] {
        return Ok(Err(format!(
            "{path} has shape {found:?} where results.json promises [{}, {}], so its matrix is not shown",
            shape.0, shape.1
        )));
    }
    let array = arrays.array(path)?.map(ArrayD::into_dimensionality);
    Ok(match array {
        Some(Ok(matrix)) => Ok(matrix),
        _ => Err(missing()),
    })
}

/// As [`matrix`], for similarities of `n` channels, of which `(i, j)` and `(j, i)` have to be the same.
///
/// # Errors
/// Those of [`Arrays::array`].
pub fn symmetric(arrays: &dyn Arrays, path: &str, n: usize) -> Result<Result<Array2<f64>, String>> {
    let found = matrix(arrays, path, (n, n))?;
    Ok(found.and_then(|matrix| match asymmetry(&matrix) {
        None => Ok(matrix),
        Some((i, j)) => Err(format!(
            "{path} is not symmetric: [{i}, {j}] is {} and [{j}, {i}] is {}, so its matrix is not shown",
            matrix[[i, j]],
            matrix[[j, i]]
        )),
    }))
}

/// The first pair of entries that are not the same.
fn asymmetry(matrix: &Array2<f64>) -> Option<(usize, usize)> {
    let same = |a: f64, b: f64| {
        a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= ASYMMETRY * a.abs().max(b.abs())
    };
    let mut pairs = (0..matrix.nrows()).flat_map(|i| (0..i).map(move |j| (j, i)));
    pairs.find(|&(i, j)| !same(matrix[[i, j]], matrix[[j, i]]))
}
