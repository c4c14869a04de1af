//! A look at the wire format before it is decoded: a message of two bytes becomes a structure of two
//! hundred, so a small hostile file could otherwise fill the memory.

/// Most messages and strings in one file, counted over the whole tree. Real networks stay far below;
/// decoded they take some 100 MiB at worst.
const MAX_ITEMS: usize = 1 << 18;

/// Which fields of a message are messages of which kind, or strings (`None`).
struct Kind(&'static [(u64, Option<&'static Kind>)]);

static ENTRY: Kind = Kind(&[(1, None), (2, None)]);
static TENSOR: Kind = Kind(&[(8, None), (13, Some(&ENTRY))]);
static ATTRIBUTE: Kind = Kind(&[(1, None), (5, Some(&TENSOR))]);
static NODE: Kind = Kind(&[(1, None), (2, None), (5, Some(&ATTRIBUTE))]);
static DIMENSION: Kind = Kind(&[(2, None)]);
static SHAPE: Kind = Kind(&[(1, Some(&DIMENSION))]);
static TENSOR_TYPE: Kind = Kind(&[(2, Some(&SHAPE))]);
static TYPE: Kind = Kind(&[(1, Some(&TENSOR_TYPE))]);
static VALUE: Kind = Kind(&[(1, None), (2, Some(&TYPE))]);
static GRAPH: Kind = Kind(&[
    (1, Some(&NODE)),
    (5, Some(&TENSOR)),
    (11, Some(&VALUE)),
    (12, Some(&VALUE)),
]);
static MODEL: Kind = Kind(&[(7, Some(&GRAPH)), (8, Some(&ENTRY))]);

/// Counts what decoding would build.
///
/// # Errors
/// What is wrong with the bytes, and where.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut scan = Scan { bytes, items: 0 };
    scan.message(0, bytes.len(), &MODEL)
}

struct Scan<'a> {
    bytes: &'a [u8],
    items: usize,
}

impl Scan<'_> {
    fn message(&mut self, mut at: usize, end: usize, kind: &'static Kind) -> Result<(), String> {
        while at < end {
            let start = at;
            let cut = || format!("the protobuf is damaged at byte {start}");
            let tag = self.varint(&mut at, end).ok_or_else(cut)?;
            match tag & 7 {
                0 => drop(self.varint(&mut at, end).ok_or_else(cut)?),
                1 => at += 8,
                5 => at += 4,
                2 => {
                    let len = self.varint(&mut at, end).ok_or_else(cut)?;
                    let len = usize::try_from(len).map_err(|_| cut())?;
                    if len > end - at {
                        return Err(format!(
                            "the field at byte {start} is longer than what holds it: the file is \
                             truncated or no ONNX model"
                        ));
                    }
                    if let Some((_, inner)) = kind.0.iter().find(|(field, _)| *field == tag >> 3) {
                        self.count()?;
                        if let Some(inner) = inner {
                            self.message(at, at + len, inner)?;
                        }
                    }
                    at += len;
                }
                _ => return Err(cut()),
            }
            if at > end {
                return Err(cut());
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), String> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(format!(
                "the model has more than {MAX_ITEMS} nodes, tensors and names: too many to be a network"
            ));
        }
        Ok(())
    }

    fn varint(&self, at: &mut usize, end: usize) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(*at).filter(|_| *at < end)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}
