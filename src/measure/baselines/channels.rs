//! Cosine and Pearson correlation between the channels of a layer.

use super::sums::ChannelSums;
use super::totals::ChannelSimilarity;
use crate::Result;
use crate::device::on_backend;
use crate::io::layer::Layer;
use crate::measure::Context;
use crate::measure::selection::select;
use crate::measure::setters::setters;
use crate::ops::Backend;
use crate::stream::run::{Layout, Read, ranges, read_ahead};

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
        control.report_samples(&stage, read.rows.end, samples);
        control.check()
    };
    read_ahead(layer, channels, Layout::SampleMajor, reads, control, work)?;
    sums.finish(backend)
}
