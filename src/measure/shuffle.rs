//! Channel and pixel shuffling (arXiv 1906.03986; definitions, section 6).
//!
//! One channel of a tensor at a time is shuffled, across the samples of a mini-batch or inside each map;
//! what that does to later layers (cosine similarity per channel) and to the accuracy says how much the
//! network relies on the channel.

mod permute;
mod tail;

pub use permute::{check as check_permutation, seeded as seeded_permutation};

use crate::control::{Control, Progress};
use crate::device::net::{NetOps, Shuffle};
use crate::io::source::Layer;
use crate::model::forward::Session;
use crate::model::graph::{Graph, ValueId};
use crate::model::images::{Images, batch_size};
use crate::stream::run::ranges;
use crate::{Error, Result};
use std::ops::Range;
use tail::{Tail, slice_rows};

/// What is exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A channel's maps across the samples of a mini-batch.
    #[default]
    Channel,
    /// The pixels inside each map of a channel, another permutation for each sample.
    Pixel,
}

impl Mode {
    /// Name as in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Pixel => "pixel",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        [Self::Channel, Self::Pixel]
            .into_iter()
            .find(|m| m.name() == s)
            .ok_or_else(|| Error::Usage(format!("unknown mode '{s}': use channel or pixel")))
    }
}

/// A later value and its name in the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tapped {
    /// Layer.
    pub name: String,
    /// `[M, ...]` per sample.
    pub value: ValueId,
}

/// What is shuffled, and how.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Its input.
    pub data: &'a dyn Layer,
    /// Class of every sample.
    pub labels: Option<&'a [u32]>,
    /// What is exchanged.
    pub mode: Mode,
    /// Samples of a mini-batch, at least 2 for [`Mode::Channel`].
    pub batch: usize,
    /// Seed of the permutations. They are the same for every channel and tensor.
    pub seed: u64,
    /// `A'[i] = A[permutation[i]]` instead of seeded ones; checked by [`check_permutation`].
    pub permutation: Option<&'a [i64]>,
    /// Cap of the working set, bytes.
    pub memory: u64,
}

/// What shuffling the channels of one tensor did.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Accuracy of the untouched network, with labels.
    pub baseline_accuracy: Option<f64>,
    /// `[K]` accuracy with each channel shuffled, with labels.
    pub accuracy: Option<Vec<f64>>,
    /// Later taps, those that depend on the tensor.
    pub observed: Vec<Observed>,
    /// Samples of the last mini-batch where it is shorter.
    pub short_batch: Option<usize>,
}

/// What it did to one tap.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Layer.
    pub name: String,
    /// Channels `M` of the tap.
    pub channels: usize,
    /// `[K, M]` cosine similarity before and after, mean over samples.
    pub cosine: Vec<f64>,
}

/// Bytes of one round of variants: enough to keep a device busy, small enough for a processor's cache.
const ROUND_ON_HOST: u64 = 24 << 20;
/// The same for a device with its own memory.
const ROUND_ON_DEVICE: u64 = 512 << 20;

/// Shuffles every channel of `tensor` in turn and compares `observe` and the accuracy. Taps that do not
/// depend on the tensor are left out.
///
/// # Errors
/// [`Error::Usage`] on labels or permutations that do not fit, [`Error::Memory`], I/O and device errors.
pub fn shuffle<B: NetOps>(
    backend: &B,
    job: &Job<'_>,
    tensor: &Tapped,
    observe: &[Tapped],
    control: &Control<'_>,
) -> Result<Effect> {
    let mut run = Run::new(backend, job, tensor, observe)?;
    let samples = run.images.samples();
    for batch in ranges(samples, job.batch) {
        control.check()?;
        run.batch(batch.clone())?;
        control.report(Progress {
            stage: &format!("shuffle {} {}s", tensor.name, job.mode.name()),
            done: batch.end as u64,
            total: samples as u64,
            unit: "samples",
        });
    }
    Ok(run.finish())
}

