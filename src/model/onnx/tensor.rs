//! Constants of a model: in the file, or beside it.

use super::proto::{TensorProto, data_type};
use crate::model::shape::check_size;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// One number of a shape as it travels through a network's shape arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// A known number.
    Known(i64),
    /// The free batch size.
    Batch,
    /// A number that depends on the batch size in a way that is not followed.
    Unknown,
}

/// Elements of a constant.
#[derive(Clone, Debug)]
pub(super) enum Elements {
    /// Numbers for computing.
    Float(Arc<[f32]>),
    /// Numbers for shapes.
    Int(Vec<Dim>),
}

/// A constant.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// Shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements, C order.
    pub elements: Elements,
}

impl Constant {
    pub(super) fn ints(values: Vec<Dim>) -> Self {
        Self {
            shape: vec![values.len()],
            elements: Elements::Int(values),
        }
    }

    pub(super) fn floats(shape: &[usize], values: Vec<f32>) -> Self {
        Self {
            shape: shape.to_vec(),
            elements: Elements::Float(values.into()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.elements {
            Elements::Float(v) => v.len(),
            Elements::Int(v) => v.len(),
        }
    }

    /// All integers, if they are known.
    pub(super) fn known(&self) -> Result<Vec<i64>, String> {
        match &self.elements {
            Elements::Int(v) => (v.iter())
                .map(|d| match d {
                    Dim::Known(n) => Ok(*n),
                    _ => Err("depends on the batch size, which is free".into()),
                })
                .collect(),
            Elements::Float(_) => Err("integers are needed, not floating-point numbers".into()),
        }
    }

    /// The one number a scalar holds.
    pub(super) fn scalar(&self) -> Result<f32, String> {
        match &self.elements {
            Elements::Float(v) if v.len() == 1 => Ok(v[0]),
            Elements::Int(v) => match v[..] {
                [Dim::Known(n)] => Ok(n as f32),
                _ => Err("a single number is needed".into()),
            },
            Elements::Float(_) => Err("a single number is needed".into()),
        }
    }
}

/// Reads constants, those outside the model file included.
pub(super) struct Reader {
    folder: PathBuf,
    /// Bytes still to be claimed of each outside file: tensors that share them could otherwise take any
    /// amount of memory.
    left: HashMap<PathBuf, u64>,
}

impl Reader {
    /// For a model file; outside files are looked for beside it.
    pub(super) fn new(model: &Path) -> Self {
        Self {
            folder: model.parent().unwrap_or(Path::new("")).to_path_buf(),
            left: HashMap::new(),
        }
    }

    /// Reads one tensor.
    pub(super) fn read(&mut self, t: &TensorProto) -> Result<Constant, String> {
        let shape = (t.dims.iter())
            .map(|&d| usize::try_from(d).map_err(|_| format!("dimension {d} is negative")))
            .collect::<Result<Vec<_>, _>>()?;
        let len = if shape == [0] {
            0 // an empty list of axes or paddings
        } else {
            check_size(&shape)?
        };
        let width = match t.data_type {
            data_type::FLOAT | data_type::INT32 => 4,
            data_type::FLOAT16 => 2,
            data_type::INT64 | data_type::DOUBLE => 8,
            data_type::UINT8 | data_type::INT8 | data_type::BOOL => 1,
            other => {
                return Err(format!(
                    "element type {} is not supported; export the model in float32",
                    data_type::name(other)
                ));
            }
        };
        let outside;
        let raw: &[u8] = match t.data_location {
            0 => &t.raw_data,
            1 => {
                outside = self.outside(t, len as u64 * width)?;
                &outside
            }
            other => return Err(format!("unknown data location {other}")),
        };
        let elements = elements(t, raw)?;
        let constant = Constant { shape, elements };
        if constant.len() != len {
            return Err(format!(
                "{} elements where its shape {:?} has {len}",
                constant.len(),
                constant.shape
            ));
        }
        Ok(constant)
    }

    /// Bytes of a tensor in another file.
    fn outside(&mut self, t: &TensorProto, expected: u64) -> Result<Vec<u8>, String> {
        let entry = |key: &str| {
            let entry = t.external_data.iter().find(|e| e.key == key);
            entry.map(|e| e.value.as_str())
        };
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(v) => (v.parse::<u64>().map(Some))
                .map_err(|_| format!("external data: {key} '{v}' is no number")),
        };
        let location = entry("location").ok_or("external data without a location")?;
        let relative = Path::new(location);
        if !(relative.components()).all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(format!(
                "external data '{location}' is outside the model's folder"
            ));
        }
        let path = self.folder.join(relative);
        let fail = |e: std::io::Error| format!("external data {}: {e}", path.display());
        let mut file = File::open(&path).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(expected);
        if length != expected || offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!(
                "external data {}: {length} bytes at byte {offset} where {expected} are needed and \
                 the file has {size}",
                path.display()
            ));
        }
        let left = self.left.entry(path.clone()).or_insert(size);
        *left = left.checked_sub(length).ok_or_else(|| {
            format!(
                "external data {}: tensors claim more bytes than the file has",
                path.display()
            )
        })?;
        file.seek(SeekFrom::Start(offset)).map_err(fail)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
        file.read_exact(&mut bytes).map_err(fail)?;
        Ok(bytes)
    }
}

/// Elements from bytes where there are any, else from the typed fields.
fn elements(t: &TensorProto, raw: &[u8]) -> Result<Elements, String> {
    fn each<const W: usize, T>(raw: &[u8], f: impl Fn([u8; W]) -> T) -> Result<Vec<T>, String> {
        let (chunks, rest) = raw.as_chunks::<W>();
        if !rest.is_empty() {
            return Err(format!(
                "{} bytes are no whole number of elements",
                raw.len()
            ));
        }
        Ok(chunks.iter().map(|&c| f(c)).collect())
    }
    let known = |v: &[i32]| v.iter().map(|&n| Dim::Known(n.into())).collect();
    let typed = raw.is_empty();
    Ok(match t.data_type {
        data_type::FLOAT if typed => Elements::Float(t.float_data.as_slice().into()),
        data_type::FLOAT => Elements::Float(each(raw, f32::from_le_bytes)?.into()),
        data_type::DOUBLE if typed => {
            Elements::Float(t.double_data.iter().map(|&v| v as f32).collect())
        }
        data_type::DOUBLE => Elements::Float(each(raw, |b| f64::from_le_bytes(b) as f32)?.into()),
        data_type::FLOAT16 if typed => (t.int32_data.iter())
            .map(|&v| u16::try_from(v).map(|bits| half::f16::from_bits(bits).to_f32()))
            .collect::<Result<_, _>>()
            .map(Elements::Float)
            .map_err(|_| "a float16 element is out of range".to_string())?,
        data_type::FLOAT16 => {
            Elements::Float(each(raw, |b| half::f16::from_le_bytes(b).to_f32())?.into())
        }
        data_type::INT64 if typed => {
            Elements::Int(t.int64_data.iter().map(|&n| Dim::Known(n)).collect())
        }
        data_type::INT64 => Elements::Int(each(raw, |b| Dim::Known(i64::from_le_bytes(b)))?),
        data_type::INT32 if !typed => {
            Elements::Int(each(raw, |b| Dim::Known(i32::from_le_bytes(b).into()))?)
        }
        data_type::INT8 if !typed => Elements::Int(each(raw, |[b]| Dim::Known((b as i8).into()))?),
        _ if !typed => Elements::Int(each(raw, |[b]| Dim::Known(b.into()))?),
        _ => Elements::Int(known(&t.int32_data)),
    })
}
