//! The samples that excite each channel most (docs/definitions.md#strongest-samples).

use rayon::prelude::*;
use std::cmp::Ordering;
use std::ops::Range;

/// Samples that are listed per channel, at most.
pub const STRONGEST: usize = 8;

/// Sums of a map that are added up side by side: the order of adding depends on the length alone.
const LANES: usize = 8;

/// A sample, and how strong a channel is on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strong {
    /// Index of the sample in the layer as read.
    pub sample: usize,
    /// Mean of the channel's map.
    pub mean: f64,
}

impl Strong {
    /// Stronger samples first, of equally strong ones the first.
    fn order(&self, other: &Self) -> Ordering {
        let means = other.mean.total_cmp(&self.mean);
        means.then(self.sample.cmp(&other.sample))
    }
}

/// Collects the strongest samples of every channel of a layer.
pub(super) struct Strongest {
    dim: usize,
    /// `[C]`: at most [`STRONGEST`] samples, the strongest first.
    channels: Vec<Vec<Strong>>,
}

impl Strongest {
    /// Of `channels` channels with maps of `dim` numbers.
    pub fn new(channels: usize, dim: usize) -> Self {
        Self {
            dim,
            channels: vec![Vec::with_capacity(STRONGEST + 1); channels],
        }
    }

    /// Looks at the samples `rows`, whose values are `block [rows, C, H * W]`. Each sample is to be added once.
    pub fn add(&mut self, rows: Range<usize>, block: &[f32]) {
        let (dim, count) = (self.dim, self.channels.len());
        let channels = self.channels.par_iter_mut().enumerate();
        channels.for_each(|(at, strongest)| {
            for (row, sample) in rows.clone().enumerate() {
                let map = &block[(row * count + at) * dim..][..dim];
                let Some(mean) = mean(map) else { continue };
                let found = Strong { sample, mean };
                let place = strongest.partition_point(|other| other.order(&found).is_lt());
                if place < STRONGEST {
                    strongest.insert(place, found);
                    strongest.truncate(STRONGEST);
                }
            }
        });
    }

    /// `[C]`: the samples of each channel, the strongest first.
    pub fn finish(self) -> Vec<Vec<Strong>> {
        self.channels
    }
}

/// The strongest of what was found in parts of the samples, the strongest first.
pub(crate) fn strongest_of(parts: impl Iterator<Item = Strong>) -> Vec<Strong> {
    let mut all: Vec<Strong> = parts.collect();
    all.sort_by(Strong::order);
    all.truncate(STRONGEST);
    all
}

/// Mean of a map; `None` of one that is zero everywhere, or not finite.
fn mean(map: &[f32]) -> Option<f64> {
    let mut sums = [0.0f64; LANES];
    let (whole, rest) = map.as_chunks::<LANES>();
    for values in whole.iter().map(<[f32; LANES]>::as_slice).chain([rest]) {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += f64::from(value);
        }
    }
    let sum: f64 = sums.iter().sum();
    let found = sum.is_finite() && map.iter().any(|&v| v != 0.0);
    found.then(|| sum / map.len() as f64)
}
