//! Channel redundancy of activations.

use crate::context::Context;
use crate::graph::{GraphOptions, chanscope_graph_options_default};
use crate::status::{Failure, Status, guard};
use crate::view::{elements, optional, reference, slice, target};
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::{self, LayerRedundancy, NonFinite};
use chanscope::measure::{self, RedundancyInput};
use chanscope::tensor::LayerShape;

/// The channel redundancy of a layer.
pub struct Redundancy(LayerRedundancy);

/// What is measured. chanscope_redundancy_options_default() gives the usual values.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RedundancyOptions {
    /// How the graphs are built.
    pub graph: GraphOptions,
    /// Also the graph of all channels taken as one vector per sample.
    pub aggregate: bool,
    /// Leave samples with NaN or infinities out; otherwise such values are an error.
    pub skip_non_finite: bool,
}

/// Figures of a layer. NaN where there is no value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LayerSummary {
    /// Channels.
    pub channels: usize,
    /// Samples that were left out because they are not finite.
    pub samples_skipped: usize,
    /// Mean overlap of the supports of two different channels.
    pub overlap_mean: f64,
    /// Mean Jaccard index of the supports of two different channels.
    pub jaccard_mean: f64,
    /// 1 where the supports of the channels are disjoint, the number of channels where they are identical.
    pub redundancy: f64,
    /// Share of the aggregate's support found in some channel's support.
    pub recall: f64,
    /// Error of always answering the most frequent label.
    pub majority_error: f64,
}

/// Figures of a channel, or of the aggregate. NaN where there is no value; all of them where the channel is dead.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SpaceSummary {
    /// Mean size of the support.
    pub neighbors_mean: f64,
    /// Mean number of principal components that hold 95 % of the squared norm of the NNK polytope.
    pub pca_dimension_mean: f64,
    /// TwoNN intrinsic dimension.
    pub two_nn: f64,
    /// Mean reconstruction error.
    pub reconstruction_error_mean: f64,
    /// Share of queries whose interpolated label is wrong, leave one out.
    pub loo_error: f64,
    /// Mean of one less the share of the true label.
    pub loo_soft_error: f64,
    /// Queries left out of every mean.
    pub degenerate_queries: u64,
    /// Queries whose support is not unique.
    pub not_unique_queries: u64,
    /// Whether the channel is zero on every sample.
    pub dead: bool,
}

/// The usual graphs of the channels, no aggregate; values that are not finite are an error.
#[unsafe(no_mangle)]
pub extern "C" fn chanscope_redundancy_options_default() -> RedundancyOptions {
    RedundancyOptions {
        graph: chanscope_graph_options_default(),
        aggregate: false,
        skip_non_finite: false,
    }
}

/// Measures activations [samples, channels, height, width]. `shape` holds these four numbers. `labels` holds the class of
/// every sample, or is NULL.
///
/// # Safety
/// `context` came from chanscope_context_new; the other pointers point to what is said above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_redundancy_measure(
    context: *const Context,
    activations: *const f32,
    shape: *const usize,
    labels: *const u32,
    options: *const RedundancyOptions,
    redundancy: *mut *mut Redundancy,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let (context, options) = unsafe {
            (
                reference(context, "context")?,
                reference(options, "options")?,
            )
        };
        // SAFETY: as above.
        let (shape, result) =
            unsafe { (slice(shape, 4, "shape")?, target(redundancy, "redundancy")?) };
        let [samples, channels, height, width] = [shape[0], shape[1], shape[2], shape[3]];
        let count = elements(shape, "activations")?;
        // SAFETY: as above.
        let (values, labels) = unsafe {
            (
                slice(activations, count, "activations")?,
                optional(labels, samples),
            )
        };
        let layer = ArrayLayer::new(
            "activations",
            LayerShape::new(samples, channels, height, width)?,
            values,
        )?;
        let layers = [&layer as &dyn Layer];
        let input = RedundancyInput::new(&layers).with_labels(labels);
        let options = measure::RedundancyOptions::default()
            .with_graph(options.graph.params(true)?)
            .with_aggregate(options.aggregate)
            .with_baselines(false)
            .with_non_finite(if options.skip_non_finite {
                NonFinite::Skip
            } else {
                NonFinite::Reject
            });
        let found = context.run(|ctx| measure::redundancy(ctx, &input, &options))?;
        let layer = found.layers.into_iter().next();
        let layer = layer.ok_or_else(|| Failure::argument("there is no layer"))?;
        *result = Box::into_raw(Box::new(Redundancy(layer)));
        Ok(())
    })
}

