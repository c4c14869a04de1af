//! How the supports of a unit lie in its file, and reading a block of queries from the files of all units.
//!
//! A file has a piece for every so many queries ([`super::PlannedLayer::piece`]). In a piece the queries of one space
//! follow those of another: for each query the size of its support, a 16-bit integer ([`DEGENERATE`] for a query without
//! one), then the members of all supports of the space in order, 32-bit integers. Numbers are little-endian.

use super::plan::range;
use crate::Result;
use crate::error::Error;
use crate::io::parts::{Done, Part};
use crate::io::spill::{SupportBlock, SupportStore};
use crate::measure::redundancy::SupportSource;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Name of the file.
pub(super) const SUPPORTS: &str = "supports.bin";
/// In place of the size: the query is degenerate.
const DEGENERATE: u16 = u16::MAX;

/// Writes the supports of `spaces` spaces and `queries` queries, whose store counts both from 0.
pub(super) fn write(
    part: &Part,
    store: &SupportStore,
    spaces: usize,
    queries: usize,
    k: usize,
    piece: usize,
) -> Result<()> {
    let mut file = part.file(SUPPORTS)?;
    for first in (0..queries).step_by(piece) {
        let block = store.get(first..(first + piece).min(queries))?;
        file.put(&encode(&block, spaces, k))?;
        file.end_piece();
    }
    file.finish();
    Ok(())
}

fn encode(block: &SupportBlock, spaces: usize, k: usize) -> Vec<u8> {
    let count = block.degenerate.len() / spaces.max(1);
    let mut bytes = Vec::new();
    for space in 0..spaces {
        let queries = space * count..(space + 1) * count;
        let supports = || block.indices[queries.start * k..queries.end * k].chunks(k);
        for (support, &degenerate) in supports().zip(&block.degenerate[queries.clone()]) {
            let size = support.iter().take_while(|&&i| i >= 0).count() as u16;
            let size = if degenerate { DEGENERATE } else { size };
            bytes.extend(size.to_le_bytes());
        }
        for (support, &degenerate) in supports().zip(&block.degenerate[queries.clone()]) {
            let members = support.iter().take_while(|&&i| i >= 0 && !degenerate);
            members.for_each(|i| bytes.extend(i.to_le_bytes()));
        }
    }
    bytes
}

/// What [`encode`] made of a block of supports among so many samples; `None` where it did not make these bytes.
fn decode(
    bytes: &[u8],
    spaces: usize,
    count: usize,
    k: usize,
    samples: usize,
) -> Option<SupportBlock> {
    let mut block = SupportBlock {
        indices: vec![-1; spaces * count * k],
        degenerate: vec![false; spaces * count],
    };
    let mut rest = bytes;
    let mut take = |n: usize| {
        let (head, tail) = rest.split_at_checked(n)?;
        rest = tail;
        Some(head)
    };
    let mut sorted = Vec::new();
    for space in 0..spaces {
        let sizes: Vec<u16> = (take(2 * count)?.chunks_exact(2))
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
            .collect();
        for (query, size) in sizes.into_iter().enumerate() {
            let at = space * count + query;
            if size == DEGENERATE {
                block.degenerate[at] = true;
                continue;
            }
            let size = usize::from(size);
            let slots = block.indices[at * k..(at + 1) * k].get_mut(..size)?;
            for (slot, b) in slots.iter_mut().zip(take(4 * size)?.chunks_exact(4)) {
                *slot = i32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            }
            // Overlaps count on samples that there are, none of them twice.
            sorted.clear();
            sorted.extend_from_slice(slots);
            sorted.sort_unstable();
            let ends = (sorted.first().copied(), sorted.last().copied());
            if let (Some(first), Some(last)) = ends
                && (first < 0
                    || last as usize >= samples
                    || sorted.windows(2).any(|w| w[0] == w[1]))
            {
                return None;
            }
        }
    }
    rest.is_empty().then_some(block)
}

/// A unit whose supports are read: the spaces that it has among all of the layer, and its queries.
pub(super) struct Holder {
    pub done: Done,
    pub spaces: Range<usize>,
    pub queries: [usize; 2],
}

