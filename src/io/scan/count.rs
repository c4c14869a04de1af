//! Counting the values of blocks. Maps of finite values, the common case, run through loops that the compiler
//! vectorises. A map with a NaN or an infinity in it is counted value by value.

use super::found::{ChannelScan, Position, Scan};
use crate::simd::{InstructionSet, Simd, SimdKernel};
use crate::tensor::LayerShape;
use std::ops::Range;

/// Values of a map that are counted side by side. Smaller maps are counted along the row of all channels.
const LANES: usize = 8;
/// Values after which the 32-bit counts of the cells are added to the 64-bit counts of the channels.
const FLUSH: usize = 1 << 31;

/// Bytes of the [`Counts`] of one worker.
pub(super) fn bytes(shape: LayerShape, slots: usize) -> u64 {
    let cells = slots * shape.dim().min(LANES);
    (cells * 12 + slots * size_of::<ChannelScan>() + shape.samples / 8) as u64
}

/// The counts of one worker.
pub(super) struct Counts {
    exact: Exact,
    cells: Cells,
    /// Values counted since `cells` were last added to the channels (an upper bound).
    pending: usize,
}

/// What has been found, except for what is still in the cells.
struct Exact {
    shape: LayerShape,
    channels: Vec<ChannelScan>,
    first_bad: Option<Position>,
    /// One bit for each sample; empty until a value is not finite.
    bad: Vec<u64>,
}

/// Running minima, maxima and counts of zeros of finite maps: `width` cells for each channel.
struct Cells {
    width: usize,
    min: Vec<f32>,
    max: Vec<f32>,
    zeros: Vec<u32>,
}

impl Counts {
    pub(super) fn new(shape: LayerShape, channels: &[usize]) -> Self {
        let width = shape.dim().min(LANES);
        let cells = channels.len() * width;
        let empty = |&channel: &usize| ChannelScan {
            channel,
            nan: 0,
            inf: 0,
            zeros: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        };
        Self {
            exact: Exact {
                shape,
                channels: channels.iter().map(empty).collect(),
                first_bad: None,
                bad: Vec::new(),
            },
            cells: Cells {
                width,
                min: vec![f32::INFINITY; cells],
                max: vec![f32::NEG_INFINITY; cells],
                zeros: vec![0; cells],
            },
            pending: 0,
        }
    }

    /// Counts `block [rows, slots, dim]`.
    pub(super) fn block(&mut self, rows: Range<usize>, slots: Range<usize>, block: &[f32]) {
        let dim = self.exact.shape.dim();
        let width = self.cells.width;
        let cells = slots.start * width..slots.end * width;
        let exact = &mut self.exact;
        // Bound by memory: wider vectors gain nothing.
        InstructionSet::Avx2.or_portable().run(Fold {
            block,
            dim,
            width,
            min: &mut self.cells.min[cells.clone()],
            max: &mut self.cells.max[cells.clone()],
            zeros: &mut self.cells.zeros[cells],
            left_out: |map| {
                let (row, slot) = (map / slots.len(), map % slots.len());
                let values = &block[map * dim..][..dim];
                exact.map(rows.start + row, slots.start + slot, values);
            },
        });
        self.pending += block.len();
        if self.pending >= FLUSH {
            self.flush();
        }
    }

    /// Adds the cells to the channels and resets them.
    fn flush(&mut self) {
        let Cells {
            width,
            min,
            max,
            zeros,
        } = &mut self.cells;
        let cells = min
            .chunks_exact(*width)
            .zip(max.chunks_exact(*width))
            .zip(zeros.chunks_exact(*width));
        for (channel, ((min, max), zeros)) in self.exact.channels.iter_mut().zip(cells) {
            channel.min = min.iter().copied().fold(channel.min, f32::min);
            channel.max = max.iter().copied().fold(channel.max, f32::max);
            channel.zeros += zeros.iter().map(|&z| u64::from(z)).sum::<u64>();
        }
        min.fill(f32::INFINITY);
        max.fill(f32::NEG_INFINITY);
        zeros.fill(0);
        self.pending = 0;
    }

