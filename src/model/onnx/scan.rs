//! The outline of a model file: what it says without the elements of its tensors, which are left where they are.
//!
//! A file is walked at the level of its wire format before it is decoded. Long runs of elements become a
//! [`LeftProto`], what is not declared in `proto` is dropped, and messages are counted: a message of two bytes
//! becomes a structure of two hundred, so a small hostile file could otherwise fill the memory.

use super::input::Refusal;
use super::proto::{LEFT, LeftProto};
use crate::io::file::DataFile;
use prost::Message;
use prost::encoding::encode_varint;

/// Most messages and strings in one file, counted over the whole tree. Real networks stay far below;
/// decoded they take some 100 MiB at worst.
const MAX_ITEMS: usize = 1 << 18;

/// Elements of fewer bytes are taken along.
pub(super) const LONG: u64 = 4096;

/// Bytes of the file that are looked at together.
const WINDOW: usize = 1 << 16;

/// What is in a field that has a length.
enum Field {
    Message(&'static Kind),
    Text,
    /// Numbers, or bytes that are short.
    Numbers,
    /// Elements that lie in the file as in memory.
    Elements,
}
use Field::{Elements, Numbers, Text};

/// The fields of a message that have a length.
struct Kind(&'static [(u64, Field)]);

static ENTRY: Kind = Kind(&[(1, Text), (2, Text)]);
static TENSOR: Kind = Kind(&[
    (1, Numbers),
    (4, Elements),
    (5, Numbers),
    (7, Numbers),
    (8, Text),
    (9, Elements),
    (10, Elements),
    (11, Numbers),
    (13, Field::Message(&ENTRY)),
]);
static ATTRIBUTE: Kind = Kind(&[
    (1, Text),
    (4, Numbers),
    (5, Field::Message(&TENSOR)),
    (7, Numbers),
    (8, Numbers),
]);
static NODE: Kind = Kind(&[
    (1, Text),
    (2, Text),
    (3, Text),
    (4, Text),
    (5, Field::Message(&ATTRIBUTE)),
    (7, Text),
]);
static DIMENSION: Kind = Kind(&[(2, Text)]);
static SHAPE: Kind = Kind(&[(1, Field::Message(&DIMENSION))]);
static TENSOR_TYPE: Kind = Kind(&[(2, Field::Message(&SHAPE))]);
static TYPE: Kind = Kind(&[(1, Field::Message(&TENSOR_TYPE))]);
static VALUE: Kind = Kind(&[(1, Text), (2, Field::Message(&TYPE))]);
static GRAPH: Kind = Kind(&[
    (1, Field::Message(&NODE)),
    (5, Field::Message(&TENSOR)),
    (11, Field::Message(&VALUE)),
    (12, Field::Message(&VALUE)),
]);
static MODEL: Kind = Kind(&[(7, Field::Message(&GRAPH)), (8, Field::Message(&ENTRY))]);

/// Reads the outline of a file, a message that `proto` decodes.
///
/// # Errors
/// What is wrong with the bytes, and where; errors of reading the file.
pub(super) fn outline(file: &DataFile) -> Result<Vec<u8>, Refusal> {
    let mut scan = Scan {
        file,
        window: vec![],
        start: 0,
        items: 0,
    };
    let mut out = vec![];
    scan.message(0, file.len(), &MODEL, &mut out)?;
    Ok(out)
}

struct Scan<'a> {
    file: &'a DataFile,
    /// Bytes of the file from `start` on.
    window: Vec<u8>,
    start: u64,
    items: usize,
}

impl Scan<'_> {
    /// Appends the outline of the message between two positions.
    fn message(
        &mut self,
        mut at: u64,
        end: u64,
        kind: &'static Kind,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        while at < end {
            let start = at;
            let cut = || Refusal::File(format!("the protobuf is damaged at byte {start}"));
            let tag = self.varint(&mut at, end)?.ok_or_else(cut)?;
            match tag & 7 {
                0 => drop(self.varint(&mut at, end)?.ok_or_else(cut)?),
                1 => at += 8,
                5 => at += 4,
                2 => {
                    let len = self.varint(&mut at, end)?.ok_or_else(cut)?;
                    if len > end - at {
                        return Err(Refusal::File(format!(
                            "the field at byte {start} is longer than what holds it: the file is \
                             truncated or no ONNX model"
                        )));
                    }
                    let field = tag >> 3;
                    self.field(kind, field, at, len, out)?;
                    at += len;
                    continue;
                }
                _ => return Err(cut()),
            }
            if at > end {
                return Err(cut());
            }
            self.copy(start, at - start, out)?;
        }
        Ok(())
    }

    /// Appends the outline of a field of `len` bytes.
    fn field(
        &mut self,
        kind: &'static Kind,
        field: u64,
        at: u64,
        len: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let Some((_, what)) = kind.0.iter().find(|(number, _)| *number == field) else {
            return Ok(());
        };
        if matches!(what, Field::Message(_) | Text) {
            self.count()?;
        }
        match what {
            Field::Message(inner) => {
                let mut message = vec![];
                self.message(at, at + len, inner, &mut message)?;
                put(field, &message, out);
            }
            Elements if len >= LONG => {
                let left = LeftProto {
                    field,
                    offset: at,
                    length: len,
                };
                put(LEFT, &left.encode_to_vec(), out);
            }
            Elements | Numbers | Text => {
                head(field, len, out);
                self.copy(at, len, out)?;
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(Refusal::File(format!(
                "the model has more than {MAX_ITEMS} nodes, tensors and names: too many to be a network"
            )));
        }
        Ok(())
    }

    /// The number at a position, which is moved behind it; `None` where there is none.
    fn varint(&mut self, at: &mut u64, end: u64) -> Result<Option<u64>, Refusal> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            if *at >= end {
                return Ok(None);
            }
            let byte = self.byte(*at)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn byte(&mut self, at: u64) -> Result<u8, Refusal> {
        let inside = |scan: &Self| {
            let place = usize::try_from(at.checked_sub(scan.start)?).ok()?;
            scan.window.get(place).copied()
        };
        if let Some(byte) = inside(self) {
            return Ok(byte);
        }
        let count = (self.file.len() - at).min(WINDOW as u64) as usize;
        self.window.resize(count, 0);
        self.start = at;
        let read = self.file.read_exact_at(&mut self.window, at);
        read.map_err(Refusal::Caller)?;
        Ok(self.window[0])
    }

    /// Appends bytes of the file.
    fn copy(&mut self, at: u64, len: u64, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let known = at
            .checked_sub(self.start)
            .filter(|place| place + len <= self.window.len() as u64);
        let len = len as usize;
        if let Some(place) = known {
            out.extend_from_slice(&self.window[place as usize..][..len]);
            return Ok(());
        }
        let first = out.len();
        out.resize(first + len, 0);
        let read = self.file.read_exact_at(&mut out[first..], at);
        read.map_err(Refusal::Caller)
    }
}

/// Appends the tag and the length of a field.
fn head(field: u64, len: u64, out: &mut Vec<u8>) {
    encode_varint(field << 3 | 2, out);
    encode_varint(len, out);
}

fn put(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    head(field, bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
