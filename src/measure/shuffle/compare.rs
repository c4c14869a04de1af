//! What shuffling changed: similarity of maps, right answers.

use super::Cosine;
use crate::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;

/// Sums for one tap.
pub(super) struct Tap {
    pub(super) name: String,
    /// Channels `M`.
    pub(super) channels: usize,
    sums: Sums,
}

/// `[K, M]`. Every sum runs over samples in their order, so that no batch or thread changes a bit.
enum Sums {
    /// Cosines.
    Sample(Vec<f64>),
    /// `<x, y>`, `<x, x>`, `<y, y>`.
    Batch(Vec<[f64; 3]>),
}

/// Pairs of channels that a thread takes at a time.
const PAIRS: usize = 512;

impl Tap {
    /// For `shuffled` channels of the tensor and `channels` of the tap.
    pub(super) fn new(name: String, shuffled: usize, channels: usize, cosine: Cosine) -> Self {
        let pairs = shuffled * channels;
        Self {
            name,
            channels,
            sums: match cosine {
                Cosine::Sample => Sums::Sample(vec![0.0; pairs]),
                Cosine::Batch => Sums::Batch(vec![[0.0; 3]; pairs]),
            },
        }
    }

    /// Adds `dots [n, K', M, 3]` of some samples, the shuffled channels `shuffled`.
    pub(super) fn add(&mut self, dots: &[f64], shuffled: Range<usize>) -> Result<()> {
        if dots.iter().any(|d| !d.is_finite()) {
            return Err(Error::NonFinite {
                what: format!("activations of layer '{}'", self.name),
                at: vec![],
                advice: "export the model again, or scale its input down",
            });
        }
        let pairs = shuffled.start * self.channels..shuffled.end * self.channels;
        let dots = dots.as_chunks::<3>().0;
        match &mut self.sums {
            Sums::Sample(sums) => each(&mut sums[pairs], dots, |sum, d| {
                *sum += cosine(*d);
            }),
            Sums::Batch(sums) => each(&mut sums[pairs], dots, |sum, d| {
                sum.iter_mut().zip(d).for_each(|(sum, &d)| *sum += d);
            }),
        }
        Ok(())
    }

    /// `[K, M]` cosine similarities.
    pub(super) fn cosines(&self, samples: usize) -> Vec<f64> {
        match &self.sums {
            Sums::Sample(sums) => sums.iter().map(|sum| sum / samples as f64).collect(),
            Sums::Batch(sums) => sums.iter().map(|&sum| cosine(sum)).collect(),
        }
    }
}

/// Hands each sum of a pair what every sample has for it.
fn each<T: Send>(sums: &mut [T], dots: &[[f64; 3]], add: impl Fn(&mut T, &[f64; 3]) + Sync) {
    let width = sums.len();
    sums.par_chunks_mut(PAIRS)
        .enumerate()
        .for_each(|(i, sums)| {
            for sample in dots.chunks(width) {
                for (sum, d) in sums.iter_mut().zip(&sample[i * PAIRS..]) {
                    add(sum, d);
                }
            }
        });
}

/// Cosine from `<x, y>`, `<x, x>`, `<y, y>`: 1 where both are zero, 0 where one is.
fn cosine([xy, xx, yy]: [f64; 3]) -> f64 {
    match (xx == 0.0, yy == 0.0) {
        // Rounding may lead a hair beyond 1.
        (false, false) => (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0),
        (true, true) => 1.0,
        _ => 0.0,
    }
}

/// `[K]` samples whose largest score is their label's, from `scores [n, K, classes]`.
pub(super) fn correct(scores: &[f32], labels: &[u32], variants: usize) -> Result<Vec<u64>> {
    let mut counts = vec![0; variants];
    for (i, right) in right(scores, labels, variants)?.into_iter().enumerate() {
        counts[i % variants] += u64::from(right);
    }
    Ok(counts)
}

/// `[n, K]` whether the largest of `scores [n, K, classes]`, the first of equals, is that of the sample's label.
pub(in crate::measure) fn right(
    scores: &[f32],
    labels: &[u32],
    variants: usize,
) -> Result<Vec<bool>> {
    if scores.iter().any(|s| s.is_nan()) {
        return Err(Error::NonFinite {
            what: "values of the network's output".into(),
            at: vec![],
            advice: "export the model again, or scale its input down",
        });
    }
    let classes = scores.len() / (labels.len() * variants).max(1);
    let right = |(i, row): (usize, &[f32])| {
        let mut best = 0;
        for (class, score) in row.iter().enumerate() {
            if *score > row[best] {
                best = class;
            }
        }
        best == labels[i / variants] as usize
    };
    Ok(scores
        .chunks(classes.max(1))
        .enumerate()
        .map(right)
        .collect())
}
