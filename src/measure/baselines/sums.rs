//! Running sums over samples for the cosine and the Pearson correlation of all pairs of channels.
//!
//! Both matrices are products `X X'` of one long row of numbers per channel, which is cut into pieces:
//!
//! - The mean over samples of the cosine is a product of maps that were scaled to length 1, divided by the number of
//!   samples where neither map is zero.
//! - The covariance is a product of values from which the mean of their piece was taken first, so that nothing cancels
//!   however large the mean is beside the spread. One more number per piece adds what lies between the means of the
//!   pieces: with `n` values of mean `m` before, and `p` values of mean `q` in the piece, the sum of products about the
//!   common mean grows by that about `q` and by `n p / (n + p) (q_i - m_i) (q_e - m_e)` (Chan, Golub and LeVeque, 1983).
//!
//! A piece holds the same samples whatever the blocks, so the sums have the same bits.

use crate::Result;
use crate::ops::{Backend, DotRows};
use ndarray::Array2;
use rayon::prelude::*;

/// Numbers of a channel in a piece, the one for the means included.
const PIECE: usize = 512;
/// Most samples of a block.
const BLOCK: usize = 256;

/// How the samples of a layer are cut into pieces. A piece is a few whole maps or a part of one.
#[derive(Clone, Copy)]
struct Pieces {
    /// Numbers of a map.
    dim: usize,
    /// Samples that are cut together.
    samples: usize,
    /// Pieces that they make.
    count: usize,
    /// Most numbers of a channel in one of them.
    numbers: usize,
}

impl Pieces {
    fn new(dim: usize) -> Self {
        let samples = ((PIECE - 1) / dim).max(1);
        let count = (samples * dim).div_ceil(PIECE - 1);
        Self {
            dim,
            samples,
            count,
            numbers: (samples * dim).div_ceil(count),
        }
    }

    /// Pieces of `samples` samples.
    const fn of(&self, samples: usize) -> usize {
        samples.div_ceil(self.samples) * self.count
    }

    /// Calls `visit(place, sample, values)` for the parts of maps in a piece of channel `c`: where they begin in the
    /// piece, and which sample of `block [samples, C, d]` they are of.
    fn visit(
        &self,
        block: &[f32],
        channels: usize,
        c: usize,
        piece: usize,
        mut visit: impl FnMut(usize, usize, &[f32]),
    ) {
        let (d, all) = (self.dim, block.len() / (channels * self.dim));
        let first = piece / self.count * self.samples;
        let map = |i: usize| &block[(i * channels + c) * d..][..d];
        if self.count > 1 {
            let start = piece % self.count * self.numbers;
            visit(0, first, &map(first)[start..(start + self.numbers).min(d)]);
        } else {
            for (place, i) in (first..(first + self.samples).min(all)).enumerate() {
                visit(place * d, i, map(i));
            }
        }
    }
}

/// Similarity of the channels of a layer, `[C, C]` over the channels asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSimilarity {
    /// Cosine between the maps of two channels, per sample, mean over samples (docs/definitions.md#feature-maps).
    /// Samples where either map is zero have no cosine and are left out; NaN where none is left.
    pub cosine: Array2<f64>,
    /// Pearson correlation over all samples and places of the map; NaN where a channel is constant.
    pub pearson: Array2<f64>,
}