/// The figures of the layer.
///
/// # Safety
/// `redundancy` came from chanscope_redundancy_measure, and `summary` points to memory for the struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_redundancy_layer(
    redundancy: *const Redundancy,
    summary: *mut LayerSummary,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (found, summary) = unsafe {
            (
                reference(redundancy, "redundancy")?,
                target(summary, "summary")?,
            )
        };
        let found = &found.0;
        *summary = LayerSummary {
            channels: found.channels.len(),
            samples_skipped: found.samples_skipped.len(),
            overlap_mean: number(found.overlap_mean),
            jaccard_mean: number(found.jaccard_mean),
            redundancy: number(found.redundancy),
            recall: number(found.recall),
            majority_error: number(found.majority_error),
        };
        Ok(())
    })
}

/// The figures of one channel, from 0 on.
///
/// # Safety
/// As chanscope_redundancy_layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_redundancy_channel(
    redundancy: *const Redundancy,
    channel: usize,
    summary: *mut SpaceSummary,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (found, summary) = unsafe {
            (
                reference(redundancy, "redundancy")?,
                target(summary, "summary")?,
            )
        };
        let found = &found.0;
        let space = found.per_channel.get(channel).ok_or_else(|| {
            Failure::argument(format!(
                "channel {channel} is not one of the {} channels",
                found.per_channel.len()
            ))
        })?;
        *summary = summary_of(space, found.dead[channel]);
        Ok(())
    })
}

/// The figures of the aggregate.
///
/// # Safety
/// As chanscope_redundancy_layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_redundancy_aggregate(
    redundancy: *const Redundancy,
    summary: *mut SpaceSummary,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (found, summary) = unsafe {
            (
                reference(redundancy, "redundancy")?,
                target(summary, "summary")?,
            )
        };
        let found = &found.0;
        let space = found.aggregate.as_ref();
        let space = space.ok_or_else(|| {
            Failure::argument("the aggregate was not asked for: set options.aggregate")
        })?;
        *summary = summary_of(space, found.dead.iter().all(|&dead| dead));
        Ok(())
    })
}

/// Copies the matrices [channels, channels] of mean overlap and mean Jaccard index; NaN in the rows and columns of dead
/// channels. Either may be NULL where it is not wanted.
///
/// # Safety
/// `redundancy` came from chanscope_redundancy_measure, and the others point to arrays of that shape.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_redundancy_matrices(
    redundancy: *const Redundancy,
    overlap: *mut f64,
    jaccard: *mut f64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let found = &unsafe { reference(redundancy, "redundancy") }?.0;
        for (matrix, to) in [(&found.overlap, overlap), (&found.jaccard, jaccard)] {
            // SAFETY: as above.
            let to = unsafe { crate::view::optional_target(to, matrix.len()) };
            let to = to.into_iter().flatten();
            to.zip(matrix).for_each(|(to, value)| *to = *value);
        }
        Ok(())
    })
}

/// Releases the result.
///
/// # Safety
/// `redundancy` came from chanscope_redundancy_measure and is not used any more, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_redundancy_free(redundancy: *mut Redundancy) {
    if !redundancy.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(redundancy) });
    }
}

fn summary_of(space: &redundancy::SpaceSummary, dead: bool) -> SpaceSummary {
    SpaceSummary {
        neighbors_mean: number(space.neighbors_mean),
        pca_dimension_mean: number(space.pca_dimension_mean),
        two_nn: number(space.two_nn),
        reconstruction_error_mean: number(space.reconstruction_error_mean),
        loo_error: number(space.loo_error),
        loo_soft_error: number(space.loo_soft_error),
        degenerate_queries: space.degenerate_queries,
        not_unique_queries: space.not_unique_queries,
        dead,
    }
}

fn number(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}
