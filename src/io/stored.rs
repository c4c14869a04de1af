//! A layer whose numbers lie in one piece in a file: what `.npy` and `.safetensors` have in common.
//!
//! Whole samples are read in large runs, which several threads share. Of some channels, `gather` says which parts of every
//! sample are read. Wherever the next reads can be told, the system is told of them, and fetches them from the disk while
//! the bytes before are converted.

mod gather;
mod scratch;

use super::convert::{Element, ReadAs};
use super::file::DataFile;
use super::layer::{Layer, check_request, not_f16};
use crate::Result;
use crate::tensor::{DType, LayerShape, ValueType};
use gather::{MAX_GAP, Piece, Span, copy_part, copy_rows, file_order, pieces, row_elements, spans};
use half::f16;
use scratch::{SCRATCH, Scratch, in_parallel};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Elements read at a time when they have to be converted or scattered: they stay in the core's cache.
const CHUNK: usize = 64 * 1024;
/// Bytes of a run that are worth a thread of their own.
const PER_THREAD: usize = 4 << 20;
/// Bytes of a run of which the system is told ahead.
const AHEAD: usize = 4 << 20;
/// Samples whose parts the system is told of ahead, so that a disk has enough reads to work on at a time.
const ROWS_AHEAD: usize = 64;

/// `[N, C, H, W]` in C order from `offset` on.
pub(crate) struct Stored {
    file: Arc<DataFile>,
    name: String,
    shape: LayerShape,
    element: Element,
    offset: u64,
    rank: usize,
    /// Bytes of values read so far.
    read: AtomicU64,
}

impl Stored {
    /// `rank` counts the dimensions of the array in the file. The caller has checked that the file holds all of
    /// it.
    pub(crate) fn new(
        file: Arc<DataFile>,
        name: String,
        shape: LayerShape,
        element: Element,
        offset: u64,
        rank: usize,
    ) -> Self {
        Self {
            file,
            name,
            shape,
            element,
            offset,
            rank,
            read: AtomicU64::new(0),
        }
    }
}

impl Layer for Stored {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> LayerShape {
        self.shape
    }

    fn dtype(&self) -> DType {
        self.element.dtype
    }

    fn path(&self) -> Option<&Path> {
        self.file.opened().map(|_| self.file.path())
    }

    fn check_unchanged(&self) -> Result<()> {
        self.file.check_unchanged()
    }

