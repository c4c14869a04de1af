//! Reading from a copy.

use super::{CopyPlace, CopyShape, MAPS, hash_of_zeros};
use crate::io::convert::{Element, ReadAs};
use crate::io::file::DataFile;
use crate::io::layer::Layer;
use crate::io::parts::{Done, State};
use crate::{Error, Result};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A copy whose parts are all there. Any number of threads may read.
pub struct CopyReader {
    place: CopyPlace,
    shape: CopyShape,
    element: Element,
    parts: Vec<OpenPart>,
    /// Bytes read so far.
    read: AtomicU64,
}

struct OpenPart {
    number: usize,
    file: DataFile,
    /// Channel after channel.
    pieces: Vec<Checked>,
    /// Whether any piece was found to be another than was written.
    damaged: AtomicBool,
}

struct Checked {
    /// `None`: all zero, so that it is not even read.
    sum: Option<blake3::Hash>,
    /// Whether it was read and found to be what was written.
    good: AtomicBool,
}

/// Samples of a channel that lie in one piece of a part.
struct Wanted<'p> {
    part: &'p OpenPart,
    channel: usize,
    /// Samples of the piece, and those of them that are wanted, counted from the first one of the part.
    piece: Range<usize>,
    rows: Range<usize>,
    checked: &'p Checked,
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::default();
}

impl CopyPlace {
    /// Opens the copy of `layer`; `None` where a part is not there, or not as long as it should be.
    ///
    /// # Errors
    /// [`Error::Io`] where a part cannot be looked for.
    pub fn open(&self, layer: &dyn Layer, shape: &CopyShape) -> Result<Option<CopyReader>> {
        let mut parts = Vec::new();
        for number in 0..shape.parts() {
            let State::Done(done) = self.find(shape, number)? else {
                return Ok(None);
            };
            // Somebody else may have removed it since.
            let Some(part) = OpenPart::new(number, &done, shape) else {
                return Ok(None);
            };
            parts.push(part);
        }
        let element = Element {
            dtype: layer.dtype(),
            big_endian: layer.big_endian(),
        };
        Ok(Some(CopyReader {
            place: self.clone(),
            shape: *shape,
            element,
            parts,
            read: AtomicU64::new(0),
        }))
    }
}

impl OpenPart {
    fn new(number: usize, done: &Done, shape: &CopyShape) -> Option<Self> {
        let file = DataFile::open(&done.path(MAPS)).ok()?;
        let (_, count) = shape.pieces(number);
        let zeros = [0, count - 1].map(|index| {
            let hash = hash_of_zeros(shape.piece(number, index).len() * shape.map);
            hash.to_hex().to_string()
        });
        let record = done.marker().files.first()?;
        let checked = |(index, blake3): (usize, &String)| {
            let zero = *blake3 == zeros[usize::from(index % count + 1 == count)];
            // A checksum that is none is that of no bytes.
            let sum = blake3::Hash::from_hex(blake3).unwrap_or(blake3::Hash::from_bytes([0; 32]));
            Checked {
                sum: (!zero).then_some(sum),
                good: AtomicBool::new(false),
            }
        };
        let sums = record.pieces.iter().map(|piece| &piece.blake3);
        Some(Self {
            number,
            file,
            pieces: sums.enumerate().map(checked).collect(),
            damaged: AtomicBool::new(false),
        })
    }
}

