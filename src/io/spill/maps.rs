//! The values of some channels of a layer, channel after channel as they were stored, in a temporary file.

use super::spill_error;
use crate::io::convert::{Element, ReadAs};
use crate::io::file::DataFile;
use crate::io::fs::write_all_at;
use crate::io::layer::Layer;
use crate::io::stored::Stored;
use crate::tensor::LayerShape;
use crate::{Error, Result};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `[C, N, H * W]` elements as they lay in the file of a layer. Any number of threads may put and get.
pub struct MapStore {
    file: File,
    folder: PathBuf,
    /// The file as a layer whose samples are channels, and whose channels samples.
    maps: Stored,
}

impl MapStore {
    /// Bytes of the maps of so many channels.
    pub fn bytes(layer: &dyn Layer, channels: usize) -> u64 {
        let s = layer.shape();
        [channels, s.samples, s.dim(), layer.dtype().size()]
            .iter()
            .fold(1, |bytes: u64, &n| bytes.saturating_mul(n as u64))
    }

    /// Room for all samples of `channels` channels of `layer` in an unnamed file in `folder`. What was never put reads as
    /// zeros, and takes no room where the file system knows holes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Spill`] where the file cannot be made.
    pub fn new(layer: &dyn Layer, channels: usize, folder: &Path) -> Result<Self> {
        let s = layer.shape();
        let shape = LayerShape::new(channels, s.samples, s.height, s.width)?;
        let make = || {
            let file = crate::io::fs::temporary(folder)?;
            file.set_len(Self::bytes(layer, channels))?;
            let opened = DataFile::temporary(file.try_clone()?, folder)?;
            Ok((file, opened))
        };
        let (file, opened) = make()
            .map_err(|e| spill_error(folder, "make a temporary file for a repacked layer in", e))?;
        let element = Element {
            dtype: layer.dtype(),
            big_endian: layer.big_endian(),
        };
        let name = layer.name().to_string();
        Ok(Self {
            file,
            folder: folder.to_path_buf(),
            maps: Stored::new(Arc::new(opened), name, shape, element, 0, 4),
        })
    }

    /// Stores the maps of consecutive samples of a channel, from sample `first` on. Zeros are left out.
    ///
    /// # Errors
    /// [`Error::Argument`] outside the store; [`Error::Io`], [`Error::Spill`] where the file cannot be written.
    pub fn put(&self, channel: usize, first: usize, maps: &[u8]) -> Result<()> {
        let map = self.maps.shape().dim() * self.maps.dtype().size();
        let count = maps.len() / map;
        let at = (self.element(channel, &(first..first + count))? * map) as u64;
        if is_zero(maps) {
            return Ok(());
        }
        write_all_at(&self.file, maps, at).map_err(|e| {
            let action = "write a repacked layer to a temporary file in";
            spill_error(&self.folder, action, e)
        })
    }

    /// Reads samples `rows` of a channel, `[rows, H * W]`.
    ///
    /// # Errors
    /// [`Error::Argument`] outside the store and for an `out` of another size; [`Error::Io`] where the file cannot be read.
    pub(crate) fn get<T: ReadAs>(
        &self,
        channel: usize,
        rows: Range<usize>,
        out: &mut [T],
    ) -> Result<()> {
        let (first, dim) = (self.element(channel, &rows)?, self.maps.shape().dim());
        if out.len() != rows.len() * dim {
            return Err(Error::WrongLength {
                name: "out",
                expected: rows.len() * dim,
                got: out.len(),
            });
        }
        self.maps.read_run(first * dim, out)
    }

    /// Bytes read from the file so far.
    pub fn bytes_read(&self) -> u64 {
        self.maps.bytes_read()
    }

    /// Maps before the first of `rows` of a channel.
    fn element(&self, channel: usize, rows: &Range<usize>) -> Result<usize> {
        let s = self.maps.shape();
        if channel >= s.samples || rows.start > rows.end || rows.end > s.channels {
            let got = format!("channel {channel}, samples {rows:?}");
            let expected = format!("within {} channels and {} samples", s.samples, s.channels);
            return Err(Error::argument("maps", got, expected));
        }
        Ok(channel * s.channels + rows.start)
    }
}

/// Whether all bytes are zero, which is found out at the speed of memory.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks(4096);
    blocks.all(|block| block.iter().fold(0, |any, byte| any | byte) == 0)
}
