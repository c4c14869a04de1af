//! A tile of pairs of channels: intersections and Jaccard indices, summed over queries.

use super::members::Members;
use crate::simd::{F64_LANES, F64x8, INTEGER_SHIFT, LineF64, Simd, SimdKernel};
use std::ops::{AddAssign, Range};

/// Columns of a tile.
pub(super) const WIDTH: usize = 64;
/// Most rows of a tile. The sums of all rows take 192 KiB, and stay in the second-level cache.
pub(super) const ROWS: usize = 256;
/// Vectors of sums in a row.
const LINES: usize = WIDTH / F64_LANES;

/// Counts members of supports: a byte, or two where a support has more than 255 members.
pub(super) trait Counter:
    Copy + Default + AddAssign + Into<u32> + Into<f64> + PartialEq + Send + Sync
{
    /// 1.
    const ONE: Self;
}

impl Counter for u8 {
    const ONE: Self = 1;
}

impl Counter for u16 {
    const ONE: Self = 1;
}

/// A counter for each column, from the start of a cache line on.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Counts<T>([T; WIDTH]);

/// What a thread works in: the tables of a query, and the sums of a tile, all 0 between two tiles.
pub(super) struct Scratch<T> {
    /// Of each rank, the place of its sample's row in `has`; 0 for samples that no column has.
    places: Vec<u32>,
    /// For each sample, a 1 for every column whose support has it. Where there are `places`, the first row is of no sample.
    has: Vec<Counts<T>>,
    intersection: Vec<[u32; WIDTH]>,
    /// Whole numbers, exact in float64: at most 2^12 queries add at most 2^40 each.
    jaccard_q40: Vec<[LineF64; LINES]>,
}

/// A channel's row of the sums of all pairs.
pub(super) struct Rows<'a> {
    pub(super) intersection: &'a mut [u64],
    pub(super) jaccard_q40: &'a mut [u64],
}

impl<T: Counter> Scratch<T> {
    pub(super) fn new() -> Self {
        Self {
            places: Vec::new(),
            has: vec![Counts([T::default(); WIDTH])],
            intersection: vec![[0; WIDTH]; ROWS],
            jaccard_q40: vec![[LineF64::ZERO; LINES]; ROWS],
        }
    }

    /// Adds the sums of row `at`, from column `skip` of the tile on, to the columns `into` of `sums`, and clears the row.
    pub(super) fn add_to(
        &mut self,
        at: usize,
        skip: usize,
        into: Range<usize>,
        sums: &mut Rows<'_>,
    ) {
        let found = &mut self.intersection[at];
        let sums_of_row = sums.intersection[into.clone()].iter_mut();
        for (sum, found) in sums_of_row.zip(&found[skip..]) {
            *sum += u64::from(*found);
        }
        found.fill(0);
        let found: &mut [f64] = bytemuck::cast_slice_mut(&mut self.jaccard_q40[at]);
        let sums_of_row = sums.jaccard_q40[into].iter_mut();
        for (sum, found) in sums_of_row.zip(&found[skip..]) {
            *sum += *found as u64;
        }
        found.fill(0.0);
    }
}

/// Kernel: adds the overlaps of the channels `rows` with the channels `columns`, at most [`ROWS`] and [`WIDTH`], to the
/// sums in `scratch`. What lies below the diagonal is computed and of no use.
pub(super) struct Tile<'a, T> {
    pub(super) members: &'a [Members],
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) scratch: &'a mut Scratch<T>,
}