    /// Whether a value that is not finite has been counted.
    pub(super) fn found_bad(&self) -> bool {
        self.exact.first_bad.is_some()
    }

    /// The counts of two workers together.
    pub(super) fn merge(mut self, mut other: Self) -> Self {
        self.flush();
        other.flush();
        self.exact = self.exact.merge(other.exact);
        self
    }

    pub(super) fn finish(mut self) -> Scan {
        self.flush();
        self.exact.finish()
    }
}

impl Exact {
    /// Counts a map value by value.
    #[cold]
    #[inline(never)]
    fn map(&mut self, sample: usize, slot: usize, map: &[f32]) {
        let channel = &mut self.channels[slot];
        for (i, &v) in map.iter().enumerate() {
            if v.is_finite() {
                channel.min = channel.min.min(v);
                channel.max = channel.max.max(v);
                channel.zeros += u64::from(v == 0.0);
                continue;
            }
            channel.nan += u64::from(v.is_nan());
            channel.inf += u64::from(v.is_infinite());
            let position = Position {
                sample,
                channel: channel.channel,
                y: i / self.shape.width,
                x: i % self.shape.width,
            };
            self.first_bad = Some(self.first_bad.map_or(position, |p| p.min(position)));
            self.bad.resize(self.shape.samples.div_ceil(64), 0);
            self.bad[sample / 64] |= 1 << (sample % 64);
        }
    }

    /// The counts of both together.
    fn merge(mut self, other: Self) -> Self {
        for (a, b) in self.channels.iter_mut().zip(&other.channels) {
            a.nan += b.nan;
            a.inf += b.inf;
            a.zeros += b.zeros;
            a.min = a.min.min(b.min);
            a.max = a.max.max(b.max);
        }
        self.first_bad = match (self.first_bad, other.first_bad) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if self.bad.is_empty() {
            self.bad = other.bad;
        } else {
            for (a, b) in self.bad.iter_mut().zip(&other.bad) {
                *a |= b;
            }
        }
        self
    }

    fn finish(self) -> Scan {
        let is_bad = |&i: &usize| self.bad[i / 64] >> (i % 64) & 1 == 1;
        let samples = if self.bad.is_empty() {
            0
        } else {
            self.shape.samples
        };
        Scan {
            shape: self.shape,
            bad_samples: (0..samples).filter(is_bad).collect(),
            channels: self.channels,
            first_bad: self.first_bad,
        }
    }
}

/// Counts the maps of a block into the cells, except those with a value that is not finite.
struct Fold<'a, F> {
    block: &'a [f32],
    dim: usize,
    width: usize,
    min: &'a mut [f32],
    max: &'a mut [f32],
    zeros: &'a mut [u32],
    /// Called with the number of each map that is left out.
    left_out: F,
}

impl<F: FnMut(usize)> SimdKernel for Fold<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self) {
        let maps = self.min.len() / self.width;
        if self.width < LANES {
            // One cell for each value of a row.
            let finite = all_finite(self.block);
            for (r, row) in self.block.chunks_exact(maps * self.dim).enumerate() {
                if finite || all_finite(row) {
                    fold(row, self.min, self.max, self.zeros);
                } else {
                    (r * maps..(r + 1) * maps).for_each(&mut self.left_out);
                }
            }
            return;
        }
        for (r, row) in self.block.chunks_exact(maps * self.dim).enumerate() {
            let min = self.min.as_chunks_mut().0.iter_mut();
            let cells = min
                .zip(self.max.as_chunks_mut().0)
                .zip(self.zeros.as_chunks_mut().0);
            let cells = row.chunks_exact(self.dim).zip(cells);
            for (m, (map, ((min, max), zeros))) in cells.enumerate() {
                if !fold_map(map, min, max, zeros) {
                    (self.left_out)(r * maps + m);
                }
            }
        }
    }
}

