//! How the values of a layer are cut for the sums over pairs of channels: samples into parts, a part into pieces.

use std::ops::Range;

/// Numbers of a channel in a piece, the one for the means included.
const PIECE: usize = 512;
/// Numbers of all channels in a part.
const PART: usize = 1 << 29;
/// The samples of a part are a multiple of this, so that mini-batches of so many do not lie in two parts.
pub(crate) const ALIGNED: usize = 256;

/// The parts of so many samples of `channels` maps of `dim` numbers: ranges of samples. Sums are taken over each part by itself,
/// and added up in the order of the parts. A part depends on nothing but the shape, so the sums have the same bits whoever takes
/// them, and in whatever order. A part of 2048 channels has 1 GiB of f16 and takes two cores some 45 s, and its sums have 50 MB.
pub(in crate::measure) fn parts(
    samples: usize,
    channels: usize,
    dim: usize,
) -> impl Iterator<Item = Range<usize>> {
    let part = part_samples(channels, dim);
    (0..samples.div_ceil(part)).map(move |at| at * part..samples.min((at + 1) * part))
}

/// Samples of every part but the last.
pub(super) fn part_samples(channels: usize, dim: usize) -> usize {
    let fit = PART / channels.saturating_mul(dim).max(1);
    (fit / ALIGNED).max(1) * ALIGNED
}

/// How the samples of a layer are cut into pieces. A piece is a few whole maps or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Pieces {
    /// Numbers of a map.
    pub dim: usize,
    /// Samples that are cut together.
    pub samples: usize,
    /// Pieces that they make.
    count: usize,
    /// Most numbers of a channel in one of them.
    pub numbers: usize,
}

impl Pieces {
    pub fn new(dim: usize) -> Self {
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
    pub const fn of(&self, samples: usize) -> usize {
        samples.div_ceil(self.samples) * self.count
    }

    /// Calls `visit(place, sample, values)` for the parts of maps in a piece of channel `c`: where they begin in the
    /// piece, and which sample of `block [samples, C, d]` they are of.
    pub fn visit(
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
