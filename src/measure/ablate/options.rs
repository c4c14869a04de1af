//! What is ablated, and how: input and options, and which of them do not go together.

use crate::measure::rank::Similarity;
use crate::measure::setters::setters;
use crate::measure::shuffle::check_labels;
use crate::model::graph::Graph;
use crate::model::layers::ConvLayer;
use crate::model::node::ValueId;
use crate::ops::MAX_K;
use crate::{Error, Result, io::layer::Layer};
use std::fmt;
use std::str::FromStr;

/// Permutations of which [`Criterion::Random`] is the mean.
pub const RANDOM_DRAWS: usize = 5;

/// Most samples of the calibration part where none are asked for.
const CALIBRATION: usize = 1024;

/// By what the channels of a layer are ranked (docs/definitions.md#ablation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// How well the first channels represent all of them, by a similarity ([`crate::measure::rank()`]).
    Similar(Similarity),
    /// L1 norm of the filter (Li et al., 2017).
    L1,
    /// Sum of the distances to all other filters of the layer (FPGM: He et al., 2019).
    Fpgm,
    /// Mean activation.
    Mean,
    /// Share of activations that are zero (Hu et al., 2016).
    Apoz,
    /// Permutations of the channels: the mean over [`RANDOM_DRAWS`] of them.
    Random,
    /// The caller's own rankings, see [`AblateInput::with_given`].
    Given,
}

impl Criterion {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Similar(Similarity::Jaccard),
        Self::Similar(Similarity::Filters),
        Self::Similar(Similarity::Impulse),
        Self::Similar(Similarity::Pearson),
        Self::L1,
        Self::Fpgm,
        Self::Mean,
        Self::Apoz,
        Self::Random,
        Self::Given,
    ];

    /// All that need no ranking of the caller's.
    pub fn computed() -> Vec<Self> {
        Self::ALL[..Self::ALL.len() - 1].to_vec()
    }

    /// Its name in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Similar(similarity) => similarity.name(),
            Self::L1 => "l1",
            Self::Fpgm => "fpgm",
            Self::Mean => "mean",
            Self::Apoz => "apoz",
            Self::Random => "random",
            Self::Given => "given",
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Criterion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|c| c.name() == text);
        found.ok_or_else(|| {
            let choices =
                "jaccard, filters, impulse, pearson, l1, fpgm, mean, apoz, random or given";
            Error::unknown("ranking", text, choices)
        })
    }
}

/// What stands in the place of a channel that is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dropped {
    /// Zeros.
    #[default]
    Zero,
    /// The channel's mean over the calibration part.
    Mean,
    /// `alpha` times the map of the channel that represents it, plus `beta`: least squares on the calibration part.
    Merge,
}

impl Dropped {
    /// Its name in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Mean => "mean",
            Self::Merge => "merge",
        }
    }
}

impl FromStr for Dropped {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Zero, Self::Mean, Self::Merge]
            .into_iter()
            .find(|d| d.name() == text)
            .ok_or_else(|| Error::unknown("dropped", text, "zero, mean or merge"))
    }
}

/// A ranking of the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenRanking {
    /// Layer.
    pub layer: String,
    /// `[C]` all channels, first kept first.
    pub order: Vec<i64>,
}

impl GivenRanking {
    /// Checks that the ranking is one of `channels` channels: every index once.
    ///
    /// # Errors
    /// [`Error::WrongLength`]; [`Error::Item`] names the first place that is wrong.
    pub fn check(&self, channels: usize) -> Result<()> {
        if self.order.len() != channels {
            return Err(Error::WrongLength {
                name: "ranking",
                expected: channels,
                got: self.order.len(),
            });
        }
        let mut seen = vec![false; channels];
        for (i, &c) in self.order.iter().enumerate() {
            let Some(seen) = usize::try_from(c).ok().and_then(|c| seen.get_mut(c)) else {
                let expected = format!("a channel of layer '{}' below {channels}", self.layer);
                return Err(Error::item("ranking", i, c, expected));
            };
            if std::mem::replace(seen, true) {
                let got = format!("{c} a second time");
                return Err(Error::item("ranking", i, got, "every channel once"));
            }
        }
        Ok(())
    }
}

/// A network, labelled samples, and the layers whose channels are dropped.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct AblateInput<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Its input, `N` samples.
    pub data: &'a dyn Layer,
    /// `[N]` class of every sample.
    pub labels: &'a [u32],
    /// The layers, as [`Graph::layers_at`] lists them; their channels are dropped at the tap `activation`.
    pub layers: &'a [ConvLayer],
    /// The output that classifies; `None` for the only one.
    pub output: Option<ValueId>,
    /// The caller's rankings, one for every layer, where [`Criterion::Given`] is among the rankings.
    pub given: &'a [GivenRanking],
}

impl<'a> AblateInput<'a> {
    /// Drops channels of `layers` of a network that runs on `data`, whose classes are `labels`.
    pub const fn new(
        graph: &'a Graph,
        data: &'a dyn Layer,
        labels: &'a [u32],
        layers: &'a [ConvLayer],
    ) -> Self {
        Self {
            graph,
            data,
            labels,
            layers,
            output: None,
            given: &[],
        }
    }

    /// Takes the class of a sample from this output.
    #[must_use]
    pub const fn with_output(mut self, output: Option<ValueId>) -> Self {
        self.output = output;
        self
    }

    /// Adds rankings of the caller's.
    #[must_use]
    pub const fn with_given(mut self, given: &'a [GivenRanking]) -> Self {
        self.given = given;
        self
    }

