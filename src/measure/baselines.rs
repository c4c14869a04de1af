//! Other people's measures of the same activations, to compare with (docs/definitions.md#baselines): cosine and
//! Pearson correlation between channels, linear CKA between layers, TwoNN intrinsic dimension.
//!
//! All of them are sums over samples, taken in the order of the samples in float64: equal to the bit
//! whatever the block sizes and threads. What is undefined is NaN or `None`, never an accident.

mod cka;

pub use cka::cka;

use crate::Result;
use crate::control::{Control, Progress};
use crate::cpu::add_dots;
use crate::io::layer::Layer;
use crate::stream::run::{Layout, Read, ranges, read_ahead};
use crate::stream::sum::FixedSum;
use ndarray::Array2;
use rayon::prelude::*;

/// Most samples of a block.
const BLOCK: usize = 256;

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

/// Compares `channels` of `layer`, whose values must be finite, a block of samples at a time in about
/// `memory` bytes.
///
/// # Errors
/// What reading reports; [`crate::Error::Cancelled`].
pub fn channel_similarity(
    layer: &dyn Layer,
    channels: &[usize],
    memory: u64,
    control: &Control<'_>,
) -> Result<ChannelSimilarity> {
    let (n, c, d) = (layer.shape().samples, channels.len(), layer.shape().dim());
    // Two blocks of values, one as float64, and a matrix per sample.
    let per_sample = (16 * c * d + 8 * c * c + 64 * c) as u64;
    let step = usize::try_from(memory / 2 / per_sample.max(1)).unwrap_or(BLOCK);
    let reads = ranges(n, step.clamp(1, BLOCK)).map(|rows| Read {
        channels: 0..c,
        rows,
    });
    let mut sums = vec![RowSums::new(c); c];
    let stage = format!("{}: channel correlations", layer.name());
    let mut products = Vec::new();
    let work = |read: &Read, data: &[f32]| {
        let samples = read.rows.len();
        products.clear();
        products.resize(samples * c * c, 0.0);
        (products.par_chunks_mut(c * c).zip(data.par_chunks(c * d)))
            .for_each(|(products, maps)| add_dots(maps, c, products));
        sums.par_iter_mut().enumerate().for_each(|(row, sums)| {
            for (products, maps) in products.chunks(c * c).zip(data.chunks(c * d)) {
                sums.add(row, products, &maps[row * d..][..d]);
            }
        });
        control.report(Progress {
            stage: &stage,
            done: read.rows.end as u64,
            total: n as u64,
            unit: "samples",
        });
        control.check()
    };
    read_ahead(layer, channels, Layout::SampleMajor, reads, control, work)?;
    Ok(finish(&sums, (n * d) as f64))
}

/// Sums of a channel with itself and those after it.
#[derive(Clone)]
struct RowSums {
    cosine: Vec<f64>,
    samples: Vec<u64>,
    product: Vec<f64>,
    sum: f64,
}

impl RowSums {
    fn new(c: usize) -> Self {
        Self {
            cosine: vec![0.0; c],
            samples: vec![0; c],
            product: vec![0.0; c],
            sum: 0.0,
        }
    }

    fn add(&mut self, row: usize, products: &[f64], map: &[f32]) {
        let c = self.product.len();
        let square = |e: usize| products[e * c + e];
        self.sum += map.iter().map(|&v| f64::from(v)).sum::<f64>();
        for e in row..c {
            let product = products[row * c + e];
            self.product[e] += product;
            if square(row) > 0.0 && square(e) > 0.0 {
                let cosine = product / (square(row).sqrt() * square(e).sqrt());
                self.cosine[e] += cosine.clamp(-1.0, 1.0);
                self.samples[e] += 1;
            }
        }
    }
}

fn finish(sums: &[RowSums], values: f64) -> ChannelSimilarity {
    let c = sums.len();
    let covariance = |i: usize, e: usize| sums[i].product[e] - sums[i].sum * sums[e].sum / values;
    // Less than f32 values can vary by is rounding.
    let constant = |i: usize| covariance(i, i) <= 1e-13 * sums[i].product[i];
    let pair = |(i, e): (usize, usize)| (i.min(e), i.max(e));
    let cosine = Array2::from_shape_fn((c, c), |at| {
        let (i, e) = pair(at);
        sums[i].cosine[e] / sums[i].samples[e] as f64
    });
    let pearson = Array2::from_shape_fn((c, c), |at| match pair(at) {
        (i, e) if constant(i) || constant(e) => f64::NAN,
        (i, e) if i == e => 1.0,
        (i, e) => {
            let scale = covariance(i, i).sqrt() * covariance(e, e).sqrt();
            (covariance(i, e) / scale).clamp(-1.0, 1.0)
        }
    });
    ChannelSimilarity { cosine, pearson }
}

/// What a sample adds to TwoNN, from the ascending squared distances to its neighbours: `ln(r2 / r1)` of
/// the two nearest that are not copies of it. `None` without two.
pub fn log_ratio(sq_distances: impl IntoIterator<Item = f32>) -> Option<f64> {
    let mut apart = sq_distances.into_iter().filter(|&d| d > 0.0);
    let (first, second) = (f64::from(apart.next()?), f64::from(apart.next()?));
    (second.is_finite()).then(|| 0.5 * (second / first).ln())
}

/// TwoNN intrinsic dimension (Facco et al., 2017), the unbiased maximum likelihood estimate
/// `(n - 1) / sum_i ln(r2_i / r1_i)`; `ratios` holds the [`log_ratio`] of the samples that have one. `None`
/// below two samples, and where all neighbours are equally far.
pub fn two_nn(ratios: &FixedSum) -> Option<f64> {
    let (n, sum) = (ratios.count(), ratios.sum());
    (n > 1 && sum > 0.0).then(|| (n - 1) as f64 / sum)
}
