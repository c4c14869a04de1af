//! Reads the constants of a model: in the file, or beside it.

use super::proto::{LeftProto, TensorProto, data_type};
use super::scan::LONG;
use super::tensor::{Constant, Dim, Elements};
use crate::io::file::DataFile;
use crate::model::data::{Data, Stored, Width};
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
    model: Arc<DataFile>,
    folder: PathBuf,
    /// Bytes still to be claimed of each outside file: different ranges that overlap could otherwise take
    /// any amount of memory.
    left: HashMap<PathBuf, u64>,
    shared: HashMap<Range, Source>,
    /// Outside files that stay open for what is left in them.
    open: HashMap<PathBuf, Arc<DataFile>>,
    /// Bytes read of outside files.
    outside: u64,
}

impl Reader {
    /// For a model file; outside files are looked for beside it.
    pub(super) fn new(model: Arc<DataFile>) -> Self {
        let folder = model.path().parent().filter(|p| !p.as_os_str().is_empty());
        Self {
            folder: folder.unwrap_or(Path::new(".")).to_path_buf(),
            model,
            open: HashMap::new(),
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
        let (shape, source) = self.find(t)?;
        let elements = match source {
            Source::Memory(elements) => elements,
            Source::File(data) => Elements::Float(load(&data)?),
        };
        Ok(Constant { shape, elements })
    }

    /// Shape of a tensor, and its elements or where they are.
    pub(super) fn find(&mut self, t: &TensorProto) -> Result<(Vec<usize>, Source), String> {
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
                    "its elements are {}, which is not supported; export the model in float32",
                    data_type::name(other)
                ));
            }
        };
        let source = match t.data_location {
            0 => self.inside(t)?,
            1 => self.outside(t, len as u64 * width)?,
            other => return Err(format!("unknown data location {other}")),
        };
        if source.len() != len {
            return Err(format!(
                "{} elements where its shape {shape:?} has {len}",
                source.len()
            ));
        }
        Ok((shape, source))
    }

    /// Elements of a tensor in the model's file.
    fn inside(&self, t: &TensorProto) -> Result<Source, String> {
        let raw = |left: &&LeftProto| left.field == RAW;
        // Elements that are written as bytes count before any others.
        let typed = t.raw_data.is_empty() && !t.left.iter().any(|left| raw(&left));
        let (inline, field) = match t.data_type {
            _ if !typed => (t.raw_data.len(), RAW),
            data_type::FLOAT => (t.float_data.len(), 4),
            data_type::DOUBLE => (t.double_data.len(), 10),
            _ => (0, 0),
        };
        let mut left = t.left.iter().filter(|left| left.field == field);
        let Some(part) = left.next() else {
            return Ok(Source::Memory(elements(t, &t.raw_data)?));
        };
        if inline > 0 || left.next().is_some() {
            return Err("its elements are written in pieces; save the model again".into());
        }
        stored(&self.model, t, part.offset, part.length)
    }

    /// Elements of a tensor in another file.
    fn outside(&mut self, t: &TensorProto, expected: u64) -> Result<Source, String> {
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
        if let Some(source) = self.shared.get(&range).filter(|_| length == expected) {
            return Ok(source.clone());
        }
        let file = match self.open.get(&path) {
            Some(file) => Arc::clone(file),
            None => Arc::new(DataFile::open(&path).map_err(fail)?),
        };
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
        let is_open = self.open.contains_key(&path);
        let source = if length >= LONG && (is_open || self.open.len() < MOST_OPEN) {
            self.open.insert(path, Arc::clone(&file));
            stored(&file, t, offset, length)?
        } else {
            Source::Memory(elements(t, &bytes(&file, offset, length)?)?)
        };
        self.shared.insert(range, source.clone());
        Ok(source)
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

/// The field of a tensor that holds its elements as bytes.
const RAW: u64 = 9;

/// Outside files that are kept open at most; what is in more of them is read at once.
const MOST_OPEN: usize = 64;

/// Elements of a constant, or where they are.
#[derive(Clone)]
pub(super) enum Source {
    Memory(Elements),
    /// Floating-point numbers.
    File(Data),
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Memory(Elements::Float(v)) => v.len(),
            Self::Memory(Elements::Int(v)) => v.len(),
            Self::File(data) => data.len(),
        }
    }
}

/// Elements that were left in a file.
pub(super) fn load(data: &Data) -> Result<Arc<[f32]>, String> {
    Ok(data.read().map_err(|e| e.to_string())?.into())
}

/// Part of a file as the elements of a tensor: floating-point numbers stay there.
fn stored(
    file: &Arc<DataFile>,
    t: &TensorProto,
    offset: u64,
    length: u64,
) -> Result<Source, String> {
    let width = match t.data_type {
        data_type::FLOAT16 => Width::Two,
        data_type::FLOAT => Width::Four,
        data_type::DOUBLE => Width::Eight,
        _ => return Ok(Source::Memory(elements(t, &bytes(file, offset, length)?)?)),
    };
    let length = usize::try_from(length).map_err(|e| e.to_string())?;
    if length % width.bytes() != 0 {
        return Err(part_of_an_element(length));
    }
    Ok(Source::File(Data::stored(Stored {
        file: Arc::clone(file),
        offset,
        len: length / width.bytes(),
        width,
    })))
}

/// Part of a file.
fn bytes(file: &DataFile, offset: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|e| e.to_string())?;
    Ok(bytes)
}

fn part_of_an_element(bytes: usize) -> String {
    format!("{bytes} bytes are no whole number of elements")
}

/// Elements from bytes where there are any, else from the typed fields.
fn elements(t: &TensorProto, raw: &[u8]) -> Result<Elements, String> {
    fn each<const W: usize, T>(raw: &[u8], f: impl Fn([u8; W]) -> T) -> Result<Arc<[T]>, String> {
        let (chunks, rest) = raw.as_chunks::<W>();
        if !rest.is_empty() {
            return Err(part_of_an_element(raw.len()));
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
