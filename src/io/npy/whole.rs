//! Small arrays read whole, such as the matrices beside `results.json`.

use super::header::{Descr, read_header};
use crate::io::file::DataFile;
use crate::{Error, Result};
use ndarray::{ArrayD, IxDyn};
use std::path::Path;

/// Bytes read at a time, a multiple of every element's size.
const PIECE: usize = 1 << 20;

/// The shape of an array, from its header.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for anything but a sound array.
pub fn read_shape(path: impl AsRef<Path>) -> Result<Vec<usize>> {
    let file = DataFile::open(path.as_ref())?;
    shape(&file, &read_header(&file)?.shape)
}

fn shape(file: &DataFile, dims: &[u64]) -> Result<Vec<usize>> {
    let sizes: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    sizes.ok_or_else(|| Error::unsuitable(file.path(), "is too large to address"))
}

/// Reads an array of `f4`, `f8`, `i4`, `i8` or `u1`, little-endian, of any shape, as `f64`. Integers from 2^53 on are rounded.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for anything else. Nothing larger than the file is allocated.
pub fn read_array(path: impl AsRef<Path>) -> Result<ArrayD<f64>> {
    let file = DataFile::open(path.as_ref())?;
    let header = read_header(&file)?;
    let bad = |what: String| Error::unsuitable(file.path(), what);
    let Descr {
        kind,
        size,
        big_endian,
    } = header.descr;
    if big_endian || !matches!((kind, size), (b'f' | b'i', 4 | 8) | (b'u', 1)) {
        let what = "holds elements of another type than <f4, <f8, <i4, <i8 and |u1; run the command that made it again";
        return Err(bad(what.into()));
    }
    let shape = shape(&file, &header.shape)?;
    let count = ((file.len() - header.data_offset) / size as u64) as usize;
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| {
        bad(format!(
            "holds {count} numbers, for which there is no memory"
        ))
    })?;
    // In pieces, so that it is never in memory twice.
    let mut bytes = vec![0u8; PIECE.min(count * size)];
    while values.len() < count {
        let piece = &mut bytes[..(size * (count - values.len())).min(PIECE)];
        file.read_exact_at(piece, header.data_offset + (values.len() * size) as u64)?;
        match (kind, size) {
            (b'f', 8) => each(piece, f64::from_le_bytes, &mut values),
            (b'f', _) => each(piece, |b| f64::from(f32::from_le_bytes(b)), &mut values),
            (b'u', _) => each(piece, |[b]| f64::from(b), &mut values),
            (_, 8) => each(piece, |b| i64::from_le_bytes(b) as f64, &mut values),
            _ => each(piece, |b| f64::from(i32::from_le_bytes(b)), &mut values),
        }
    }
    ArrayD::from_shape_vec(IxDyn(&shape), values)
        .map_err(|e| bad(format!("has data that do not fit its shape: {e}")))
}

fn each<const S: usize>(bytes: &[u8], value: impl Fn([u8; S]) -> f64, values: &mut Vec<f64>) {
    values.extend(bytes.as_chunks().0.iter().map(|&b| value(b)));
}
