//! A layer whose numbers lie in one piece in a file: what `.npy` and `.safetensors` have in common.

use super::convert::Element;
use super::file::DataFile;
use super::layer::{Layer, check_request};
use crate::Result;
use crate::tensor::{DType, LayerShape};
use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Bytes between two wanted pieces that are cheaper to read through than to skip.
const MAX_GAP: usize = 16 * 1024;
/// Elements read at a time when they have to be converted or scattered: they stay in the core's cache.
const CHUNK: usize = 64 * 1024;

/// `[N, C, H, W]` in C order from `offset` on.
pub(crate) struct Stored {
    file: Arc<DataFile>,
    name: String,
    shape: LayerShape,
    element: Element,
    offset: u64,
    rank: usize,
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
        Some(self.file.path())
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
            self.file.read_exact_at(bytes, self.byte(first))?;
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

    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
        check_request(self.shape, &rows, channels, out.len())?;
        let (dim, count) = (self.shape.dim(), rows.len());
        self.gather(rows, channels, |slot| (slot * count * dim, dim), out)
    }

    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
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
}

/// A wanted run of elements in every row, and where it goes: `out[base + row * stride ..]`.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    len: usize,
    base: usize,
    stride: usize,
}

impl Stored {
    /// Reads `channels` of `rows`; `place(slot)` is the first output index and the stride per row.
    fn gather(
        &self,
        rows: Range<usize>,
        channels: &[usize],
        place: impl Fn(usize) -> (usize, usize),
        out: &mut [f32],
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
    fn read_run(&self, first: usize, out: &mut [f32]) -> Result<()> {
        if self.element.is_native_f32() {
            return self
                .file
                .read_exact_at(bytemuck::cast_slice_mut(out), self.byte(first));
        }
        SCRATCH.with_borrow_mut(|s| {
            for (i, chunk) in out.chunks_mut(CHUNK).enumerate() {
                let bytes = s.bytes(chunk.len() * self.element.dtype.size());
                self.file
                    .read_exact_at(bytes, self.byte(first + i * CHUNK))?;
                self.element.widen(bytes, chunk);
            }
            Ok(())
        })
    }

    /// Reads chunk after chunk, through small gaps and over large ones, and copies the pieces out.
    fn scatter(
        &self,
        first: usize,
        rows: usize,
        pieces: &[Piece],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<()> {
        let size = self.element.dtype.size();
        let row_len = self.shape.row_len();
        let plan = Chunks {
            pieces,
            row_len,
            rows,
            max_len: CHUNK,
            max_gap: MAX_GAP / size,
        };
        let mut at = Cursor::default();
        while let Some((lo, hi, next)) = plan.chunk(at) {
            let (bytes, values) = scratch.both((hi - lo) * size, hi - lo);
            if self.element.is_native_f32() {
                let bytes = bytemuck::cast_slice_mut(values);
                self.file.read_exact_at(bytes, self.byte(first + lo))?;
            } else {
                self.file.read_exact_at(bytes, self.byte(first + lo))?;
                self.element.widen(bytes, values);
            }
            plan.copy_out(at, next, lo, values, out);
            at = next;
        }
        Ok(())
    }

    fn byte(&self, element: usize) -> u64 {
        self.offset + element as u64 * self.element.dtype.size() as u64
    }
}

/// Slots of distinct channels in file order, and (slot, slot of the same channel) for the repeated ones.
fn file_order(channels: &[usize]) -> (Vec<usize>, Vec<(usize, usize)>) {
    let mut order: Vec<usize> = (0..channels.len()).collect();
    order.sort_by_key(|&slot| channels[slot]);
    let (mut slots, mut repeats) = (Vec::<usize>::with_capacity(order.len()), Vec::new());
    for slot in order {
        match slots.last() {
            Some(&read) if channels[read] == channels[slot] => repeats.push((slot, read)),
            _ => slots.push(slot),
        }
    }
    (slots, repeats)
}

/// Wanted pieces of one row in file order, neighbours joined where they stay neighbours in the output.
fn pieces(
    channels: &[usize],
    slots: &[usize],
    dim: usize,
    rows: usize,
    place: impl Fn(usize) -> (usize, usize),
) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(slots.len());
    for &slot in slots {
        let (base, stride) = place(slot);
        let start = channels[slot] * dim;
        match pieces.last_mut() {
            Some(p)
                if p.start + p.len == start
                    && p.base + p.len == base
                    && (rows == 1 || p.stride == stride) =>
            {
                p.len += dim;
            }
            _ => pieces.push(Piece {
                start,
                len: dim,
                base,
                stride,
            }),
        }
    }
    pieces
}

/// How far a scatter has come: elements `..done` of `piece` in `row` are copied.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Cursor {
    row: usize,
    piece: usize,
    done: usize,
}

