//! Bit sets of candidates, for at most 64, 128 or 256 of them. A set of half the size costs half as much to
//! go through, so the code is generic over the size.

use crate::simd::F64_LANES;
use std::ops::{BitAnd, BitOr, Not};

/// The largest capacity of any [`Set`].
pub(super) const CAPACITY: usize = Set256::CAPACITY;

/// A set of candidates, numbered from 0.
pub(super) trait Set:
    Copy + Default + PartialEq + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self>
{
    /// The candidates that fit.
    const CAPACITY: usize;
    /// The `count` members from `first` on; `count` must be less than [`Self::CAPACITY`].
    fn range(first: usize, count: usize) -> Self;
    /// The smallest member and the set of the others; `None` if the set is empty.
    fn pop_first(self) -> Option<(usize, Self)>;
    /// The number of members.
    fn len(self) -> usize;
    /// The members `8 block` to `8 block + 7`, as bits.
    fn byte(self, block: usize) -> u8;
    /// The set together with the members of `byte`, numbered from `8 block` on.
    fn with_byte(self, block: usize, byte: u8) -> Self;

    /// Whether `j` is a member.
    #[inline(always)]
    fn contains(self, j: usize) -> bool {
        self & Self::range(j, 1) != Self::default()
    }

    /// Whether there are no members.
    #[inline(always)]
    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

macro_rules! set {
    ($bits:ty) => {
        impl Set for $bits {
            const CAPACITY: usize = <$bits>::BITS as usize;
            #[inline(always)]
            fn range(first: usize, count: usize) -> Self {
                ((1 << count) - 1) << first
            }
            #[inline(always)]
            fn pop_first(self) -> Option<(usize, Self)> {
                (self != 0).then(|| (self.trailing_zeros() as usize, self & (self - 1)))
            }
            #[inline(always)]
            fn len(self) -> usize {
                self.count_ones() as usize
            }
            #[inline(always)]
            fn byte(self, block: usize) -> u8 {
                (self >> (F64_LANES * block)) as u8
            }
            #[inline(always)]
            fn with_byte(self, block: usize, byte: u8) -> Self {
                self | Self::from(byte) << (F64_LANES * block)
            }
        }
    };
}
set!(u64);
set!(u128);

/// A set of at most 256 candidates, the lower half first.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Set256([u128; 2]);

/// Candidates in one half of a [`Set256`].
const HALF: usize = u128::BITS as usize;

impl BitAnd for Set256 {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }
}

impl BitOr for Set256 {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }
}

impl Not for Set256 {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        Self([!self.0[0], !self.0[1]])
    }
}

/// The members of a half that are less than `end`; all of them if `end` is at least [`HALF`].
#[inline(always)]
fn below(end: usize) -> u128 {
    match end {
        HALF.. => u128::MAX,
        _ => (1 << end) - 1,
    }
}

impl Set for Set256 {
    const CAPACITY: usize = 2 * HALF;
    #[inline(always)]
    fn range(first: usize, count: usize) -> Self {
        let end = first + count;
        Self([
            below(end) & !below(first),
            below(end.saturating_sub(HALF)) & !below(first.saturating_sub(HALF)),
        ])
    }
    #[inline(always)]
    fn pop_first(self) -> Option<(usize, Self)> {
        let [low, high] = self.0;
        match (low.pop_first(), high.pop_first()) {
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
        let blocks = HALF / F64_LANES;
        self.0[block / blocks].byte(block % blocks)
    }
    #[inline(always)]
    fn with_byte(mut self, block: usize, byte: u8) -> Self {
        let blocks = HALF / F64_LANES;
        let half = &mut self.0[block / blocks];
        *half = half.with_byte(block % blocks, byte);
        self
    }
}

/// The members in ascending order.
#[inline(always)]
pub(super) fn members<S: Set>(mut set: S) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let (first, others) = set.pop_first()?;
        set = others;
        Some(first)
    })
}

/// Transposes an 8 x 8 matrix of bits, one row per byte.
#[inline(always)]
fn transposed(rows: [u8; F64_LANES]) -> [u8; F64_LANES] {
    let mut m = u64::from_le_bytes(rows);
    // Swap the off-diagonal blocks of 2 x 2, then of 4 x 4, then of 8 x 8 squares.
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

/// For each lane the set of rows in which its bit is set. `rows` has a bit per lane for each row.
#[inline(always)]
pub(super) fn lane_sets<S: Set>(rows: &[u8]) -> [S; F64_LANES] {
    let mut lanes = [S::default(); F64_LANES];
    for (block, rows) in rows.chunks(F64_LANES).enumerate() {
        let mut bytes = [0; F64_LANES];
        bytes[..rows.len()].copy_from_slice(rows);
        for (lane, byte) in lanes.iter_mut().zip(transposed(bytes)) {
            *lane = lane.with_byte(block, byte);
        }
    }
    lanes
}

/// The inverse of [`lane_sets`]: a bit per lane for each row, set if the lane's set has the row.
#[inline(always)]
pub(super) fn row_flags<S: Set>(lanes: [S; F64_LANES]) -> [u8; CAPACITY] {
    let mut rows = [0; CAPACITY];
    for (block, rows) in rows[..S::CAPACITY].chunks_exact_mut(F64_LANES).enumerate() {
        rows.copy_from_slice(&transposed(lanes.map(|l| l.byte(block))));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<S: Set>() {
        let picked = |step: usize| (0..S::CAPACITY).filter(move |j| j % step == 1);
        let set = |step| picked(step).fold(S::default(), |set, j| set | S::range(j, 1));
        assert!(members(set(7)).eq(picked(7)));
        assert!(members(set(3) & !set(2)).eq(picked(3).filter(|j| j % 2 == 0)));
        assert_eq!(
            (set(5).len(), set(5).is_empty()),
            (picked(5).count(), false)
        );
        assert!(set(5).contains(6) && !set(5).contains(7) && S::default().is_empty());
        for (first, count) in [
            (0, 0),
            (3, 4),
            (60, 4),
            (S::CAPACITY / 2 - 3, 9),
            (S::CAPACITY - 8, 8),
            (0, S::CAPACITY - 1),
        ] {
            assert!(
                members(S::range(first, count)).eq(first..first + count),
                "{first} {count}"
            );
        }
        let lanes = std::array::from_fn(|l| set(l + 2));
        let rows = row_flags::<S>(lanes);
        assert!(
            (0..S::CAPACITY)
                .all(|j| (0..F64_LANES).all(|l| (rows[j] >> l & 1 == 1) == lanes[l].contains(j)))
        );
        assert!(lane_sets::<S>(&rows[..S::CAPACITY]) == lanes);
    }

    #[test]
    fn members_are_found() {
        check::<u64>();
        check::<u128>();
        check::<Set256>();
    }
}