struct Run<'a, B: NetOps> {
    backend: &'a B,
    job: &'a Job<'a>,
    images: Images<'a>,
    /// `[C, ...]` of the tensor.
    shape: Vec<usize>,
    head: Session<'a, B>,
    base: Session<'a, B>,
    tail: Tail<'a, B>,
    /// Where in the base run's results each value lies that the tail needs, `None` for the input.
    needs: Vec<Option<usize>>,
    /// The same for what is compared: the taps, then the output.
    compared: Vec<Option<usize>>,
    chunk: usize,
    variants: usize,
    taps: Vec<Tap>,
    /// Where the output is among what the tail computes, if it depends on the tensor.
    output: Option<usize>,
    baseline: u64,
    correct: Vec<u64>,
}

/// Sums for one tap, in units of 2^-32: integers, so that nothing depends on their order.
struct Tap {
    name: String,
    channels: usize,
    cosines: Vec<i64>,
}

const UNIT: f64 = (1u64 << 32) as f64;

impl<'a, B: NetOps> Run<'a, B> {
    fn new(backend: &'a B, job: &'a Job<'a>, tensor: &Tapped, observe: &[Tapped]) -> Result<Self> {
        let graph = job.graph;
        let images = Images::new(graph, job.data)?;
        let samples = images.samples();
        check_job(job, samples)?;
        let shape = graph.value(tensor.value).shape.clone();
        let reached = graph.dependents(tensor.value);
        let mut wanted: Vec<ValueId> = vec![];
        let mut taps = vec![];
        for tap in observe {
            let later = reached[tap.value.index()] && tap.value != tensor.value;
            if later && !wanted.contains(&tap.value) {
                wanted.push(tap.value);
                let channels = graph.value(tap.value).shape[0];
                taps.push(Tap {
                    name: tap.name.clone(),
                    channels,
                    cosines: vec![0; shape[0] * channels],
                });
            }
        }
        let mut compared = wanted.clone();
        let mut output = None;
        if let Some(labels) = job.labels {
            let scores = graph.outputs()[0];
            check_labels(labels, samples, &graph.value(scores).shape)?;
            compared.push(scores);
            if !wanted.contains(&scores) && reached[scores.index()] {
                wanted.push(scores);
            }
            output = wanted.iter().position(|&w| w == scores);
        }
        if wanted.is_empty() {
            return Err(Error::Usage(format!(
                "nothing depends on '{}': give labels, or a layer after it to observe",
                tensor.name
            )));
        }
        let tail = Tail::new(backend, graph, tensor.value, &wanted)?;
        let mut values: Vec<ValueId> = vec![];
        let mut place = |id: ValueId| {
            (id != graph.input()).then(|| {
                values.iter().position(|&v| v == id).unwrap_or_else(|| {
                    values.push(id);
                    values.len() - 1
                })
            })
        };
        let needs = tail.needs().into_iter().map(&mut place).collect();
        let compared = compared.into_iter().map(&mut place).collect();
        let base = Session::new(backend, graph, &[graph.input()], &values)?;
        let head = Session::new(backend, graph, &[graph.input()], &[tensor.value])?;
        let mut run = Self {
            backend,
            job,
            images,
            correct: vec![0; shape[0]],
            shape,
            head,
            base,
            tail,
            needs,
            compared,
            chunk: 0,
            variants: 0,
            taps,
            output,
            baseline: 0,
        };
        run.plan()?;
        Ok(run)
    }

    /// Samples and channels at a time. The tensor is kept for a whole mini-batch, shuffled and not.
    fn plan(&mut self) -> Result<()> {
        let batch = self.job.batch.min(self.images.samples());
        let tensor: usize = self.shape.iter().product();
        let fixed = 2 * self.base.constant_bytes() + 8 * (batch * tensor) as u64;
        let variant = self.tail.bytes_per_variant(tensor);
        let sample = self.base.bytes_per_sample() + variant;
        let limits = self.backend.limits();
        self.chunk = batch_size(self.job.memory, fixed, sample, batch)?;
        let round = if limits.shares_host_memory {
            ROUND_ON_HOST
        } else {
            ROUND_ON_DEVICE
        };
        let left = self.job.memory.saturating_sub(fixed) / 2;
        let left = left.saturating_sub(self.chunk as u64 * self.base.bytes_per_sample());
        let round = round.min(left).min(limits.max_block_bytes);
        let per_channel = variant * self.chunk as u64;
        self.variants = usize::try_from(round / per_channel.max(1))
            .unwrap_or(usize::MAX)
            .clamp(1, self.shape[0]);
        Ok(())
    }

