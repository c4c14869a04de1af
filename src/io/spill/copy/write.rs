//! Writing a part of a copy.

use super::{CopyPlace, CopyShape, MAPS, add_zeros, as_spill, hash_of_zeros};
use crate::Result;
use crate::io::fs::write_all_at;
use crate::io::parts::{Part, Piece};
use crate::io::spill::maps::is_zero;
use crate::io::spill::spill_error;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A part in the making. Any number of threads may put, each of channels of its own. Dropped without
/// [`PartWriter::finish`], it leaves nothing behind.
pub struct PartWriter {
    shape: CopyShape,
    number: usize,
    rows: Range<usize>,
    run: String,
    folder: PathBuf,
    part: Part,
    /// Locked, so that nobody takes the part for one that a killed process left.
    file: File,
    /// Of a channel each.
    sums: Vec<Mutex<Sums>>,
}

/// The checksums of a channel, whose maps come in order.
#[derive(Default)]
struct Sums {
    /// Of the piece that has begun, once anything in it is not zero: it takes 2 KiB.
    hash: Option<Box<blake3::Hasher>>,
    /// Bytes of the piece so far that are not in `hash`, all zero.
    zeros: usize,
    /// `None` for pieces of zeros.
    done: Vec<Option<blake3::Hash>>,
}

impl Sums {
    fn add(&mut self, bytes: &[u8], zero: bool) {
        if zero {
            self.zeros += bytes.len();
            return;
        }
        let hash = self.hash.get_or_insert_default();
        add_zeros(hash, std::mem::take(&mut self.zeros));
        hash.update(bytes);
    }

    fn end_piece(&mut self) {
        let zeros = std::mem::take(&mut self.zeros);
        let sum = self.hash.take().map(|mut hash| {
            add_zeros(&mut hash, zeros);
            hash.finalize()
        });
        self.done.push(sum);
    }
}

impl CopyPlace {
    /// Begins a part.
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Spill`] where it cannot be made.
    pub fn begin(&self, shape: &CopyShape, number: usize) -> Result<PartWriter> {
        let part = Part::begin(&self.units(), &self.name(number)).map_err(as_spill)?;
        let file = part.scattered(MAPS).map_err(as_spill)?;
        let action = "make room for a part of a repacked layer in";
        // Where there are no locks, the part may be removed as one that was left; then it is missing.
        let _ = file.try_lock();
        file.set_len(shape.bytes(number))
            .map_err(|e| spill_error(&self.folder, action, e))?;
        Ok(PartWriter {
            shape: *shape,
            number,
            rows: shape.rows(number),
            run: self.run.clone(),
            folder: self.folder.clone(),
            part,
            file,
            sums: (0..shape.channels).map(|_| Mutex::default()).collect(),
        })
    }
}

impl PartWriter {
    /// Stores the maps of consecutive samples of a channel, from sample `first` of the layer on: those that follow the ones
    /// that were put before. Zeros are left out.
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Spill`] where the file cannot be written.
    pub fn put(&self, channel: usize, first: usize, mut maps: &[u8]) -> Result<()> {
        let (shape, number) = (&self.shape, self.number);
        let (each, _) = shape.pieces(number);
        let sums = self.sums[channel].lock();
        let mut sums = sums.unwrap_or_else(PoisonError::into_inner);
        let mut row = first - self.rows.start;
        while !maps.is_empty() {
            let end = shape.piece(number, row / each).end;
            let (some, rest) = maps.split_at(maps.len().min((end - row) * shape.map));
            let zero = is_zero(some);
            if !zero {
                let at = shape.byte(number, channel, row);
                write_all_at(&self.file, some, at).map_err(|e| {
                    let action = "write a part of a repacked layer in";
                    spill_error(&self.folder, action, e)
                })?;
            }
            sums.add(some, zero);
            row += some.len() / shape.map;
            if row == end {
                sums.end_piece();
            }
            maps = rest;
        }
        Ok(())
    }

    /// Puts the part in its place.
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Spill`]; the part is then not there.
    pub fn finish(self) -> Result<()> {
        let (shape, number) = (&self.shape, self.number);
        let (_, count) = shape.pieces(number);
        let bytes = |index: usize| shape.piece(number, index).len() * shape.map;
        // All but the last are of one length.
        let zeros = [0, count - 1].map(|index| hash_of_zeros(bytes(index)));
        let piece = |(index, sum): (usize, Option<blake3::Hash>)| Piece {
            bytes: bytes(index) as u64,
            blake3: sum
                .unwrap_or(zeros[usize::from(index + 1 == count)])
                .to_hex()
                .to_string(),
        };
        let mut pieces = Vec::new();
        for sums in self.sums {
            let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
            pieces.extend(sums.done.into_iter().enumerate().map(piece));
        }
        self.part.add(MAPS.into(), pieces);
        let about = serde_json::json!({ "samples": [self.rows.start, self.rows.end] });
        // Elsewhere than on Unix no folder is renamed in which a file is open.
        let locked = cfg!(unix).then_some(self.file);
        let done = self.part.finish(&self.run, about).map_err(as_spill);
        drop(locked);
        done
    }
}
