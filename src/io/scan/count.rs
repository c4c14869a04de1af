//! Counting one block. The common case, all finite, runs through loops that compilers vectorise; a channel
//! with something else in it is counted again, value by value.

use super::{ChannelScan, Position, Scan};
use crate::tensor::LayerShape;
use std::ops::Range;

/// Values of a map counted side by side; maps with fewer are counted along the row.
const LANES: usize = 8;

/// Bytes of the counters of one worker.
pub(super) fn bytes(shape: LayerShape, slots: usize) -> u64 {
    let cells = slots * shape.dim().min(LANES);
    (cells * 16 + slots * size_of::<ChannelScan>() + shape.samples / 8) as u64
}

/// Counters of one worker.
pub(super) struct Counts {
    shape: LayerShape,
    channels: Vec<ChannelScan>,
    first_bad: Option<Position>,
    /// A bit a sample; empty until needed.
    bad: Vec<u64>,
    cells: Cells,
}

/// Running values of one block, `width` cells a channel.
struct Cells {
    width: usize,
    min: Vec<f32>,
    max: Vec<f32>,
    zeros: Vec<u32>,
    /// Sign bit set once a value was not finite.
    bad: Vec<u32>,
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
            shape,
            channels: channels.iter().map(empty).collect(),
            first_bad: None,
            bad: Vec::new(),
            cells: Cells {
                width,
                min: vec![f32::INFINITY; cells],
                max: vec![f32::NEG_INFINITY; cells],
                zeros: vec![0; cells],
                bad: vec![0; cells],
            },
        }
    }

    /// Counts `block [rows, slots, dim]`.
    pub(super) fn block(&mut self, rows: Range<usize>, slots: Range<usize>, block: &[f32]) {
        let dim = self.shape.dim();
        let width = self.cells.width;
        let cells = slots.start * width..slots.end * width;
        for row in block.chunks_exact(slots.len() * dim) {
            self.cells.row(cells.clone(), row);
        }
        for (i, slot) in slots.clone().enumerate() {
            let (min, max, zeros, bad) = self.cells.take(slot);
            let channel = &mut self.channels[slot];
            channel.zeros += zeros;
            if !bad {
                channel.min = channel.min.min(min);
                channel.max = channel.max.max(max);
                continue;
            }
            for (sample, row) in rows.clone().zip(block.chunks_exact(slots.len() * dim)) {
                self.map_with_bad(sample, slot, &row[i * dim..(i + 1) * dim]);
            }
        }
    }

    /// A map of a channel that has values that are not finite somewhere in this block.
    fn map_with_bad(&mut self, sample: usize, slot: usize, map: &[f32]) {
        let channel = &mut self.channels[slot];
        for (i, &v) in map.iter().enumerate() {
            if v.is_finite() {
                channel.min = channel.min.min(v);
                channel.max = channel.max.max(v);
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

    /// Counts of both.
    pub(super) fn merge(mut self, other: Self) -> Self {
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

    pub(super) fn finish(self) -> Scan {
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

impl Cells {
    /// Counts one row of maps into `cells`.
    fn row(&mut self, cells: Range<usize>, row: &[f32]) {
        let width = self.width;
        let (min, max) = (&mut self.min[cells.clone()], &mut self.max[cells.clone()]);
        let (zeros, bad) = (&mut self.zeros[cells.clone()], &mut self.bad[cells]);
        if width < LANES {
            // Cells are the values of the row themselves.
            return fold(row, min, max, zeros, bad);
        }
        let dim = row.len() / (min.len() / width);
        let (min, max) = (min.as_chunks_mut().0, max.as_chunks_mut().0);
        let (zeros, bad) = (zeros.as_chunks_mut().0, bad.as_chunks_mut().0);
        for ((((map, min), max), zeros), bad) in
            row.chunks_exact(dim).zip(min).zip(max).zip(zeros).zip(bad)
        {
            fold_map(map, min, max, zeros, bad);
        }
    }

    /// Smallest, largest, zeros and whether anything was not finite in a channel; starts it anew.
    fn take(&mut self, slot: usize) -> (f32, f32, u64, bool) {
        let cells = slot * self.width..(slot + 1) * self.width;
        let out = (
            self.min[cells.clone()]
                .iter()
                .copied()
                .fold(f32::INFINITY, f32::min),
            self.max[cells.clone()]
                .iter()
                .copied()
                .fold(f32::NEG_INFINITY, f32::max),
            self.zeros[cells.clone()]
                .iter()
                .map(|&z| u64::from(z))
                .sum(),
            self.bad[cells.clone()].iter().any(|b| b >> 31 == 1),
        );
        self.min[cells.clone()].fill(f32::INFINITY);
        self.max[cells.clone()].fill(f32::NEG_INFINITY);
        self.zeros[cells.clone()].fill(0);
        self.bad[cells].fill(0);
        out
    }
}

/// One map, eight values at a time, the rest into the first cells.
#[inline(always)]
fn fold_map(
    map: &[f32],
    min: &mut [f32; LANES],
    max: &mut [f32; LANES],
    zeros: &mut [u32; LANES],
    bad: &mut [u32; LANES],
) {
    let (chunks, rest) = map.as_chunks::<LANES>();
    // Copies, so that they stay in registers through the loop.
    let (mut n, mut x, mut z, mut b) = (*min, *max, *zeros, *bad);
    for chunk in chunks {
        fold(chunk, &mut n, &mut x, &mut z, &mut b);
    }
    fold(rest, &mut n, &mut x, &mut z, &mut b);
    (*min, *max, *zeros, *bad) = (n, x, z, b);
}

/// `values[i]` into cell `i`.
#[inline(always)]
fn fold(values: &[f32], min: &mut [f32], max: &mut [f32], zeros: &mut [u32], bad: &mut [u32]) {
    let cells = min.iter_mut().zip(max).zip(zeros).zip(bad);
    for (&v, (((min, max), zeros), bad)) in values.iter().zip(cells) {
        *min = if v < *min { v } else { *min };
        *max = if v > *max { v } else { *max };
        *zeros += u32::from(v == 0.0);
        // An exponent of all ones carries into the sign bit.
        *bad |= (v.to_bits() & 0x7fff_ffff) + 0x0080_0000;
    }
}
