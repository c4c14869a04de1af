//! Convolutional Similarity (docs/definitions.md#convolutional-similarity; arXiv 2411.03226) on a device: parameters, and the
//! trait that both backends implement.

use super::{Backend, check_length};
use crate::error::dims;
use crate::{Error, Result};

/// Which pairs of filters count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairs {
    /// `i < j`.
    #[default]
    All,
    /// `j = i + 1`, as in the authors' CUDA code.
    Adjacent,
}

/// What happens to the correlations of the input channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputChannels {
    /// Squared, then summed over channels (the authors').
    #[default]
    Separate,
    /// Summed over channels, then squared.
    Summed,
}

/// Which Convolutional Similarity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterParams {
    /// Which pairs of filters count.
    pub pairs: Pairs,
    /// What happens to the correlations of the input channels.
    pub input_channels: InputChannels,
}

impl Pairs {
    /// Name as in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Adjacent => "adjacent",
        }
    }
}

impl InputChannels {
    /// Name as in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Separate => "separate",
            Self::Summed => "summed",
        }
    }
}

/// Shape of a convolution's filters `K[M, C, h, w]`, as stored: of a grouped convolution, `C` is the
/// number of input channels of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterShape {
    /// Filters, `M`.
    pub filters: usize,
    /// Input channels of a filter, `C`.
    pub channels: usize,
    /// Rows of a filter.
    pub height: usize,
    /// Columns of a filter.
    pub width: usize,
}

impl FilterShape {
    /// From a tensor's shape.
    ///
    /// # Errors
    /// [`Error::WrongShape`] unless there are four dimensions, none of them 0.
    pub fn new(shape: &[usize]) -> Result<Self> {
        match *shape {
            [filters, channels, height, width] if !shape.contains(&0) => Ok(Self {
                filters,
                channels,
                height,
                width,
            }),
            _ => Err(Error::wrong_shape(
                "filters",
                dims!["M", "C", "h", "w"],
                shape,
            )),
        }
    }

    /// Weights of one filter and input channel.
    pub const fn area(&self) -> usize {
        self.height * self.width
    }

    /// Weights altogether.
    pub const fn len(&self) -> usize {
        self.filters * self.channels * self.area()
    }

    /// Never: dimensions of 0 are refused.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// # Errors
    /// [`Error::WrongLength`] if array `name` has another number of values than there are weights.
    pub(crate) fn check(&self, name: &'static str, values: usize) -> Result<()> {
        check_length(name, self.len(), values)
    }
}

/// The kernels of Convolutional Similarity. All sums run in double precision or what comes near, so
/// that small values do not drown in large filters: relative errors stay below 1e-5.
pub trait FilterOps: Backend {
    /// Room that is kept from call to call; grows to the largest layer.
    type FilterScratch: Default + Send;

    /// `L` of one layer's `weights [M, C, h, w]`; with `gradient`, of the same size, also `dL/dK`.
    /// The weights must be finite.
    fn similarity(
        &self,
        weights: &[f32],
        shape: FilterShape,
        params: FilterParams,
        gradient: Option<&mut [f32]>,
        scratch: &mut Self::FilterScratch,
    ) -> Result<f64>;

    /// Contribution `P_ij` of every pair to `L`, `[M, M]`, symmetric; the diagonal is a filter with
    /// itself.
    fn similarity_pairs(
        &self,
        weights: &[f32],
        shape: FilterShape,
        channels: InputChannels,
    ) -> Result<Vec<f64>>;
}
