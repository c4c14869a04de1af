//! Small files read whole, such as `results.json`.
//!
//! JSON takes more memory once it is understood than as text: `[0],[0]` becomes two lists of 32-byte values with room for
//! four each. What a text may take at most is counted before it is parsed.

use super::file::DataFile;
use crate::{Error, Result};
use std::path::Path;

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for a folder, pipe or device; [`Error::Memory`] for a larger file.
fn read_whole(path: impl AsRef<Path>, most: u64) -> Result<Vec<u8>> {
    let file = DataFile::open(path.as_ref())?;
    let too_large = || Error::Memory {
        what: format!("{} of {} bytes", path.as_ref().display(), file.len()),
        needed: file.len(),
        cap: most,
    };
    if file.len() > most {
        return Err(too_large());
    }
    let size = usize::try_from(file.len()).map_err(|_| too_large())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| too_large())?;
    bytes.resize(size, 0);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Bytes that a value takes in a list, per byte of its shortest text: a digit and a comma.
const OF_TEXT: u64 = 16;
/// Bytes of a list with one value in it.
const OF_LIST: u64 = 160;
/// Bytes of an object with one value in it.
const OF_OBJECT: u64 = 700;

/// Reads a regular file of JSON that takes at most `memory` bytes when it is understood, as text and all.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for a folder, pipe or device; [`Error::Memory`] for a file that takes more.
pub fn read_json(path: impl AsRef<Path>, memory: u64) -> Result<Vec<u8>> {
    let too_large = |size: u64, needed: u64| Error::Memory {
        what: format!("{} of {size} bytes", path.as_ref().display()),
        needed,
        cap: memory,
    };
    let bytes = read_whole(&path, memory / OF_TEXT).map_err(|e| match e {
        Error::Memory { needed, .. } => too_large(needed, needed.saturating_mul(OF_TEXT)),
        e => e,
    })?;
    let needed = json_bytes(&bytes);
    match needed > memory {
        true => Err(too_large(bytes.len() as u64, needed)),
        false => Ok(bytes),
    }
}

/// Most bytes that a JSON text takes when it is understood.
fn json_bytes(text: &[u8]) -> u64 {
    let of = |byte: &u8| match byte {
        b'[' => OF_TEXT + OF_LIST,
        b'{' => OF_TEXT + OF_OBJECT,
        _ => OF_TEXT,
    };
    text.iter().map(of).sum()
}
