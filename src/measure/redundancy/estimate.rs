//! What [`super::redundancy`] would need, told beforehand: memory from the plan of the blocks, time from a
//! small probe on the device, extrapolated.

use super::RedundancyOptions;
use super::graphs::BackendCosts;
use super::input::check_options;
use super::overlap;
use crate::Result;
use crate::device::on_backend;
use crate::io::layer::Layer;
use crate::io::spill::SupportStore;
use crate::measure::Context;
use crate::measure::selection::select;
use crate::ops::{Backend, OverlapSums, PointsBlock, SUPPORT_THRESHOLD, Supports, Vectors};
use crate::stream::plan::{GraphJob, GraphPlan, plan_graph};
use std::time::Instant;

/// What a run would need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Largest working set, bytes; below the memory cap.
    pub memory_bytes: u64,
    /// Temporary file for supports that do not fit in memory, bytes; 0 if they do.
    pub disk_bytes: u64,
    /// Bytes read from the layer, the pass that looks for NaN included.
    pub read_bytes: u64,
    /// Seconds, extrapolated from a probe: right within a factor of two or so.
    pub seconds: f64,
}

/// Queries and points of the probe, and the most numbers it may hold.
const QUERIES: usize = 256;
const POINTS: usize = 4096;
const NUMBERS: usize = 4 << 20;
/// Pairs of equal members that overlaps of the probe's supports may meet, about 10 milliseconds' worth: in
/// all channels they are the same, so that every member of one meets its equal in every other.
const MEETINGS: usize = 1 << 24;

/// Estimates a run of [`super::redundancy`] on one layer. Reads a few thousand samples and computes on them.
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
            backend,
            ctx.memory(),
            layer,
            options
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
    overlap::check_memory(channels, options.graph.k, sampled, memory)?;
    for (spaces, dim, _) in spaces(channels, shape.dim(), options) {
        let job = GraphJob {
            spaces,
            samples: shape.samples,
            dim,
            k: options.graph.k,
            queries: query_count(options, shape.samples),
            drawn: sampled,
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
    memory: u64,
    layer: &dyn Layer,
    options: &RedundancyOptions,
) -> Result<Estimate> {
    check_options(options)?;
    let shape = layer.shape();
    let channels = select(&options.channels, shape.channels, layer.name())?;
    let (n, c, k) = (shape.samples, channels.len(), options.graph.k);
    let m = query_count(options, n);
    let stored = |numbers: usize| (numbers * layer.dtype().size()) as u64;
    let mut total = Estimate {
        memory_bytes: 0,
        disk_bytes: 0,
        read_bytes: stored(n * c * shape.dim()),
        seconds: 0.0,
    };
    check_memory(backend, memory, layer, c, options)?;
    let mut in_memory = 0;
    for (spaces, dim, channels_per_space) in spaces(c, shape.dim(), options) {
        let job = GraphJob {
            spaces,
            samples: n,
            dim,
            k,
            queries: m,
            drawn: m < n,
        };
        let costs = BackendCosts(backend);
        let plan = plan_graph(&job, &costs, memory)?;
        let supports = SupportStore::bytes(spaces, m, k);
        if supports > memory / 8 {
            total.disk_bytes += supports;
        } else {
            in_memory += supports;
        }
        total.memory_bytes = total.memory_bytes.max(plan.bytes(&job, &costs));
        total.read_bytes += stored(spaces * dim * n) * plan.readings(&job);
        let probe = Probe {
            backend,
            layer,
            channels: &channels[..channels_per_space],
            options,
        };
        total.seconds += probe.run(&job, &plan)?;
    }
    total.memory_bytes += in_memory;
    Ok(total)
}

/// A small run on the first channel, or on all of them for the aggregate.
struct Probe<'a, B: Backend> {
    backend: &'a B,
    layer: &'a dyn Layer,
    channels: &'a [usize],
    options: &'a RedundancyOptions,
}

/// Seconds of the parts of a probe.
struct Times {
    read: f64,
    points: f64,
    knn: f64,
    nnk: f64,
    /// Per query.
    overlap: f64,
}

impl<B: Backend> Probe<'_, B> {
    /// Seconds the whole job would take.
    fn run(&self, job: &GraphJob, plan: &GraphPlan) -> Result<f64> {
        let rows = job.samples.min(POINTS).min((NUMBERS / job.dim).max(2));
        let queries = rows.min(QUERIES).min(plan.queries);
        let started = Instant::now();
        let mut data = vec![0.0; rows * job.dim];
        self.layer.read_rows(0..rows, self.channels, &mut data)?;
        let read = started.elapsed().as_secs_f64();
        // Kernels take finite values only; the scan says what is not.
        data.iter_mut()
            .filter(|v| !v.is_finite())
            .for_each(|v| *v = 0.0);
        // The first run makes pipelines and grows pools.
        self.times(job, &data, rows, queries)?;
        let times = Times {
            read,
            ..self.times(job, &data, rows, queries)?
        };
        let (n, probed) = (job.samples as f64, rows as f64);
        let wanted = job.queries as f64;
        let scale = wanted / queries as f64;
        let passes = plan.readings(job) as f64;
        let per_space = (times.read + times.points) * n / probed * passes
            + times.knn * scale * n / probed
            + times.nnk * scale;
        Ok(job.spaces as f64 * per_space + times.overlap * wanted)
    }

    fn times(&self, job: &GraphJob, data: &[f32], rows: usize, queries: usize) -> Result<Times> {
        let params = &self.options.graph;
        let mut clock = Clock(Instant::now());
        let block = PointsBlock {
            data,
            groups: 1,
            rows,
            dim: job.dim,
            first: 0,
        };
        let points = self.backend.points(block, params.kernel)?;
        let time_points = clock.lap();
        let mut state = self.backend.candidates(1, queries, params.k)?;
        self.backend
            .knn(&points, 0..queries, &points, params, &mut state)?;
        let time_knn = clock.lap();
        let vectors = Vectors::Points(&points);
        let graph = self
            .backend
            .nnk(&points, 0..queries, &state, vectors, params)?;
        let time_nnk = clock.lap();
        let support = graph.neighbors.iter().zip(&graph.weights);
        let support: Vec<i32> = support
            .map(|(&index, &w)| if w > SUPPORT_THRESHOLD { index } else { -1 })
            .collect();
        // The same supports in every space, of no more queries than fit the probe's memory.
        let meetings = job.spaces * job.spaces.div_ceil(2) * params.k;
        let few = (NUMBERS / (job.spaces * params.k)).min(MEETINGS / meetings);
        let few = few.clamp(1, queries);
        let indices = support[..few * params.k].repeat(job.spaces);
        let degenerate = graph.degenerate[..few].repeat(job.spaces);
        let pairs = job.spaces * job.spaces;
        let mut sums = OverlapSums {
            intersection: vec![0; pairs],
            jaccard_q40: vec![0; pairs],
            queries: vec![0; pairs],
            unions: vec![0; pairs],
        };
        clock.lap();
        let supports = Supports {
            indices: &indices,
            degenerate: &degenerate,
            channels: job.spaces,
            queries: few,
            k: params.k,
        };
        self.backend.overlap(supports, &mut sums)?;
        Ok(Times {
            read: 0.0,
            points: time_points,
            knn: time_knn,
            nnk: time_nnk,
            overlap: clock.lap() / few as f64,
        })
    }
}

/// Time since the last lap.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        self.0 = Instant::now();
        seconds
    }
}
