//! What a scan finds.

use crate::error::{LayerProblem, NonFiniteValues};
use crate::io::layer::Layer;
use crate::tensor::LayerShape;
use crate::{Error, Result};

/// What one channel holds over all samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelScan {
    /// Index in the layer.
    pub channel: usize,
    /// Not-a-number values.
    pub nan: u64,
    /// Infinities, values too large for `f32` among them.
    pub inf: u64,
    /// Zeros of either sign.
    pub zeros: u64,
    /// Smallest finite value; infinity when there is none.
    pub min: f32,
    /// Largest finite value; minus infinity when there is none.
    pub max: f32,
}

/// Where a value is in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Sample.
    pub sample: usize,
    /// Channel.
    pub channel: usize,
    /// Row of the map.
    pub y: usize,
    /// Column of the map.
    pub x: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            sample,
            channel,
            y,
            x,
        } = self;
        write!(f, "sample {sample}, channel {channel}, y {y}, x {x}")
    }
}

/// What a layer holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Shape of the layer.
    pub shape: LayerShape,
    /// The channels asked for, in that order.
    pub channels: Vec<ChannelScan>,
    /// First value, by sample, channel, y, x, that is not finite.
    pub first_bad: Option<Position>,
    /// Samples with a value that is not finite in these channels, ascending.
    pub bad_samples: Vec<usize>,
}

impl Scan {
    /// Not-a-number values altogether.
    pub fn nan(&self) -> u64 {
        self.channels.iter().map(|c| c.nan).sum()
    }

    /// Infinities altogether.
    pub fn inf(&self) -> u64 {
        self.channels.iter().map(|c| c.inf).sum()
    }

    /// Channels that are zero everywhere, by their index in the layer.
    pub fn dead_channels(&self) -> Vec<usize> {
        let all = (self.shape.samples * self.shape.dim()) as u64;
        let dead = self.channels.iter().filter(|c| c.zeros == all);
        dead.map(|c| c.channel).collect()
    }

    /// Samples without NaN and infinities, ascending, for [`crate::io::kept::Kept`].
    pub fn good_samples(&self) -> Vec<usize> {
        let mut bad = self.bad_samples.iter().peekable();
        let good = |i: &usize| bad.next_if_eq(&i).is_none();
        (0..self.shape.samples).filter(good).collect()
    }

    /// Finite values beyond the range of `f32`, which [`Scan::inf`] counts too: those of `layer`, the one that
    /// was scanned.
    ///
    /// # Errors
    /// As [`Layer::beyond_f32`].
    pub fn beyond_f32(&self, layer: &dyn Layer) -> Result<u64> {
        if self.inf() == 0 {
            return Ok(0);
        }
        let channels: Vec<usize> = self.channels.iter().map(|c| c.channel).collect();
        layer.beyond_f32(0..self.shape.samples, &channels)
    }

    /// The error for a layer that must be finite: counts and first position. `None` when all values are finite.
    pub fn refusal(&self, layer: &dyn Layer) -> Option<Error> {
        let first = self.first_bad?;
        let beyond_f32 = match self.beyond_f32(layer) {
            Ok(count) => count,
            Err(error) => return Some(error),
        };
        let values = NonFiniteValues {
            nan: self.nan(),
            infinite: self.inf().saturating_sub(beyond_f32),
            beyond_f32,
            bad_samples: self.bad_samples.len(),
            samples: self.shape.samples,
            first: [first.sample, first.channel, first.y, first.x],
        };
        let problem = LayerProblem::NonFinite(Box::new(values));
        Some(Error::layer(layer.name(), layer.path(), problem))
    }
}
