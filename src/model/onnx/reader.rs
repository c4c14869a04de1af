//! Reads the constants of a model: in the file, or beside it.

use super::proto::{TensorProto, data_type};
use super::tensor::{Constant, Dim, Elements};
use crate::io::file::DataFile;
use crate::model::shape::check_size;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Bytes of an outside file, read as one element type. Tensors that name the same bytes share what was read.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Range {
    path: PathBuf,
    offset: u64,
    length: u64,
    data_type: i32,
}

/// Reads constants, those outside the model file included.
pub(super) struct Reader {
    folder: PathBuf,
    /// Bytes still to be claimed of each outside file: different ranges that overlap could otherwise take
    /// any amount of memory.
    left: HashMap<PathBuf, u64>,
    shared: HashMap<Range, Elements>,
    /// Bytes read of outside files.
    outside: u64,
}

impl Reader {
    /// For a model file; outside files are looked for beside it.
    pub(super) fn new(model: &Path) -> Self {
        let folder = model.parent().filter(|p| !p.as_os_str().is_empty());
        Self {
            folder: folder.unwrap_or(Path::new(".")).to_path_buf(),
            left: HashMap::new(),
            shared: HashMap::new(),
            outside: 0,
        }
    }

    /// Bytes that were read of outside files so far.
    pub(super) const fn outside_bytes(&self) -> u64 {
        self.outside
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
            data_type::FLOAT | data_type::INT32 | data_type::UINT32 => 4,
            data_type::FLOAT16 | data_type::INT16 | data_type::UINT16 => 2,
            data_type::INT64 | data_type::DOUBLE => 8,
            data_type::UINT8 | data_type::INT8 | data_type::BOOL => 1,
            other => {
                return Err(format!(
                    "element type {} is not supported; export the model in float32",
                    data_type::name(other)
                ));
            }
        };
        let elements = match t.data_location {
            0 => elements(t, &t.raw_data)?,
            1 => self.outside(t, len as u64 * width)?,
            other => return Err(format!("unknown data location {other}")),
        };
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

    /// Elements of a tensor in another file.
    fn outside(&mut self, t: &TensorProto, expected: u64) -> Result<Elements, String> {
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
        let path = self.beside(location)?;
        let fail = |e: crate::Error| format!("external data {e}");
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(expected);
        let range = Range {
            path: path.clone(),
            offset,
            length,
            data_type: t.data_type,
        };
        if let Some(elements) = self.shared.get(&range).filter(|_| length == expected) {
            return Ok(elements.clone());
        }
        let file = DataFile::open(&path).map_err(fail)?;
        let size = file.len();
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
                "external data {}: tensors name parts of the file that overlap, together more bytes than it has",
                path.display()
            )
        })?;
        self.outside += length;
        let mut bytes = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
        file.read_exact_at(&mut bytes, offset).map_err(fail)?;
        let elements = elements(t, &bytes)?;
        self.shared.insert(range, elements.clone());
        Ok(elements)
    }

    /// The path of an outside file, which must lie in the model's folder, links resolved.
    fn beside(&self, location: &str) -> Result<PathBuf, String> {
        let relative = Path::new(location);
        let outside = || format!("external data '{location}' is outside the model's folder");
        if !(relative.components()).all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(outside());
        }
        let path = self.folder.join(relative);
        let resolve = |path: &Path| {
            let resolved = path.canonicalize();
            resolved.map_err(|e| format!("external data {}: {e}", path.display()))
        };
        let resolved = resolve(&path)?;
        if resolved.starts_with(resolve(&self.folder)?) {
            Ok(resolved)
        } else {
            Err(format!("{}, where a link leads", outside()))
        }
    }
}

/// Elements from bytes where there are any, else from the typed fields.
fn elements(t: &TensorProto, raw: &[u8]) -> Result<Elements, String> {
    fn each<const W: usize, T>(raw: &[u8], f: impl Fn([u8; W]) -> T) -> Result<Arc<[T]>, String> {
        let (chunks, rest) = raw.as_chunks::<W>();
        if !rest.is_empty() {
            return Err(format!(
                "{} bytes are no whole number of elements",
                raw.len()
            ));
        }
        Ok(chunks.iter().map(|&c| f(c)).collect())
    }
    fn int<T: Into<i64>>(value: T) -> Dim {
        Dim::Known(value.into())
    }
    let typed = raw.is_empty();
    Ok(match t.data_type {
        data_type::FLOAT if typed => Elements::Float(t.float_data.as_slice().into()),
        data_type::FLOAT => Elements::Float(each(raw, f32::from_le_bytes)?),
        data_type::DOUBLE if typed => {
            Elements::Float(t.double_data.iter().map(|&v| v as f32).collect())
        }
        data_type::DOUBLE => Elements::Float(each(raw, |b| f64::from_le_bytes(b) as f32)?),
        data_type::FLOAT16 if typed => (t.int32_data.iter())
            .map(|&v| u16::try_from(v).map(|bits| half::f16::from_bits(bits).to_f32()))
            .collect::<Result<_, _>>()
            .map(Elements::Float)
            .map_err(|_| "a float16 element is out of range".to_string())?,
        data_type::FLOAT16 => Elements::Float(each(raw, |b| half::f16::from_le_bytes(b).to_f32())?),
        data_type::INT64 if typed => Elements::Int(t.int64_data.iter().map(|&n| int(n)).collect()),
        data_type::INT64 => Elements::Int(each(raw, |b| int(i64::from_le_bytes(b)))?),
        data_type::UINT32 if typed => {
            Elements::Int(t.uint64_data.iter().map(|&n| int(n as u32)).collect())
        }
        _ if typed => Elements::Int(t.int32_data.iter().map(|&n| int(n)).collect()),
        data_type::INT32 => Elements::Int(each(raw, |b| int(i32::from_le_bytes(b)))?),
        data_type::UINT32 => Elements::Int(each(raw, |b| int(u32::from_le_bytes(b)))?),
        data_type::INT16 => Elements::Int(each(raw, |b| int(i16::from_le_bytes(b)))?),
        data_type::UINT16 => Elements::Int(each(raw, |b| int(u16::from_le_bytes(b)))?),
        data_type::INT8 => Elements::Int(each(raw, |[b]| int(b as i8))?),
        _ => Elements::Int(each(raw, |[b]| int(b))?),
    })
}
