//! Layers whose values Python holds: arrays in memory, and objects that give rows when they are asked.

use chanscope::error::Dim;
use chanscope::io::layer::Layer;
use chanscope::tensor::{DType, LayerShape, ValueType};
use chanscope::{Error, Result};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The layer's shape, and the number of dimensions of the array it comes from: `[N, C, H, W]`, `[N, C, L]` as maps of
/// one row, or `[N, D]` as one channel.
pub fn layer_shape(dims: &[usize]) -> Result<LayerShape> {
    match *dims {
        [n, c, h, w] => LayerShape::new(n, c, h, w),
        [n, c, l] => LayerShape::new(n, c, 1, l),
        [n, d] => LayerShape::new(n, 1, 1, d),
        _ => Err(Error::WrongShape {
            name: "X",
            expected: ["N", "C", "H", "W"].map(Dim::Any).to_vec(),
            got: dims.to_vec(),
        }),
    }
}

/// A name of an element type, as `results.json` has it.
pub fn element(name: &str) -> Option<DType> {
    use DType::{BF16, F16, F32, F64, I8, U8};
    [F16, BF16, F32, F64, U8, I8]
        .into_iter()
        .find(|dtype| dtype.name() == name)
}

/// An array in memory, of any strides, that is read where it lies.
pub struct Memory {
    pub name: String,
    pub shape: LayerShape,
    pub rank: usize,
    pub dtype: DType,
    /// Address of the first element.
    pub first: usize,
    /// Bytes from one element to the next along each axis of `[N, C, H, W]`.
    pub strides: [isize; 4],
    /// Keeps the memory alive.
    pub _owner: Arc<dyn Send + Sync>,
}

impl Memory {
    /// Copies the map of a sample and channel.
    fn map(&self, row: usize, channel: usize, out: &mut [f32]) {
        let [n, c, h, w] = self.strides;
        let first = self.first as isize + row as isize * n + channel as isize * c;
        let (width, size) = (self.shape.width, self.dtype.size() as isize);
        if w == size && (h == width as isize * size || self.shape.height == 1) {
            return self.run(first, size, out);
        }
        for (y, line) in out.chunks_exact_mut(width).enumerate() {
            self.run(first + y as isize * h, w, line);
        }
    }

    /// Copies elements from address `first` on, `step` bytes from each other.
    fn run(&self, first: isize, step: isize, out: &mut [f32]) {
        match self.dtype {
            DType::F32 => copy::<f32>(first, step, out, |v| v),
            DType::F16 if step == 2 && first % 2 == 0 => {
                // SAFETY: as in `copy`; the address is a multiple of two, and an f16 is any two bytes.
                let values = unsafe { std::slice::from_raw_parts(first as *const f16, out.len()) };
                values.convert_to_f32_slice(out);
            }
            DType::F16 => copy::<u16>(first, step, out, |v| f16::from_bits(v).to_f32()),
            DType::BF16 => copy::<u16>(first, step, out, |v| bf16::from_bits(v).to_f32()),
            DType::F64 => copy::<f64>(first, step, out, |v| v as f32),
            DType::U8 => copy::<u8>(first, step, out, f32::from),
            DType::I8 => copy::<i8>(first, step, out, f32::from),
        }
    }
}

/// Copies elements that lie `step` bytes from each other.
fn copy<T: Copy>(first: isize, step: isize, out: &mut [f32], convert: impl Fn(T) -> f32) {
    // SAFETY: address and strides come from an array whose elements all lie in memory that its owner keeps alive, and the
    // layer's shape is the array's. An element may be written by other threads of Python meanwhile, as with every library
    // that works without the interpreter's lock: then it is read before or after that.
    let read = |at: isize| convert(unsafe { (at as *const T).read_unaligned() });
    let size = size_of::<T>() as isize;
    // A step that the compiler knows lets it use vectors.
    if step == size {
        for (i, out) in out.iter_mut().enumerate() {
            *out = read(first + i as isize * size);
        }
        return;
    }
    for (i, out) in out.iter_mut().enumerate() {
        *out = read(first + i as isize * step);
    }
}

/// Checks that a request lies within the layer.
fn check(shape: LayerShape, rows: &Range<usize>, channels: &[usize], out: usize) -> Result<()> {
    if rows.start > rows.end || rows.end > shape.samples {
        return Err(Error::OutOfRange {
            name: "rows",
            got: rows.clone(),
            len: shape.samples,
        });
    }
    if let Some(&c) = channels.iter().find(|&&c| c >= shape.channels) {
        return Err(Error::OutOfRange {
            name: "channels",
            got: c..c + 1,
            len: shape.channels,
        });
    }
    match rows.len() * channels.len() * shape.dim() {
        expected if expected == out => Ok(()),
        expected => Err(Error::WrongLength {
            name: "out",
            expected,
            got: out,
        }),
    }
}

