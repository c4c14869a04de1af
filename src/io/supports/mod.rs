//! The supports of a layer as two arrays in the results of a run, compact and easy to read with NumPy.
//!
//! - `support_sizes.npy` `[Q, C]`: the number of members of each query's support in each channel; the largest number of the
//!   type for a query that is degenerate there. `u1` where `k` is at most 254, else `u2`.
//! - `supports.npy` `[M]`: the members of all supports, one support after another in the order of `support_sizes.npy`, those
//!   of one support ascending. They are indices of samples in the layer as it was given, in the smallest of `u1`, `u2` and
//!   `u4` that holds them.
//!
//! Queries come first, so that those that are compared at a time lie in one piece of each file.

mod read;
mod write;

pub use read::StoredSupports;
pub use write::write_supports;

use super::spill::SupportStore;

/// Name of the array of sizes.
pub const SIZES: &str = "support_sizes.npy";
/// Name of the array of members.
pub const MEMBERS: &str = "supports.npy";

/// Most queries that are written at a time.
const QUERIES: u64 = 4096;

/// The sizes of a layer's supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportShape {
    /// Channels that were measured.
    pub channels: usize,
    /// Queries.
    pub queries: usize,
    /// Most members of a support.
    pub k: usize,
    /// Samples of the layer as it was given, among which the members are.
    pub samples: usize,
}

impl SupportShape {
    /// Bytes of both files, about: supports are reckoned to hold two thirds of the candidates.
    pub fn bytes(&self) -> u64 {
        let members = Self::members(self.k) * self.member_width() as u64;
        let each = self.size_width() as u64 + members;
        (self.channels as u64)
            .saturating_mul(self.queries as u64)
            .saturating_mul(each)
    }

    /// Members of a support to reckon with: two thirds of the candidates (docs/cli.md#supports).
    pub(crate) fn members(k: usize) -> u64 {
        (2 * k as u64).div_ceil(3)
    }

    /// Bytes of a size.
    fn size_width(&self) -> usize {
        match self.k {
            0..255 => 1,
            _ => 2,
        }
    }

    /// The size that stands for a degenerate query.
    fn degenerate(&self) -> usize {
        match self.size_width() {
            1 => usize::from(u8::MAX),
            _ => usize::from(u16::MAX),
        }
    }

    /// Bytes of a member.
    fn member_width(&self) -> usize {
        match self.samples {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        }
    }

    /// Queries that are written at a time with `memory` bytes.
    fn queries_at_a_time(&self, memory: u64) -> usize {
        let room = memory / self.working_bytes().max(1);
        room.clamp(1, QUERIES) as usize
    }

    /// Bytes that writing takes as a rule where it may take `memory`: the supports of some queries, and their members.
    pub(crate) fn writing_bytes(&self, memory: u64) -> u64 {
        let queries = self.queries_at_a_time(memory).min(self.queries);
        let members = Self { queries, ..*self }.bytes();
        SupportStore::bytes(self.channels, queries, self.k) + members
    }

    /// Bytes that the supports of a query take in memory while they are written or read, in all channels.
    fn working_bytes(&self) -> u64 {
        // As a block, as members, and as bytes of a file.
        let each = 4 * self.k as u64 + 1 + 8 * self.k as u64 + 4;
        each.saturating_mul(self.channels as u64)
    }
}
