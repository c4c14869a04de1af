//! What the sums over samples of all pairs of channels come to, in one part of the samples or in several.

use ndarray::Array2;
use rayon::prelude::*;

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

/// Sums over pairs of channels.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    channels: usize,
    /// `[C]`.
    pub(super) spreads: Vec<Spread>,
    /// `[C, C]`, upper triangle: sums of cosines, and sums of products about the means.
    pub(super) cosine: Vec<f64>,
    pub(super) covariance: Vec<f64>,
    /// `[C, C]`, upper triangle: samples where one of the maps is zero. Empty where there is none.
    pub(super) zero: Vec<u64>,
    pub(super) samples: u64,
}

impl Totals {
    /// Of no sample.
    pub(crate) fn new(channels: usize) -> Self {
        Self {
            channels,
            spreads: vec![Spread::default(); channels],
            cosine: vec![0.0; channels * channels],
            covariance: vec![0.0; channels * channels],
            zero: Vec::new(),
            samples: 0,
        }
    }

    /// Adds what later samples come to: of their products about their own means, and of what lies between both means.
    pub(crate) fn merge(&mut self, later: Self) {
        if self.samples == 0 {
            *self = later;
            return;
        }
        let spreads = self.spreads.iter_mut().zip(&later.spreads);
        let between: Vec<f64> = spreads.map(|(all, later)| all.merge(later)).collect();
        let c = self.channels.max(1);
        let rows = self.covariance.par_chunks_mut(c);
        let rows = rows.zip(later.covariance.par_chunks(c));
        rows.zip(&between).for_each(|((all, later), own)| {
            for ((all, later), other) in all.iter_mut().zip(later).zip(&between) {
                *all += later + own * other;
            }
        });
        let pairs = self.cosine.par_iter_mut().zip(&later.cosine);
        pairs.for_each(|(all, later)| *all += later);
        if self.zero.is_empty() {
            self.zero = later.zero;
        } else {
            let pairs = self.zero.par_iter_mut().zip(&later.zero);
            pairs.for_each(|(all, later)| *all += later);
        }
        self.samples += later.samples;
    }

    /// The matrices.
    pub(crate) fn similarity(&self) -> ChannelSimilarity {
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
        ChannelSimilarity { cosine, pearson }
    }
}

/// Mean and range of a channel's values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    pub(super) count: u64,
    /// The first value; the mean is kept as a difference from it.
    pub(super) first: f64,
    /// Sum of differences from the first value while values are added.
    pub(super) sum: f64,
    pub(super) least: f32,
    pub(super) largest: f32,
}

impl Spread {
    /// Adds finite values. Eight sums side by side: an addition need not wait for the one before.
    pub(super) fn extend(&mut self, values: &[f32]) {
        if self.count == 0 {
            let Some(&first) = values.first() else {
                return;
            };
            (self.first, self.least, self.largest) = (f64::from(first), first, first);
        }
        let (mut sums, mut least, mut largest) = ([0.0; 8], [self.least; 8], [self.largest; 8]);
        for values in values.chunks(sums.len()) {
            for (i, &v) in values.iter().enumerate() {
                sums[i] += f64::from(v) - self.first;
                least[i] = if v < least[i] { v } else { least[i] };
                largest[i] = if v > largest[i] { v } else { largest[i] };
            }
        }
        self.count += values.len() as u64;
        self.sum += sums.iter().sum::<f64>();
        self.least = least.into_iter().fold(self.least, f32::min);
        self.largest = largest.into_iter().fold(self.largest, f32::max);
    }

    pub(super) fn mean(&self) -> f64 {
        self.first + self.sum / self.count.max(1) as f64
    }

    /// Whether all values are equal.
    fn constant(&self) -> bool {
        self.least == self.largest
    }

    /// Adds later values. Returns `sqrt(n p / (n + p)) (q - m)`, what lies between both means.
    pub(super) fn merge(&mut self, later: &Self) -> f64 {
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
