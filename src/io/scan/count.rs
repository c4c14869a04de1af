//! Counting blocks. The common case, all finite, runs through loops that compilers vectorise; a block with
//! something else in it is counted value by value.

use super::super::wide::{self, Loop};
use super::{ChannelScan, Position, Scan};
use crate::tensor::LayerShape;
use std::ops::Range;

/// Values of a map counted side by side; maps with fewer are counted along the row.
const LANES: usize = 8;
/// Values after which the 32-bit counts are added up.
const FLUSH: usize = 1 << 31;

/// Bytes of the counters of one worker.
pub(super) fn bytes(shape: LayerShape, slots: usize) -> u64 {
    let cells = slots * shape.dim().min(LANES);
    (cells * 12 + slots * size_of::<ChannelScan>() + shape.samples / 8) as u64
}

/// Counters of one worker.
pub(super) struct Counts {
    shape: LayerShape,
    channels: Vec<ChannelScan>,
    first_bad: Option<Position>,
    /// A bit a sample; empty until needed.
    bad: Vec<u64>,
    cells: Cells,
    /// Values in `cells`.
    pending: usize,
}

/// Running values of finite blocks, `width` cells a channel.
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
            shape,
            channels: channels.iter().map(empty).collect(),
            first_bad: None,
            bad: Vec::new(),
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
        let dim = self.shape.dim();
        let width = self.cells.width;
        let cells = slots.start * width..slots.end * width;
        let finite = wide::run(Fold {
            block,
            dim,
            width,
            min: &mut self.cells.min[cells.clone()],
            max: &mut self.cells.max[cells.clone()],
            zeros: &mut self.cells.zeros[cells],
        });
        if finite {
            self.pending += block.len();
            if self.pending >= FLUSH {
                self.flush();
            }
            return;
        }
        let mut maps = block.chunks_exact(dim);
        for sample in rows {
            for (slot, map) in slots.clone().zip(&mut maps) {
                self.map(sample, slot, map);
            }
        }
    }

    /// A map, value by value.
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

    /// Adds the cells to the channels and starts them anew.
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
        for (channel, ((min, max), zeros)) in self.channels.iter_mut().zip(cells) {
            channel.min = min.iter().copied().fold(channel.min, f32::min);
            channel.max = max.iter().copied().fold(channel.max, f32::max);
            channel.zeros += zeros.iter().map(|&z| u64::from(z)).sum::<u64>();
        }
        min.fill(f32::INFINITY);
        max.fill(f32::NEG_INFINITY);
        zeros.fill(0);
        self.pending = 0;
    }

    /// Counts of both.
    pub(super) fn merge(mut self, mut other: Self) -> Self {
        self.flush();
        other.flush();
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

    pub(super) fn finish(mut self) -> Scan {
        self.flush();
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

/// Counts a block into its cells if all of it is finite; else leaves them and says so.
struct Fold<'a> {
    block: &'a [f32],
    dim: usize,
    width: usize,
    min: &'a mut [f32],
    max: &'a mut [f32],
    zeros: &'a mut [u32],
}

impl Loop for Fold<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        if !all_finite(self.block) {
            return false;
        }
        let row = self.min.len() / self.width * self.dim;
        for row in self.block.chunks_exact(row) {
            if self.width < LANES {
                // Cells are the values of the row themselves.
                fold(row, self.min, self.max, self.zeros);
                continue;
            }
            let min = self.min.as_chunks_mut().0.iter_mut();
            let cells = min
                .zip(self.max.as_chunks_mut().0)
                .zip(self.zeros.as_chunks_mut().0);
            for (map, ((min, max), zeros)) in row.chunks_exact(self.dim).zip(cells) {
                fold_map(map, min, max, zeros);
            }
        }
        true
    }
}

/// Whether no exponent is all ones: adding one then carries into the sign bit.
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

/// One map of at least eight values, eight at a time.
#[inline(always)]
fn fold_map(map: &[f32], min: &mut [f32; LANES], max: &mut [f32; LANES], zeros: &mut [u32; LANES]) {
    let (chunks, rest) = map.as_chunks::<LANES>();
    // Copies, so that they stay in registers through the loop.
    let mut cells = (*min, *max, *zeros);
    for chunk in chunks {
        fold_lanes(chunk, &[u32::MAX; LANES], &mut cells);
    }
    if let (false, Some(last)) = (rest.is_empty(), map.last_chunk()) {
        // The last eight once more: minimum and maximum do not mind, zeros count where they are new.
        fold_lanes(last, &NEW[rest.len() % LANES], &mut cells);
    }
    (*min, *max, *zeros) = cells;
}

/// Row `r`: the last `r` of eight lanes.
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

/// Eight values into eight cells; zeros only where `counted` is all ones.
#[inline(always)]
fn fold_lanes(
    values: &[f32; LANES],
    counted: &[u32; LANES],
    (min, max, zeros): &mut ([f32; LANES], [f32; LANES], [u32; LANES]),
) {
    // One loop a quantity, each a single vector instruction or two.
    for (min, &v) in min.iter_mut().zip(values) {
        *min = if v < *min { v } else { *min };
    }
    for (max, &v) in max.iter_mut().zip(values) {
        *max = if v > *max { v } else { *max };
    }
    for ((zeros, &v), counted) in zeros.iter_mut().zip(values).zip(counted) {
        // Zero of either sign: all bits but the sign's are clear.
        *zeros += u32::from(v.to_bits() << 1 == 0) & counted;
    }
}

/// `values[i]` into cell `i`.
#[inline(always)]
fn fold(values: &[f32], min: &mut [f32], max: &mut [f32], zeros: &mut [u32]) {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let (min, min_rest) = min.as_chunks_mut::<LANES>();
    let (max, max_rest) = max.as_chunks_mut::<LANES>();
    let (zeros, zeros_rest) = zeros.as_chunks_mut::<LANES>();
    for (chunk, ((min, max), zeros)) in chunks.iter().zip(min.iter_mut().zip(max).zip(zeros)) {
        // Through copies: written in place, this becomes masked stores, which some processors are slow at.
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
