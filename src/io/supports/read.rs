//! Reading supports block by block. The files are hostile until proven sound.

use super::{MEMBERS, SIZES, SupportShape};
use crate::io::file::DataFile;
use crate::io::npy::{Descr, read_header};
use crate::io::spill::SupportBlock;
use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;

/// Bytes of sizes that are read at a time when the files are opened.
const PIECE: usize = 1 << 18;
/// What to do about files that are not as a run wrote them.
const REMEDY: &str = "measure the run again";

/// The supports that a run kept of a layer.
#[derive(Debug)]
pub struct StoredSupports {
    shape: SupportShape,
    sizes: Array,
    members: Array,
    /// `[Q + 1]`: where the members of each query begin, and where the last one's end.
    starts: Vec<u64>,
}

/// An array whose values are read as they are needed.
#[derive(Debug)]
struct Array {
    file: DataFile,
    /// First byte of the values.
    offset: u64,
    /// Bytes of a value.
    width: usize,
}

impl Array {
    /// Opens an array of unsigned numbers of this width; returns its shape too.
    fn open(path: &Path, width: usize) -> Result<(Self, Vec<u64>)> {
        let file = DataFile::open(path)?;
        let header = read_header(&file)?;
        let expected = Descr {
            kind: b'u',
            size: width,
            big_endian: false,
        };
        let found = header.descr;
        // One byte has no order.
        if found != expected && !(width == 1 && found.kind == b'u' && found.size == 1) {
            let what = format!("holds numbers of another type than <u{width}; {REMEDY}");
            return Err(Error::unsuitable(path, what));
        }
        let array = Self {
            file,
            offset: header.data_offset,
            width,
        };
        Ok((array, header.shape))
    }

    /// Reads some values as bytes.
    fn bytes(&self, values: Range<u64>) -> Result<Vec<u8>> {
        let width = self.width as u64;
        let count = (values.end - values.start) * width;
        let mut bytes = vec![0; count as usize];
        let at = self.offset + values.start * width;
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// The byte of a value in the file.
    fn byte(&self, value: u64) -> u64 {
        self.offset + value * self.width as u64
    }

    fn damaged(&self, value: u64, what: String) -> Error {
        Error::malformed(
            self.file.path(),
            Some(self.byte(value)),
            format!("{what}; {REMEDY}"),
        )
    }
}

/// Little-endian numbers of this width.
fn numbers(bytes: &[u8], width: usize) -> impl Iterator<Item = u32> + '_ {
    bytes.chunks_exact(width).map(|number| {
        let digits = number.iter().rev();
        digits.fold(0, |value, &byte| value << 8 | u32::from(byte))
    })
}

impl StoredSupports {
    /// Opens the supports that lie in a folder of results, and reads all sizes once. What is kept of them takes at most
    /// `memory` bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] for files that are not of this shape; [`Error::Memory`].
    pub fn open(folder: &Path, shape: SupportShape, memory: u64) -> Result<Self> {
        let (sizes, found) = Array::open(&folder.join(SIZES), shape.size_width())?;
        let expected = [shape.queries as u64, shape.channels as u64];
        if found != expected {
            let what = format!("has shape {found:?}, expected {expected:?}; {REMEDY}");
            return Err(Error::unsuitable(sizes.file.path(), what));
        }
        let (members, found) = Array::open(&folder.join(MEMBERS), shape.member_width())?;
        let &[count] = found.as_slice() else {
            let what = format!("has shape {found:?}, expected one dimension; {REMEDY}");
            return Err(Error::unsuitable(members.file.path(), what));
        };
        let needed = 8 * (shape.queries as u64 + 1);
        if needed > memory {
            return Err(Error::Memory {
                what: format!("the sizes of supports in {}", sizes.file.path().display()),
                needed,
                cap: memory,
            });
        }
        let mut opened = Self {
            shape,
            sizes,
            members,
            starts: vec![0],
        };
        opened.find_starts()?;
        let total = opened.starts.last().copied().unwrap_or(0);
        if total != count {
            let what = format!(
                "holds {count} members, and {SIZES} counts {total} in all supports; {REMEDY}"
            );
            return Err(Error::unsuitable(opened.members.file.path(), what));
        }
        Ok(opened)
    }