/// Whether all values are finite, that is, no exponent is all ones: adding one to it would carry into the sign bit.
#[inline(always)]
fn all_finite(values: &[f32]) -> bool {
    let carry = |v: f32| (v.to_bits() & 0x7fff_ffff) + 0x0080_0000;
    let (chunks, rest) = values.as_chunks::<32>();
    let mut lanes = [0u32; 32];
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane |= carry(v);
        }
    }
    let all = rest.iter().fold(0, |all, &v| all | carry(v));
    lanes.iter().fold(all, |all, lane| all | lane) >> 31 == 0
}

/// Counts one map of at least eight values, eight at a time. If a value is not finite, returns `false` and leaves the
/// cells as they were.
#[inline(always)]
fn fold_map(
    map: &[f32],
    min: &mut [f32; LANES],
    max: &mut [f32; LANES],
    zeros: &mut [u32; LANES],
) -> bool {
    let (chunks, rest) = map.as_chunks::<LANES>();
    // Copies, so that they stay in registers through the loop.
    let mut cells = (*min, *max, *zeros);
    let mut bad = [0u32; LANES];
    for chunk in chunks {
        fold_lanes(chunk, &[u32::MAX; LANES], &mut cells);
        not_finite(chunk, &mut bad);
    }
    if let (false, Some(last)) = (rest.is_empty(), map.last_chunk()) {
        // The last eight values, some of them again: that leaves minima and maxima right, and zeros are counted where
        // they are new.
        fold_lanes(last, &NEW[rest.len() % LANES], &mut cells);
        not_finite(last, &mut bad);
    }
    if bad.iter().fold(0, |all, lane| all | lane) != 0 {
        return false;
    }
    (*min, *max, *zeros) = cells;
    true
}

/// Sets bits in the lanes whose value is not finite.
#[inline(always)]
#[expect(clippy::eq_op, reason = "only what is finite is zero less itself")]
fn not_finite(values: &[f32; LANES], bad: &mut [u32; LANES]) {
    for (bad, &v) in bad.iter_mut().zip(values) {
        *bad |= (v - v).to_bits();
    }
}

/// Row `r` masks the last `r` of eight lanes.
const NEW: [[u32; LANES]; LANES] = {
    let mut table = [[0; LANES]; LANES];
    let mut at = 0;
    while at < LANES * LANES {
        let (r, lane) = (at / LANES, at % LANES);
        table[r][lane] = if lane + r >= LANES { u32::MAX } else { 0 };
        at += 1;
    }
    table
};

/// Counts eight values into eight cells; zeros only where `counted` is all ones.
#[inline(always)]
fn fold_lanes(
    values: &[f32; LANES],
    counted: &[u32; LANES],
    (min, max, zeros): &mut ([f32; LANES], [f32; LANES], [u32; LANES]),
) {
    // One loop for each quantity, so that each becomes a vector instruction or two.
    for (min, &v) in min.iter_mut().zip(values) {
        *min = if v < *min { v } else { *min };
    }
    for (max, &v) in max.iter_mut().zip(values) {
        *max = if v > *max { v } else { *max };
    }
    for ((zeros, &v), counted) in zeros.iter_mut().zip(values).zip(counted) {
        *zeros += u32::from(v == 0.0) & counted;
    }
}

/// Counts `values[i]` into cell `i`.
#[inline(always)]
fn fold(values: &[f32], min: &mut [f32], max: &mut [f32], zeros: &mut [u32]) {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let (min, min_rest) = min.as_chunks_mut::<LANES>();
    let (max, max_rest) = max.as_chunks_mut::<LANES>();
    let (zeros, zeros_rest) = zeros.as_chunks_mut::<LANES>();
    for (chunk, ((min, max), zeros)) in chunks.iter().zip(min.iter_mut().zip(max).zip(zeros)) {
        // On copies: in place this becomes masked stores, which are slow on some processors.
        let mut cells = (*min, *max, *zeros);
        fold_lanes(chunk, &[u32::MAX; LANES], &mut cells);
        (*min, *max, *zeros) = cells;
    }
    let cells = min_rest.iter_mut().zip(max_rest).zip(zeros_rest);
    for (&v, ((min, max), zeros)) in rest.iter().zip(cells) {
        *min = min.min(v);
        *max = max.max(v);
        *zeros += u32::from(v == 0.0);
    }
}
