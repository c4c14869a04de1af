//! Sets of candidates, a bit each: of 64, of 128 or of 256, since half of them cost half as much to go
//! through.

use crate::cpu::f64x8::LANES;
use std::ops::{BitAnd, BitOr, Not};

/// Most members of any [`Set`].
pub(super) const MOST: usize = Wide::MOST;

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

/// A set of at most 256, the low half first.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Wide([u128; 2]);

/// Members of a half.
const HALF: usize = u128::BITS as usize;

impl BitAnd for Wide {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }
}

impl BitOr for Wide {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }
}

impl Not for Wide {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        Self([!self.0[0], !self.0[1]])
    }
}

/// The members below `end`, all of them from [`HALF`] on.
#[inline(always)]
fn below(end: usize) -> u128 {
    match end {
        HALF.. => u128::MAX,
        _ => (1 << end) - 1,
    }
}

impl Set for Wide {
    const MOST: usize = 2 * HALF;
    #[inline(always)]
    fn run(first: usize, count: usize) -> Self {
        let end = first + count;
        Self([
            below(end) & !below(first),
            below(end.saturating_sub(HALF)) & !below(first.saturating_sub(HALF)),
        ])
    }
    #[inline(always)]
    fn split_first(self) -> Option<(usize, Self)> {
        let [low, high] = self.0;
        match (low.split_first(), high.split_first()) {
            (Some((first, low)), _) => Some((first, Self([low, high]))),
            (None, Some((first, high))) => Some((HALF + first, Self([0, high]))),
            (None, None) => None,
        }
    }
    #[inline(always)]
    fn len(self) -> usize {
        self.0[0].len() + self.0[1].len()
    }
    #[inline(always)]
    fn byte(self, block: usize) -> u8 {
        let blocks = HALF / LANES;
        self.0[block / blocks].byte(block % blocks)
    }
    #[inline(always)]
    fn with_byte(mut self, block: usize, byte: u8) -> Self {
        let blocks = HALF / LANES;
        let half = &mut self.0[block / blocks];
        *half = half.with_byte(block % blocks, byte);
        self
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn check<S: Set>() {
        let picked = |step: usize| (0..S::MOST).filter(move |j| j % step == 1);
        let set = |step| picked(step).fold(S::default(), |set, j| set | S::run(j, 1));
        assert!(members(set(7)).eq(picked(7)));
        assert!(members(set(3) & !set(2)).eq(picked(3).filter(|j| j % 2 == 0)));
        assert_eq!(
            (set(5).len(), set(5).is_empty()),
            (picked(5).count(), false)
        );
        assert!(set(5).has(6) && !set(5).has(7) && S::default().is_empty());
        for (first, count) in [
            (0, 0),
            (3, 4),
            (60, 4),
            (S::MOST / 2 - 3, 9),
            (S::MOST - 8, 8),
            (0, S::MOST - 1),
        ] {
            assert!(
                members(S::run(first, count)).eq(first..first + count),
                "{first} {count}"
            );
        }
        let lanes = std::array::from_fn(|l| set(l + 2));
        let rows = owners::<S>(lanes);
        assert!(
            (0..S::MOST).all(|j| (0..LANES).all(|l| (rows[j] >> l & 1 == 1) == lanes[l].has(j)))
        );
        assert!(transposed::<S>(&rows[..S::MOST]) == lanes);
    }

    #[test]
    fn members_are_found() {
        check::<u64>();
        check::<u128>();
        check::<Wide>();
    }
}
