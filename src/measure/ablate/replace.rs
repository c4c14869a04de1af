//! What stands in the place of a layer's maps: channels that are kept as they are, the others as
//! [`Dropped`](super::Dropped) says.

use super::criteria::maps;
use crate::Result;
use crate::ops::Activation;
use crate::ops::net::{Binary, NetOps, Resampling};
use rayon::prelude::*;
use std::collections::HashMap;

/// New maps of a layer from its own: channel `c` becomes `alpha[c]` times channel `source[c]`, plus `beta[c]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Replacement {
    pub(super) source: Vec<u32>,
    pub(super) alpha: Vec<f32>,
    pub(super) beta: Vec<f32>,
}

impl Replacement {
    /// The layer as it is.
    pub(super) fn identity(channels: usize) -> Self {
        Self {
            source: (0..channels as u32).collect(),
            alpha: vec![1.0; channels],
            beta: vec![0.0; channels],
        }
    }

    /// Puts `alpha` times the map of `source`, plus `beta`, in the place of a channel.
    pub(super) fn set(&mut self, channel: usize, source: usize, line: Line) {
        self.source[channel] = source as u32;
        self.alpha[channel] = line.alpha;
        self.beta[channel] = line.beta;
    }

    /// Equal replacements have equal keys.
    pub(super) fn key(&self) -> Vec<u32> {
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        [self.source.clone(), bits(&self.alpha), bits(&self.beta)].concat()
    }

    /// Whether every channel is kept.
    pub(super) fn is_identity(&self) -> bool {
        *self == Self::identity(self.source.len())
    }
}

/// A [`Replacement`] on a device.
pub(super) struct Ready<T> {
    channels: Resampling,
    /// `[1, C, 1, ...]`; `None` where nothing is added.
    beta: Option<T>,
}

impl Replacement {
    /// Uploads what is needed for maps of `shape`, `[C, ...]` per sample.
    pub(super) fn ready<B: NetOps>(
        &self,
        backend: &B,
        shape: &[usize],
    ) -> Result<Ready<B::Tensor>> {
        let mut extents = vec![1; shape.len() + 1];
        extents[1] = shape[0];
        let some = self.beta.iter().any(|&b| b != 0.0);
        Ok(Ready {
            channels: Resampling {
                terms: 1,
                index: self.source.clone(),
                weight: self.alpha.clone(),
            },
            beta: some
                .then(|| backend.upload(&extents, &self.beta))
                .transpose()?,
        })
    }
}

impl<T> Ready<T> {
    /// The new maps for maps `x [N, C, ...]`.
    pub(super) fn apply<B: NetOps<Tensor = T>>(&self, backend: &B, x: &T) -> Result<T> {
        let scaled = backend.resample(x, 1, &self.channels)?;
        match &self.beta {
            Some(beta) => backend.binary(&scaled, beta, Binary::Add, Activation::Identity),
            None => Ok(scaled),
        }
    }
}

/// `alpha x + beta`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) alpha: f32,
    pub(super) beta: f32,
}

impl Line {
    /// A constant.
    pub(super) fn constant(value: f64) -> Self {
        Self {
            alpha: 0.0,
            beta: value as f32,
        }
    }
}

/// The lines that predict one channel of `values [N, C, d]` from another best in the least squares sense, by
/// `(source, channel)`. `means [C]` are those of the channels. A constant source predicts the mean.
pub(super) fn fit(
    values: &[f32],
    dim: usize,
    means: &[f64],
    mut pairs: Vec<(usize, usize)>,
) -> HashMap<(usize, usize), Line> {
    pairs.sort_unstable();
    pairs.dedup();
    let channels = means.len();
    let line = |&(source, channel): &(usize, usize)| {
        let (mut together, mut own) = (0.0f64, 0.0f64);
        let both = maps(values, channels, dim, source).zip(maps(values, channels, dim, channel));
        for (x, y) in both {
            for (&x, &y) in x.iter().zip(y) {
                let x = f64::from(x) - means[source];
                together += x * (f64::from(y) - means[channel]);
                own += x * x;
            }
        }
        let alpha = (together / own) as f32;
        // The same error of rounding in both terms: beta belongs to the alpha that is used.
        let beta = (means[channel] - f64::from(alpha) * means[source]) as f32;
        match alpha.is_finite() && beta.is_finite() {
            true => Line { alpha, beta },
            false => Line::constant(means[channel]),
        }
    };
    pairs
        .into_par_iter()
        .map(|pair| (pair, line(&pair)))
        .collect()
}
