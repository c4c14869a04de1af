//! Sets of candidates, a bit each: of 64 or of 128, since half of them cost half as much to go through.

use crate::cpu::f64x8::LANES;
use std::ops::{BitAnd, BitOr, Not};

/// Most members of any [`Set`].
pub(super) const MOST: usize = u128::BITS as usize;

/// A set of candidates.
pub(super) trait Set:
    Copy + Default + PartialEq + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self>
{
    /// Most members.
    const MOST: usize;
    /// `count` members from `first` on; fewer than [`Self::MOST`].
    fn run(first: usize, count: usize) -> Self;
    /// The least member and the others; `None` of an empty set.
    fn split_first(self) -> Option<(usize, Self)>;
    /// Members.
    fn len(self) -> usize;
    /// Members `8 block` to `8 block + 7`.
    fn byte(self, block: usize) -> u8;
    /// With the members of `byte`, counted from `8 block` on.
    fn with_byte(self, block: usize, byte: u8) -> Self;

    /// Whether it holds `j`.
    #[inline(always)]
    fn has(self, j: usize) -> bool {
        self & Self::run(j, 1) != Self::default()
    }

    /// Whether it has no members.
    #[inline(always)]
    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

macro_rules! set {
    ($bits:ty) => {
        impl Set for $bits {
            const MOST: usize = <$bits>::BITS as usize;
            #[inline(always)]
            fn run(first: usize, count: usize) -> Self {
                ((1 << count) - 1) << first
            }
            #[inline(always)]
            fn split_first(self) -> Option<(usize, Self)> {
                (self != 0).then(|| (self.trailing_zeros() as usize, self & (self - 1)))
            }
            #[inline(always)]
            fn len(self) -> usize {
                self.count_ones() as usize
            }
            #[inline(always)]
            fn byte(self, block: usize) -> u8 {
                (self >> (LANES * block)) as u8
            }
            #[inline(always)]
            fn with_byte(self, block: usize, byte: u8) -> Self {
                self | Self::from(byte) << (LANES * block)
            }
        }
    };
}
set!(u64);
set!(u128);

/// Members, ascending.
#[inline(always)]
pub(super) fn members<S: Set>(mut set: S) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let (first, others) = set.split_first()?;
        set = others;
        Some(first)
    })
}

/// Transposes an 8 x 8 matrix of bits, a row a byte.
#[inline(always)]
fn swapped(rows: [u8; LANES]) -> [u8; LANES] {
    let mut m = u64::from_le_bytes(rows);
    // Swap the off-diagonal halves of ever larger squares.
    for (shift, mask) in [
        (7, 0x00aa_00aa_00aa_00aa),
        (14, 0x0000_cccc_0000_cccc),
        (28, 0x0000_0000_f0f0_f0f0),
    ] {
        let swap = (m ^ (m >> shift)) & mask;
        m ^= swap ^ (swap << shift);
    }
    m.to_le_bytes()
}

/// Turns a bit per lane for each row into a set of rows for each lane.
#[inline(always)]
pub(super) fn transposed<S: Set>(rows: &[u8]) -> [S; LANES] {
    let mut lanes = [S::default(); LANES];
    for (block, rows) in rows.chunks(LANES).enumerate() {
        let mut bytes = [0; LANES];
        bytes[..rows.len()].copy_from_slice(rows);
        for (lane, byte) in lanes.iter_mut().zip(swapped(bytes)) {
            *lane = lane.with_byte(block, byte);
        }
    }
    lanes
}

/// Turns a set of rows for each lane into a bit per lane for each row.
#[inline(always)]
pub(super) fn owners<S: Set>(lanes: [S; LANES]) -> [u8; MOST] {
    let mut rows = [0; MOST];
    for (block, rows) in rows[..S::MOST].chunks_exact_mut(LANES).enumerate() {
        rows.copy_from_slice(&swapped(lanes.map(|l| l.byte(block))));
    }
    rows
}
