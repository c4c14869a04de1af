//! A copy of a layer by channels in parts that outlive the process which makes them.
//!
//! A part holds some samples of all channels that are copied, channel after channel, in a file that has holes where all
//! values are zero. It lies beside the units of a run and is written as they are ([`crate::io::parts`]): it appears whole by
//! one rename, and its marker names the run and a checksum of every piece. A piece is what a channel has in about 1 MiB. It
//! is checked when it is first read, so that no pass is spent on checking. What is damaged is read from the layer itself.
//!
//! Any number of processes may make the same copy. Each skips the parts that are there, and begins at a part of its own, so
//! that two of them share the work as a rule.
//!
//! `write` makes a part, `read` reads from all of them.

mod read;
mod write;

pub use read::CopyReader;
pub use write::PartWriter;

use crate::io::fs;
use crate::io::layer::Layer;
use crate::io::parts::{Depth, Done, State, look};
use crate::io::sink::{Copied, UNITS, copy_name, copy_names, remove_unit};
use crate::{Error, Result};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The file in a part.
const MAPS: &str = "maps.bin";
/// Bytes of the samples that are read for a part. A kill costs at most as much, which a disk of 100 MB/s reads in 21 s and
/// writes in as many.
const PART: u64 = 2 << 30;
/// Most parts of a copy: a reader has all of them open.
const MOST_PARTS: usize = 256;
/// Bytes of a piece, about, unless a single map has more.
const PIECE: usize = 1 << 20;

/// Samples of each part but the last of a copy of `samples` samples, which take `row` bytes each in the layer's file.
pub fn part_samples(samples: usize, row: usize) -> usize {
    let bytes = (samples as u64).saturating_mul(row as u64);
    let parts = usize::try_from(bytes.div_ceil(PART)).unwrap_or(usize::MAX);
    samples.div_ceil(parts.clamp(1, MOST_PARTS)).max(1)
}

/// Whether a copy of `samples` samples may consist of parts of `part` samples.
pub fn are_parts(samples: usize, part: usize) -> bool {
    part > 0 && samples.div_ceil(part) <= MOST_PARTS
}

/// Where the copy of a layer lies.
#[derive(Clone, Debug)]
pub struct CopyPlace {
    /// The folder of the run.
    folder: PathBuf,
    /// Number of the layer in the run.
    layer: usize,
    /// The run, as its units name it.
    run: String,
    /// Samples of a part.
    part: usize,
}

/// What lies where in a copy of `[C, N, H * W]` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyShape {
    channels: usize,
    samples: usize,
    /// Bytes of a map: a sample of a channel.
    map: usize,
    /// Samples of a part.
    part: usize,
}

impl CopyShape {
    /// Samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.samples.div_ceil(self.part)
    }

    /// Samples of a part.
    pub fn rows(&self, part: usize) -> Range<usize> {
        let at = |part: usize| part.saturating_mul(self.part).min(self.samples);
        at(part)..at(part + 1)
    }

    /// Bytes of a part.
    pub fn bytes(&self, part: usize) -> u64 {
        (self.channels as u64) * (self.rows(part).len() as u64) * self.map as u64
    }

    /// Samples of each piece of a part but the last of each channel, and how many pieces a channel has there.
    fn pieces(&self, part: usize) -> (usize, usize) {
        let rows = self.rows(part).len().max(1);
        let count = (rows * self.map).div_ceil(PIECE).clamp(1, rows);
        let each = rows.div_ceil(count);
        (each, rows.div_ceil(each))
    }

    /// Samples of a piece, counted from the first one of the part.
    fn piece(&self, part: usize, index: usize) -> Range<usize> {
        let (rows, (each, _)) = (self.rows(part).len(), self.pieces(part));
        let at = |index: usize| (index * each).min(rows);
        at(index)..at(index + 1)
    }

    /// Byte of a part at which a channel's map of a sample begins, the sample counted from the first one of the part.
    fn byte(&self, part: usize, channel: usize, row: usize) -> u64 {
        let maps = channel as u64 * self.rows(part).len() as u64 + row as u64;
        maps * self.map as u64
    }
}

