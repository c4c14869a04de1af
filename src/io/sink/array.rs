//! `.npy` files, whole or filled block by block.

use super::files::Ticket;
use super::memory::{Memory, Unfinished};
use crate::error::OutputProblem;
use crate::io::fs;
use crate::tensor::checked_product;
use crate::{Error, Result};
use half::f16;
use std::fs::File;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Types that can be written. Values lie in the file as in memory; the header says in which byte order.
pub trait NpyElement: bytemuck::NoUninit + Send + Sync {
    /// NumPy's kind and width: `f4`.
    const KIND: &'static str;
}

macro_rules! elements {
    ($($kind:literal $element:ty),*) => {$(
        impl NpyElement for $element {
            const KIND: &'static str = $kind;
        }
    )*};
}
elements!("f2" f16, "f4" f32, "f8" f64, "i4" i32, "i8" i64, "u1" u8, "u2" u16, "u4" u32, "b1" bool);

/// An array that is being written. Thread-safe: blocks may come from any thread, in any order, each once.
#[derive(Debug)]
pub struct ArrayWriter<T> {
    target: Target,
    /// The place the file will have in the end, for messages.
    path: PathBuf,
    data_offset: u64,
    len: u64,
    written: AtomicU64,
    ticket: Option<Ticket>,
    element: PhantomData<fn(T)>,
}

#[derive(Debug)]
enum Target {
    File(File),
    Memory(Unfinished),
}

impl<T: NpyElement> ArrayWriter<T> {
    /// Takes the room on the disk at once where the system can: a disk too small shows now, not after hours.
    pub(super) fn create(
        at: &Path,
        path: PathBuf,
        shape: &[usize],
        ticket: Option<Ticket>,
    ) -> Result<Self> {
        let dims: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
        let header = header::<T>(shape);
        let total = checked_product(&dims)
            .and_then(|n| n.checked_mul(size_of::<T>() as u64))
            .and_then(|n| n.checked_add(header.len() as u64))
            .filter(|&n| i64::try_from(n).is_ok());
        let Some(total) = total else {
            let shape = shape.to_vec();
            return Err(Error::output(path, OutputProblem::TooLarge { shape }));
        };
        let file = fs::create_new(at).map_err(|e| Error::io(&path, "create", e))?;
        fs::reserve(&file, total)
            .map_err(|e| Error::io(&path, format!("reserve {total} bytes for"), e))?;
        let writer = Self {
            target: Target::File(file),
            path,
            data_offset: header.len() as u64,
            len: (total - header.len() as u64) / size_of::<T>() as u64,
            written: AtomicU64::new(0),
            ticket,
            element: PhantomData,
        };
        writer.write_bytes(&header, 0)?;
        Ok(writer)
    }

    /// An array of an output in memory.
    pub(super) fn in_memory(
        memory: &Memory,
        name: &str,
        shape: &[usize],
        ticket: Ticket,
    ) -> Result<Self> {
        let path = PathBuf::from(name);
        let dims = shape.iter().map(|&d| d as u64).collect::<Vec<_>>();
        let total = checked_product(&dims)
            .and_then(|n| n.checked_mul(size_of::<T>() as u64))
            .filter(|&n| i64::try_from(n).is_ok())
            .and_then(|n| usize::try_from(n).ok());
        let Some(total) = total else {
            let shape = shape.to_vec();
            return Err(Error::output(path, OutputProblem::TooLarge { shape }));
        };
        let Some(unfinished) = memory.begin(name, T::KIND, shape, total) else {
            let action = format!("reserve {total} bytes of memory for");
            return Err(Error::io(path, action, ErrorKind::OutOfMemory.into()));
        };
        Ok(Self {
            target: Target::Memory(unfinished),
            path,
            data_offset: 0,
            len: (total / size_of::<T>()) as u64,
            written: AtomicU64::new(0),
            ticket: Some(ticket),
            element: PhantomData,
        })
    }

    /// An array in a part of a run, which keeps its own list of files.
    pub(in crate::io) fn in_part(at: &Path, path: PathBuf, shape: &[usize]) -> Result<Self> {
        Self::create(at, path, shape, None)
    }

    /// Writes `values` from element `first` on, in C order.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] past the end; [`Error::Io`], also when the disk is full.
    pub fn write(&self, first: usize, values: &[T]) -> Result<()> {
        let end = (first as u64).checked_add(values.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(Error::OutOfRange {
                name: "values",
                got: first..first.saturating_add(values.len()),
                len: usize::try_from(self.len).unwrap_or(usize::MAX),
            });
        }
        let offset = self.data_offset + (first * size_of::<T>()) as u64;
        self.write_bytes(bytemuck::cast_slice(values), offset)?;
        self.written
            .fetch_add(values.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Ends the array.
    ///
    /// # Errors
    /// [`Error::Output`] when not every element was written exactly once.
    pub fn finish(self) -> Result<()> {
        let written = self.written.load(Ordering::Relaxed);
        if written != self.len {
            let problem = OutputProblem::Incomplete {
                written,
                expected: self.len,
            };
            return Err(Error::output(&self.path, problem));
        }
        if let Target::Memory(unfinished) = self.target {
            unfinished.finish();
        }
        if let Some(ticket) = self.ticket {
            ticket.done();
        }
        Ok(())
    }

    fn write_bytes(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let file = match &self.target {
            Target::File(file) => file,
            Target::Memory(unfinished) => {
                // `write` has checked that the bytes lie within the array, whose size fits `usize`.
                unfinished.write(bytes, offset as usize);
                return Ok(());
            }
        };
        fs::write_all_at(file, bytes, offset).map_err(|e| {
            let action = format!("write {} bytes at byte {offset} of", bytes.len());
            Error::io(&self.path, action, e)
        })
    }
}

/// Magic, version 1 (or 2 where the shape is long), and the dictionary padded to 64 bytes.
fn header<T: NpyElement>(shape: &[usize]) -> Vec<u8> {
    let order = match (size_of::<T>(), cfg!(target_endian = "little")) {
        (1, _) => '|',
        (_, true) => '<',
        _ => '>',
    };
    let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    // One dimension keeps its comma, as Python writes it.
    let dims = if shape.len() == 1 {
        dims.trim_end()
    } else {
        dims.trim_end_matches(", ")
    };
    let dict = format!(
        "{{'descr': '{order}{}', 'fortran_order': False, 'shape': ({dims}), }}",
        T::KIND
    );
    let total = (10 + dict.len() + 1).div_ceil(64) * 64;
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(((total - 10) as u16).to_le_bytes());
    out.extend(dict.as_bytes());
    out.resize(total - 1, b' ');
    out.push(b'\n');
    out
}