/// The supports of all spaces of a layer, or of its aggregate.
pub(super) struct Supports {
    /// The units that have them together.
    pub holders: Vec<Holder>,
    /// Channels, or 1 for the aggregate.
    pub spaces: usize,
    /// Most members of a support.
    pub k: usize,
    /// Queries in a piece.
    pub piece: usize,
    /// Queries of the layer.
    pub queries: usize,
    /// Samples, among which the members are.
    pub samples: usize,
    /// The piece that was read last, and its number.
    pub last: Mutex<Option<(usize, SupportBlock)>>,
}

impl Supports {
    fn range_of(&self, piece: usize) -> Range<usize> {
        let first = piece * self.piece;
        first..(first + self.piece).min(self.queries)
    }

    /// Reads a piece of every unit that has it.
    fn read(&self, piece: usize) -> Result<SupportBlock> {
        let (k, queries) = (self.k, self.range_of(piece));
        let count = queries.len();
        let mut all = SupportBlock {
            indices: vec![-1; self.spaces * count * k],
            degenerate: vec![true; self.spaces * count],
        };
        for holder in &self.holders {
            if !range(&holder.queries).contains(&queries.start) {
                continue;
            }
            let index = piece - holder.queries[0] / self.piece;
            let most = holder.spaces.len() * count * (2 + 4 * k);
            let bytes = holder.done.piece(SUPPORTS, index, most)?;
            let Some(block) = decode(&bytes, holder.spaces.len(), count, k, self.samples) else {
                let path = holder.done.path(SUPPORTS);
                let what = format!("piece {index} holds other supports; compute this unit again");
                return Err(Error::malformed(path, None, what));
            };
            let at = holder.spaces.start * count;
            all.indices[at * k..][..block.indices.len()].copy_from_slice(&block.indices);
            all.degenerate[at..][..block.degenerate.len()].copy_from_slice(&block.degenerate);
        }
        Ok(all)
    }
}

impl SupportSource for Supports {
    fn get(&self, queries: Range<usize>) -> Result<SupportBlock> {
        let (k, count) = (self.k, queries.len());
        let mut out = SupportBlock {
            indices: vec![-1; self.spaces * count * k],
            degenerate: vec![true; self.spaces * count],
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = queries.start;
        while at < queries.end {
            let piece = at / self.piece;
            let block = match last.take() {
                Some((number, block)) if number == piece => block,
                _ => self.read(piece)?,
            };
            let own = self.range_of(piece);
            let (n, from, to) = (
                own.end.min(queries.end) - at,
                at - own.start,
                at - queries.start,
            );
            for space in 0..self.spaces {
                let (from, to) = (space * own.len() + from, space * count + to);
                out.indices[to * k..][..n * k].copy_from_slice(&block.indices[from * k..][..n * k]);
                out.degenerate[to..][..n].copy_from_slice(&block.degenerate[from..][..n]);
            }
            at += n;
            *last = Some((piece, block));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supports_come_back_as_they_were() {
        let block = SupportBlock {
            indices: vec![5, -1, -1, 1, 2, 3, -1, -1, -1, 70_000, 0, -1],
            degenerate: vec![false, false, true, false],
        };
        let bytes = encode(&block, 2, 3);
        assert_eq!(bytes.len(), 4 * 2 + 6 * 4);
        assert_eq!(decode(&bytes, 2, 2, 3, 70_001).as_ref(), Some(&block));
        assert_eq!(decode(&bytes[1..], 2, 2, 3, 70_001), None);
        assert_eq!(decode(&[bytes, vec![0]].concat(), 2, 2, 3, 70_001), None);
    }

    #[test]
    fn supports_that_no_graph_has_are_refused() {
        let piece = |members: &[i32]| {
            let block = SupportBlock {
                indices: members.to_vec(),
                degenerate: vec![false],
            };
            decode(&encode(&block, 1, 3), 1, 1, 3, 10)
        };
        assert!(piece(&[9, 0, 4]).is_some() && piece(&[-1, -1, -1]).is_some());
        for members in [[3, 10, 1], [3, i32::MAX, -1], [3, 5, 3], [0, 0, -1]] {
            assert_eq!(piece(&members), None, "{members:?}");
        }
        let negative = [1u16.to_le_bytes().to_vec(), (-5i32).to_le_bytes().to_vec()].concat();
        assert_eq!(decode(&negative, 1, 1, 3, 10), None);
    }
}