impl<T: Counter> SimdKernel for Tile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let Scratch {
            places,
            has,
            intersection,
            jaccard_q40,
        } = self.scratch;
        for members in self.members {
            // Every sample is in the support of some column: its rank will do as the place of its row.
            let all = self.columns.len() == members.channels();
            for (query, &distinct) in members.distinct().iter().enumerate() {
                let distinct = distinct as usize;
                if distinct == 0 {
                    continue;
                }
                let mut sizes = [LineF64::ZERO; LINES];
                for (column, channel) in self.columns.clone().enumerate() {
                    let size = members.of(query, channel).len();
                    sizes[column / F64_LANES].0[column % F64_LANES] = size as f64;
                }
                if all {
                    has.resize(has.len().max(distinct), Counts([T::default(); WIDTH]));
                    has[..distinct].fill(Counts([T::default(); WIDTH]));
                    for (column, channel) in self.columns.clone().enumerate() {
                        for &rank in members.of(query, channel) {
                            has[rank as usize].0[column] = T::ONE;
                        }
                    }
                } else {
                    has[0] = Counts([T::default(); WIDTH]);
                    places.resize(places.len().max(distinct), 0);
                    let mut used = 0;
                    for (column, channel) in self.columns.clone().enumerate() {
                        for &rank in members.of(query, channel) {
                            let place = &mut places[rank as usize];
                            if *place == 0 {
                                used += 1;
                                *place = used;
                                match has.get_mut(used as usize) {
                                    Some(row) => *row = Counts([T::default(); WIDTH]),
                                    None => has.push(Counts([T::default(); WIDTH])),
                                }
                            }
                            has[*place as usize].0[column] = T::ONE;
                        }
                    }
                }
                let sums = intersection.iter_mut().zip(jaccard_q40.iter_mut());
                for (channel, (intersection, jaccard_q40)) in self.rows.clone().zip(sums) {
                    let support = members.of(query, channel);
                    if support.is_empty() {
                        continue;
                    }
                    let mut common = [T::default(); WIDTH];
                    for &rank in support {
                        let place = if all { rank } else { places[rank as usize] };
                        for (n, &has) in common.iter_mut().zip(&has[place as usize].0) {
                            *n += has;
                        }
                    }
                    for (sum, &n) in intersection.iter_mut().zip(&common) {
                        let n: u32 = n.into();
                        *sum += n;
                    }
                    add_jaccard::<S, T>(&common, support.len(), &sizes, jaccard_q40);
                }
                if !all {
                    for channel in self.columns.clone() {
                        for &rank in members.of(query, channel) {
                            places[rank as usize] = 0;
                        }
                    }
                }
            }
        }
    }
}

/// Adds `floor(2^40 common / union)` of a support of `size` members and those of all columns.
///
/// The quotient is the nearest float64 to the exact one, which is a multiple of `1 / union`. A union has at most 2^11
/// members, so an exact quotient that is not whole is at least `2^-11` from the next whole number, and the rounding, of
/// at most `2^-14`, cannot reach it. Rounding `quotient - (1/2 - 2^-12)` to the nearest whole number is therefore the
/// floor. Every step is one exact or correctly rounded operation, the same on every instruction set.
#[inline(always)]
fn add_jaccard<S: Simd, T: Counter>(
    common: &[T; WIDTH],
    size: usize,
    sizes: &[LineF64; LINES],
    sums: &mut [LineF64; LINES],
) {
    const ONE: f64 = (1u64 << 40) as f64;
    const BELOW_HALF: f64 = 0.5 - 1.0 / 4096.0;
    let size = S::F64x8::splat(size as f64);
    for (line, common) in common.as_chunks::<F64_LANES>().0.iter().enumerate() {
        if *common == [T::default(); F64_LANES] {
            continue;
        }
        let mut wide = LineF64::ZERO;
        for (wide, &n) in wide.0.iter_mut().zip(common) {
            *wide = n.into();
        }
        let common = S::F64x8::load(&wide);
        let either = size + S::F64x8::load(&sizes[line]) - common;
        let quotient = common * S::F64x8::splat(ONE) / either;
        let shift = S::F64x8::splat(INTEGER_SHIFT);
        let floor = quotient - S::F64x8::splat(BELOW_HALF) + shift - shift;
        (S::F64x8::load(&sums[line]) + floor).store(&mut sums[line]);
    }
}
