//! Objects that give rows when they are asked.

use crate::layers::{Order, check, check_f16, value_type};
use chanscope::io::layer::Layer;
use chanscope::tensor::{DType, LayerShape, ValueType};
use chanscope::{Error, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The first exception that a reader raised, for the caller.
pub type Failure = Arc<Mutex<Option<PyErr>>>;

/// An object of Python that is read in blocks of rows, such as a dataset in an HDF5 file.
pub struct Rows {
    pub name: String,
    pub shape: LayerShape,
    pub rank: usize,
    pub dtype: DType,
    /// Called with `(first, last, channels)`, where `channels` is `None` for all or `(first, last)`. Returns the bytes of
    /// these rows in C order, as float16 where that is their type and else as float32, and how many values are finite but
    /// beyond float32.
    pub reader: Py<PyAny>,
    /// Whether the object can be cut along channels too, so that others are not read.
    pub cuts_channels: bool,
    pub failure: Failure,
}

/// Bytes, as float32, that are asked of a reader at a time.
const BLOCK_BYTES: usize = 8 << 20;

impl Rows {
    /// Hands blocks of rows of some channels to `take`: the rows, the channels that lie in the block, and its values
    /// `[rows, channels, H * W]`, which `numbers` makes of the reader's bytes. Returns how many values were beyond float32.
    fn blocks<T>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        numbers: impl Fn(&[u8]) -> Vec<T>,
        mut take: impl FnMut(Range<usize>, Range<usize>, &[T]),
    ) -> Result<u64> {
        let (Some(&low), Some(&high)) = (channels.iter().min(), channels.iter().max()) else {
            return Ok(0);
        };
        let span = low..high + 1;
        let channels = match self.cuts_channels {
            true => span.len(),
            false => self.shape.channels,
        };
        let row_bytes = channels * self.shape.dim() * 4;
        let step = (BLOCK_BYTES / row_bytes).max(1);
        let mut beyond = 0;
        for first in rows.clone().step_by(step) {
            let block = first..(first + step).min(rows.end);
            let asked = (span.len() < self.shape.channels).then_some((span.start, span.end));
            // None where the interpreter is ending.
            let read = Python::try_attach(|py| {
                let mut call = || -> PyResult<u64> {
                    let found = self.reader.call1(py, (block.start, block.end, asked))?;
                    let (bytes, beyond): (Bound<'_, PyBytes>, u64) = found.extract(py)?;
                    let values = numbers(bytes.as_bytes());
                    if values.len() != block.len() * span.len() * self.shape.dim() {
                        let text = "the rows do not have the size that the shape promises";
                        return Err(pyo3::exceptions::PyValueError::new_err(text));
                    }
                    take(block.clone(), span.clone(), &values);
                    Ok(beyond)
                };
                call().map_err(|e| {
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(e);
                    Error::Cancelled
                })
            });
            beyond += read.unwrap_or(Err(Error::Cancelled))?;
        }
        Ok(beyond)
    }

    /// The reader's bytes as float32.
    fn floats(&self, bytes: &[u8]) -> Vec<f32> {
        match self.dtype {
            DType::F16 => {
                let stored = halves(bytes);
                let mut values = vec![0.0; stored.len()];
                stored.convert_to_f32_slice(&mut values);
                values
            }
            _ => {
                let (numbers, _) = bytes.as_chunks::<4>();
                numbers.iter().map(|&b| f32::from_ne_bytes(b)).collect()
            }
        }
    }

    /// Reads samples `rows` of `channels`.
    fn read<T: Copy>(
        &self,
        order: Order,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [T],
        numbers: impl Fn(&[u8]) -> Vec<T>,
    ) -> Result<()> {
        check(self.shape, &rows, channels, out.len())?;
        let (dim, samples, start) = (self.shape.dim(), rows.len(), rows.start);
        self.blocks(rows, channels, numbers, |block, span, values| {
            for (row, slot) in order.maps(block.len(), channels.len()) {
                let from = (row * span.len() + channels[slot] - span.start) * dim;
                let row = block.start - start + row;
                let to = order.place((row, samples), (slot, channels.len())) * dim;
                out[to..to + dim].copy_from_slice(&values[from..from + dim]);
            }
        })?;
        Ok(())
    }
}

/// The bytes of float16 as numbers.
fn halves(bytes: &[u8]) -> Vec<f16> {
    let (numbers, _) = bytes.as_chunks::<2>();
    numbers.iter().map(|&b| f16::from_ne_bytes(b)).collect()
}

impl Layer for Rows {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> LayerShape {
        self.shape
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.read(Order::ChannelMajor, rows, channels, out, |bytes| {
            self.floats(bytes)
        })
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.read(Order::SampleMajor, rows, channels, out, |bytes| {
            self.floats(bytes)
        })
    }

    fn value_type(&self) -> ValueType {
        value_type(self.dtype)
    }

    fn read_channels_f16(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [f16],
    ) -> Result<()> {
        check_f16(self.dtype)?;
        self.read(Order::ChannelMajor, rows, channels, out, halves)
    }

    fn read_rows_f16(&self, rows: Range<usize>, channels: &[usize], out: &mut [f16]) -> Result<()> {
        check_f16(self.dtype)?;
        self.read(Order::SampleMajor, rows, channels, out, halves)
    }

    fn beyond_f32(&self, rows: Range<usize>, channels: &[usize]) -> Result<u64> {
        if self.dtype != DType::F64 {
            return Ok(0);
        }
        let floats = |bytes: &[u8]| self.floats(bytes);
        self.blocks(rows, channels, floats, |_, _, _| {})
    }
}
