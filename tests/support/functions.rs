//! The functions and reductions that both backends are tested on.

use chanscope::ops::Activation;
use chanscope::ops::net::{Reduction, Unary};

/// Functions that every number has a value under, but for NaN.
pub const FUNCTIONS: [Unary; 29] = [
    Unary::Activation(Activation::Identity),
    Unary::Activation(Activation::Relu),
    Unary::Activation(Activation::Clip(-0.5, 6.0)),
    Unary::Activation(Activation::LeakyRelu(0.1)),
    Unary::Elu(0.7),
    Unary::Celu(0.6),
    Unary::Selu(1.6, 1.1),
    Unary::Sigmoid,
    Unary::Swish(1.7),
    Unary::HardSigmoid(0.2, 0.5),
    Unary::HardSwish,
    Unary::Tanh,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Erf,
    Unary::Softplus,
    Unary::Softsign,
    Unary::Mish,
    Unary::ThresholdedRelu(0.4),
    Unary::Shrink(0.5, 0.25),
    Unary::Affine(-1.5, 0.25),
    Unary::Abs,
    Unary::Ceil,
    Unary::Floor,
    Unary::Round,
    Unary::Sign,
    Unary::Sin,
    Unary::Cos,
    Unary::Atan,
];

/// Every reduction.
pub const REDUCTIONS: [Reduction; 10] = [
    Reduction::Mean,
    Reduction::Sum,
    Reduction::SumAbs,
    Reduction::SumSquares,
    Reduction::Norm,
    Reduction::Product,
    Reduction::Max,
    Reduction::Min,
    Reduction::LogSumExp,
    Reduction::ArgMax,
];
