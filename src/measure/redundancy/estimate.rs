//! What [`super::redundancy`] would need, told beforehand: memory from the plan of the blocks, time from a
//! small probe on the device, extrapolated.

use super::RedundancyOptions;
use super::graphs::BackendCosts;
use super::input::check_options;
use super::memory::Moments;
use super::overlap::check_overlap_memory;
use super::probe::Probe;
use super::reading::{Reading, direct_bytes};
use crate::Result;
use crate::device::on_backend;
use crate::io::layer::Layer;
use crate::io::spill::{MapStore, SupportStore};
use crate::io::supports::SupportShape;
use crate::measure::Context;
use crate::measure::selection::select;
use crate::ops::Backend;
use crate::stream::plan::{GraphJob, plan_graph};

/// What a run would need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Bytes in memory at the busiest moment as a rule, the program itself left out.
    pub memory_bytes: u64,
    /// Temporary files, bytes: for supports that do not fit in memory, and for a copy of the layer by channels where one is
    /// made.
    pub disk_bytes: u64,
    /// Supports in the results, if they are kept, bytes, about ([`SupportShape::bytes`]).
    pub supports_bytes: u64,
    /// Bytes read from the layer's file, the pass that looks for NaN included, those of a copy not.
    pub read_bytes: u64,
    /// Those of them that are read to fetch candidates, at the most: what several queries have in common is read once. 0 where
    /// channels fit in memory.
    pub fetched_bytes: u64,
    /// Seconds, extrapolated from a probe: as a rule right within a factor of 1.5; see `docs/performance.md`.
    pub seconds: f64,
    /// Those of them that the first reading takes, with the correlations of channels.
    pub survey_seconds: f64,
}

/// Estimates a run of [`super::redundancy`] on one layer. Reads some tens of thousands of samples of
/// a few channels, and a few samples of all channels, and computes on them.
///
/// # Errors
/// As [`super::redundancy`]: [`crate::Error::Memory`] when the run would be refused.
pub fn estimate(
    ctx: &Context<'_>,
    layer: &dyn Layer,
    options: &RedundancyOptions,
) -> Result<Estimate> {
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| estimate_on(
            backend, ctx, layer, options
        ))
    })
}

/// Refuses a layer that a run would refuse for the memory cap after hours: graphs, overlaps, and the aggregate if asked for.
///
/// # Errors
/// [`crate::Error::Memory`], with the whole cap.
pub(super) fn check_memory<B: Backend>(
    backend: &B,
    memory: u64,
    layer: &dyn Layer,
    channels: usize,
    options: &RedundancyOptions,
) -> Result<()> {
    let shape = layer.shape();
    let sampled = options
        .queries
        .is_some_and(|queries| queries < shape.samples);
    check_overlap_memory(channels, options.graph.k, sampled, memory)?;
    for (spaces, dim, _) in spaces(channels, shape.dim(), options) {
        let job = GraphJob {
            spaces,
            samples: shape.samples,
            dim,
            k: options.graph.k,
            queries: query_count(options, shape.samples),
            drawn: sampled,
            values: layer.value_type(),
        };
        plan_graph(&job, &BackendCosts(backend), memory)?;
    }
    Ok(())
}

/// Number of queries.
fn query_count(options: &RedundancyOptions, samples: usize) -> usize {
    options.queries.unwrap_or(samples).min(samples)
}

/// Spaces, numbers of a vector, and channels of each stage of graphs.
fn spaces(channels: usize, dim: usize, options: &RedundancyOptions) -> Vec<(usize, usize, usize)> {
    let mut spaces = vec![(channels, dim, 1)];
    if options.aggregate {
        spaces.push((1, channels.saturating_mul(dim), channels));
    }
    spaces
}

fn estimate_on<B: Backend>(
    backend: &B,
    ctx: &Context<'_>,
    layer: &dyn Layer,
    options: &RedundancyOptions,
) -> Result<Estimate> {
    check_options(options)?;
    let memory = ctx.memory();
    let shape = layer.shape();
    let channels = select(&options.channels, shape.channels, layer.name())?;
    let (n, c, k) = (shape.samples, channels.len(), options.graph.k);
    let m = query_count(options, n);
    let kept = SupportShape {
        channels: c,
        queries: m,
        k,
        samples: n,
    };
    let moments = Moments {
        backend,
        memory,
        options,
        channels: c,
    };
    let mut total = Estimate {
        memory_bytes: moments.survey(shape),
        disk_bytes: 0,
        supports_bytes: kept.bytes(),
        read_bytes: n as u64 * layer.row_bytes(&channels),
        fetched_bytes: 0,
        seconds: 0.0,
        survey_seconds: 0.0,
    };
    check_memory(backend, memory, layer, c, options)?;
    let probe = Probe {
        backend,
        layer,
        channels: &channels,
        options,
    };
    total.survey_seconds = probe.survey()?;
    total.seconds += total.survey_seconds;
    let job = |spaces, dim| GraphJob {
        spaces,
        samples: n,
        dim,
        k,
        queries: m,
        drawn: m < n,
        values: layer.value_type(),
    };
    let mut held = moments.correlations();
    for (spaces, dim, channels_per_space) in spaces(c, shape.dim(), options) {
        let job = job(spaces, dim);
        let plan = plan_graph(&job, &BackendCosts(backend), memory)?;
        let supports = SupportStore::bytes(spaces, m, k);
        let in_memory = if supports > memory / 8 { 0 } else { supports };
        total.disk_bytes += supports - in_memory;
        let used = held + moments.graphs(&job, &plan, in_memory);
        total.memory_bytes = total.memory_bytes.max(used);
        held += in_memory;
        let reading = Reading::new(layer, &job, &plan);
        if channels_per_space == 1 && reading.wants_copy(layer, c, memory, ctx.scratch())? {
            total.disk_bytes += MapStore::bytes(layer, c);
            total.read_bytes += (shape.len() * layer.dtype().size()) as u64;
        } else {
            let bytes = |rows| direct_bytes(layer, &channels, spaces, (&plan, rows));
            total.read_bytes += bytes(plan.rows_read(&job));
            total.fetched_bytes += bytes(plan.rows_fetched(&job));
        }
        total.seconds += probe.graphs(&job, &plan, channels_per_space)?;
    }
    let used = moments.after_graphs(&job(c, shape.dim()), &kept, held);
    total.memory_bytes = total.memory_bytes.max(used);
    Ok(total)
}
