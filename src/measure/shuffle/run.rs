//! The mini-batches of one tensor: the network as it is, then every variant of it.

use super::check::{check_labels, check_options};
use super::compare::{Tap, correct};
use super::tail::{Tail, after_channelwise, slice_rows};
use super::{Mode, Observed, Shuffle, ShuffleInput, ShuffleOptions, permute};
use crate::model::forward::Session;
use crate::model::images::{Images, batch_size};
use crate::model::node::ValueId;
use crate::ops::net::{self, NetOps};
use crate::stream::run::ranges;
use crate::{Error, Result};
use std::ops::Range;

/// Bytes of one round of variants: enough for many to share the transform and the packing of the weights.
const ROUND_ON_HOST: u64 = 128 << 20;
/// The same for a device with its own memory.
const ROUND_ON_DEVICE: u64 = 512 << 20;
/// Samples of a round at least, whatever their size: fewer would not share a pass over the weights.
const SAMPLES: usize = 16;

/// One tensor's work.
pub(super) struct Run<'a, B: NetOps> {
    backend: &'a B,
    input: &'a ShuffleInput<'a>,
    options: &'a ShuffleOptions,
    /// Cap of the working set, bytes.
    memory: u64,
    pub(super) images: Images<'a>,
    /// `[C, ...]` of the tensor.
    shape: Vec<usize>,
    head: Session<'a, B>,
    base: Session<'a, B>,
    /// The operations in front of the tail that compute each channel from the same channel, where there are any.
    front: Option<Session<'a, B>>,
    tail: Tail<'a, B>,
    /// Where in the base run's results the tensor lies, `None` for the input.
    tensor: Option<usize>,
    /// The same for each value that the tail needs.
    needs: Vec<Option<usize>>,
    /// The same for what is compared: the taps, then the output.
    compared: Vec<Option<usize>>,
    /// Samples read and run unchanged at a time.
    chunk: usize,
    /// Samples and shuffled channels of a round.
    slice: usize,
    variants: usize,
    taps: Vec<Tap>,
    /// Where the output is among what the tail computes, if it depends on the tensor.
    output: Option<usize>,
    baseline: u64,
    correct: Vec<u64>,
    /// Maps shuffled so far: a channel of a sample each.
    maps: u64,
    watch: Watch<'a>,
}

/// Is told how many maps have been shuffled; an error ends the run.
pub(super) type Watch<'a> = &'a dyn Fn(u64) -> Result<()>;

impl<'a, B: NetOps> Run<'a, B> {
    pub(super) fn new(
        backend: &'a B,
        input: &'a ShuffleInput<'a>,
        options: &'a ShuffleOptions,
        memory: u64,
        watch: Watch<'a>,
    ) -> Result<Self> {
        let (graph, tensor) = (input.graph, input.tensor);
        let images = Images::new(graph, input.data)?;
        let samples = images.samples();
        check_options(input, options, samples)?;
        let shape = graph.value(tensor.value).shape.clone();
        let reached = graph.dependents(tensor.value);
        let mut wanted: Vec<ValueId> = vec![];
        let mut taps = vec![];
        for tap in input.observe {
            let later = reached[tap.value.index()] && tap.value != tensor.value;
            if later && !wanted.contains(&tap.value) {
                wanted.push(tap.value);
                let channels = graph.value(tap.value).shape[0];
                taps.push(Tap::new(
                    tap.name.clone(),
                    shape[0],
                    channels,
                    options.cosine,
                ));
            }
        }
        let mut compared = wanted.clone();
        let mut output = None;
        if let Some(labels) = input.labels {
            let scores = match input.output {
                Some(output) => output,
                None => graph.output(None)?,
            };
            check_labels(labels, samples, &graph.value(scores).shape)?;
            compared.push(scores);
            if !wanted.contains(&scores) && reached[scores.index()] {
                wanted.push(scores);
            }
            output = wanted.iter().position(|&w| w == scores);
        }
        if wanted.is_empty() {
            return Err(Error::argument(
                "observe",
                format!("no layer that depends on '{}'", tensor.name),
                "a layer after it, or labels",
            ));
        }
        let start = after_channelwise(graph, tensor.value, &wanted);
        let session = |given: ValueId, wanted: &[ValueId]| {
            let session = Session::within(backend, graph, &[given], wanted, memory)?;
            Ok::<_, Error>(session.with_relaxed_convolutions())
        };
        let front = match start == tensor.value {
            true => None,
            false => Some(session(tensor.value, &[start])?),
        };
        let tail = Tail::new(backend, graph, start, &wanted, memory)?;
        let mut values: Vec<ValueId> = vec![];
        let mut place = |id: ValueId| {
            (id != graph.input()).then(|| {
                values.iter().position(|&v| v == id).unwrap_or_else(|| {
                    values.push(id);
                    values.len() - 1
                })
            })
        };
        let tensor_place = place(tensor.value);
        let needs = tail.needs().into_iter().map(&mut place).collect();
        let compared = compared.into_iter().map(&mut place).collect();
        let base = session(graph.input(), &values)?;
        let head = session(graph.input(), &[tensor.value])?;
        let mut run = Self {
            backend,
            input,
            options,
            memory,
            images,
            correct: vec![0; shape[0]],
            shape,
            head,
            base,
            front,
            tail,
            tensor: tensor_place,
            needs,
            compared,
            chunk: 0,
            slice: 0,
            variants: 0,
            taps,
            output,
            baseline: 0,
            maps: 0,
            watch,
        };
        run.plan()?;
        Ok(run)
    }

