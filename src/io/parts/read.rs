//! Finding, checking and reading parts.

use super::{FileRecord, MARKER, Marker, total};
use crate::io::file::DataFile;
use crate::io::whole::read_json;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Most bytes that a marker may take: that of some 30,000 pieces.
const MARKER_BYTES: u64 = 64 << 20;
/// Bytes of a piece that are checked at a time.
const BUFFER: usize = 1 << 20;

/// How closely a part is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The marker, and the lengths of the files.
    Lengths,
    /// Every byte.
    Contents,
}

/// What is found of a part.
#[derive(Debug)]
pub enum State {
    /// It is there and sound, as far as it was looked at.
    Done(Done),
    /// It is not there.
    Missing,
    /// It is there, but not as it was written. The reason.
    Damaged(String),
}

/// A part that is there.
#[derive(Clone, Debug)]
pub struct Done {
    folder: PathBuf,
    marker: Marker,
}

/// Looks for the part `name` of `run` in `folder`.
///
/// # Errors
/// [`Error::Io`] where it cannot be read at all.
pub fn look(folder: &Path, name: &str, run: &str, depth: Depth) -> Result<State> {
    let place = folder.join(name);
    match std::fs::symlink_metadata(&place) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Ok(State::Damaged("is no folder".into())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(State::Missing),
        Err(e) => return Err(Error::io(&place, "look at", e)),
    }
    let marker = match read_json(place.join(MARKER), MARKER_BYTES) {
        Ok(bytes) => serde_json::from_slice::<Marker>(&bytes).map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    };
    let marker = match marker {
        Ok(marker) => marker,
        Err(reason) => return Ok(State::Damaged(format!("{MARKER}: {reason}"))),
    };
    if marker.run != run || marker.part != name {
        let reason = format!("{MARKER}: is of another run");
        return Ok(State::Damaged(reason));
    }
    let done = Done {
        folder: place,
        marker,
    };
    let fault = (done.marker.files.iter()).find_map(|file| done.fault(file, depth));
    Ok(match fault {
        Some(reason) => State::Damaged(reason),
        None => State::Done(done),
    })
}

impl Done {
    /// What the part says of itself.
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Why a file is not as it was written.
    fn fault(&self, file: &FileRecord, depth: Depth) -> Option<String> {
        let (name, expected) = (&file.name, file.bytes());
        // A marker may be damaged too: it must not lead out of the folder.
        if name.contains(['/', '\\']) {
            return Some(format!("{MARKER}: names {}", name.escape_debug()));
        }
        let opened = match DataFile::open(&self.folder.join(name)) {
            Ok(opened) => opened,
            Err(e) => return Some(e.to_string()),
        };
        if opened.len() != expected {
            return Some(format!("{name}: {} of {expected} bytes", opened.len()));
        }
        if depth == Depth::Lengths {
            return None;
        }
        let mut at = 0;
        for piece in &file.pieces {
            let (mut hash, end) = (blake3::Hasher::new(), at + piece.bytes);
            let mut buffer = vec![0; BUFFER.min(piece.bytes as usize)];
            while at < end {
                let part = &mut buffer[..((end - at) as usize).min(BUFFER)];
                if let Err(e) = opened.read_exact_at(part, at) {
                    return Some(e.to_string());
                }
                hash.update(part);
                at += part.len() as u64;
            }
            if hash.finalize().to_hex().as_str() != piece.blake3 {
                let start = end - piece.bytes;
                return Some(format!(
                    "{name}: bytes {start} to {end} are not those written"
                ));
            }
        }
        None
    }

    /// Reads a file of one piece, of at most so many bytes, and checks it.
    ///
    /// # Errors
    /// [`Error::File`] for a damaged part and for one that is larger; [`Error::Io`].
    pub fn read(&self, name: &str, most: usize) -> Result<Vec<u8>> {
        self.piece(name, 0, most)
    }

    /// Reads a piece of a file, of at most so many bytes, and checks it.
    ///
    /// # Errors
    /// As [`Done::read`].
    pub fn piece(&self, name: &str, index: usize, most: usize) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        let file = self.marker.files.iter().find(|f| f.name == name);
        let Some((file, piece)) = file.and_then(|f| Some((f, f.pieces.get(index)?))) else {
            return Err(damaged(&path, format!("has no piece {index}")));
        };
        if piece.bytes > most as u64 {
            let reason = format!("has {} bytes where at most {most} belong", piece.bytes);
            return Err(damaged(&path, reason));
        }
        let at = total(&file.pieces[..index]);
        let opened = DataFile::open(&path)?;
        if opened.len() != file.bytes() {
            let reason = format!("has {} of {} bytes", opened.len(), file.bytes());
            return Err(damaged(&path, reason));
        }
        let mut bytes = vec![0; piece.bytes as usize];
        opened.read_exact_at(&mut bytes, at)?;
        match blake3::hash(&bytes).to_hex().as_str() == piece.blake3 {
            true => Ok(bytes),
            false => Err(damaged(&path, "is not as it was written".into())),
        }
    }

    /// Where a file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn damaged(path: &Path, reason: String) -> Error {
    let what = format!("{reason}; compute this unit again");
    Error::malformed(path, None, what)
}
