//! A small run on a few channels, from which the time of the whole is extrapolated.

use super::RedundancyOptions;
use super::scatter::Scatter;
use crate::Result;
use crate::io::layer::Layer;
use crate::measure::baselines::ChannelSums;
use crate::ops::{
    Backend, GraphBlock, OverlapSums, PointsBlock, SUPPORT_THRESHOLD, Supports, Vectors,
};
use crate::stream::plan::{GraphJob, GraphPlan};
use crate::stream::run::{Layout, Read, read_values};
use crate::tensor::{Value, ValueBuffer, Values};
use web_time::Instant;

/// Fewest queries of a space, if there are as many. They are doubled until they take [`ENOUGH`].
const QUERIES: usize = 256;
/// Seconds of a search and solution in which the fixed costs of a call no longer matter.
const ENOUGH: f64 = 0.05;
/// Seconds of a search and solution at most, for more queries than that takes.
const LONGEST: f64 = 1.0;
/// A search and solution for more queries takes at most one part in so many of what all of them are going to take.
const PARTS: f64 = 60.0;
/// Most points of a space. The more there are, the better they stand for the run: a search among many points leaves most
/// of them out.
const POINTS: usize = 1 << 16;
/// Most numbers that the probe holds, or [`CHANNELS`] channels of it each, unless a few vectors are longer.
const NUMBERS: usize = 4 << 20;
/// Channels that are probed at least, because channels differ, and because points of one are prepared by a single thread in part.
const CHANNELS: usize = 4;
/// Most queries, times pairs of channels, of the probe of overlaps.
const MEETINGS: usize = 1 << 25;
/// Most products of two numbers of the probe of the first reading.
const PRODUCTS: usize = 1 << 31;

/// The layer that is probed.
pub(super) struct Probe<'a, B: Backend> {
    pub backend: &'a B,
    pub layer: &'a dyn Layer,
    /// Channels that the run measures.
    pub channels: &'a [usize],
    pub options: &'a RedundancyOptions,
}

/// Seconds of the parts of a probe.
#[derive(Default)]
struct Times {
    points: f64,
    knn: f64,
    nnk: f64,
    /// Of all pairs of channels, per query.
    overlap: f64,
}