impl CopyReader {
    /// Reads samples `rows` of a channel, `[rows, H * W]`. What is not as it was written is read by `instead`, which gets
    /// the samples and the place for their values.
    ///
    /// # Errors
    /// [`Error::Argument`] outside the copy; [`Error::WrongLength`] for an `out` of another size; what `instead` returns.
    pub(crate) fn get<T: ReadAs>(
        &self,
        channel: usize,
        rows: Range<usize>,
        out: &mut [T],
        instead: impl Fn(Range<usize>, &mut [T]) -> Result<()>,
    ) -> Result<()> {
        let shape = &self.shape;
        if channel >= shape.channels || rows.start > rows.end || rows.end > shape.samples {
            let got = format!("channel {channel}, samples {rows:?}");
            let expected = format!(
                "within {} channels and {} samples",
                shape.channels, shape.samples
            );
            return Err(Error::argument("maps", got, expected));
        }
        let dim = shape.map / self.element.dtype.size();
        if out.len() != rows.len() * dim {
            return Err(Error::WrongLength {
                name: "out",
                expected: rows.len() * dim,
                got: out.len(),
            });
        }
        let (mut row, mut out) = (rows.start, out);
        while row < rows.end {
            let part = &self.parts[row / shape.part];
            let first = shape.rows(part.number).start;
            let (each, count) = shape.pieces(part.number);
            let index = (row - first) / each;
            let piece = shape.piece(part.number, index);
            let end = rows.end.min(first + piece.end);
            let (values, rest) = out.split_at_mut((end - row) * dim);
            let wanted = Wanted {
                part,
                channel,
                rows: row - first..end - first,
                piece,
                checked: &part.pieces[channel * count + index],
            };
            if !self.read(&wanted, values) {
                part.damaged.store(true, Ordering::Relaxed);
                instead(row..end, values)?;
            }
            (row, out) = (end, rest);
        }
        Ok(())
    }

    /// Reads what is wanted; `false` where that is not possible, or the piece is not as it was written.
    fn read<T: ReadAs>(&self, wanted: &Wanted<'_>, out: &mut [T]) -> bool {
        let Some(sum) = wanted.checked.sum else {
            out.fill(T::zeroed());
            return true;
        };
        let good = wanted.checked.good.load(Ordering::Relaxed);
        let whole = wanted.rows == wanted.piece;
        if self.element.is_native::<T>() && (good || whole) {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(out);
            return self.fetch(wanted, &wanted.rows, bytes)
                && (good || wanted.checked.check(sum, bytes));
        }
        let rows = if good { &wanted.rows } else { &wanted.piece };
        BUFFER.with_borrow_mut(|buffer| {
            let map = self.shape.map;
            if buffer.len() < rows.len() * map {
                buffer.resize(rows.len() * map, 0);
            }
            let bytes = &mut buffer[..rows.len() * map];
            if !self.fetch(wanted, rows, bytes) || !(good || wanted.checked.check(sum, bytes)) {
                return false;
            }
            let from = (wanted.rows.start - rows.start) * map;
            let bytes = &bytes[from..from + wanted.rows.len() * map];
            match self.element.is_native::<T>() {
                true => bytemuck::cast_slice_mut(out).copy_from_slice(bytes),
                false => T::convert(self.element, bytes, out),
            }
            true
        })
    }

    /// Reads maps of a channel as they are stored.
    fn fetch(&self, wanted: &Wanted<'_>, rows: &Range<usize>, bytes: &mut [u8]) -> bool {
        let (part, channel) = (wanted.part, wanted.channel);
        let at = self.shape.byte(part.number, channel, rows.start);
        let read = part.file.read_exact_at(bytes, at).is_ok();
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        read
    }

    /// Bytes read from the copy so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Whether any piece that was read was another than was written.
    pub fn is_damaged(&self) -> bool {
        let damaged = |part: &OpenPart| part.damaged.load(Ordering::Relaxed);
        self.parts.iter().any(damaged)
    }

    /// Closes the copy, and removes the parts of it that were found to be damaged.
    ///
    /// # Errors
    /// [`Error::Output`] where anything lies in such a part that no run wrote; [`Error::Io`].
    pub fn close(self) -> Result<()> {
        let Self {
            place,
            shape,
            parts,
            ..
        } = self;
        let damaged = parts
            .into_iter()
            .filter_map(|part| part.damaged.into_inner().then_some(part.number));
        // Closed before they are removed.
        let damaged: Vec<usize> = damaged.collect();
        damaged.into_iter().try_for_each(|part| {
            match place.is_there(&shape, part) {
                true => place.remove(part),
                // Somebody else has noticed too.
                false => Ok(()),
            }
        })
    }
}

impl Checked {
    fn check(&self, sum: blake3::Hash, bytes: &[u8]) -> bool {
        let good = blake3::hash(bytes) == sum;
        self.good.store(good, Ordering::Relaxed);
        good
    }
}
