//! Functions of one and of two numbers, and what axes can be reduced to.

use crate::ops::Activation;

/// Function of one number, applied to every element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// One of those that also fuse behind a convolution.
    Activation(Activation),
    /// `x` where positive, else `alpha (e^x - 1)`.
    Elu(f32),
    /// `x` where positive, else `alpha (e^(x / alpha) - 1)`.
    Celu(f32),
    /// `gamma x` where positive, else `gamma alpha (e^x - 1)`: alpha, gamma.
    Selu(f32, f32),
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `x / (1 + e^(-alpha x))`.
    Swish(f32),
    /// `min(max(alpha x + beta, 0), 1)`.
    HardSigmoid(f32, f32),
    /// `x min(max(x / 6 + 1/2, 0), 1)`.
    HardSwish,
    /// Hyperbolic tangent.
    Tanh,
    /// `x/2 (1 + erf(x / sqrt 2))`.
    Gelu,
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// Error function.
    Erf,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x tanh(ln(1 + e^x))`.
    Mish,
    /// `x` where it is above `alpha`, else 0.
    ThresholdedRelu(f32),
    /// `x + bias` below `-lambda`, `x - bias` above `lambda`, 0 between: lambda, bias.
    Shrink(f32, f32),
    /// `alpha x + beta`.
    Affine(f32, f32),
    /// `|x|`.
    Abs,
    /// Smallest integer from `x` up.
    Ceil,
    /// Largest integer up to `x`.
    Floor,
    /// Nearest integer, the even one of two.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// Square root; NaN below 0.
    Sqrt,
    /// `1 / x`.
    Reciprocal,
    /// `e^x`.
    Exp,
    /// Natural logarithm; NaN below 0.
    Log,
    /// Sine of an angle in radians.
    Sin,
    /// Cosine of an angle in radians.
    Cos,
    /// Inverse tangent, in radians.
    Atan,
    /// 1 where `x` is 0, else 0: the negation of a truth value.
    Not,
    /// 1 where `x` is no number, else 0.
    IsNan,
}

impl Unary {
    /// Whether the function is `a x + b` for constants `a` and `b`.
    pub const fn is_affine(self) -> bool {
        matches!(
            self,
            Self::Affine(..) | Self::Activation(Activation::Identity)
        )
    }
}

/// Function of two numbers, applied element by element under numpy's broadcasting. Truth values are 1 and 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a b`.
    Mul,
    /// `a / b`.
    Div,
    /// `a` where `a >= 0`, else `b a`.
    PRelu,
    /// `a^b`, as the C library has it: NaN for a negative `a` and a `b` that is no integer.
    Pow,
    /// The smaller one; NaN if one is NaN.
    Min,
    /// The larger one; NaN if one is NaN.
    Max,
    /// Whether `a < b`.
    Less,
    /// Whether `a <= b`.
    LessOrEqual,
    /// Whether `a = b`.
    Equal,
    /// `b` where `a` is not 0, else 0. Unlike a product, it gives 0 there for infinite and NaN `b` as well.
    Keep,
    /// `b` where `a` is 0, else 0.
    Drop,
}

/// What the elements along axes are reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Mean.
    Mean,
    /// Sum.
    Sum,
    /// Sum of absolute values.
    SumAbs,
    /// Sum of squares.
    SumSquares,
    /// Square root of the sum of squares.
    Norm,
    /// Product.
    Product,
    /// Largest element; NaN if one is NaN.
    Max,
    /// Smallest element; NaN if one is NaN.
    Min,
    /// `ln sum e^x`, computed so that nothing overflows.
    LogSumExp,
    /// Index of the largest element, the first of equals.
    ArgMax,
}

/// Each element of a result along one axis as a weighted sum of elements of the source along it: interpolation,
/// repetition, selection, reversal.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampling {
    /// Terms of a sum.
    pub terms: usize,
    /// Element of the source of each term, `[out, terms]`.
    pub index: Vec<u32>,
    /// Its weight, `[out, terms]`.
    pub weight: Vec<f32>,
}

impl Resampling {
    /// Elements taken as they are.
    pub fn pick(index: Vec<u32>) -> Self {
        let weight = vec![1.0; index.len()];
        Self {
            terms: 1,
            index,
            weight,
        }
    }

    /// Elements along the axis of the result.
    pub fn len(&self) -> usize {
        self.index.len() / self.terms.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}