    fn batch(&mut self, rows: Range<usize>) -> Result<()> {
        if self.chunk >= rows.len() {
            let x = self.images.read(self.backend, rows.clone())?;
            let base = self.base.run(&[&x])?;
            let tensor = pick(&base, &x, self.needs[0]);
            let shuffled = self.exchange(tensor, &rows)?;
            return self.compare(&rows, &x, &base, &shuffled);
        }
        let shuffled = {
            let whole = self.whole(&rows)?;
            self.exchange(&whole, &rows)?
        };
        for part in ranges(rows.len(), self.chunk) {
            let shuffled = slice_rows(self.backend, &shuffled, part.clone())?;
            let part = rows.start + part.start..rows.start + part.end;
            let x = self.images.read(self.backend, part.clone())?;
            let base = self.base.run(&[&x])?;
            self.compare(&part, &x, &base, &shuffled)?;
        }
        Ok(())
    }

    /// The tensor for a whole mini-batch, computed in parts.
    fn whole(&self, rows: &Range<usize>) -> Result<B::Tensor> {
        let shape = [&[rows.len()], self.shape.as_slice()].concat();
        let mut whole = self.backend.zeros(&shape)?;
        let row: usize = self.shape.iter().product();
        for part in ranges(rows.len(), self.chunk) {
            let x =
                (self.images).read(self.backend, rows.start + part.start..rows.start + part.end)?;
            let out = self.head.run(&[&x])?;
            let place = crate::device::net::StridedCopy {
                extents: vec![part.len() * row],
                src_offset: 0,
                src_strides: vec![1],
                dst_offset: part.start * row,
                dst_strides: vec![1],
            };
            self.backend.copy(&out[0], &mut whole, &place)?;
        }
        Ok(whole)
    }

    /// Every channel of the tensor shuffled.
    fn exchange(&self, tensor: &B::Tensor, rows: &Range<usize>) -> Result<B::Tensor> {
        let job = self.job;
        match job.mode {
            Mode::Channel => {
                let index: Vec<u32> = match job.permutation {
                    Some(p) => (p[rows.clone()].iter())
                        .map(|&to| (to - rows.start as i64) as u32)
                        .collect(),
                    None => {
                        let number = (rows.start / job.batch) as u64;
                        permute::seeded(job.seed, number, rows.len())
                    }
                };
                self.backend.shuffle(tensor, Shuffle::Samples(&index))
            }
            Mode::Pixel => {
                let pixels: usize = self.shape[1..].iter().product();
                let index: Vec<u32> = (rows.clone())
                    .flat_map(|i| permute::seeded(job.seed, i as u64, pixels))
                    .collect();
                self.backend.shuffle(tensor, Shuffle::Pixels(&index))
            }
        }
    }