struct Chunks<'a> {
    pieces: &'a [Piece],
    row_len: usize,
    rows: usize,
    max_len: usize,
    max_gap: usize,
}

impl Chunks<'_> {
    fn after(&self, at: Cursor) -> Cursor {
        let last = at.piece + 1 == self.pieces.len();
        Cursor {
            row: at.row + usize::from(last),
            piece: if last { 0 } else { at.piece + 1 },
            done: 0,
        }
    }

    /// Copies what lies between two cursors from `values`, which begin at element `lo`.
    fn copy_out(&self, mut at: Cursor, to: Cursor, lo: usize, values: &[f32], out: &mut [f32]) {
        // Whole rows piece by piece: in channel-major order the output is then written in runs.
        let begins = at.piece == 0 && at.done == 0;
        let whole = at.row + usize::from(!begins)..to.row;
        while at != to && (at.row < whole.start || whole.is_empty()) {
            at = self.copy_piece(at, to, lo, values, out);
        }
        if whole.is_empty() {
            return;
        }
        // Pieces shorter than a cache line go together, so that a line is fetched once.
        for group in self.pieces.chunks(16usize.div_ceil(self.pieces[0].len)) {
            for row in whole.clone() {
                for p in group {
                    let from = row * self.row_len + p.start - lo;
                    let to = p.base + row * p.stride;
                    match (&mut out[to..][..p.len], &values[from..][..p.len]) {
                        ([to], [from]) => *to = *from,
                        (to, from) => to.copy_from_slice(from),
                    }
                }
            }
        }
        at = Cursor {
            row: whole.end,
            ..Cursor::default()
        };
        while at != to {
            at = self.copy_piece(at, to, lo, values, out);
        }
    }

    /// Copies one piece, or the part of it up to `to`.
    fn copy_piece(
        &self,
        at: Cursor,
        to: Cursor,
        lo: usize,
        values: &[f32],
        out: &mut [f32],
    ) -> Cursor {
        let p = self.pieces[at.piece];
        let last = (at.row, at.piece) == (to.row, to.piece);
        let end = if last { to.done } else { p.len };
        let from = at.row * self.row_len + p.start + at.done - lo;
        let first = p.base + at.row * p.stride + at.done;
        let len = end - at.done;
        out[first..first + len].copy_from_slice(&values[from..from + len]);
        if end == p.len {
            self.after(at)
        } else {
            Cursor { done: end, ..at }
        }
    }

    /// The elements `lo..hi` to read next (relative to the first row) and where the cursor is after them.
    fn chunk(&self, at: Cursor) -> Option<(usize, usize, Cursor)> {
        if at.row >= self.rows {
            return None;
        }
        let lo = at.row * self.row_len + self.pieces[at.piece].start + at.done;
        let (mut hi, mut next) = (lo, at);
        while next.row < self.rows {
            let p = self.pieces[next.piece];
            let start = next.row * self.row_len + p.start + next.done;
            let end = next.row * self.row_len + p.start + p.len;
            if start > hi + self.max_gap || start >= lo + self.max_len {
                break;
            }
            if end > lo + self.max_len {
                hi = lo + self.max_len;
                next.done += hi - start;
                break;
            }
            hi = hi.max(end);
            next = self.after(next);
        }
        Some((lo, hi, next))
    }
}

/// Buffers of one thread, reused: at most [`CHUNK`] bytes as stored, and the same elements as `f32`.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u64>,
    values: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Aligned for every element type.
    fn bytes(&mut self, len: usize) -> &mut [u8] {
        self.both(len, 0).0
    }

    fn both(&mut self, bytes: usize, values: usize) -> (&mut [u8], &mut [f32]) {
        let words = bytes.div_ceil(8);
        if self.bytes.len() < words {
            self.bytes.resize(words, 0);
        }
        if self.values.len() < values {
            self.values.resize(values, 0.0);
        }
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut self.bytes);
        (&mut all[..bytes], &mut self.values[..values])
    }
}
