//! Channel redundancy from channel-wise NNK graphs (arXiv 2110.11400; docs/definitions.md#channel-graphs).
//!
//! A layer is read twice. The first pass (`survey.rs`, `values.rs`) looks for values that are not finite and for
//! dead channels, and in the same blocks adds up the similarity of channels and the Gram matrices that CKA needs.
//! The second pass computes the graphs: candidates, Gram matrices and solves on the device, a few numbers
//! per query back. The overlap of the supports needs no further reading. Some cases take more:
//!
//! - The aggregate graph reads the layer once more.
//! - Where samples are left out because they are not finite, the first pass is repeated without them.
//! - Where the memory cap is too small, the graphs read blocks of points repeatedly
//!   ([`crate::stream::plan`]), and CKA reads the layer once more if 256 of its samples take more than an
//!   eighth of the cap.
//!
//! Under a cap that holds a few channels at a time, the second pass is one over small parts of every sample for each group
//! of channels. Where these passes are many, the layer is read from front to back instead and copied by channels into a
//! temporary file, or into parts that a run in units keeps (`reading.rs`, [`crate::stream::repack`]).
//!
//! Everything is streamed under one memory cap, and every mean is a sum of integers or runs in the order of
//! the samples, so that figures are equal to the bit whatever the block sizes or threads.
//!
//! [`redundancy`] runs everything in one go. For runs in parts ([`crate::units`]) there are `survey_part` of some samples,
//! [`graphs`] of some channels and queries, [`overlap`] of some queries, and [`LayerRedundancy::assemble`] of their sums; `stages.rs`
//! explains why the result is the same.
//!
//! [`compare()`] compares the channels of two runs, whose supports were kept.

mod across;
mod between;
mod blocks;
mod draw;
mod estimate;
mod graphs;
mod input;
mod layer;
mod matches;
mod memory;
mod overlap;
mod probe;
mod reading;
mod scatter;
mod sink;
mod spaces;
mod stages;
mod stats;
mod streamed;
mod strongest;
mod survey;
mod values;
mod work;

pub use across::{Across, AcrossInput, SideLayer, TOGETHER, across};
pub use between::{Between, CompareInput, Side, compare};
pub use estimate::{Estimate, estimate};
pub use input::{NonFinite, Prepared, RedundancyInput, RedundancyOptions, draw_queries};
pub use layer::{Compared, LayerRedundancy, Redundancy, Sampled};
pub use matches::{Match, Place};
pub use overlap::{OverlapPart, SupportSource, Unions, check_overlap_memory};
pub use reading::{LayerCopy, repack};
pub use scatter::Scatter;
pub use sink::{
    Arrays, GraphArrays, GraphRows, GraphShape, GraphSink, LayerGraphs, LayerSupports, Space,
    SupportSink, SymmetricEdge, symmetric_graph,
};
pub use spaces::Spaces;
pub use stages::{graphs, overlap};
pub use stats::{SpaceErrors, SpaceSummary, SpaceSums};
pub(crate) use strongest::strongest_of;
pub use strongest::{STRONGEST, Strong};
pub use survey::Surveyed;
pub(crate) use values::{PartSurvey, survey_part, survey_parts};

use super::Context;
use super::baselines::Cka;
use super::selection::select;
use crate::device::on_backend;
use crate::error::LayerProblem;
use crate::io::layer::Layer;
use crate::ops::Backend;
use crate::{Error, Result};
pub(super) use input::check_params;
use input::{check_labels, check_options};
use survey::Session;

/// Measures the channel redundancy of layers, with labels (leave-one-out interpolation) or without, and
/// beside it the similarity of their channels and, for several layers of as many samples each, linear CKA
/// between them. Prints and writes nothing.
///
/// # Errors
/// [`crate::Error::Argument`] for parameters out of range; [`crate::Error::Layer`] or
/// [`crate::Error::LayerFile`] for labels or channels that do not fit, layers of a single sample and values
/// that are not finite;
/// [`crate::Error::Memory`], [`crate::Error::Cancelled`], and what reading, the sink and the device report.
pub fn redundancy(
    ctx: &Context<'_>,
    input: &RedundancyInput<'_>,
    options: &RedundancyOptions,
) -> Result<Redundancy> {
    let mut layers = Vec::new();
    let Compared { cka, across } = redundancy_each(ctx, input, options, |layer| {
        layers.push(layer);
        Ok(())
    })?;
    Ok(Redundancy {
        layers,
        cka,
        across,
    })
}

