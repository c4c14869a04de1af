//! Channel and pixel shuffling (arXiv 1906.03986; docs/definitions.md#shuffling).
//!
//! One channel of a tensor at a time is shuffled, across the samples of a mini-batch or inside each map;
//! what that does to later layers (cosine similarity per channel) and to the accuracy says how much the
//! network relies on the channel.

mod check;
mod compare;
mod permute;
mod run;
mod tail;

pub use check::check_labels;
pub(super) use compare::right;
pub use permute::{check as check_permutation, seeded as seeded_permutation};
pub(super) use tail::beside;

use super::Context;
use super::setters::setters;
use crate::control::Step;
use crate::device::on_backend;
use crate::io::layer::Layer;
use crate::model::graph::Graph;
use crate::model::node::ValueId;
use crate::ops::net::NetOps;
use crate::stream::run::ranges;
use crate::{Error, Result};
use run::Run;

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
            .ok_or_else(|| Error::unknown("mode", s, "channel or pixel"))
    }
}

/// Over what a cosine is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cosine {
    /// A sample's map, mean over samples.
    #[default]
    Sample,
    /// The maps of all samples as one vector of `N H W` numbers.
    Batch,
}

impl Cosine {
    /// Name as in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Batch => "batch",
        }
    }
}

impl std::str::FromStr for Cosine {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        [Self::Sample, Self::Batch]
            .into_iter()
            .find(|c| c.name() == s)
            .ok_or_else(|| Error::unknown("cosine", s, "sample or batch"))
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

/// What is shuffled, and what is watched meanwhile.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ShuffleInput<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Its input, `N` samples.
    pub data: &'a dyn Layer,
    /// The tensor whose channels are shuffled, `[K, ...]` per sample.
    pub tensor: &'a Tapped,
    /// Values that are compared. Those that do not depend on the tensor are left out.
    pub observe: &'a [Tapped],
    /// `[N]` class of every sample: adds accuracies.
    pub labels: Option<&'a [u32]>,
    /// The output that classifies; `None` for the only one.
    pub output: Option<ValueId>,
    /// `[N]`, `A'[i] = A[permutation[i]]` instead of seeded permutations; checked by [`check_permutation`].
    pub permutation: Option<&'a [i64]>,
}

impl<'a> ShuffleInput<'a> {
    /// Shuffles `tensor` of a network that runs on `data`, without labels, by seeded permutations.
    pub const fn new(
        graph: &'a Graph,
        data: &'a dyn Layer,
        tensor: &'a Tapped,
        observe: &'a [Tapped],
    ) -> Self {
        Self {
            graph,
            data,
            tensor,
            observe,
            labels: None,
            output: None,
            permutation: None,
        }
    }

    /// Adds the class of every sample.
    #[must_use]
    pub const fn with_labels(mut self, labels: Option<&'a [u32]>) -> Self {
        self.labels = labels;
        self
    }

    /// Takes the class of a sample from this output.
    #[must_use]
    pub const fn with_output(mut self, output: Option<ValueId>) -> Self {
        self.output = output;
        self
    }

    /// Takes this permutation of the samples instead of seeded ones.
    #[must_use]
    pub const fn with_permutation(mut self, permutation: Option<&'a [i64]>) -> Self {
        self.permutation = permutation;
        self
    }
}

/// Options of [`shuffle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShuffleOptions {
    /// What is exchanged.
    pub mode: Mode,
    /// How taps are compared.
    pub cosine: Cosine,
    /// Samples of a mini-batch, at least 2 for [`Mode::Channel`].
    pub batch: usize,
    /// Seed of the permutations. They are the same for every channel and tensor.
    pub seed: u64,
}

impl Default for ShuffleOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Channel,
            cosine: Cosine::Sample,
            batch: 256,
            seed: 0,
        }
    }
}

setters!(ShuffleOptions {
    with_mode(mode: Mode),
    with_cosine(cosine: Cosine),
    with_batch(batch: usize),
    with_seed(seed: u64),
});

/// What shuffling the channels of one tensor did.
#[derive(Clone, Debug, PartialEq)]
pub struct Shuffle {
    /// The tensor.
    pub name: String,
    /// What was exchanged.
    pub mode: Mode,
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
    /// `[K, M]` cosine similarity before and after, as [`ShuffleOptions::cosine`] says.
    pub cosine: Vec<f64>,
}

/// Shuffles every channel of a tensor in turn and compares the observed values and the accuracy.
///
/// # Errors
/// [`Error::Item`] and [`Error::WrongLength`] on labels or permutations that do not fit, [`Error::Memory`], I/O and device errors;
/// [`Error::Cancelled`].
pub fn shuffle(
    ctx: &Context<'_>,
    input: &ShuffleInput<'_>,
    options: &ShuffleOptions,
) -> Result<Shuffle> {
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| shuffle_on(
            backend, ctx, input, options
        ))
    })
}

fn shuffle_on<B: NetOps>(
    backend: &B,
    ctx: &Context<'_>,
    input: &ShuffleInput<'_>,
    options: &ShuffleOptions,
) -> Result<Shuffle> {
    let control = ctx.control();
    let samples = input.data.shape().samples;
    let channels = input.graph.value(input.tensor.value).shape[0];
    let stage = format!("shuffle {} {}s", input.tensor.name, options.mode.name());
    let watch = |done: u64| {
        control.report(Step {
            stage: &stage,
            done,
            total: samples as u64 * channels as u64,
            unit: "maps",
        });
        control.check()
    };
    let mut run = Run::new(backend, input, options, ctx.memory(), &watch)?;
    for batch in ranges(samples, options.batch) {
        run.batch(batch)?;
    }
    Ok(run.finish())
}
