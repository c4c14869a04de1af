//! What identifies an input in the results, without reading a 300 GB dump twice.

use super::file::{DataFile, check_same};
use super::open::Format;
use super::{npy, safetensors};
use crate::Result;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a block.
const BLOCK: u64 = 1 << 20;
/// Blocks taken from a large file.
const BLOCKS: u64 = 64;

/// `blake3:` and 64 hexadecimal digits, over: the text `chanscope/1`, the file's size and the header's size
/// (64-bit little-endian), the header, then 64 blocks of 1 MiB spread evenly over the data, the first at its
/// beginning and the last at its end; all of the data where that is less than 64 MiB. Files that are neither
/// `.npy` nor `.safetensors` are data from byte 0 on.
///
/// # Errors
/// [`crate::Error::Io`]; [`crate::Error::File`] for an array file with an unsound header.
pub fn fingerprint(path: impl AsRef<Path>) -> Result<String> {
    Ok(stamped(path.as_ref())?.0)
}

/// A file that was read, and what it was like then.
#[derive(Debug)]
pub struct Stamp {
    path: PathBuf,
    /// `None` for bytes in memory, which do not change.
    seen: Option<Metadata>,
}

impl Stamp {
    /// Refuses a file that was changed or replaced since.
    ///
    /// # Errors
    /// [`crate::Error::File`]; [`crate::Error::Io`] where it is not there any more.
    pub fn check(&self) -> Result<()> {
        let Some(seen) = &self.seen else {
            return Ok(());
        };
        let now = std::fs::metadata(&self.path)
            .map_err(|e| crate::Error::io(&self.path, "look again at", e))?;
        check_same(&self.path, seen, &now)
    }
}

/// As [`fingerprint`], with what tells later whether the file was changed since.
///
/// # Errors
/// As [`fingerprint`].
pub fn stamped(path: &Path) -> Result<(String, Stamp)> {
    let file = DataFile::open(path)?;
    let header = match Format::of(path) {
        Some(Format::Npy) => npy::read_header(&file)?.data_offset,
        Some(Format::Safetensors) => safetensors::SafetensorsFile::open(path)?.data_offset(),
        None => 0,
    };
    let stamp = Stamp {
        path: path.to_path_buf(),
        seen: file.opened().cloned(),
    };
    Ok((digest(&file, header)?, stamp))
}

/// The [`fingerprint`] of a `.npy` file whose bytes are in memory.
///
/// # Errors
/// [`crate::Error::File`] for an unsound header.
pub fn of_npy(bytes: &Arc<Vec<u8>>) -> Result<String> {
    let file = DataFile::in_memory(Path::new("bytes.npy"), Arc::clone(bytes));
    let header = npy::read_header(&file)?.data_offset;
    digest(&file, header)
}

/// `blake3:` and 64 hexadecimal digits over all bytes of a file.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn of_content(path: &Path) -> Result<String> {
    let file = DataFile::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0u8; BLOCK.min(file.len()) as usize];
    let mut at = 0;
    while at < file.len() {
        let piece = &mut buffer[..(file.len() - at).min(BLOCK) as usize];
        file.read_exact_at(piece, at)?;
        hasher.update(piece);
        at += piece.len() as u64;
    }
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}

/// `blake3:` and 64 hexadecimal digits over the classes of all samples, as 32-bit little-endian integers: whatever the type
/// of the file that they came from.
pub fn of_classes(classes: &[u32]) -> String {
    let mut hasher = blake3::Hasher::new();
    for piece in classes.chunks(1 << 14) {
        let bytes: Vec<u8> = piece.iter().flat_map(|c| c.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}

fn digest(file: &DataFile, header: u64) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"chanscope/1");
    hasher.update(&file.len().to_le_bytes());
    hasher.update(&header.to_le_bytes());
    let mut buffer = vec![0u8; BLOCK.min(file.len()) as usize];
    let mut take = |from: u64, to: u64| -> Result<()> {
        let mut at = from;
        while at < to {
            let piece = &mut buffer[..(to - at).min(BLOCK) as usize];
            file.read_exact_at(piece, at)?;
            hasher.update(piece);
            at += piece.len() as u64;
        }
        Ok(())
    };
    take(0, header)?;
    let data = file.len() - header;
    if data <= BLOCKS * BLOCK {
        take(header, file.len())?;
    } else {
        for i in 0..BLOCKS {
            // In 128 bits: the product passes 2^64 from 256 PiB on.
            let start = (u128::from(data - BLOCK) * u128::from(i) / u128::from(BLOCKS - 1)) as u64;
            take(header + start, header + start + BLOCK)?;
        }
    }
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}
