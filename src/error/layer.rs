//! What can be wrong with the activations of a layer.

/// Why a layer's activations cannot be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerProblem {
    /// Too few samples for the measure.
    #[error("has {got} samples, at least {needed} are needed: dump more")]
    TooFewSamples {
        /// Samples there are.
        got: usize,
        /// Samples needed.
        needed: usize,
    },
    /// No sample is left once those with values that are not finite are dropped.
    #[error("no sample is left without NaN or infinities: dump the layer again")]
    NoFiniteSample,
    /// There are values that are not finite.
    #[error("{values}; {remedy}, or skip these samples", values = .0, remedy = .0.remedy())]
    NonFinite(Box<NonFiniteValues>),
    /// A value that is given to a network is not finite.
    #[error(
        "element {element} of sample {sample} is not finite in float32: replace it before a network is run on it"
    )]
    NonFiniteInput {
        /// Sample.
        sample: usize,
        /// Element within the sample.
        element: usize,
    },
    /// A channel was asked for that the layer does not have.
    #[error("channel {channel} does not exist, the layer has {channels}, counted from 0")]
    NoChannel {
        /// Channel asked for.
        channel: usize,
        /// Channels of the layer.
        channels: usize,
    },
    /// Another number of samples than what it is compared with.
    #[error("has {got} samples, {other} has {expected}: the same samples are needed")]
    SampleCount {
        /// Samples of the layer.
        got: usize,
        /// Name of the other layer or array.
        other: String,
        /// Samples of the other.
        expected: usize,
    },
    /// Samples of another shape than the network takes.
    #[error("holds samples of shape {got:?}, the network takes {expected:?}")]
    SampleShape {
        /// Shape of a sample in the layer.
        got: Vec<usize>,
        /// Shape of a sample of the network's input.
        expected: Vec<usize>,
    },
}

/// How many values of a layer are not finite, and the first of them by sample, channel, y, x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFiniteValues {
    /// Not-a-number values.
    pub nan: u64,
    /// Infinities.
    pub infinite: u64,
    /// Finite values beyond the range of `f32`.
    pub beyond_f32: u64,
    /// Samples that hold one of them.
    pub bad_samples: usize,
    /// Samples of the layer.
    pub samples: usize,
    /// Sample, channel, row and column of the first.
    pub first: [usize; 4],
}

impl NonFiniteValues {
    /// What to do with the layer other than to leave these samples out.
    pub fn remedy(&self) -> &'static str {
        match self.nan + self.infinite {
            0 => "divide the layer by a constant and save it again",
            _ => "dump the layer again",
        }
    }
}

impl std::fmt::Display for NonFiniteValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [sample, channel, y, x] = self.first;
        let beyond = format!(
            "{} values beyond the range of float32 (3.4e38)",
            self.beyond_f32
        );
        let what = match (self.nan + self.infinite, self.beyond_f32) {
            (_, 0) => format!("{} NaN and {} infinite values", self.nan, self.infinite),
            (0, _) => beyond,
            _ => format!(
                "{} NaN, {} infinite values and {beyond}",
                self.nan, self.infinite
            ),
        };
        write!(
            f,
            "holds {what} in {} of {} samples, the first at sample {sample}, channel {channel}, y {y}, x {x}",
            self.bad_samples, self.samples
        )
    }
}
