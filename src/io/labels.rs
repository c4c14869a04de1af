//! Class labels, one per sample, from an `.npy` file or the tensor `labels` of a `.safetensors` file.

use super::file::DataFile;
use super::npy::{self, Descr};
use super::safetensors::{LABELS, SafetensorsFile};
use crate::error::FileProblem;
use crate::{Error, Result};
use std::path::Path;

/// Largest label accepted. Labels are class indices; anything larger is an identifier or a hash.
pub const MAX_LABEL: u32 = (1 << 24) - 1;

/// Reads labels of `samples` samples: shape `[N]` or `[N, 1]`, any integer type, or floats that hold whole
/// numbers (what a spreadsheet or a loss function leaves behind). Value range `0..=`[`MAX_LABEL`].
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] on a wrong length or shape (one-hot), and for negative, fractional,
/// non-finite or huge labels, with the element.
pub fn read_labels(path: impl AsRef<Path>, samples: usize) -> Result<Vec<u32>> {
    let (file, header) = open(path.as_ref())?;
    let count = count(&file, &header.shape)?;
    if count != samples as u64 {
        let problem = FileProblem::Count {
            what: "labels",
            expected: samples as u64,
            got: count,
        };
        return Err(Error::file(file.path(), problem));
    }
    let size = header.descr.size;
    let mut bytes = vec![0u8; samples * size];
    file.read_exact_at(&mut bytes, header.data_offset)?;
    let label = |(i, b): (usize, &[u8])| {
        label(header.descr, b).map_err(|what| {
            let problem = FileProblem::Element {
                index: i as u64,
                at: Some(header.data_offset + (i * size) as u64),
                what: format!("label {what} is not a class number from 0 to {MAX_LABEL}"),
            };
            Error::file(file.path(), problem)
        })
    };
    bytes.chunks_exact(size).enumerate().map(label).collect()
}

/// How many labels a file holds, whatever their values.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for a shape that labels do not have.
pub fn label_count(path: impl AsRef<Path>) -> Result<usize> {
    let (file, header) = open(path.as_ref())?;
    let count = count(&file, &header.shape)?;
    usize::try_from(count)
        .map_err(|_| Error::unsuitable(file.path(), "has too many labels to address"))
}

/// A file of labels, and where they are in it.
fn open(path: &Path) -> Result<(DataFile, npy::Header)> {
    let file = DataFile::open(path)?;
    if !path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("safetensors"))
    {
        let header = npy::read_header(&file)?;
        return Ok((file, header));
    }
    let tensors = SafetensorsFile::open(path)?;
    let Some(info) = tensors.tensors().iter().find(|t| t.key == LABELS) else {
        return Err(Error::unsuitable(path, "holds no tensor 'labels'"));
    };
    let (kind, size) = match info.dtype.as_str() {
        "I8" => (b'i', 1),
        "I16" => (b'i', 2),
        "I32" => (b'i', 4),
        "I64" => (b'i', 8),
        "U8" => (b'u', 1),
        "U16" => (b'u', 2),
        "U32" => (b'u', 4),
        "U64" => (b'u', 8),
        "BOOL" => (b'b', 1),
        "F16" => (b'f', 2),
        "F32" => (b'f', 4),
        "F64" => (b'f', 8),
        other => {
            let what = format!("its labels are {other}; save them as integers");
            return Err(Error::unsuitable(path, what));
        }
    };
    let header = npy::Header {
        descr: Descr {
            kind,
            size,
            big_endian: false,
        },
        shape: info.shape.clone(),
        data_offset: tensors.data_offset() + info.start,
    };
    Ok((file, header))
}

fn count(file: &DataFile, shape: &[u64]) -> Result<u64> {
    let what = match *shape {
        [n] | [n, 1] => return Ok(n),
        [n, k] => format!(
            "shape ({n}, {k}) is not one label per sample; if it is one-hot, save a.argmax(1)"
        ),
        ref other => format!(
            "labels have {} dimensions; save a 1-D array, one label per sample",
            other.len()
        ),
    };
    Err(Error::unsuitable(file.path(), what))
}

/// Reads a permutation of `samples` samples: shape `[N]`, any integer type. Which values make sense is the
/// caller's to say.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] on a wrong length, shape or element type.
pub fn read_indices(path: impl AsRef<Path>, samples: usize) -> Result<Vec<i64>> {
    let wanted = format!("a permutation is a 1-D array of {samples} integers, one per sample");
    integers(path.as_ref(), Some(samples as u64), &wanted)
}

/// Reads a ranking of channels, such as `rank/LAYER.npy`: shape `[C]`, any integer type. How many there are, and which
/// values make sense, is the caller's to say.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] on another shape or element type.
pub fn read_ranking(path: impl AsRef<Path>) -> Result<Vec<i64>> {
    let wanted = "a ranking is a 1-D array of integers, the channels of a layer, first kept first";
    integers(path.as_ref(), None, wanted)
}

/// Reads a list of integers, of `count` where that is known; `wanted` says what the file should hold.
fn integers(path: &Path, count: Option<u64>, wanted: &str) -> Result<Vec<i64>> {
    let file = DataFile::open(path)?;
    let header = npy::read_header(&file)?;
    let Descr { kind, size, .. } = header.descr;
    let listed = match *header.shape {
        [n] => count.is_none_or(|count| count == n).then_some(n),
        _ => None,
    };
    let listed = listed.filter(|_| matches!(kind, b'i' | b'u'));
    let Some(listed) = listed.and_then(|n| usize::try_from(n).ok()) else {
        let what = format!(
            "shape {:?} of type {}{size}: {wanted}",
            header.shape,
            char::from(kind),
        );
        return Err(Error::unsuitable(file.path(), what));
    };
    let mut bytes = vec![0u8; listed * size];
    file.read_exact_at(&mut bytes, header.data_offset)?;
    let index = |b: &[u8]| {
        let mut le = [0u8; 8];
        le[..size].copy_from_slice(b);
        if header.descr.big_endian {
            le[..size].reverse();
        }
        let bits = u64::from_le_bytes(le);
        let unused = 64 - 8 * size as u32;
        match header.descr.kind {
            b'i' => (bits << unused) as i64 >> unused,
            _ => i64::try_from(bits).unwrap_or(i64::MAX),
        }
    };
    Ok(bytes.chunks_exact(size).map(index).collect())
}

/// One label, or how to name the value that is none.
fn label(descr: Descr, bytes: &[u8]) -> std::result::Result<u32, String> {
    let mut le = [0u8; 8];
    le[..bytes.len()].copy_from_slice(bytes);
    if descr.big_endian {
        le[..bytes.len()].reverse();
    }
    let bits = u64::from_le_bytes(le);
    let unused = 64 - 8 * bytes.len() as u32;
    let value = match (descr.kind, bytes.len()) {
        (b'u' | b'b', _) => i128::from(bits),
        (b'i', _) => i128::from((bits << unused) as i64 >> unused),
        (_, 2) => return whole(half::f16::from_bits(bits as u16).to_f64()),
        (_, 4) => return whole(f64::from(f32::from_bits(bits as u32))),
        _ => return whole(f64::from_bits(bits)),
    };
    match u32::try_from(value) {
        Ok(label) if label <= MAX_LABEL => Ok(label),
        _ => Err(value.to_string()),
    }
}

fn whole(value: f64) -> std::result::Result<u32, String> {
    if value.fract() == 0.0 && (0.0..=f64::from(MAX_LABEL)).contains(&value) {
        return Ok(value as u32);
    }
    Err(value.to_string())
}
