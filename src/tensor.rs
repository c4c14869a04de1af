//! Element types and shapes with checked sizes: the vocabulary every other module shares.

mod values;

pub use values::{Value, ValueBuffer, ValueType, Values, narrow};

use crate::error::dims;
use crate::{Error, Result};

/// Element type of stored data. Kernels compute on `f32`; other types are converted when read, `f16` where it can be kept
/// ([`ValueType`]) when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE half precision.
    F16,
    /// Brain floating point: the upper half of an `f32`.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision (rounded to `f32` when read).
    F64,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Name as in results: `f16`, `f32`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::U8 => "u8",
            Self::I8 => "i8",
        }
    }
}

/// Product of dimensions, or `None` on overflow of `u64`.
pub fn checked_product(dims: &[u64]) -> Option<u64> {
    dims.iter().try_fold(1u64, |acc, &d| acc.checked_mul(d))
}

/// Shape of a layer's activations `A[N, C, H, W]` (2-D input `[N, D]` is `[N, 1, 1, D]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// Samples `N`.
    pub samples: usize,
    /// Channels `C`.
    pub channels: usize,
    /// Rows of a map, `H`.
    pub height: usize,
    /// Columns of a map, `W`.
    pub width: usize,
}

impl LayerShape {
    /// Builds a shape whose element count fits in `usize` and whose dimensions are all non-zero.
    ///
    /// # Errors
    /// [`Error::WrongShape`] on a zero dimension, [`Error::TooLarge`] on an overflowing product.
    pub fn new(samples: usize, channels: usize, height: usize, width: usize) -> Result<Self> {
        let dims = [samples, channels, height, width].map(|d| d as u64);
        if dims.contains(&0) {
            let got = [samples, channels, height, width];
            return Err(Error::wrong_shape("layer", dims!["N", "C", "H", "W"], &got));
        }
        match checked_product(&dims).map(usize::try_from) {
            Some(Ok(n)) if n.checked_mul(8).is_some() => Ok(Self {
                samples,
                channels,
                height,
                width,
            }),
            _ => Err(Error::TooLarge {
                name: "layer",
                shape: dims.to_vec(),
            }),
        }
    }

    /// Numbers per sample and channel, `d = H * W`.
    pub const fn dim(&self) -> usize {
        self.height * self.width
    }

    /// Numbers per sample, `D = C * H * W`.
    pub const fn row_len(&self) -> usize {
        self.channels * self.dim()
    }

    /// Numbers altogether.
    pub const fn len(&self) -> usize {
        self.samples * self.row_len()
    }

    /// Never: zero dimensions are refused.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
