//! Where a report finds the arrays that lie beside `results.json`.

use crate::io::npy::{read_array, read_shape};
use crate::io::sink::HeldArray;
use crate::tensor::checked_product;
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

    /// Bytes that the arrays of one figure may take.
    fn room(&self) -> u64 {
        u64::MAX
    }
}

/// Copies of an array that making a figure of it takes, at most: two matrices, each as it is, of the live channels and
/// reordered, and the distances of the clusters.
const COPIES: u64 = 8;

/// Why an array of this shape is not read: it takes more than there is room for.
pub fn too_large(arrays: &dyn Arrays, path: &str, shape: &[usize]) -> Option<String> {
    let dims: Vec<u64> = shape
        .iter()
        .map(|&d| d as u64)
        .chain([8 * COPIES])
        .collect();
    match checked_product(&dims) {
        Some(bytes) if bytes <= arrays.room() => None,
        _ => Some(format!(
            "{path} of shape {shape:?} does not fit in the memory that may be used, so it is not shown"
        )),
    }
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

/// The arrays of an output that is kept in memory. Those of another type than float64, int64 and uint8 are no figure's.
impl Arrays for Vec<HeldArray> {
    fn shape(&self, path: &str) -> Result<Option<Vec<usize>>> {
        Ok(held(self, path).map(|array| array.shape.clone()))
    }

    fn array(&self, path: &str) -> Result<Option<ArrayD<f64>>> {
        let values = |array: &HeldArray| {
            if array.kind == "u1" {
                let values = array.bytes.iter().map(|&b| f64::from(b)).collect();
                return ArrayD::from_shape_vec(array.shape.clone(), values).ok();
            }
            let (bytes, _) = array.bytes.as_chunks::<8>();
            let value = |&b: &[u8; 8]| match array.kind {
                "i8" => i64::from_ne_bytes(b) as f64,
                _ => f64::from_ne_bytes(b),
            };
            ArrayD::from_shape_vec(array.shape.clone(), bytes.iter().map(value).collect()).ok()
        };
        Ok(held(self, path).and_then(values))
    }
}

fn held<'a>(arrays: &'a [HeldArray], path: &str) -> Option<&'a HeldArray> {
    let suits = |a: &&HeldArray| a.name == path && ["f8", "i8", "u1"].contains(&a.kind);
    arrays.iter().find(suits)
}

/// An output folder.
pub struct Folder {
    dir: PathBuf,
    room: u64,
}

impl Folder {
    /// The folder that holds `results.json`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            room: u64::MAX,
        }
    }

    /// As [`Folder::new`]; a figure whose arrays take more than `room` bytes is left out.
    pub fn within(dir: impl Into<PathBuf>, room: u64) -> Self {
        Self {
            dir: dir.into(),
            room,
        }
    }
}

/// Whether this can be the name of a file or folder among results. Names of layers come from a file, and one that would
/// leave the folder names nothing in it.
pub(super) fn is_file_name(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', ':', '\0'])
}

impl Folder {
    /// The file of an array, if there is one of that name.
    fn file(&self, path: &str) -> Result<Option<PathBuf>> {
        if !path.split('/').all(is_file_name) {
            return Ok(None);
        }
        let path = self.dir.join(path);
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

    fn room(&self) -> u64 {
        self.room
    }
}

/// How far two entries of a symmetric matrix may be apart, as a share of the larger one.
const ASYMMETRY: f64 = 1e-9;

/// An array of the shape the results promise, or the reason why there is none, in words. Nothing of another shape is read.
///
/// # Errors
/// Those of [`Arrays::array`].
pub fn array(
    arrays: &dyn Arrays,
    path: &str,
    shape: &[usize],
) -> Result<Result<ArrayD<f64>, String>> {
    let missing = || format!("{path} is missing beside results.json, so it is not shown");
    let Some(found) = arrays.shape(path)? else {
        return Ok(Err(missing()));
    };
    if found != shape {
        return Ok(Err(format!(
            "{path} has shape {found:?} where results.json promises {shape:?}, so it is not shown"
        )));
    }
    if let Some(why) = too_large(arrays, path, &found) {
        return Ok(Err(why));
    }
    Ok(arrays.array(path)?.ok_or_else(missing))
}

/// As [`array()`], of two dimensions.
///
/// # Errors
/// Those of [`Arrays::array`].
pub fn matrix(
    arrays: &dyn Arrays,
    path: &str,
    shape: (usize, usize),
) -> Result<Result<Array2<f64>, String>> {
    let found = array(arrays, path, &[shape.0, shape.1])?;
    Ok(found.and_then(|a| a.into_dimensionality().map_err(|e| format!("{path}: {e}"))))
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
            "{path} is not symmetric: [{i}, {j}] is {} and [{j}, {i}] is {}, so it is not shown",
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
