//! The header: eight bytes of length, then JSON.

use crate::error::FileProblem;
use crate::io::file::DataFile;
use crate::tensor::checked_product;
use crate::{Error, Result};
use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// Longest header accepted, as everywhere for this format.
const MAX_HEADER: u64 = 100_000_000;

/// What the header says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the file.
    pub key: String,
    /// Element type as the format names it: `F32`, `BF16`, ...
    pub dtype: String,
    /// Dimensions.
    pub shape: Vec<u64>,
    /// First byte, counted from the end of the header.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// A sound header.
#[derive(Debug)]
pub(super) struct Header {
    /// Sorted by key.
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) data_offset: u64,
}

/// One entry as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Header {
    /// Reads and checks it.
    pub(super) fn read(file: &DataFile) -> Result<Self> {
        let bad = |what: String| Error::malformed(file.path(), None, what);
        let truncated = |inside: &str, needed: u64| {
            let problem = FileProblem::Truncated {
                inside: inside.into(),
                length: file.len(),
                needed,
            };
            Err(Error::file(file.path(), problem))
        };
        if file.len() < 8 {
            return truncated("the header's length", 8);
        }
        let mut length = [0u8; 8];
        file.read_exact_at(&mut length, 0)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            let what = format!(
                "claims a header of {length} bytes, {MAX_HEADER} is the most: it is damaged or no .safetensors \
                 file"
            );
            return Err(Error::malformed(file.path(), Some(0), what));
        }
        let data_offset = 8 + length;
        if data_offset > file.len() {
            return truncated("the header", data_offset);
        }
        let mut text = vec![0u8; length as usize];
        file.read_exact_at(&mut text, 8)?;
        let Entries(entries) = serde_json::from_slice(&text).map_err(|e| {
            let what = format!("in the header: {e}; write the file again");
            Error::malformed(file.path(), Some(8), what)
        })?;
        let mut tensors = Vec::with_capacity(entries.len());
        for (key, entry) in entries {
            tensors.push(info(key, entry).map_err(bad)?);
        }
        check_cover(file, &tensors, data_offset)?;
        Ok(Self {
            tensors,
            data_offset,
        })
    }
}

/// A key as it goes into a message: in quotes, on one line, cut when it is long.
pub(super) fn quoted(key: &str) -> String {
    let mut shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
    if key.chars().nth(80).is_some() {
        shown.push_str("...");
    }
    format!("'{shown}'")
}

/// Checks one tensor by itself.
fn info(key: String, entry: Entry) -> std::result::Result<TensorInfo, String> {
    let (start, end) = entry.data_offsets;
    let dtype = Dtype::deserialize(entry.dtype.as_str().into_deserializer()).map_err(
        |_: serde::de::value::Error| {
            format!(
                "header: tensor {} has elements of a type that is not known, {}; convert it to F32 and write the file \
                 again",
                quoted(&key),
                quoted(&entry.dtype)
            )
        },
    )?;
    let bits = checked_product(&entry.shape).and_then(|n| n.checked_mul(dtype.bitsize() as u64));
    let Some(bits) = bits else {
        return Err(format!(
            "header: tensor {} of shape {:?} has more elements than can be addressed; write the file again",
            quoted(&key),
            entry.shape
        ));
    };
    if end < start || bits % 8 != 0 || end - start != bits / 8 {
        return Err(format!(
            "header: tensor {} ({} of shape {:?}) needs {} bytes, its byte range is {start} to {end}; write \
             the file again",
            quoted(&key),
            entry.dtype,
            entry.shape,
            bits.div_ceil(8)
        ));
    }
    Ok(TensorInfo {
        key,
        dtype: entry.dtype,
        shape: entry.shape,
        start,
        len: end - start,
    })
}

/// The ranges follow each other without gap or overlap, and end where the file does.
fn check_cover(file: &DataFile, tensors: &[TensorInfo], data_offset: u64) -> Result<()> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|t| (t.start, t.len));
    let mut at = 0u64;
    for t in order {
        if t.start != at {
            let how = if t.start < at {
                "overlaps the tensor before it"
            } else {
                "leaves a gap before it"
            };
            let what = format!(
                "header: tensor {} starts at byte {} of the data, where {at} is due: it {how}; write the file again",
                quoted(&t.key),
                t.start
            );
            return Err(Error::malformed(file.path(), None, what));
        }
        at += t.len;
    }
    let end = data_offset + at;
    let problem = match file.len().cmp(&end) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => FileProblem::Truncated {
            inside: "its tensors".into(),
            length: file.len(),
            needed: end,
        },
        std::cmp::Ordering::Greater => FileProblem::Trailing {
            after: "the last tensor".into(),
            from: end,
            bytes: file.len() - end,
        },
    };
    Err(Error::file(file.path(), problem))
}

/// The JSON object, without `__metadata__`; a name that comes twice is refused.
struct Entries(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> std::result::Result<Entries, M::Error> {
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let entry = map.next_value::<Entry>()?;
                    if entries.contains_key(&key) {
                        return Err(M::Error::custom(format!(
                            "tensor {} is there twice",
                            quoted(&key)
                        )));
                    }
                    entries.insert(key, entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