impl CopyPlace {
    /// The copy of a layer of `run`, which lies in `folder`, in parts of `part` samples.
    pub fn new(folder: &Path, layer: usize, run: &str, part: usize) -> Self {
        Self {
            folder: folder.to_path_buf(),
            layer,
            run: run.to_string(),
            part: part.max(1),
        }
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a copy of so many channels of `layer` consists of.
    pub fn shape(&self, layer: &dyn Layer, channels: usize) -> CopyShape {
        let s = layer.shape();
        CopyShape {
            channels,
            samples: s.samples,
            map: s.dim() * layer.dtype().size(),
            part: self.part,
        }
    }

    fn units(&self) -> PathBuf {
        self.folder.join(UNITS)
    }

    fn name(&self, part: usize) -> String {
        copy_name(self.layer, part)
    }

    /// The parts that are not there. Those that are damaged, as far as their lengths tell, are removed, and so is what
    /// processes left that were killed.
    ///
    /// # Errors
    /// [`Error::Output`] where anything lies in a damaged part that no run wrote; [`Error::Io`].
    pub fn missing(&self, shape: &CopyShape) -> Result<Vec<usize>> {
        remove_abandoned(&self.folder, self.layer);
        let mut missing = Vec::new();
        for part in 0..shape.parts() {
            match self.find(shape, part)? {
                State::Done(_) => continue,
                State::Missing => {}
                State::Damaged(_) => self.remove(part)?,
            }
            missing.push(part);
        }
        Ok(missing)
    }

    /// Whether a part is there by now, as far as its length tells.
    pub fn is_there(&self, shape: &CopyShape, part: usize) -> bool {
        matches!(self.find(shape, part), Ok(State::Done(_)))
    }

    fn find(&self, shape: &CopyShape, part: usize) -> Result<State> {
        let found = look(&self.units(), &self.name(part), &self.run, Depth::Lengths)?;
        Ok(match found {
            State::Done(done) if !is_of(&done, shape, part) => {
                State::Damaged("is of another copy".into())
            }
            found => found,
        })
    }

    /// As [`remove_copy`].
    pub fn remove_all(&self) {
        remove_copy(&self.folder, self.layer);
    }

    /// Removes a part, unless another process has done so.
    ///
    /// # Errors
    /// As [`remove_unit`].
    fn remove(&self, part: usize) -> Result<()> {
        match remove_unit(&self.folder, &self.name(part)) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

/// Whether a part consists of the pieces that it should.
fn is_of(done: &Done, shape: &CopyShape, part: usize) -> bool {
    let [file] = &done.marker().files[..] else {
        return false;
    };
    let (_, count) = shape.pieces(part);
    let bytes = |index: usize| (shape.piece(part, index % count).len() * shape.map) as u64;
    file.name == MAPS
        && file.pieces.len() == shape.channels * count
        && (file.pieces.iter().enumerate()).all(|(i, piece)| piece.bytes == bytes(i))
}

/// The hash of so many bytes that are zero.
fn hash_of_zeros(bytes: usize) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    add_zeros(&mut hash, bytes);
    hash.finalize()
}

fn add_zeros(hash: &mut blake3::Hasher, mut bytes: usize) {
    const ZEROS: [u8; 4096] = [0; 4096];
    while bytes > 0 {
        let some = bytes.min(ZEROS.len());
        hash.update(&ZEROS[..some]);
        bytes -= some;
    }
}

/// Removes the copy of a layer from the run in `folder`, but for parts that some process is writing. What cannot be removed
/// stays until the run is merged.
pub fn remove_copy(folder: &Path, layer: usize) {
    for (name, kind) in copy_names(folder, layer) {
        if kind == Copied::Whole {
            let _ = remove_unit(folder, &name);
        }
    }
    remove_abandoned(folder, layer);
}

/// Removes parts in the making that nobody is writing any more: the file of one that is being written is locked.
fn remove_abandoned(folder: &Path, layer: usize) {
    for (name, kind) in copy_names(folder, layer) {
        if kind == Copied::Whole {
            continue;
        }
        let place = folder.join(UNITS).join(&name);
        let file = fs::open(OpenOptions::new().read(true).write(true), &place.join(MAPS));
        match file {
            // Where there are no locks it stays until the run is merged.
            Ok(file) if file.try_lock().is_ok() => {
                #[cfg(windows)]
                drop(file);
                let _ = remove_unit(folder, &name);
            }
            Ok(_) => {}
            // Killed before its file was made, or about to make it: then it is made in vain, and read from the layer.
            Err(_) => drop(fs::remove_folder(&place)),
        }
    }
}

/// As [`super::spill_error`], of an error about a file of a part.
fn as_spill(error: Error) -> Error {
    match error {
        Error::Io {
            path,
            action,
            source,
        } if source.is_out_of_space() => Error::Spill {
            folder: path,
            action,
            source,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_about_two_gib_and_are_not_too_many() {
        assert_eq!(part_samples(100, 1000), 100);
        // 20 GB of 200,704 bytes a sample: ten parts.
        assert_eq!(part_samples(100_000, 200_704), 10_000);
        assert_eq!(100_000usize.div_ceil(part_samples(100_000, 200_704)), 10);
        for (n, row) in [
            (1_280_000, 200_704),
            (1 << 40, 1 << 20),
            (3, usize::MAX),
            (1, 1),
        ] {
            let part = part_samples(n, row);
            assert!(are_parts(n, part), "{n} {row}: {part}");
        }
        assert!(!are_parts(10, 0) && !are_parts(1000, 1) && are_parts(10, usize::MAX));
    }

    #[test]
    fn pieces_cover_every_map_once_in_order() {
        for (samples, map, part) in [
            (10, 4, 3),
            (5000, 1000, 2100),
            (7, 3 << 20, 4),
            (1, 1, 1),
            (100_001, 98, 33_334),
        ] {
            let shape = CopyShape {
                channels: 3,
                samples,
                map,
                part,
            };
            let mut seen = 0;
            for p in 0..shape.parts() {
                let (rows, (each, count)) = (shape.rows(p), shape.pieces(p));
                assert_eq!(rows.start, seen);
                assert!(each * map <= PIECE + map, "{each} maps of {map}");
                let mut at = 0;
                for index in 0..count {
                    let piece = shape.piece(p, index);
                    assert!(piece.start == at && !piece.is_empty());
                    assert_eq!(piece.start, index * each);
                    at = piece.end;
                }
                assert_eq!(at, rows.len());
                assert_eq!(shape.byte(p, 3, 0), shape.bytes(p));
                seen = rows.end;
            }
            assert_eq!(seen, samples);
        }
    }
}
