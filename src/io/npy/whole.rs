//! Small arrays read whole, such as the matrices beside `results.json`.

use super::header::{Descr, read_header};
use crate::io::file::DataFile;
use crate::{Error, Result};
use ndarray::{ArrayD, IxDyn};
use std::path::Path;

/// Reads an array of `f4`, `f8` or `i4`, little-endian, of any shape, as `f64`.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for anything else. Nothing larger than the file is allocated.
pub fn read_array(path: impl AsRef<Path>) -> Result<ArrayD<f64>> {
    let file = DataFile::open(path.as_ref())?;
    let header = read_header(&file)?;
    let bad = |what: String| Error::unsuitable(file.path(), what);
    let mut bytes = vec![0u8; (file.len() - header.data_offset) as usize];
    file.read_exact_at(&mut bytes, header.data_offset)?;
    let values = match header.descr {
        Descr {
            kind: b'f',
            size: 8,
            big_endian: false,
        } => each(&bytes, f64::from_le_bytes),
        Descr {
            kind: b'f',
            size: 4,
            big_endian: false,
        } => each(&bytes, |b| f64::from(f32::from_le_bytes(b))),
        Descr {
            kind: b'i',
            size: 4,
            big_endian: false,
        } => each(&bytes, |b| f64::from(i32::from_le_bytes(b))),
        _ => {
            let what = "holds elements of another type than <f4, <f8 and <i4; run the command that made it again";
            return Err(bad(what.into()));
        }
    };
    let shape: Vec<usize> = header.shape.iter().map(|&d| d as usize).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), values)
        .map_err(|e| bad(format!("has data that do not fit its shape: {e}")))
}

fn each<const S: usize>(bytes: &[u8], value: impl Fn([u8; S]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|&b| value(b)).collect()
}
