//! An open file: its tensors, read one by one.

use super::header::{Header, TensorInfo, quoted};
use crate::io::convert::{Element, ReadAs};
use crate::io::file::DataFile;
use crate::tensor::{DType, checked_product};
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// An open `.safetensors` file with a sound header.
#[derive(Debug)]
pub struct SafetensorsFile {
    pub(super) file: Arc<DataFile>,
    pub(super) header: Header,
}

/// A tensor of weights in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Key in the file.
    pub key: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Stored element type.
    pub dtype: DType,
    /// C order.
    pub values: Vec<f32>,
}

impl SafetensorsFile {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] for a damaged or lying header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = DataFile::open(path.as_ref())?;
        let header = Header::read(&file)?;
        Ok(Self {
            file: Arc::new(file),
            header,
        })
    }

    /// Tensors, sorted by key.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.header.tensors
    }

    /// First byte of the tensors, after the header.
    pub fn data_offset(&self) -> u64 {
        self.header.data_offset
    }

    /// Reads one tensor as `f32`.
    ///
    /// # Errors
    /// [`Error::File`] for a key that is not there, for element types other than f16, bf16, f32, f64, u8 and i8,
    /// and for a finite f64 value beyond the range of `f32`; [`Error::Io`].
    pub fn read(&self, key: &str) -> Result<Weight> {
        let info = self.info(key)?;
        let element = self.element(info)?;
        let bad = || {
            Error::unsuitable(
                self.file.path(),
                format!("tensor {} is too large to hold in memory", quoted(key)),
            )
        };
        let shape: Option<Vec<usize>> = info
            .shape
            .iter()
            .map(|&d| usize::try_from(d).ok())
            .collect();
        let count = checked_product(&info.shape).and_then(|n| usize::try_from(n).ok());
        let (Some(shape), Some(count)) = (shape, count) else {
            return Err(bad());
        };
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| bad())?;
        values.resize(count, 0.0);
        let size = element.dtype.size();
        let mut scratch = vec![0u8; size * count.min(1 << 18)];
        for (i, chunk) in values.chunks_mut(1 << 18).enumerate() {
            let bytes = &mut scratch[..chunk.len() * size];
            let offset = self.header.data_offset + info.start + ((i << 18) * size) as u64;
            self.file.read_exact_at(bytes, offset)?;
            f32::convert(element, bytes, chunk);
            self.check_range(info, bytes, chunk)?;
        }
        Ok(Weight {
            key: key.to_string(),
            shape,
            dtype: element.dtype,
            values,
        })
    }

    /// Refuses finite doubles that became infinities.
    fn check_range(&self, info: &TensorInfo, bytes: &[u8], values: &[f32]) -> Result<()> {
        if info.dtype != "F64" {
            return Ok(());
        }
        let stored = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|b| f64::from_le_bytes(*b));
        match stored
            .zip(values)
            .find(|(s, v)| s.is_finite() && v.is_infinite())
        {
            None => Ok(()),
            Some((stored, _)) => Err(Error::unsuitable(
                self.file.path(),
                format!(
                    "tensor {} holds {stored:e}, beyond the range of float32 (3.4e38); scale it down",
                    quoted(&info.key)
                ),
            )),
        }
    }

    pub(super) fn info(&self, key: &str) -> Result<&TensorInfo> {
        let tensors = self.tensors();
        match tensors.binary_search_by(|t| t.key.as_str().cmp(key)) {
            Ok(at) => Ok(&tensors[at]),
            Err(_) => Err(Error::unsuitable(
                self.file.path(),
                format!(
                    "has no tensor {}; it holds {} others",
                    quoted(key),
                    tensors.len()
                ),
            )),
        }
    }

    pub(super) fn element(&self, info: &TensorInfo) -> Result<Element> {
        let dtype = match info.dtype.as_str() {
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            "F32" => DType::F32,
            "F64" => DType::F64,
            "U8" => DType::U8,
            "I8" => DType::I8,
            other => {
                return Err(Error::unsuitable(
                    self.file.path(),
                    format!(
                        "tensor {} is {other}; F16, BF16, F32, F64, U8 or I8 is needed: convert it",
                        quoted(&info.key)
                    ),
                ));
            }
        };
        Ok(Element {
            dtype,
            big_endian: false,
        })
    }
}

/// Every convolution weight `[M, C, h, w]` of a file, sorted by key: 4-D tensors of a floating-point type.
///
/// # Errors
/// As [`SafetensorsFile::open`]; [`Error::File`] when there is none.
pub fn read_weights(path: impl AsRef<Path>) -> Result<Vec<Weight>> {
    let file = SafetensorsFile::open(path.as_ref())?;
    let is_weight = |t: &&TensorInfo| {
        t.shape.len() == 4
            && !t.shape.contains(&0)
            && matches!(t.dtype.as_str(), "F16" | "BF16" | "F32" | "F64")
    };
    let weights: Result<Vec<Weight>> = file
        .tensors()
        .iter()
        .filter(is_weight)
        .map(|t| file.read(&t.key))
        .collect();
    match weights {
        Ok(w) if w.is_empty() => Err(Error::unsuitable(
            path.as_ref(),
            "holds no 4-D tensor of floats, so no convolution; name a file with the weights of a CNN",
        )),
        weights => weights,
    }
}
