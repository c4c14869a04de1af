//! Arrays in memory, read where they lie.

use crate::layers::{Order, check, check_f16, value_type};
use chanscope::Result;
use chanscope::io::layer::Layer;
use chanscope::tensor::{DType, LayerShape, ValueType};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::ops::Range;
use std::sync::Arc;

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
    /// Copies the map of a sample and channel. `run` copies elements of the array's type: from an address on, so many bytes
    /// from each other.
    fn map<O>(
        &self,
        row: usize,
        channel: usize,
        out: &mut [O],
        run: impl Fn(isize, isize, &mut [O]),
    ) {
        let [n, c, h, w] = self.strides;
        let first = self.first as isize + row as isize * n + channel as isize * c;
        let (width, size) = (self.shape.width, self.dtype.size() as isize);
        if w == size && (h == width as isize * size || self.shape.height == 1) {
            return run(first, size, out);
        }
        for (y, line) in out.chunks_exact_mut(width).enumerate() {
            run(first + y as isize * h, w, line);
        }
    }

    /// Copies samples `rows` of `channels`.
    fn copy<O>(
        &self,
        order: Order,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [O],
        run: impl Fn(isize, isize, &mut [O]),
    ) -> Result<()> {
        check(self.shape, &rows, channels, out.len())?;
        let maps = out.chunks_exact_mut(self.shape.dim());
        for ((row, slot), map) in order.maps(rows.len(), channels.len()).zip(maps) {
            self.map(rows.start + row, channels[slot], map, &run);
        }
        Ok(())
    }

    /// Copies elements as float32.
    fn as_f32(&self, first: isize, step: isize, out: &mut [f32]) {
        match self.dtype {
            DType::F32 => copy(first, step, out, |v: f32| v),
            DType::F16 if step == 2 && first % 2 == 0 => {
                // SAFETY: as in `copy`; the address is a multiple of two, and an f16 is any two bytes.
                let values = unsafe { std::slice::from_raw_parts(first as *const f16, out.len()) };
                values.convert_to_f32_slice(out);
            }
            DType::F16 => copy(first, step, out, |v| f16::from_bits(v).to_f32()),
            DType::BF16 => copy(first, step, out, |v| bf16::from_bits(v).to_f32()),
            DType::F64 => copy(first, step, out, |v: f64| v as f32),
            DType::U8 => copy::<u8, _>(first, step, out, f32::from),
            DType::I8 => copy::<i8, _>(first, step, out, f32::from),
        }
    }
}

/// Copies elements of float16 as they are.
fn as_f16(first: isize, step: isize, out: &mut [f16]) {
    copy(first, step, out, f16::from_bits);
}

/// Copies elements that lie `step` bytes from each other.
fn copy<T: Copy, O>(first: isize, step: isize, out: &mut [O], convert: impl Fn(T) -> O) {
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
        let run = |first, step, out: &mut [f32]| self.as_f32(first, step, out);
        self.copy(Order::ChannelMajor, rows, channels, out, run)
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        let run = |first, step, out: &mut [f32]| self.as_f32(first, step, out);
        self.copy(Order::SampleMajor, rows, channels, out, run)
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
        self.copy(Order::ChannelMajor, rows, channels, out, as_f16)
    }

    fn read_rows_f16(&self, rows: Range<usize>, channels: &[usize], out: &mut [f16]) -> Result<()> {
        check_f16(self.dtype)?;
        self.copy(Order::SampleMajor, rows, channels, out, as_f16)
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
