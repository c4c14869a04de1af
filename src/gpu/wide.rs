//! Numbers of the steps whose rounding could change a result.

use super::shader::WideBits;

/// Arithmetic of all steps whose rounding could change a result: distances that are compared, kernel
/// matrices, linear systems. Shaders call its numbers wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wide {
    /// The adapter's float64.
    Float64,
    /// Pairs of `f32`, about 46 bits; for adapters without float64 (Metal).
    DoubleFloat,
}

impl Wide {
    /// A number as it lies in a buffer of wide numbers. Pairs of `f32` are clamped to +-1e30.
    pub(super) fn encode(self, x: f64) -> WideBits {
        WideBits(match self {
            Self::Float64 => [x.to_bits() as u32, (x.to_bits() >> 32) as u32],
            Self::DoubleFloat => {
                let x = x.clamp(-1e30, 1e30);
                let high = x as f32;
                [high.to_bits(), ((x - f64::from(high)) as f32).to_bits()]
            }
        })
    }

    /// A wide number as it lies in a buffer.
    pub(super) fn decode(self, WideBits([x, y]): WideBits) -> f64 {
        match self {
            Self::Float64 => f64::from_bits(u64::from(x) | u64::from(y) << 32),
            Self::DoubleFloat => f64::from(f32::from_bits(x)) + f64::from(f32::from_bits(y)),
        }
    }
}
