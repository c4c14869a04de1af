//! The header of an `.npy` file, format versions 1 to 3.

use super::literal;
use crate::error::FileProblem;
use crate::io::file::DataFile;
use crate::io::foreign;
use crate::io::layer::tuple;
use crate::tensor::checked_product;
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header accepted: NumPy writes about 120 bytes for plain arrays, refuses to read 10,000 by default.
const MAX_HEADER: u64 = 64 * 1024;

/// Kind and width of an element as NumPy names them (`<f4`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io) struct Descr {
    /// `f`, `i`, `u` or `b`.
    pub(in crate::io) kind: u8,
    /// Bytes of one element.
    pub(in crate::io) size: usize,
    pub(in crate::io) big_endian: bool,
}

/// What a sound header says; the data that follows has exactly the size it promises.
#[derive(Debug)]
pub(in crate::io) struct Header {
    pub(in crate::io) descr: Descr,
    pub(in crate::io) shape: Vec<u64>,
    /// First byte of the data.
    pub(in crate::io) data_offset: u64,
}

/// Reads and checks the header, and that the file has exactly the data it promises.
pub(in crate::io) fn read_header(file: &DataFile) -> Result<Header> {
    let bad = |at: usize, what: String| Error::malformed(file.path(), Some(at as u64), what);
    let mut start = [0u8; 12];
    let n = file.len().min(12) as usize;
    file.read_exact_at(&mut start[..n], 0)?;
    if n == 0 {
        return Err(Error::malformed(
            file.path(),
            None,
            "is empty; write it again",
        ));
    }
    if start[..n.min(6)] != MAGIC[..n.min(6)] {
        let advice = foreign::advice(file.path());
        let advice = advice.unwrap_or_else(|| "save it with numpy.save".into());
        let what = format!("does not start with \\x93NUMPY, so it is no .npy file; {advice}");
        return Err(bad(0, what));
    }
    let major = start[6];
    let prefix = if major == 1 { 10 } else { 12 };
    if n > 6 && !(1..=3).contains(&major) {
        let what = format!(
            "is .npy format version {major}; 1 to 3 are known: save it with a current numpy"
        );
        return Err(bad(6, what));
    }
    if n < prefix {
        return Err(truncated(file, "the header", prefix as u64));
    }
    let len = match major {
        1 => u64::from(u16::from_le_bytes([start[8], start[9]])),
        _ => u64::from(u32::from_le_bytes([
            start[8], start[9], start[10], start[11],
        ])),
    };
    if len > MAX_HEADER {
        let what = format!(
            "claims a header of {len} bytes; {MAX_HEADER} is the most a plain array needs: save a plain array"
        );
        return Err(bad(8, what));
    }
    let data_offset = prefix as u64 + len;
    if data_offset > file.len() {
        return Err(truncated(file, "the header", data_offset));
    }
    let mut text = vec![0u8; len as usize];
    file.read_exact_at(&mut text, prefix as u64)?;
    let dict = literal::parse(&text).map_err(|(at, what)| {
        bad(
            prefix + at,
            format!("in the header: {what}; save it with numpy.save"),
        )
    })?;
    if dict.fortran_order {
        let what =
            "is in Fortran order; C order is needed: numpy.save(path, numpy.ascontiguousarray(a))";
        return Err(Error::unsuitable(file.path(), what));
    }
    let descr = parse_descr(&dict.descr)
        .map_err(|what| Error::unsuitable(file.path(), format!("header: {what}")))?;
    check_size(file, &dict.shape, descr.size, data_offset)?;
    Ok(Header {
        descr,
        shape: dict.shape,
        data_offset,
    })
}

fn truncated(file: &DataFile, inside: &str, needed: u64) -> Error {
    let problem = FileProblem::Truncated {
        inside: inside.into(),
        length: file.len(),
        needed,
    };
    Error::file(file.path(), problem)
}

fn check_size(file: &DataFile, shape: &[u64], size: usize, data_offset: u64) -> Result<()> {
    let bytes = checked_product(shape)
        .and_then(|n| n.checked_mul(size as u64))
        .and_then(|n| n.checked_add(data_offset));
    let Some(end) = bytes else {
        let what = format!(
            "header: shape {} has more elements than can be addressed; the file is damaged, write it again",
            tuple(shape)
        );
        return Err(Error::malformed(file.path(), None, what));
    };
    let data = format!("the data of shape {}", tuple(shape));
    match file.len().cmp(&end) {
        std::cmp::Ordering::Less => Err(truncated(file, &data, end)),
        std::cmp::Ordering::Greater => {
            let problem = FileProblem::Trailing {
                after: data,
                from: end,
                bytes: file.len() - end,
            };
            Err(Error::file(file.path(), problem))
        }
        std::cmp::Ordering::Equal => Ok(()),
    }
}

/// `<f4` and the like; complex, text, dates, objects and records are refused by name.
fn parse_descr(descr: &literal::Descr) -> std::result::Result<Descr, String> {
    let literal::Descr::Plain(text) = descr else {
        return Err(
            "structured dtypes (records) cannot be read; save one plain array per field".into(),
        );
    };
    let refuse = |why: &str| Err(format!("dtype '{text}' {why}"));
    let bytes = text.as_bytes();
    let (order, rest) = match bytes.first() {
        Some(b @ (b'<' | b'>' | b'|' | b'=')) => (*b, &bytes[1..]),
        _ => (b'=', bytes),
    };
    let Some((&kind, digits)) = rest.split_first() else {
        return refuse("is not known; save a plain array of numbers");
    };
    match kind {
        b'f' | b'i' | b'u' | b'b' => {}
        b'c' => return refuse("is complex; save the real part or the modulus"),
        b'O' => {
            return refuse(
                "is an array of Python objects; save numbers with astype('float32'), and class names as \
                 numpy.unique(a, return_inverse=True)[1]",
            );
        }
        b'U' | b'S' | b'a' | b'T' => {
            return refuse(
                "is text; class names become class numbers by numpy.save(path, numpy.unique(a, \
                 return_inverse=True)[1])",
            );
        }
        _ => return refuse("is not a number type; save it with astype('float32')"),
    }
    let size = match digits {
        b"1" => 1,
        b"2" => 2,
        b"4" => 4,
        b"8" => 8,
        _ => return refuse("has no width that can be read; save it with astype('float32')"),
    };
    if (kind == b'f' && size == 1) || (kind == b'b' && size != 1) {
        return refuse("is not known; save it with astype('float32')");
    }
    if order == b'|' && size > 1 {
        return refuse("has no byte order; save it with astype('float32')");
    }
    Ok(Descr {
        kind,
        size,
        big_endian: order == b'>' || (order == b'=' && cfg!(target_endian = "big")),
    })
}
