//! Cosine and Pearson correlation between the channels of a layer.

use crate::Result;
use crate::control::Progress;
use crate::device::on_backend;
use crate::io::layer::Layer;
use crate::measure::Context;
use crate::measure::selection::select;
use crate::measure::setters::setters;
use crate::ops::{Backend, DotRows};
use crate::stream::run::{Layout, Read, ranges, read_ahead};
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

/// Options of [`channel_similarity`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelSimilarityOptions {
    /// Channels, in the order of the results; `None`: all.
    pub channels: Option<Vec<usize>>,
}

setters!(ChannelSimilarityOptions {
    with_channels(channels: Option<Vec<usize>>),
});

/// Compares the channels of `layer`, whose values must be finite, in one pass over it.
///
/// [`crate::measure::redundancy()`] finds the same matrices in the pass that looks for values that are not
/// finite.
///
/// # Errors
/// [`crate::Error::Layer`] for channels that the layer does not have; what reading and the device report;
/// [`crate::Error::Cancelled`].
pub fn channel_similarity(
    ctx: &Context<'_>,
    layer: &dyn Layer,
    options: &ChannelSimilarityOptions,
) -> Result<ChannelSimilarity> {
    let channels = select(&options.channels, layer.shape().channels, layer.name())?;
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| measure(
            backend, ctx, layer, &channels
        ))
    })
}

fn measure<B: Backend>(
    backend: &B,
    ctx: &Context<'_>,
    layer: &dyn Layer,
    channels: &[usize],
) -> Result<ChannelSimilarity> {
    let (samples, c, d) = (layer.shape().samples, channels.len(), layer.shape().dim());
    let mut sums = ChannelSums::new(c, d);
    let reads = ranges(
        samples,
        ChannelSums::samples_at_a_time(c, d, ctx.memory() / 2),
    )
    .map(|rows| Read {
        channels: 0..c,
        rows,
    });
    let stage = format!("{}: channel correlations", layer.name());
    let control = ctx.control();
    let work = |read: &Read, data: &[f32]| {
        sums.add(backend, data)?;
        control.report(Progress {
            stage: &stage,
            done: read.rows.end as u64,
            total: samples as u64,
            unit: "samples",
        });
        control.check()
    };
    read_ahead(layer, channels, Layout::SampleMajor, reads, control, work)?;
    Ok(sums.finish(samples))
}

/// Running sums of all pairs of channels. Samples are added in their order, whatever the blocks.
pub(in crate::measure) struct ChannelSums {
    channels: usize,
    dim: usize,
    rows: Vec<RowSums>,
    /// `[samples, C, C]` inner products of the block being added, kept for its memory.
    products: Vec<f64>,
}

impl ChannelSums {
    /// Sums over no sample, for `channels` maps of `dim` numbers.
    pub(in crate::measure) fn new(channels: usize, dim: usize) -> Self {
        Self {
            channels,
            dim,
            rows: vec![RowSums::new(channels); channels],
            products: Vec::new(),
        }
    }

    /// Samples of a block, 1 to 256, that `memory` bytes suffice for.
    pub(in crate::measure) fn samples_at_a_time(channels: usize, dim: usize, memory: u64) -> usize {
        let (c, d) = (channels, dim);
        // Two blocks of values, one as float64, and a matrix per sample.
        let per_sample = (16 * c * d + 8 * c * c + 64 * c) as u64;
        let step = usize::try_from(memory / per_sample.max(1)).unwrap_or(BLOCK);
        step.clamp(1, BLOCK)
    }

    /// Adds the next samples, `block [samples, C, d]`.
    pub(in crate::measure) fn add<B: Backend>(&mut self, backend: &B, block: &[f32]) -> Result<()> {
        let (c, d) = (self.channels, self.dim);
        let samples = block.len() / (c * d);
        self.products.clear();
        self.products.resize(samples * c * c, 0.0);
        backend.add_dots(DotRows::dense(block, samples, c, d), &mut self.products)?;
        let products = &self.products;
        (self.rows.par_iter_mut().enumerate()).for_each(|(row, sums)| {
            for (products, maps) in products.chunks(c * c).zip(block.chunks(c * d)) {
                sums.add(row, products, &maps[row * d..][..d]);
            }
        });
        Ok(())
    }

    /// The matrices, once all `samples` are added.
    pub(in crate::measure) fn finish(self, samples: usize) -> ChannelSimilarity {
        let (sums, c) = (&self.rows, self.channels);
        let values = (samples * self.dim) as f64;
        let covariance =
            |i: usize, e: usize| sums[i].product[e] - sums[i].sum * sums[e].sum / values;
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

    /// Adds a sample: all its inner products `[C, C]`, and the map of channel `row`.
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