/// As [`redundancy`], but hands every layer to `take` as soon as it is measured, in the order of the input,
/// and keeps none: matrices of many wide layers need not be in memory together. Returns what is found between the layers.
///
/// # Errors
/// As [`redundancy`]; what `take` returns.
pub fn redundancy_each(
    ctx: &Context<'_>,
    input: &RedundancyInput<'_>,
    options: &RedundancyOptions,
    take: impl FnMut(LayerRedundancy) -> Result<()> + Send,
) -> Result<Compared> {
    let channels = selected(input, options)?;
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            session(backend, ctx, input, options, &channels)?.run(take)
        })
    })
}

/// The first reading of [`redundancy`] by itself: what is known of every layer before its graphs are computed, and CKA
/// between the layers.
///
/// # Errors
/// As [`redundancy`].
pub fn survey(
    ctx: &Context<'_>,
    input: &RedundancyInput<'_>,
    options: &RedundancyOptions,
) -> Result<(Vec<Surveyed>, Option<Cka>)> {
    let channels = selected(input, options)?;
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            session(backend, ctx, input, options, &channels)?.surveyed()
        })
    })
}

/// Refuses input, options and a memory cap that [`redundancy`] would refuse before reading anything.
///
/// # Errors
/// As [`redundancy`].
pub fn check(
    ctx: &Context<'_>,
    input: &RedundancyInput<'_>,
    options: &RedundancyOptions,
) -> Result<()> {
    let channels = selected(input, options)?;
    on_backend!(ctx.device(), |backend| {
        session(backend, ctx, input, options, &channels).map(|_| ())
    })
}

/// The channels of every layer that are measured.
///
/// # Errors
/// As [`redundancy`], for parameters, labels and channels.
pub fn selected(
    input: &RedundancyInput<'_>,
    options: &RedundancyOptions,
) -> Result<Vec<Vec<usize>>> {
    check_options(options)?;
    let of_layer = |layer: &&dyn Layer| {
        let shape = layer.shape();
        let channels = select(&options.channels, shape.channels, layer.name())?;
        check_labels(input.labels, shape.samples, layer.name())?;
        Ok(channels)
    };
    input.layers.iter().map(of_layer).collect()
}

/// Refuses layers that cannot be compared channel by channel.
fn check_across(layers: &[&dyn Layer]) -> Result<()> {
    let [first, others @ ..] = layers else {
        return Ok(());
    };
    if others.is_empty() {
        return Err(Error::argument(
            "across",
            "one layer",
            "several layers of the same samples",
        ));
    }
    let expected = first.shape().samples;
    match others.iter().find(|l| l.shape().samples != expected) {
        None => Ok(()),
        Some(layer) => {
            let problem = LayerProblem::SampleCount {
                got: layer.shape().samples,
                other: format!("layer {}", first.name()),
                expected,
            };
            Err(Error::layer(layer.name(), layer.path(), problem))
        }
    }
}

fn session<'a, B: Backend>(
    backend: &'a B,
    ctx: &'a Context<'a>,
    input: &'a RedundancyInput<'a>,
    options: &'a RedundancyOptions,
    channels: &'a [Vec<usize>],
) -> Result<Session<'a, B>> {
    if options.across {
        check_across(input.layers)?;
    }
    for (layer, channels) in input.layers.iter().zip(channels) {
        estimate::check_memory(backend, ctx.memory(), *layer, channels.len(), options)?;
    }
    Ok(Session {
        backend,
        ctx,
        input,
        options,
        channels,
    })
}
