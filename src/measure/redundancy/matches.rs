//! What is reported of the pairs of channels of several layers: means, best matches, and each channel's match.

use ndarray::{Array2, ArrayView2};
use std::ops::Range;

/// A channel of one of several layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the layer in the input.
    pub layer: usize,
    /// Index of the channel in the layer.
    pub channel: usize,
}

/// The channel of another layer that is most like a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Where it is.
    pub place: Place,
    /// Mean Jaccard index of the neighbours of the two.
    pub jaccard: f64,
}

/// What is reported of the pairs of channels of all layers.
pub(super) struct Summary {
    places: Vec<Place>,
    /// Where each layer's channels begin in `places`, and where the last one's end.
    starts: Vec<usize>,
    mean: Array2<f64>,
    /// `[C, L]`: the largest Jaccard index of a channel with those of a layer, and the channel's position in `places`.
    best: Array2<Option<(f64, usize)>>,
}

impl Summary {
    /// Of layers with these live channels, by their indices in the layers.
    pub fn new(layers: &[Vec<usize>]) -> Self {
        let (mut places, mut starts) = (Vec::new(), vec![0]);
        for (layer, live) in layers.iter().enumerate() {
            places.extend(live.iter().map(|&channel| Place { layer, channel }));
            starts.push(places.len());
        }
        let l = layers.len();
        Self {
            mean: Array2::from_elem((l, l), f64::NAN),
            best: Array2::from_elem((places.len(), l), None),
            places,
            starts,
        }
    }

    /// Positions of a layer's channels.
    pub fn range(&self, layer: usize) -> Range<usize> {
        self.starts[layer]..self.starts[layer + 1]
    }

    /// Takes the Jaccard indices `[C_l, C_m]` of the channels of two layers, `l <= m`, which may be the same.
    pub fn add(&mut self, l: usize, m: usize, jaccard: ArrayView2<'_, f64>) {
        let (mut sum, mut count) = (0.0, 0u64);
        for ((c, e), &value) in jaccard.indexed_iter() {
            if value.is_nan() || (l == m && c == e) {
                continue;
            }
            sum += value;
            count += 1;
            let (c, e) = (self.starts[l] + c, self.starts[m] + e);
            raise(&mut self.best[[c, m]], value, e);
            if l != m {
                raise(&mut self.best[[e, l]], value, c);
            }
        }
        if count > 0 {
            let mean = sum / count as f64;
            (self.mean[[l, m]], self.mean[[m, l]]) = (mean, mean);
        }
    }

    /// `[C]`: the live channels of all layers, layer by layer.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// `[L, L]`: mean Jaccard index over the pairs of channels of two layers; NaN where no pair has one.
    pub fn mean(&self) -> &Array2<f64> {
        &self.mean
    }

    /// `[L, L]`: mean over the channels of the row's layer of their largest Jaccard index in the column's; NaN where there is
    /// none.
    pub fn best_match(&self) -> Array2<f64> {
        Array2::from_shape_fn(self.mean.dim(), |(l, m)| {
            let found = self.range(l).filter_map(|c| self.best[[c, m]]);
            let (sum, count) = found.fold((0.0, 0u64), |(sum, n), (value, _)| (sum + value, n + 1));
            match count {
                0 => f64::NAN,
                n => sum / n as f64,
            }
        })
    }

    /// The match of the channel at a position among these layers, of equal ones that of the first layer and channel.
    pub fn best_among(&self, c: usize, layers: impl Iterator<Item = usize>) -> Option<Match> {
        let mut best = None;
        for m in layers {
            if let Some((value, e)) = self.best[[c, m]] {
                raise(&mut best, value, e);
            }
        }
        best.map(|(jaccard, e)| Match {
            place: self.places[e],
            jaccard,
        })
    }
}

/// Keeps the larger value, and of equal ones the first.
fn raise(best: &mut Option<(f64, usize)>, value: f64, at: usize) {
    if best.is_none_or(|(most, _)| value > most) {
        *best = Some((value, at));
    }
}
