//! Temporary files: supports of a layer's channels ([`SupportStore`]), matrices ([`FloatStore`]), and the values of a layer by
//! channels ([`MapStore`]), which a run in units keeps as long as it needs them ([`CopyPlace`]).
//!
//! Supports are written a channel and block of queries at a time, and read for a block of queries in all channels. They lie
//! in memory while that fits, else in a temporary file without a name.

mod copy;
mod floats;
mod maps;

pub use copy::{
    CopyPlace, CopyReader, CopyShape, PartWriter, are_parts, part_samples, remove_copy,
};
pub use floats::FloatStore;
pub use maps::MapStore;

use super::fs::{self, read_exact_at, write_all_at};
use crate::error::SystemError;
use crate::tensor::checked_product;
use crate::{Error, Result};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// The folder for temporary files where no other is given.
pub fn default_folder() -> PathBuf {
    fs::temporary_folder()
}

/// `[C, N, k]` sample indices and `[C, N]` flags. Any number of threads may put and get.
#[derive(Debug)]
pub struct SupportStore {
    channels: usize,
    samples: usize,
    k: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// One lock a channel: blocks of different channels are put side by side.
    Memory(Vec<RwLock<Channel>>),
    /// Indices of all channels, then flags.
    File { file: File, folder: PathBuf },
}

#[derive(Debug)]
struct Channel {
    indices: Vec<i32>,
    degenerate: Vec<bool>,
}

/// Supports of some queries in every channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SupportBlock {
    /// `[C, Q, k]`.
    pub indices: Vec<i32>,
    /// `[C, Q]`.
    pub degenerate: Vec<bool>,
}

impl SupportStore {
    /// Bytes of a store in memory.
    pub fn bytes(channels: usize, samples: usize, k: usize) -> u64 {
        let queries = channels as u64 * samples as u64;
        queries.saturating_mul(4 * k as u64 + 1)
    }

    /// A store in memory if it takes at most `budget` bytes, else in a temporary file in `folder`. What was
    /// never put reads as index 0, not degenerate.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the sizes overflow; [`Error::Io`], [`Error::Spill`] when the file cannot be made.
    pub fn new(
        channels: usize,
        samples: usize,
        k: usize,
        budget: u64,
        folder: impl AsRef<Path>,
    ) -> Result<Self> {
        let bytes = checked_product(&[channels as u64, samples as u64, 4 * k as u64 + 1])
            .filter(|&b| i64::try_from(b).is_ok());
        let Some(bytes) = bytes else {
            return Err(Error::TooLarge {
                name: "supports",
                shape: [channels, samples, k].map(|d| d as u64).to_vec(),
            });
        };
        let place = if bytes <= budget {
            let channel = || Channel {
                indices: vec![0; samples * k],
                degenerate: vec![false; samples],
            };
            Place::Memory((0..channels).map(|_| RwLock::new(channel())).collect())
        } else {
            let folder = folder.as_ref().to_path_buf();
            let file = fs::temporary(&folder)
                .and_then(|file| file.set_len(bytes).map(|()| file))
                .map_err(|e| spill_error(&folder, "make a temporary file for supports in", e))?;
            Place::File { file, folder }
        };
        Ok(Self {
            channels,
            samples,
            k,
            place,
        })
    }

    /// Queries that it has room for.
    pub fn queries(&self) -> usize {
        self.samples
    }

    /// Whether it lies in a file.
    pub fn is_spilled(&self) -> bool {
        matches!(self.place, Place::File { .. })
    }

    /// Stores `indices [Q, k]` and `degenerate [Q]` of the queries from `first` on in one channel.
    ///
    /// # Errors
    /// [`Error::Argument`] outside the store; [`Error::Io`], [`Error::Spill`] when the file cannot be written.
    pub fn put(
        &self,
        channel: usize,
        first: usize,
        indices: &[i32],
        degenerate: &[bool],
    ) -> Result<()> {
        let queries = first..first.saturating_add(degenerate.len());
        self.check(
            channel < self.channels && indices.len() == degenerate.len() * self.k,
            &queries,
        )?;
        let k = self.k;
        match &self.place {
            Place::Memory(stores) => {
                let mut store = stores[channel]
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                store.indices[queries.start * k..queries.end * k].copy_from_slice(indices);
                store.degenerate[queries].copy_from_slice(degenerate);
                Ok(())
            }
            Place::File { file, folder } => {
                let (at, flags_at) = self.offsets(channel, first);
                write_all_at(file, bytemuck::cast_slice(indices), at)
                    .and_then(|()| write_all_at(file, bytemuck::cast_slice(degenerate), flags_at))
                    .map_err(|e| spill_error(folder, "write supports to a temporary file in", e))
            }
        }
    }

    /// Supports of `queries` in every channel.
    ///
    /// # Errors
    /// [`Error::Argument`] outside the store; [`Error::Io`] when the file cannot be read.
    pub fn get(&self, queries: Range<usize>) -> Result<SupportBlock> {
        self.check(queries.start <= queries.end, &queries)?;
        let (k, count) = (self.k, queries.len());
        let mut block = SupportBlock {
            indices: vec![0; self.channels * count * k],
            degenerate: vec![false; self.channels * count],
        };
        for channel in 0..self.channels {
            let indices = &mut block.indices[channel * count * k..][..count * k];
            let degenerate = &mut block.degenerate[channel * count..][..count];
            self.get_channel(channel, queries.clone(), indices, degenerate)?;
        }
        Ok(block)
    }

    fn get_channel(
        &self,
        channel: usize,
        queries: Range<usize>,
        indices: &mut [i32],
        degenerate: &mut [bool],
    ) -> Result<()> {
        match &self.place {
            Place::Memory(stores) => {
                let store = stores[channel]
                    .read()
                    .unwrap_or_else(PoisonError::into_inner);
                indices
                    .copy_from_slice(&store.indices[queries.start * self.k..queries.end * self.k]);
                degenerate.copy_from_slice(&store.degenerate[queries]);
                Ok(())
            }
            Place::File { file, folder } => {
                let failed = |e| Error::io(folder, "read supports from a temporary file in", e);
                let (at, flags_at) = self.offsets(channel, queries.start);
                read_exact_at(file, bytemuck::cast_slice_mut(indices), at).map_err(failed)?;
                let mut flags = vec![0u8; degenerate.len()];
                read_exact_at(file, &mut flags, flags_at).map_err(failed)?;
                for (flag, byte) in degenerate.iter_mut().zip(flags) {
                    *flag = byte != 0;
                }
                Ok(())
            }
        }
    }

    fn check(&self, fits: bool, queries: &Range<usize>) -> Result<()> {
        if fits && queries.end <= self.samples {
            return Ok(());
        }
        Err(Error::argument(
            "queries",
            format!("{queries:?} with {} neighbours each", self.k),
            format!(
                "a block of {} channels and {} samples",
                self.channels, self.samples
            ),
        ))
    }

    /// Bytes in the file of a query's indices and flag.
    fn offsets(&self, channel: usize, query: usize) -> (u64, u64) {
        let row = (channel * self.samples + query) as u64;
        let flags = (self.channels * self.samples * self.k) as u64 * 4;
        (row * self.k as u64 * 4, flags + row)
    }
}

fn spill_error(folder: &Path, action: &str, e: std::io::Error) -> Error {
    let source = SystemError::from(e);
    let (path, action) = (folder.to_path_buf(), action.into());
    match source.is_out_of_space() {
        true => Error::Spill {
            folder: path,
            action,
            source,
        },
        false => Error::Io {
            path,
            action,
            source,
        },
    }
}
