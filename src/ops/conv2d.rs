//! Parameters of a 2-D convolution.

/// Activation fused behind a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// None.
    Identity,
    /// `max(0, x)`.
    Relu,
    /// `min(max(x, lo), hi)`.
    Clip(f32, f32),
    /// `x` where positive, else `slope * x`.
    LeakyRelu(f32),
}

/// Geometry of a 2-D convolution (cross-correlation, as in every framework).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dParams {
    /// Step in y and x.
    pub stride: [usize; 2],
    /// Zeros added at top, left, bottom, right.
    pub padding: [usize; 4],
    /// Distance between taps in y and x.
    pub dilation: [usize; 2],
    /// Groups; input and output channels are multiples of it.
    pub groups: usize,
    /// Applied to the sum and bias.
    pub activation: Activation,
}

impl Activation {
    /// The value at `x`; NaN stays NaN.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Clip(lo, hi) => {
                // Not `max`/`min`, which would swallow a NaN; the upper bound wins, as in ONNX.
                let y = if x < lo { lo } else { x };
                if y > hi { hi } else { y }
            }
            Self::LeakyRelu(slope) => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
        }
    }
}