    /// Adds up the sizes of every query.
    fn find_starts(&mut self) -> Result<()> {
        let (channels, queries) = (self.shape.channels, self.shape.queries);
        // Without channels nothing is counted, and the number of queries may be any.
        if channels == 0 {
            return Ok(());
        }
        self.starts.reserve_exact(queries);
        let step = (PIECE / (channels * self.sizes.width)).max(1);
        let mut total = 0;
        for first in (0..queries).step_by(step) {
            let sizes = self.read_sizes(first..queries.min(first + step))?;
            for of_query in sizes.chunks_exact(channels) {
                total += of_query.iter().flatten().map(|&s| s as u64).sum::<u64>();
                self.starts.push(total);
            }
        }
        Ok(())
    }

    /// The sizes of some queries' supports, `[queries, C]`; `None` for degenerate ones.
    fn read_sizes(&self, queries: Range<usize>) -> Result<Vec<Option<usize>>> {
        let channels = self.shape.channels as u64;
        let first = queries.start as u64 * channels;
        let bytes = self.sizes.bytes(first..queries.end as u64 * channels)?;
        let sizes = numbers(&bytes, self.sizes.width).zip(first..);
        let checked = sizes.map(|(size, at)| match size as usize {
            size if size == self.shape.degenerate() => Ok(None),
            size if size <= self.shape.k => Ok(Some(size)),
            size => {
                let what = format!(
                    "counts {size} members of one support, of at most {}",
                    self.shape.k
                );
                Err(self.sizes.damaged(at, what))
            }
        });
        checked.collect()
    }

    /// Queries.
    pub fn queries(&self) -> usize {
        self.shape.queries
    }

    /// The supports of `queries` in every channel. Their members are indices of samples in the layer as it was given.
    ///
    /// # Errors
    /// [`Error::Argument`] outside the queries; [`Error::Io`]; [`Error::File`] for supports that no graph has.
    pub fn get(&self, queries: Range<usize>) -> Result<SupportBlock> {
        let SupportShape {
            channels,
            queries: all,
            k,
            samples,
        } = self.shape;
        if queries.start > queries.end || queries.end > all {
            let expected = format!("a range within the {all} queries");
            return Err(Error::argument("queries", format!("{queries:?}"), expected));
        }
        let count = queries.len();
        let mut block = SupportBlock {
            indices: vec![-1; channels * count * k],
            degenerate: vec![false; channels * count],
        };
        if channels == 0 {
            return Ok(block);
        }
        let sizes = self.read_sizes(queries.clone())?;
        let place = self.starts[queries.start]..self.starts[queries.end];
        if sizes.iter().flatten().sum::<usize>() as u64 != place.end - place.start {
            let what = format!("was changed while it was read; {REMEDY}");
            return Err(Error::unsuitable(self.sizes.file.path(), what));
        }
        let bytes = self.members.bytes(place.clone())?;
        let mut members = numbers(&bytes, self.members.width);
        let mut at = place.start;
        for (i, size) in sizes.into_iter().enumerate() {
            let (query, channel) = (i / channels, i % channels);
            let support = channel * count + query;
            let Some(size) = size else {
                block.degenerate[support] = true;
                continue;
            };
            let mut before = None;
            let slots = &mut block.indices[support * k..][..size];
            for (slot, member) in slots.iter_mut().zip(&mut members) {
                if member as usize >= samples {
                    let what = format!("names sample {member} of {samples}");
                    return Err(self.members.damaged(at, what));
                }
                if before.is_some_and(|before| before >= member) {
                    let what = "holds a support whose members do not ascend".to_string();
                    return Err(self.members.damaged(at, what));
                }
                before = Some(member);
                *slot = member as i32;
                at += 1;
            }
        }
        Ok(block)
    }
}