impl Layer for Memory {
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
        check(self.shape, &rows, channels, out.len())?;
        let mut maps = out.chunks_exact_mut(self.shape.dim());
        for &channel in channels {
            for (row, map) in rows.clone().zip(&mut maps) {
                self.map(row, channel, map);
            }
        }
        Ok(())
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        check(self.shape, &rows, channels, out.len())?;
        let mut maps = out.chunks_exact_mut(self.shape.dim());
        for row in rows {
            for (&channel, map) in channels.iter().zip(&mut maps) {
                self.map(row, channel, map);
            }
        }
        Ok(())
    }

    fn beyond_f32(&self, rows: Range<usize>, channels: &[usize]) -> Result<u64> {
        if self.dtype != DType::F64 {
            return Ok(0);
        }
        let [n, c, h, w] = self.strides;
        let mut count = 0;
        for row in rows {
            for &channel in channels {
                for y in 0..self.shape.height {
                    let line = row as isize * n + channel as isize * c + y as isize * h;
                    let line = self.first as isize + line;
                    for x in 0..self.shape.width {
                        let at = (line + x as isize * w) as *const f64;
                        // SAFETY: as in `copy`.
                        let v = unsafe { at.read_unaligned() };
                        count += u64::from(v.is_finite() && (v as f32).is_infinite());
                    }
                }
            }
        }
        Ok(count)
    }
}

/// The first exception that a reader raised, for the caller.
pub type Failure = Arc<Mutex<Option<PyErr>>>;

/// An object of Python that is read in blocks of rows, such as a dataset in an HDF5 file.
pub struct Rows {
    pub name: String,
    pub shape: LayerShape,
    pub rank: usize,
    pub dtype: DType,
    /// Called with `(first, last, channels)`, where `channels` is `None` for all or `(first, last)`. Returns the bytes of
    /// these rows as float32 in C order, and how many values are finite but beyond float32.
    pub reader: Py<PyAny>,
    /// Whether the object can be cut along channels too, so that others are not read.
    pub cuts_channels: bool,
    pub failure: Failure,
}

/// Bytes, as float32, that are asked of a reader at a time.
const BLOCK_BYTES: usize = 8 << 20;

impl Rows {
    /// Hands blocks of rows of some channels to `take`: the first row, the channels that lie in the block, and its values
    /// `[rows, channels, H * W]`. Returns how many values were beyond float32.
    fn blocks(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        mut take: impl FnMut(Range<usize>, Range<usize>, &[f32]),
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
                    let values = floats(bytes.as_bytes());
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
}

/// The bytes of float32 as numbers.
fn floats(bytes: &[u8]) -> Vec<f32> {
    let numbers = bytes
        .chunks_exact(4)
        .map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    numbers.collect()
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
        check(self.shape, &rows, channels, out.len())?;
        let (dim, count, start) = (self.shape.dim(), rows.len(), rows.start);
        self.blocks(rows, channels, |block, span, values| {
            for (slot, &channel) in channels.iter().enumerate() {
                for row in block.clone() {
                    let from = ((row - block.start) * span.len() + channel - span.start) * dim;
                    let to = (slot * count + row - start) * dim;
                    out[to..to + dim].copy_from_slice(&values[from..from + dim]);
                }
            }
        })?;
        Ok(())
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        check(self.shape, &rows, channels, out.len())?;
        let (dim, start) = (self.shape.dim(), rows.start);
        self.blocks(rows, channels, |block, span, values| {
            for row in block.clone() {
                for (slot, &channel) in channels.iter().enumerate() {
                    let from = ((row - block.start) * span.len() + channel - span.start) * dim;
                    let to = ((row - start) * channels.len() + slot) * dim;
                    out[to..to + dim].copy_from_slice(&values[from..from + dim]);
                }
            }
        })?;
        Ok(())
    }

    fn beyond_f32(&self, rows: Range<usize>, channels: &[usize]) -> Result<u64> {
        if self.dtype != DType::F64 {
            return Ok(0);
        }
        self.blocks(rows, channels, |_, _, _| {})
    }
}

/// A layer under another name.
pub struct Named {
    pub name: String,
    pub layer: Box<dyn Layer>,
}

impl Layer for Named {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> LayerShape {
        self.layer.shape()
    }

    fn dtype(&self) -> DType {
        self.layer.dtype()
    }

    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.layer.read_channels(rows, channels, out)
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.layer.read_rows(rows, channels, out)
    }

    fn value_type(&self) -> ValueType {
        self.layer.value_type()
    }

    fn read_channels_f16(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [f16],
    ) -> Result<()> {
        self.layer.read_channels_f16(rows, channels, out)
    }

    fn read_rows_f16(&self, rows: Range<usize>, channels: &[usize], out: &mut [f16]) -> Result<()> {
        self.layer.read_rows_f16(rows, channels, out)
    }

    fn path(&self) -> Option<&Path> {
        self.layer.path()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.layer.check_unchanged()
    }

    fn big_endian(&self) -> bool {
        self.layer.big_endian()
    }

    fn rank(&self) -> usize {
        self.layer.rank()
    }

    fn beyond_f32(&self, rows: Range<usize>, channels: &[usize]) -> Result<u64> {
        self.layer.beyond_f32(rows, channels)
    }
}