    /// The output that classifies.
    pub(super) fn scores(&self) -> Result<ValueId> {
        self.output.map_or_else(|| self.graph.output(None), Ok)
    }
}

/// Options of [`crate::measure::ablate()`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AblateOptions {
    /// Shares of the channels that are kept, above 0 and at most 1; [`kept`] says how many channels that makes.
    pub keep: Vec<f64>,
    /// What stands in the place of dropped channels.
    pub dropped: Dropped,
    /// Rankings that are compared.
    pub rankings: Vec<Criterion>,
    /// Samples of the calibration part, drawn by `seed`. `None`: a quarter of all, at most 1024.
    pub calibration: Option<usize>,
    /// Neighbours of the graphs behind the ranking by Jaccard index.
    pub k: usize,
    /// Whether all layers are also ablated at once, where there are several.
    pub together: bool,
    /// Seed of the calibration part and of random rankings.
    pub seed: u64,
}

impl Default for AblateOptions {
    fn default() -> Self {
        Self {
            keep: (1..10)
                .rev()
                .map(|tenths| f64::from(tenths) / 10.0)
                .collect(),
            dropped: Dropped::Zero,
            rankings: Criterion::computed(),
            calibration: None,
            k: 25,
            together: true,
            seed: 0,
        }
    }
}

setters!(AblateOptions {
    with_keep(keep: Vec<f64>),
    with_dropped(dropped: Dropped),
    with_rankings(rankings: Vec<Criterion>),
    with_calibration(calibration: Option<usize>),
    with_k(k: usize),
    with_together(together: bool),
    with_seed(seed: u64),
});

/// How many of `channels` channels a share keeps: rounded up, at least one.
pub fn kept(share: f64, channels: usize) -> usize {
    // 0.7 * 10 is a little more than 7.
    let exact = share * channels as f64 - 1e-9;
    (exact.ceil().max(1.0) as usize).min(channels)
}

/// Refuses what cannot be ablated. Returns the size of the calibration part.
pub(super) fn check(input: &AblateInput<'_>, options: &AblateOptions) -> Result<usize> {
    let samples = input.data.shape().samples;
    let scores = input.scores()?;
    check_labels(input.labels, samples, &input.graph.value(scores).shape)?;
    check_shares(&options.keep)?;
    check_criteria(&options.rankings)?;
    if options.k == 0 || options.k > MAX_K {
        return Err(Error::argument("k", options.k, format!("1 to {MAX_K}")));
    }
    if input.layers.is_empty() {
        return Err(Error::argument("layers", "none", "at least one layer"));
    }
    for layer in input.layers {
        let reached = input.graph.dependents(layer.activation);
        if !reached[scores.index()] || layer.activation == scores {
            let expected = "layers that the output depends on";
            return Err(Error::argument(
                "layers",
                format!("'{}'", layer.name),
                expected,
            ));
        }
        if options.rankings.contains(&Criterion::Given) {
            let channels = input.graph.value(layer.activation).shape[0];
            input.given(&layer.name)?.check(channels)?;
        }
    }
    calibration(options, samples)
}

fn check_shares(keep: &[f64]) -> Result<()> {
    let expected = "shares above 0 and at most 1";
    if keep.is_empty() {
        return Err(Error::argument("keep", "nothing", expected));
    }
    match keep.iter().position(|&s| !(s > 0.0 && s <= 1.0)) {
        Some(i) => Err(Error::argument("keep", keep[i], expected)),
        None => Ok(()),
    }
}

fn check_criteria(rankings: &[Criterion]) -> Result<()> {
    if rankings.is_empty() {
        return Err(Error::argument("rankings", "none", "at least one ranking"));
    }
    match (rankings.iter().enumerate()).find(|(i, c)| rankings[..*i].contains(c)) {
        Some((_, twice)) => {
            let got = format!("'{twice}' twice");
            Err(Error::argument("rankings", got, "every ranking once"))
        }
        None => Ok(()),
    }
}

/// Samples of the calibration part: enough for what is fitted on it, and not so many that none are left.
fn calibration(options: &AblateOptions, samples: usize) -> Result<usize> {
    let jaccard = Criterion::Similar(Similarity::Jaccard);
    let (least, reason) = match options.rankings.contains(&jaccard) {
        true => (
            options.k + 1,
            format!(
                "more than the {} neighbours of the ranking jaccard",
                options.k
            ),
        ),
        false => (2, "at least 2 samples".into()),
    };
    let count = options
        .calibration
        .unwrap_or((samples / 4).min(CALIBRATION));
    if count < least || count + 2 > samples {
        let expected = format!(
            "{reason}, and at most {}, so that 2 of the {samples} samples are left to measure accuracy on",
            samples.saturating_sub(2)
        );
        return Err(Error::argument(
            "calibration",
            format!("{count} samples"),
            expected,
        ));
    }
    Ok(count)
}

impl<'a> AblateInput<'a> {
    /// The caller's ranking of a layer.
    pub(super) fn given(&self, layer: &str) -> Result<&'a GivenRanking> {
        self.given.iter().find(|g| g.layer == layer).ok_or_else(|| {
            let names: Vec<&str> = self.given.iter().map(|g| g.layer.as_str()).collect();
            let got = match names.is_empty() {
                true => "none".into(),
                false => format!("rankings of {}", names.join(", ")),
            };
            Error::argument("ranking", got, format!("one of layer '{layer}' too"))
        })
    }
}