    /// Samples and channels at a time. The tensor is kept for a whole mini-batch, shuffled and not.
    fn plan(&mut self) -> Result<()> {
        let batch = self.options.batch.min(self.images.samples());
        let tensor: usize = self.shape.iter().product();
        // As it is, shuffled, and behind the operations in front of the tail.
        let copies = if self.front.is_some() { 3 } else { 2 };
        let fixed = self.base.fixed_bytes() + 4 * copies * (batch * tensor) as u64;
        let variant = self.tail.bytes_per_variant();
        let sample = self.base.bytes_per_sample() + variant;
        let limits = self.backend.limits();
        self.chunk = batch_size(self.memory, fixed, sample, batch)?;
        let (round, least) = if limits.shares_host_memory {
            (ROUND_ON_HOST, SAMPLES.min(self.chunk))
        } else {
            (ROUND_ON_DEVICE, self.chunk)
        };
        // Beside the chunk's values there are those of a slice.
        let left = self.memory.saturating_sub(fixed) / 2;
        let left = left.saturating_sub(2 * self.chunk as u64 * self.base.bytes_per_sample());
        let round = round.min(left).min(limits.max_block_bytes);
        let fit = |each: u64, most: usize| {
            let count = usize::try_from(round / each.max(1)).unwrap_or(usize::MAX);
            count.clamp(1, most)
        };
        self.variants = fit(variant * least as u64, self.shape[0]);
        self.slice = fit(variant * self.variants as u64, self.chunk).max(least);
        Ok(())
    }

    /// Takes a mini-batch.
    pub(super) fn batch(&mut self, rows: Range<usize>) -> Result<()> {
        (self.watch)(self.maps)?;
        if self.chunk >= rows.len() {
            let x = self.images.read(self.backend, rows.clone())?;
            let base = self.base.run(&[&x])?;
            let tensor = pick(&base, &x, self.tensor);
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
            let place = crate::ops::net::StridedCopy {
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

    /// Every channel of the tensor shuffled, and what the operations in front of the tail make of it.
    fn exchange(&self, tensor: &B::Tensor, rows: &Range<usize>) -> Result<B::Tensor> {
        let options = self.options;
        let shuffled = match options.mode {
            Mode::Channel => {
                let index: Vec<u32> = match self.input.permutation {
                    Some(p) => (p[rows.clone()].iter())
                        .map(|&to| (to - rows.start as i64) as u32)
                        .collect(),
                    None => {
                        let number = (rows.start / options.batch) as u64;
                        permute::seeded(options.seed, number, rows.len())
                    }
                };
                self.backend.shuffle(tensor, net::Shuffle::Samples(&index))
            }
            Mode::Pixel => {
                let pixels: usize = self.shape[1..].iter().product();
                let index: Vec<u32> = (rows.clone())
                    .flat_map(|i| permute::seeded(options.seed, i as u64, pixels))
                    .collect();
                self.backend.shuffle(tensor, net::Shuffle::Pixels(&index))
            }
        }?;
        let Some(front) = &self.front else {
            return Ok(shuffled);
        };
        (front.run(&[&shuffled])?.pop())
            .ok_or_else(|| Error::network("shuffling: no value in front of the tail"))
    }

    /// Runs the variants of some samples, as many at a time as a round has.
    fn compare(
        &mut self,
        rows: &Range<usize>,
        x: &B::Tensor,
        base: &[B::Tensor],
        shuffled: &B::Tensor,
    ) -> Result<()> {
        if self.slice >= rows.len() {
            return self.round(rows, x, base, shuffled);
        }
        for part in ranges(rows.len(), self.slice) {
            let cut = |t: &B::Tensor| slice_rows(self.backend, t, part.clone());
            let base: Vec<_> = base.iter().map(cut).collect::<Result<_>>()?;
            let (x, shuffled) = (cut(x)?, cut(shuffled)?);
            let rows = rows.start + part.start..rows.start + part.end;
            self.round(&rows, &x, &base, &shuffled)?;
        }
        Ok(())
    }

    /// Runs the variants of a slice of samples and adds up what they differ in.
    fn round(
        &mut self,
        rows: &Range<usize>,
        x: &B::Tensor,
        base: &[B::Tensor],
        shuffled: &B::Tensor,
    ) -> Result<()> {
        let needs: Vec<&B::Tensor> = self.needs.iter().map(|&i| pick(base, x, i)).collect();
        let labels = self.input.labels.map(|l| &l[rows.clone()]);
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
                for (sum, n) in self.correct[channels.clone()].iter_mut().zip(counts) {
                    *sum += n;
                }
            }
            self.maps += (rows.len() * channels.len()) as u64;
            (self.watch)(self.maps)?;
        }
        Ok(())
    }

    /// What it came to.
    pub(super) fn finish(self) -> Shuffle {
        let samples = self.images.samples();
        let share = |n: u64| n as f64 / samples as f64;
        let labelled = self.input.labels.is_some();
        let observed = (self.taps.into_iter())
            .map(|t| Observed {
                cosine: t.cosines(samples),
                name: t.name,
                channels: t.channels,
            })
            .collect();
        let rest = samples % self.options.batch;
        Shuffle {
            name: self.input.tensor.name.clone(),
            mode: self.options.mode,
            baseline_accuracy: labelled.then(|| share(self.baseline)),
            accuracy: labelled.then(|| self.correct.iter().map(|&n| share(n)).collect()),
            observed,
            short_batch: (rest != 0).then_some(rest),
        }
    }
}

fn pick<'t, T>(base: &'t [T], input: &'t T, place: Option<usize>) -> &'t T {
    place.map_or(input, |i| &base[i])
}
