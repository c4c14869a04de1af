//! The elements of a constant: in memory, or in a file, from which they are read when a device takes them.
//!
//! The weights of a large network are most of what it takes. Left in the file until they are uploaded, they are in
//! memory once, and a command that does not run the network does not read them at all. The file is read at given
//! positions, never mapped: a mapped file that shrinks kills the process.

use crate::Result;
use crate::io::file::DataFile;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes that are read at a time where they are not read straight to their place.
const CHUNK: usize = 1 << 20;

/// Elements of a constant, C order.
#[derive(Clone, Debug)]
pub struct Data {
    source: Source,
    /// The matrix `[rows, columns]` that the source holds, where the constant is its transpose.
    transposed: Option<[usize; 2]>,
}

#[derive(Clone, Debug)]
enum Source {
    Memory(Arc<[f32]>),
    File(Arc<Stored>),
}

/// Floating-point numbers in a file, little-endian.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) file: Arc<DataFile>,
    /// Byte of the first.
    pub(super) offset: u64,
    /// How many.
    pub(super) len: usize,
    pub(super) width: Width,
}

/// Floating-point numbers by their number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Two,
    Four,
    Eight,
}

impl Width {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

impl Data {
    pub(super) fn stored(stored: Stored) -> Self {
        Self {
            source: Source::File(Arc::new(stored)),
            transposed: None,
        }
    }

    /// The transpose of this matrix of `[rows, columns]`, which is itself no transpose.
    pub(super) fn transpose(self, shape: [usize; 2]) -> Self {
        debug_assert!(self.transposed.is_none() && shape[0] * shape[1] == self.len());
        Self {
            transposed: Some(shape),
            ..self
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Memory(values) => values.len(),
            Source::File(stored) => stored.len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements; read from the file where they are not in memory.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`Error::File`](crate::Error::File) where the file was written to since it was opened.
    pub fn read(&self) -> Result<Cow<'_, [f32]>> {
        match (&self.source, self.transposed) {
            (Source::Memory(values), None) => Ok(Cow::Borrowed(values)),
            (Source::Memory(values), Some(shape)) => {
                let mut out = vec![0.0; values.len()];
                scatter(values, 0, shape, &mut out);
                Ok(Cow::Owned(out))
            }
            (Source::File(stored), transposed) => {
                let values = match transposed {
                    None => stored.read()?,
                    Some(shape) => stored.read_transposed(shape)?,
                };
                stored.file.check_unwritten()?;
                Ok(Cow::Owned(values))
            }
        }
    }
}

impl Stored {
    fn read(&self) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.len];
        if self.width == Width::Four {
            self.fill(0, &mut out)?;
        } else {
            for (i, part) in out.chunks_mut(CHUNK / size_of::<f32>()).enumerate() {
                self.fill(i * (CHUNK / size_of::<f32>()), part)?;
            }
        }
        Ok(out)
    }

    /// Some rows at a time, so that the matrix is in memory once.
    fn read_transposed(&self, shape: [usize; 2]) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.len];
        let columns = shape[1].max(1);
        let mut rows = vec![0.0; (CHUNK / size_of::<f32>() / columns).max(1) * columns];
        for first in (0..shape[0]).step_by(rows.len() / columns) {
            let count = (shape[0] - first).min(rows.len() / columns);
            let rows = &mut rows[..count * columns];
            self.fill(first * columns, rows)?;
            scatter(rows, first, shape, &mut out);
        }
        Ok(out)
    }

    /// Reads elements from the place `first` on.
    fn fill(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let at = self.offset + (first * self.width.bytes()) as u64;
        if self.width == Width::Four {
            self.file.read_exact_at(bytemuck::cast_slice_mut(out), at)?;
            for value in out {
                *value = f32::from_bits(u32::from_le(value.to_bits()));
            }
            return Ok(());
        }
        let mut bytes = vec![0; out.len() * self.width.bytes()];
        self.file.read_exact_at(&mut bytes, at)?;
        match self.width {
            Width::Two => {
                for (value, &b) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *value = half::f16::from_le_bytes(b).to_f32();
                }
            }
            _ => {
                for (value, &b) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f64::from_le_bytes(b) as f32;
                }
            }
        }
        Ok(())
    }
}

/// Puts the rows from `first` on of a matrix of `[rows, columns]` into its transpose.
fn scatter(from: &[f32], first: usize, [rows, columns]: [usize; 2], out: &mut [f32]) {
    /// Columns at a time: their places in `out` stay in the cache from one row to the next.
    const COLUMNS: usize = 64;
    for start in (0..columns).step_by(COLUMNS) {
        let end = columns.min(start + COLUMNS);
        for (r, row) in from.chunks_exact(columns).enumerate() {
            for (c, &value) in (start..end).zip(&row[start..end]) {
                out[c * rows + first + r] = value;
            }
        }
    }
}

impl From<Arc<[f32]>> for Data {
    fn from(values: Arc<[f32]>) -> Self {
        Self {
            source: Source::Memory(values),
            transposed: None,
        }
    }
}

impl From<Vec<f32>> for Data {
    fn from(values: Vec<f32>) -> Self {
        Arc::<[f32]>::from(values).into()
    }
}

impl From<&[f32]> for Data {
    fn from(values: &[f32]) -> Self {
        Arc::<[f32]>::from(values).into()
    }
}

impl<const N: usize> From<[f32; N]> for Data {
    fn from(values: [f32; N]) -> Self {
        Arc::<[f32]>::from(values).into()
    }
}