    /// Runs the variants of some samples and adds up what they differ in.
    fn compare(
        &mut self,
        rows: &Range<usize>,
        x: &B::Tensor,
        base: &[B::Tensor],
        shuffled: &B::Tensor,
    ) -> Result<()> {
        let needs: Vec<&B::Tensor> = self.needs.iter().map(|&i| pick(base, x, i)).collect();
        let labels = self.job.labels.map(|l| &l[rows.clone()]);
        if let Some(labels) = labels {
            let output = pick(base, x, self.compared[self.taps.len()]);
            let right = correct(&self.backend.download(output)?, labels, 1)?[0];
            self.baseline += right;
            if self.output.is_none() {
                self.correct.iter_mut().for_each(|n| *n += right);
            }
        }
        for channels in ranges(self.shape[0], self.variants) {
            let later = self.tail.run(&needs, shuffled, channels.clone())?;
            for (i, tap) in self.taps.iter_mut().enumerate() {
                let before = pick(base, x, self.compared[i]);
                let dots = self.backend.channel_dots(before, &later[i])?;
                tap.add(&dots, channels.clone())?;
            }
            if let (Some(labels), Some(output)) = (labels, self.output) {
                let scores = self.backend.download(&later[output])?;
                let counts = correct(&scores, labels, channels.len())?;
                for (sum, n) in self.correct[channels].iter_mut().zip(counts) {
                    *sum += n;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Effect {
        let samples = self.images.samples();
        let share = |n: u64| n as f64 / samples as f64;
        let labelled = self.job.labels.is_some();
        let observed = (self.taps.into_iter())
            .map(|t| Observed {
                name: t.name,
                channels: t.channels,
                cosine: (t.cosines.iter())
                    .map(|&sum| sum as f64 / UNIT / samples as f64)
                    .collect(),
            })
            .collect();
        let rest = samples % self.job.batch;
        Effect {
            baseline_accuracy: labelled.then(|| share(self.baseline)),
            accuracy: labelled.then(|| self.correct.iter().map(|&n| share(n)).collect()),
            observed,
            short_batch: (rest != 0).then_some(rest),
        }
    }
}

impl Tap {
    /// Adds the cosines of `dots [n, K, M, 3]`, shuffled channels `channels`.
    fn add(&mut self, dots: &[f32], channels: Range<usize>) -> Result<()> {
        let width = channels.len() * self.channels;
        let sums = &mut self.cosines[channels.start * self.channels..channels.end * self.channels];
        for sample in dots.chunks(width * 3) {
            for (sum, d) in sums.iter_mut().zip(sample.as_chunks().0) {
                let cosine = cosine(d);
                if !cosine.is_finite() {
                    return Err(Error::Model(format!(
                        "the activations of '{}' are not finite",
                        self.name
                    )));
                }
                *sum += (cosine * UNIT).round() as i64;
            }
        }
        Ok(())
    }
}

/// Cosine from `<x, y>`, `<x, x>`, `<y, y>`: 1 where both are zero, 0 where one is.
fn cosine(&[xy, xx, yy]: &[f32; 3]) -> f64 {
    match (xx == 0.0, yy == 0.0) {
        (true, true) => 1.0,
        (false, false) => {
            let norms = (f64::from(xx) * f64::from(yy)).sqrt();
            let c = f64::from(xy) / norms;
            // Rounding may lead a hair beyond; NaN must stay visible.
            if c.abs() > 1.0 { c.signum() } else { c }
        }
        _ => 0.0,
    }
}

fn pick<'t, T>(base: &'t [T], input: &'t T, place: Option<usize>) -> &'t T {
    place.map_or(input, |i| &base[i])
}

/// `[K]` samples whose largest score (the first of equals) is their label's, from `scores [n, K, classes]`.
fn correct(scores: &[f32], labels: &[u32], variants: usize) -> Result<Vec<u64>> {
    if scores.iter().any(|s| s.is_nan()) {
        return Err(Error::Model("the network's output is not a number".into()));
    }
    let classes = scores.len() / (labels.len() * variants).max(1);
    let mut counts = vec![0; variants];
    for (i, row) in scores.chunks(classes.max(1)).enumerate() {
        let mut best = 0;
        for (class, score) in row.iter().enumerate() {
            if *score > row[best] {
                best = class;
            }
        }
        counts[i % variants] += u64::from(best == labels[i / variants] as usize);
    }
    Ok(counts)
}

fn check_job(job: &Job<'_>, samples: usize) -> Result<()> {
    let least = if job.mode == Mode::Channel { 2 } else { 1 };
    if job.batch < least {
        return Err(Error::Usage(format!(
            "--batch {} is too small: {least} samples at least",
            job.batch
        )));
    }
    match (job.permutation, job.mode) {
        (Some(_), Mode::Pixel) => Err(Error::Usage(
            "a permutation of samples needs --mode channel".into(),
        )),
        (Some(p), Mode::Channel) => permute::check(p, samples, job.batch),
        (None, _) => Ok(()),
    }
}

fn check_labels(labels: &[u32], samples: usize, output: &[usize]) -> Result<()> {
    let &[classes] = output else {
        return Err(Error::Usage(format!(
            "labels need a network whose output is [N, classes], not {output:?} per sample"
        )));
    };
    if labels.len() != samples {
        return Err(Error::Usage(format!(
            "{} labels for {samples} samples",
            labels.len()
        )));
    }
    match labels.iter().position(|&l| l as usize >= classes) {
        Some(i) => Err(Error::Usage(format!(
            "label {} of sample {i} is outside the network's {classes} classes",
            labels[i]
        ))),
        None => Ok(()),
    }
}