impl<B: Backend> Probe<'_, B> {
    /// Seconds of the first reading: values that are not finite, and if asked for the similarity of channels.
    pub fn survey(&self) -> Result<f64> {
        let shape = self.layer.shape();
        let (n, c, d) = (shape.samples, self.channels.len(), shape.dim());
        // Whole pieces: nothing is multiplied before one is full.
        let piece = ChannelSums::samples_of_a_piece(d);
        let few = (NUMBERS / (c * d)).min(PRODUCTS / (c * c * d)).min(256);
        let few = (few / piece).max(1).saturating_mul(piece).min(n);
        let mut clock = Clock(Instant::now());
        let mut data = vec![0.0; few * c * d];
        self.layer.read_rows(0..few, self.channels, &mut data)?;
        let read = clock.lap();
        let (mut products, mut once) = (0.0, 0.0);
        if self.options.baselines {
            zero_what_is_not_finite(&mut data, |v| v.is_finite());
            let mut sums = ChannelSums::new(c, d);
            // The first samples set what the sums are taken about, and take longer.
            sums.add(self.backend, &data)?;
            clock.lap();
            sums.add(self.backend, &data)?;
            products = clock.lap();
            sums.finish(self.backend)?;
            once = clock.lap();
        }
        Ok((read + products) * n as f64 / few as f64 + once)
    }

    /// Seconds of the graphs and overlaps of a job whose spaces are a channel each, or all channels together.
    pub fn graphs(
        &self,
        job: &GraphJob,
        plan: &GraphPlan,
        channels_per_space: usize,
    ) -> Result<f64> {
        let rows = (NUMBERS / job.dim).max(4 * job.k).min(POINTS);
        let rows = rows.min(plan.points).min(job.samples).max(2);
        let read = self.reading(job, plan, channels_per_space)? * plan.readings(job) as f64;
        if channels_per_space > 1 || job.spaces == 1 {
            return Ok(read + self.extrapolated(job, plan, rows, self.channels, 1)?);
        }
        // As many at once as the run, if that many can be had: few queries of one channel leave cores idle.
        let least = CHANNELS.min(plan.groups);
        let groups = (NUMBERS / (rows * job.dim)).clamp(least, plan.groups);
        let channels = spread(self.channels, groups.max(CHANNELS));
        let blocks = channels.chunks(groups.min(channels.len()));
        let count = blocks.len() as f64;
        let seconds = blocks.map(|some| self.extrapolated(job, plan, rows, some, some.len()));
        Ok(read + seconds.sum::<Result<f64>>()? / count)
    }

    /// Seconds in which all values are read once, as many channels at a time as the run reads.
    fn reading(&self, job: &GraphJob, plan: &GraphPlan, channels_per_space: usize) -> Result<f64> {
        let channels = &self.channels[..plan.groups * channels_per_space];
        let rows = NUMBERS * channels_per_space / (channels.len() * job.dim);
        let rows = rows.clamp(1, job.samples);
        let layout = layout(job);
        let block = Read {
            channels: 0..channels.len(),
            rows: 0..rows,
        };
        let mut clock = Clock(Instant::now());
        read_values(self.layer, channels, layout, &block)?;
        let longer = job.samples as f64 / rows as f64 * job.spaces as f64 / plan.groups as f64;
        Ok(clock.lap() * longer)
    }

    /// Seconds that the whole job would take, its readings left out, if all spaces were as these `groups`, which hold the given
    /// channels.
    fn extrapolated(
        &self,
        job: &GraphJob,
        plan: &GraphPlan,
        rows: usize,
        channels: &[usize],
        groups: usize,
    ) -> Result<f64> {
        let most = rows.min(plan.queries).min(job.queries.max(1));
        let block = Read {
            channels: 0..channels.len(),
            rows: 0..rows,
        };
        let mut data = read_values(self.layer, channels, layout(job), &block)?;
        match &mut data {
            ValueBuffer::F16(data) => zero_what_is_not_finite(data, |v| v.is_finite()),
            ValueBuffer::F32(data) => zero_what_is_not_finite(data, |v| v.is_finite()),
        }
        let block = PointsBlock {
            data: data.values(),
            groups,
            rows,
            dim: job.dim,
            first: 0,
        };
        let mut queries = most.min(QUERIES);
        // The first run makes pipelines and grows pools.
        self.times(job, block, queries)?;
        let mut times = self.times(job, block, queries)?;
        // Eight queries that are searched together lie the closer, and leave out the more points, the more queries there are: as
        // many among these points as in the run.
        let longer = job.samples as f64 / rows as f64;
        let as_dense = (plan.queries as f64 / longer).ceil() as usize;
        let spaces = job.spaces as f64 / groups as f64;
        while queries < most {
            let seconds = times.knn + times.nnk;
            let all = (times.knn * longer + times.nnk) * job.queries as f64 / queries as f64;
            let affordable = 2.0 * seconds < (spaces * all / PARTS).min(LONGEST);
            if seconds >= ENOUGH && !(affordable && queries < as_dense) {
                break;
            }
            queries = most.min(2 * queries);
            times = self.times(job, block, queries)?;
        }
        let scale = job.queries as f64 / queries as f64;
        let points = times.points * longer * plan.readings(job) as f64;
        let knn = match rows < job.samples {
            true => times.knn + self.search_slope(job, block, queries, times.knn)? * (longer - 1.0),
            false => times.knn,
        };
        let seconds = points + (knn + times.nnk) * scale;
        Ok(spaces * seconds + times.overlap * job.queries as f64)
    }

    /// What a search that takes `seconds` among the points of `block` takes longer among as many again. A part of a search
    /// does not depend on the number of points, so that a quarter of the points takes more than a quarter of the time. Queries
    /// are as many fewer, so that they lie as close.
    fn search_slope(
        &self,
        job: &GraphJob,
        block: PointsBlock<'_>,
        queries: usize,
        seconds: f64,
    ) -> Result<f64> {
        let (groups, params) = (block.groups, &self.options.graph);
        let points = (self.backend).points_for(block, params.kernel, job.queries)?;
        let rows = (block.rows / 4).max(1);
        let data = match block.data {
            Values::F16(data) => ValueBuffer::F16(first_rows(data, &block, rows)),
            Values::F32(data) => ValueBuffer::F32(first_rows(data, &block, rows)),
        };
        let few = PointsBlock {
            data: data.values(),
            rows,
            ..block
        };
        let few = (self.backend).points_for(few, params.kernel, job.queries)?;
        let fewer = (queries / 4).max(QUERIES).min(queries);
        let mut least = f64::INFINITY;
        for _ in 0..2 {
            let mut state = self.backend.candidates(groups, fewer, params.k)?;
            let mut clock = Clock(Instant::now());
            self.backend
                .knn(&points, 0..fewer, &few, params, &mut state)?;
            least = least.min(clock.lap() * queries as f64 / fewer as f64);
        }
        let left_out = 1.0 - rows as f64 / block.rows as f64;
        Ok(((seconds - least) / left_out).clamp(0.0, seconds))
    }

    fn times(&self, job: &GraphJob, block: PointsBlock<'_>, queries: usize) -> Result<Times> {
        let (params, groups) = (&self.options.graph, block.groups);
        let mut clock = Clock(Instant::now());
        // As the run prepares them.
        let points = (self.backend).points_for(block, params.kernel, job.queries)?;
        let points_seconds = clock.lap();
        let mut state = self.backend.candidates(groups, queries, params.k)?;
        self.backend
            .knn(&points, 0..queries, &points, params, &mut state)?;
        let knn = clock.lap();
        let vectors = Vectors::Points(&points);
        let graph = self
            .backend
            .nnk(&points, 0..queries, &state, vectors, params)?;
        Ok(Times {
            points: points_seconds,
            knn,
            nnk: clock.lap(),
            overlap: self.overlap(job, &graph, groups, queries)?,
        })
    }

    /// Seconds per query of the overlaps of all pairs of spaces. Where more spaces are wanted than were probed, supports
    /// are used again, of other queries each time.
    fn overlap(
        &self,
        job: &GraphJob,
        graph: &GraphBlock,
        groups: usize,
        queries: usize,
    ) -> Result<f64> {
        if job.spaces == 1 {
            return Ok(0.0);
        }
        let k = job.k;
        let few =
            (NUMBERS / (job.spaces * k)).min(MEETINGS / (job.spaces * job.spaces.div_ceil(2)));
        let few = few.clamp(1, queries);
        let (mut indices, mut degenerate) = (Vec::new(), Vec::new());
        for (space, query) in (0..job.spaces).flat_map(|s| (0..few).map(move |q| (s, q))) {
            let query = (space / groups * 7 + query) % queries;
            let row = space % groups * queries + query;
            let listed = graph.neighbors[row * k..]
                .iter()
                .zip(&graph.weights[row * k..]);
            indices.extend(listed.take(k).map(|(&index, &weight)| {
                match weight > SUPPORT_THRESHOLD {
                    true => index,
                    false => -1,
                }
            }));
            degenerate.push(graph.degenerate[row]);
        }
        let pairs = job.spaces * job.spaces;
        let mut sums = OverlapSums {
            intersection: vec![0; pairs],
            jaccard_q40: vec![0; pairs],
            queries: vec![0; pairs],
            unions: vec![0; pairs],
        };
        let supports = Supports {
            indices: &indices,
            degenerate: &degenerate,
            channels: job.spaces,
            queries: few,
            k,
        };
        let mut clock = Clock(Instant::now());
        self.backend.overlap(supports, &mut sums)?;
        if job.drawn {
            Scatter::new(job.spaces).add(&supports);
        }
        Ok(clock.lap() / few as f64)
    }
}

/// How blocks of the job lie in memory.
fn layout(job: &GraphJob) -> Layout {
    match job.spaces {
        1 => Layout::SampleMajor,
        _ => Layout::ChannelMajor,
    }
}

/// `count` of the channels, or all of them, at equal steps.
fn spread(channels: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(channels.len());
    let at = |i: usize| (2 * i + 1) * channels.len() / (2 * count);
    (0..count).map(|i| channels[at(i)]).collect()
}

/// Kernels take finite values only. A run refuses what is not, or leaves the sample out.
fn zero_what_is_not_finite<T: Value>(data: &mut [T], is_finite: impl Fn(T) -> bool) {
    let bad = data.iter_mut().filter(|v| !is_finite(**v));
    bad.for_each(|v| *v = T::zeroed());
}

/// The first rows of every group of a block.
fn first_rows<T: Value>(data: &[T], block: &PointsBlock<'_>, rows: usize) -> Vec<T> {
    let groups = data.chunks_exact(block.rows * block.dim);
    let first = groups.flat_map(|group| &group[..rows * block.dim]);
    first.copied().collect()
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