    fn big_endian(&self) -> bool {
        self.element.big_endian && self.element.dtype.size() > 1
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn beyond_f32(&self, rows: Range<usize>, channels: &[usize]) -> Result<u64> {
        if self.element.dtype != DType::F64 {
            return Ok(0);
        }
        let (dim, row_len) = (self.shape.dim(), self.shape.row_len());
        let mut chosen = vec![false; self.shape.channels];
        for &channel in channels {
            chosen[channel] = true;
        }
        let (start, end) = (rows.start * row_len, rows.end * row_len);
        let mut bytes = vec![0; 8 * CHUNK.min(end - start)];
        let mut count = 0;
        for first in (start..end).step_by(CHUNK) {
            let bytes = &mut bytes[..8 * CHUNK.min(end - first)];
            self.fetch(bytes, first)?;
            for (i, &stored) in bytes.as_chunks::<8>().0.iter().enumerate() {
                let value = match self.element.big_endian {
                    true => f64::from_be_bytes(stored),
                    false => f64::from_le_bytes(stored),
                };
                let lost = value.is_finite() && (value as f32).is_infinite();
                count += u64::from(lost && chosen[(first + i) / dim % self.shape.channels]);
            }
        }
        Ok(count)
    }

    fn row_bytes(&self, channels: &[usize]) -> u64 {
        let (dim, row_len) = (self.shape.dim(), self.shape.row_len());
        let elements = row_elements(channels, dim, row_len, self.max_gap());
        (elements * self.element.dtype.size()) as u64
    }

    fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn read_stored(&self, rows: Range<usize>, out: &mut [u8]) -> Result<bool> {
        let size = self.element.dtype.size();
        let channels: Vec<usize> = (0..self.shape.channels).collect();
        check_request(self.shape, &rows, &channels, out.len() / size)?;
        let first = rows.start * self.shape.row_len();
        in_parallel(out, PER_THREAD, |at, out| {
            for (i, part) in out.chunks_mut(AHEAD).enumerate() {
                let first = first + (at + i * AHEAD) / size;
                self.tell_of_next(first, part.len() / size);
                self.fetch(part, first)?;
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn value_type(&self) -> ValueType {
        match self.element.dtype {
            DType::F16 => ValueType::F16,
            _ => ValueType::F32,
        }
    }

    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.channels_as(rows, channels, out)
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        self.rows_as(rows, channels, out)
    }

    fn read_channels_f16(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [f16],
    ) -> Result<()> {
        self.check_f16()?;
        self.channels_as(rows, channels, out)
    }

    fn read_rows_f16(&self, rows: Range<usize>, channels: &[usize], out: &mut [f16]) -> Result<()> {
        self.check_f16()?;
        self.rows_as(rows, channels, out)
    }
}

impl Stored {
    fn check_f16(&self) -> Result<()> {
        match self.element.dtype {
            DType::F16 => Ok(()),
            other => Err(not_f16(other)),
        }
    }

    /// Channel-major.
    fn channels_as<T: ReadAs>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [T],
    ) -> Result<()> {
        check_request(self.shape, &rows, channels, out.len())?;
        let (dim, count) = (self.shape.dim(), rows.len());
        self.gather(rows, channels, |slot| (slot * count * dim, dim), out)
    }

    /// Sample-major.
    fn rows_as<T: ReadAs>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        out: &mut [T],
    ) -> Result<()> {
        check_request(self.shape, &rows, channels, out.len())?;
        if channels.iter().copied().eq(0..self.shape.channels) {
            // As they lie: found out without sorting.
            return self.read_run(rows.start * self.shape.row_len(), out);
        }
        let dim = self.shape.dim();
        self.gather(
            rows,
            channels,
            |slot| (slot * dim, channels.len() * dim),
            out,
        )
    }

    /// Reads `channels` of `rows`; `place(slot)` is the first output index and the stride per row.
    fn gather<T: ReadAs>(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        place: impl Fn(usize) -> (usize, usize),
        out: &mut [T],
    ) -> Result<()> {
        let (dim, row_len) = (self.shape.dim(), self.shape.row_len());
        let (slots, repeats) = file_order(channels);
        let pieces = pieces(channels, &slots, dim, rows.len(), &place);
        let first = rows.start * row_len;
        match pieces[..] {
            _ if rows.is_empty() => {}
            [] => {}
            [p] if p.len == row_len && (rows.len() == 1 || p.stride == row_len) => {
                self.read_run(first, &mut out[p.base..p.base + rows.len() * row_len])?;
            }
            _ => SCRATCH.with_borrow_mut(|s| self.scatter(first, rows.len(), &pieces, s, out))?,
        }
        for (slot, read) in repeats {
            let ((to, stride), (from, _)) = (place(slot), place(read));
            for row in 0..rows.len() {
                let from = from + row * stride;
                out.copy_within(from..from + dim, to + row * stride);
            }
        }
        Ok(())
    }

    /// Elements `first ..` in file order.
    pub(super) fn read_run<T: ReadAs>(&self, first: usize, out: &mut [T]) -> Result<()> {
        let size = self.element.dtype.size();
        in_parallel(out, PER_THREAD / size, |at, out| {
            let first = first + at;
            for (i, part) in out.chunks_mut(AHEAD / size).enumerate() {
                let first = first + i * (AHEAD / size);
                self.tell_of_next(first, part.len());
                self.read_part(first, part)?;
            }
            Ok(())
        })
    }

    fn read_part<T: ReadAs>(&self, first: usize, out: &mut [T]) -> Result<()> {
        if self.element.is_native::<T>() {
            return self.fetch(bytemuck::cast_slice_mut(out), first);
        }
        SCRATCH.with_borrow_mut(|s| {
            for (i, chunk) in out.chunks_mut(CHUNK).enumerate() {
                let bytes = s.bytes(chunk.len() * self.element.dtype.size());
                self.fetch(bytes, first + i * CHUNK)?;
                T::convert(self.element, bytes, chunk);
            }
            Ok(())
        })
    }

    /// Reads the spans of `rows` samples that begin at element `first`, and copies the pieces out.
    fn scatter<T: ReadAs>(
        &self,
        first: usize,
        rows: usize,
        pieces: &[Piece],
        scratch: &mut Scratch,
        out: &mut [T],
    ) -> Result<()> {
        let row_len = self.shape.row_len();
        let wanted = pieces.iter().map(|p| p.start..p.start + p.len);
        let spans = spans(wanted, row_len, self.max_gap());
        let through = matches!(&spans[..], [span] if span.elements == (0..row_len));
        let step = match through {
            true => (CHUNK / row_len).max(1),
            false => 1,
        };
        let mut told = 0;
        for row in (0..rows).step_by(step) {
            while !through && told < rows.min(row + ROWS_AHEAD) {
                for span in &spans {
                    self.tell_of(
                        first + told * row_len + span.elements.start,
                        span.elements.len(),
                    );
                }
                told += 1;
            }
            let some = row..rows.min(row + step);
            for span in &spans {
                self.scatter_span(first, some.clone(), span, pieces, scratch, out)?;
            }
        }
        Ok(())
    }

    /// Reads a span of one row, or of several rows in which it is all there is.
    fn scatter_span<T: ReadAs>(
        &self,
        first: usize,
        rows: Range<usize>,
        span: &Span,
        pieces: &[Piece],
        scratch: &mut Scratch,
        out: &mut [T],
    ) -> Result<()> {
        let row_len = self.shape.row_len();
        let (lo, pieces) = (span.elements.start, &pieces[span.pieces.clone()]);
        let from = first + rows.start * row_len;
        let len = (rows.len() - 1) * row_len + span.elements.len();
        if len <= CHUNK {
            let values = self.values(scratch, from + lo, len)?;
            copy_rows(pieces, rows, row_len, lo, values, out);
            return Ok(());
        }
        for start in span.elements.clone().step_by(CHUNK) {
            let part = start..span.elements.end.min(start + CHUNK);
            let values = self.values(scratch, from + start, part.len())?;
            copy_part(pieces, rows.start, part, values, out);
        }
        Ok(())
    }

    /// Elements `first ..` in `scratch`.
    fn values<'s, T: ReadAs>(
        &self,
        scratch: &'s mut Scratch,
        first: usize,
        len: usize,
    ) -> Result<&'s [T]> {
        let (bytes, values) = scratch.both(len * self.element.dtype.size(), len);
        if self.element.is_native::<T>() {
            self.fetch(bytemuck::cast_slice_mut(values), first)?;
        } else {
            self.fetch(bytes, first)?;
            T::convert(self.element, bytes, values);
        }
        Ok(values)
    }

    /// Bytes as stored from element `first` on. Everything that is read of a layer's values passes here.
    fn fetch(&self, bytes: &mut [u8], first: usize) -> Result<()> {
        self.file.read_exact_at(bytes, self.byte(first))?;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Tells the system what follows a part of a long run. Short ones are left to the system's own guess.
    fn tell_of_next(&self, first: usize, len: usize) {
        if len * self.element.dtype.size() == AHEAD {
            self.tell_of(first + len, len);
        }
    }

    /// Tells the system that `len` elements from `first` on are read soon.
    fn tell_of(&self, first: usize, len: usize) {
        let len = len.min(self.shape.len().saturating_sub(first));
        if len > 0 {
            let bytes = (len * self.element.dtype.size()) as u64;
            self.file.hint_soon(self.byte(first), bytes);
        }
    }

    fn max_gap(&self) -> usize {
        MAX_GAP / self.element.dtype.size()
    }

    fn byte(&self, element: usize) -> u64 {
        self.offset + element as u64 * self.element.dtype.size() as u64
    }
}
