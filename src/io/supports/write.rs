//! Writing supports, block by block.

use super::{MEMBERS, SIZES, SupportShape};
use crate::Result;
use crate::io::sink::{ArrayWriter, NpyElement, Output};
use crate::io::spill::SupportBlock;
use std::ops::Range;

/// Writes the supports of a layer, which `get` reads for any range of its queries, into `folder` of `output`, a name that ends
/// in `/`. About `memory` bytes are used beside what `get` takes. Where samples were left out, `kept` holds the indices of the
/// others in the layer as it was given.
///
/// # Errors
/// What `get` returns; as [`Output::array`].
pub fn write_supports(
    output: &Output,
    folder: &str,
    shape: SupportShape,
    kept: Option<&[usize]>,
    memory: u64,
    get: &dyn Fn(Range<usize>) -> Result<SupportBlock>,
) -> Result<()> {
    let writing = Writing {
        output,
        folder,
        shape,
        kept,
        memory,
        get,
    };
    // How many members there are is only known when all sizes are: the supports are read twice.
    let members = match shape.size_width() {
        1 => writing.sizes::<u8>(|size| size as u8)?,
        _ => writing.sizes::<u16>(|size| size as u16)?,
    };
    match shape.member_width() {
        1 => writing.members::<u8>(members, |member| member as u8),
        2 => writing.members::<u16>(members, |member| member as u16),
        _ => writing.members::<u32>(members, |member| member),
    }
}

struct Writing<'a> {
    output: &'a Output,
    folder: &'a str,
    shape: SupportShape,
    kept: Option<&'a [usize]>,
    memory: u64,
    get: &'a dyn Fn(Range<usize>) -> Result<SupportBlock>,
}

impl Writing<'_> {
    fn begin<T: NpyElement>(&self, name: &str, shape: &[usize]) -> Result<ArrayWriter<T>> {
        self.output
            .array_writer(&format!("{}{name}", self.folder), shape)
    }

    /// The queries in blocks.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let queries = self.shape.queries;
        let step = self.shape.queries_at_a_time(self.memory);
        let firsts = (0..queries).step_by(step);
        firsts.map(move |first| first..queries.min(first + step))
    }

    /// Writes the sizes; returns their sum.
    fn sizes<T: NpyElement>(&self, stored: impl Fn(usize) -> T) -> Result<usize> {
        let SupportShape {
            channels, queries, ..
        } = self.shape;
        let writer = self.begin(SIZES, &[queries, channels])?;
        let mut total = 0;
        for block in self.blocks() {
            let supports = (self.get)(block.clone())?;
            let mut sizes = Vec::with_capacity(block.len() * channels);
            for query in 0..block.len() {
                for channel in 0..channels {
                    let support = self.support(&supports, channel, query, block.len());
                    total += support.map_or(0, <[i32]>::len);
                    sizes.push(stored(
                        support.map_or(self.shape.degenerate(), <[i32]>::len),
                    ));
                }
            }
            writer.write(block.start * channels, &sizes)?;
        }
        writer.finish()?;
        Ok(total)
    }

    /// Writes the members, of which there are so many.
    fn members<T: NpyElement>(&self, count: usize, stored: impl Fn(u32) -> T) -> Result<()> {
        let writer = self.begin(MEMBERS, &[count])?;
        let mut written = 0;
        let (mut members, mut support) = (Vec::new(), Vec::new());
        for block in self.blocks() {
            let supports = (self.get)(block.clone())?;
            members.clear();
            for query in 0..block.len() {
                for channel in 0..self.shape.channels {
                    let local = self.support(&supports, channel, query, block.len());
                    support.clear();
                    support.extend(local.unwrap_or_default().iter().map(|&i| self.index(i)));
                    support.sort_unstable();
                    members.extend(support.iter().map(|&i| stored(i)));
                }
            }
            writer.write(written, &members)?;
            written += members.len();
        }
        writer.finish()
    }

    /// The members of a support; `None` for a degenerate query.
    fn support<'b>(
        &self,
        block: &'b SupportBlock,
        channel: usize,
        query: usize,
        queries: usize,
    ) -> Option<&'b [i32]> {
        let (at, k) = (channel * queries + query, self.shape.k);
        let slots = &block.indices[at * k..(at + 1) * k];
        let size = slots.iter().position(|&i| i < 0).unwrap_or(k);
        (!block.degenerate[at]).then_some(&slots[..size])
    }

    /// The index of a sample in the layer as it was given.
    fn index(&self, measured: i32) -> u32 {
        match self.kept {
            Some(kept) => kept[measured as usize] as u32,
            None => measured as u32,
        }
    }
}