impl ChannelSimilarity {
    /// Mean absolute value off the diagonal of the finite elements of one of the matrices.
    pub fn mean(matrix: &Array2<f64>) -> Option<f64> {
        let off = matrix.indexed_iter().filter(|((i, j), _)| i != j);
        let values: Vec<f64> = off
            .map(|(_, v)| v.abs())
            .filter(|v| v.is_finite())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// Running sums of all pairs of channels. Samples are added in their order, whatever the blocks.
pub(in crate::measure) struct ChannelSums {
    channels: usize,
    pieces: Pieces,
    /// Samples `[samples, C, d]` that do not fill their pieces yet.
    begun: Vec<f32>,
    /// `[C]`, over the values added so far.
    spreads: Vec<Spread>,
    /// `[C, C]`, upper triangle: sums of cosines, and sums of products about the means.
    cosine: Vec<f64>,
    covariance: Vec<f64>,
    /// `[C, C]`, upper triangle: samples where one of the maps is zero. Empty while there is none.
    zero: Vec<u64>,
    samples: u64,
    /// One piece after the other: maps of length 1, and values about their means.
    directions: DotRows,
    centred: DotRows,
}

impl ChannelSums {
    /// Sums over no sample, for `channels` maps of `dim` numbers.
    pub(in crate::measure) fn new(channels: usize, dim: usize) -> Self {
        let pieces = Pieces::new(dim);
        Self {
            channels,
            pieces,
            begun: Vec::new(),
            spreads: vec![Spread::default(); channels],
            cosine: vec![0.0; channels * channels],
            covariance: vec![0.0; channels * channels],
            zero: Vec::new(),
            samples: 0,
            directions: DotRows::new(channels, pieces.numbers),
            centred: DotRows::new(channels, pieces.numbers + 1),
        }
    }

    /// Samples of a block, 1 to 256, that `memory` bytes suffice for.
    pub(in crate::measure) fn samples_at_a_time(channels: usize, dim: usize, memory: u64) -> usize {
        // Two blocks of values, and both operands as float64.
        let per_sample = (24 * channels * dim + 64 * channels) as u64;
        let step = usize::try_from(memory / per_sample.max(1)).unwrap_or(BLOCK);
        step.clamp(1, BLOCK)
    }

    /// Samples of maps of `dim` numbers that are multiplied together.
    pub(in crate::measure) fn samples_of_a_piece(dim: usize) -> usize {
        Pieces::new(dim).samples
    }

    /// Adds the next samples, `block [samples, C, d]`.
    pub(in crate::measure) fn add<B: Backend>(&mut self, backend: &B, block: &[f32]) -> Result<()> {
        let whole = self.pieces.samples * self.channels * self.pieces.dim;
        let mut block = block;
        if !self.begun.is_empty() {
            let (some, rest) = block.split_at((whole - self.begun.len()).min(block.len()));
            self.begun.extend_from_slice(some);
            block = rest;
            if self.begun.len() == whole {
                let mut begun = std::mem::take(&mut self.begun);
                self.add_pieces(backend, &begun)?;
                begun.clear();
                self.begun = begun;
            }
        }
        let (full, rest) = block.split_at(block.len() / whole * whole);
        self.add_pieces(backend, full)?;
        self.begun.extend_from_slice(rest);
        Ok(())
    }

    /// Adds samples that begin with a piece.
    fn add_pieces<B: Backend>(&mut self, backend: &B, block: &[f32]) -> Result<()> {
        let (c, pieces) = (self.channels, self.pieces);
        let samples = block.len() / (c * pieces.dim);
        if samples == 0 {
            return Ok(());
        }
        let count = pieces.of(samples);
        let norms: Vec<f64> = block.par_chunks(pieces.dim).map(norm).collect();
        self.directions.fill(count, |piece, channel, out| {
            pieces.visit(block, c, channel, piece, |place, sample, values| {
                let norm = norms[sample * c + channel];
                if norm > 0.0 {
                    for (out, &v) in out[place..].iter_mut().zip(values) {
                        *out = f64::from(v) / norm;
                    }
                }
            });
        });
        backend.add_dots(&self.directions, &mut self.cosine)?;
        self.count_zero_maps(&norms);
        self.samples += samples as u64;

        // [C, pieces]: the mean of a piece, and what it adds to the sums between pieces.
        let mut steps: Vec<(f64, f64)> = vec![(0.0, 0.0); c * count];
        let channels = steps.par_chunks_mut(count).zip(&mut self.spreads);
        channels.enumerate().for_each(|(channel, (steps, spread))| {
            for (piece, step) in steps.iter_mut().enumerate() {
                let mut found = Spread::default();
                pieces.visit(block, c, channel, piece, |_, _, values| {
                    found.extend(values)
                });
                *step = (found.mean(), spread.merge(&found));
            }
        });
        self.centred.fill(count, |piece, channel, out| {
            let (mean, between) = steps[channel * count + piece];
            pieces.visit(block, c, channel, piece, |place, _, values| {
                for (out, &v) in out[place..].iter_mut().zip(values) {
                    *out = f64::from(v) - mean;
                }
            });
            out[pieces.numbers] = between;
        });
        backend.add_dots(&self.centred, &mut self.covariance)
    }

    /// Counts the samples where one of two maps is zero, from the norms `[samples, C]`.
    fn count_zero_maps(&mut self, norms: &[f64]) {
        let c = self.channels;
        if norms.iter().all(|&norm| norm > 0.0) {
            return;
        }
        if self.zero.is_empty() {
            self.zero.resize(c * c, 0);
        }
        // [C, words]: a bit per sample.
        let words = (norms.len() / c).div_ceil(64);
        let mut zero = vec![0u64; c * words];
        for (sample, norms) in norms.chunks(c).enumerate() {
            for (channel, &norm) in norms.iter().enumerate() {
                zero[channel * words + sample / 64] |= u64::from(norm == 0.0) << (sample % 64);
            }
        }
        let rows = self.zero.par_chunks_mut(c).zip(zero.par_chunks(words));
        rows.enumerate().for_each(|(i, (counts, own))| {
            for (count, other) in counts[i..].iter_mut().zip(zero.chunks(words).skip(i)) {
                let either = own.iter().zip(other).map(|(a, b)| (a | b).count_ones());
                *count += u64::from(either.sum::<u32>());
            }
        });
    }

    /// The matrices, once all samples are added.
    pub(in crate::measure) fn finish<B: Backend>(
        mut self,
        backend: &B,
    ) -> Result<ChannelSimilarity> {
        let rest = std::mem::take(&mut self.begun);
        self.add_pieces(backend, &rest)?;
        let c = self.channels;
        let at = |i: usize, e: usize| i.min(e) * c + i.max(e);
        let cosine = Array2::from_shape_fn((c, c), |(i, e)| {
            let zero = self.zero.get(at(i, e)).copied().unwrap_or(0);
            match self.samples - zero {
                0 => f64::NAN,
                _ if i == e => 1.0,
                n => (self.cosine[at(i, e)] / n as f64).clamp(-1.0, 1.0),
            }
        });
        let deviation = |i: usize| self.covariance[at(i, i)].sqrt();
        let pearson = Array2::from_shape_fn((c, c), |(i, e)| {
            match self.spreads[i].constant() || self.spreads[e].constant() {
                true => f64::NAN,
                false if i == e => 1.0,
                // The same bits for (i, e) and (e, i).
                false => {
                    let scale = deviation(i.min(e)) * deviation(i.max(e));
                    (self.covariance[at(i, e)] / scale).clamp(-1.0, 1.0)
                }
            }
        });
        Ok(ChannelSimilarity { cosine, pearson })
    }
}

/// Length of a map. Squares of `f32` values neither overflow nor vanish in float64.
fn norm(map: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    for values in map.chunks(8) {
        for (sum, &v) in sums.iter_mut().zip(values) {
            *sum += f64::from(v) * f64::from(v);
        }
    }
    sums.iter().sum::<f64>().sqrt()
}

/// Mean and range of a channel's values.
#[derive(Clone, Copy, Default)]
struct Spread {
    count: u64,
    /// The first value; the mean is kept as a difference from it.
    first: f64,
    /// Sum of differences from the first value while values are added.
    sum: f64,
    least: f32,
    largest: f32,
}

impl Spread {
    fn extend(&mut self, values: &[f32]) {
        for &v in values {
            if self.count == 0 {
                (self.first, self.least, self.largest) = (f64::from(v), v, v);
            }
            self.count += 1;
            self.sum += f64::from(v) - self.first;
            self.least = self.least.min(v);
            self.largest = self.largest.max(v);
        }
    }

    fn mean(&self) -> f64 {
        self.first + self.sum / self.count.max(1) as f64
    }

    /// Whether all values are equal.
    fn constant(&self) -> bool {
        self.least == self.largest
    }

    /// Adds later values. Returns `sqrt(n p / (n + p)) (q - m)`, what lies between both means.
    fn merge(&mut self, later: &Self) -> f64 {
        if self.count == 0 {
            *self = *later;
            return 0.0;
        }
        let (n, p) = (self.count as f64, later.count as f64);
        let offset = later.first - self.first;
        let difference = offset + later.sum / p - self.sum / n;
        self.count += later.count;
        self.sum += later.sum + offset * p;
        self.least = self.least.min(later.least);
        self.largest = self.largest.max(later.largest);
        (n * p / (n + p)).sqrt() * difference
    }
}
