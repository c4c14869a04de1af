//! Functions of one or two numbers on the device. Lower bound of the cost: operands and
//! result are moved once.

use super::context::Context;
use super::each::{each, eight, number};
use super::shader::{Shader, Storage, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::Activation;
use crate::ops::net::{Binary, BroadcastPlan, Unary};

const STORAGE: &[Storage] = &[reads("a", "f32"), reads("b", "f32"), writes("y", "f32")];

static UNARY: Shader =
    Shader::new::<PointwiseParams>("unary", file!("pointwise"), Threads::Fixed(256), STORAGE)
        .constants(&[
            ("ACTIVATION_CLIP", CLIP),
            ("ACTIVATION_LEAKY", LEAKY),
            ("UNARY_ACTIVATION", UNARY_ACTIVATION),
            ("UNARY_ELU", UNARY_ELU),
            ("UNARY_CELU", UNARY_CELU),
            ("UNARY_SELU", UNARY_SELU),
            ("UNARY_SIGMOID", UNARY_SIGMOID),
            ("UNARY_SWISH", UNARY_SWISH),
            ("UNARY_HARD_SIGMOID", UNARY_HARD_SIGMOID),
            ("UNARY_HARD_SWISH", UNARY_HARD_SWISH),
            ("UNARY_TANH", UNARY_TANH),
            ("UNARY_GELU", UNARY_GELU),
            ("UNARY_GELU_TANH", UNARY_GELU_TANH),
            ("UNARY_ERF", UNARY_ERF),
            ("UNARY_SOFTPLUS", UNARY_SOFTPLUS),
            ("UNARY_SOFTSIGN", UNARY_SOFTSIGN),
            ("UNARY_MISH", UNARY_MISH),
            ("UNARY_THRESHOLDED_RELU", UNARY_THRESHOLDED_RELU),
            ("UNARY_SHRINK", UNARY_SHRINK),
            ("UNARY_AFFINE", UNARY_AFFINE),
            ("UNARY_ABS", UNARY_ABS),
            ("UNARY_CEIL", UNARY_CEIL),
            ("UNARY_FLOOR", UNARY_FLOOR),
            ("UNARY_ROUND", UNARY_ROUND),
            ("UNARY_SIGN", UNARY_SIGN),
            ("UNARY_SQRT", UNARY_SQRT),
            ("UNARY_RECIPROCAL", UNARY_RECIPROCAL),
            ("UNARY_EXP", UNARY_EXP),
            ("UNARY_LOG", UNARY_LOG),
            ("UNARY_SIN", UNARY_SIN),
            ("UNARY_COS", UNARY_COS),
            ("UNARY_ATAN", UNARY_ATAN),
            ("UNARY_NOT", UNARY_NOT),
            ("UNARY_IS_NAN", UNARY_IS_NAN),
        ]);

static BINARY: Shader =
    Shader::new::<PointwiseParams>("binary", file!("pointwise"), Threads::Fixed(256), STORAGE)
        .constants(&[
            ("BINARY_ADD", BINARY_ADD),
            ("BINARY_SUB", BINARY_SUB),
            ("BINARY_MUL", BINARY_MUL),
            ("BINARY_DIV", BINARY_DIV),
            ("BINARY_PRELU", BINARY_PRELU),
            ("BINARY_POW", BINARY_POW),
            ("BINARY_MIN", BINARY_MIN),
            ("BINARY_MAX", BINARY_MAX),
            ("BINARY_LESS", BINARY_LESS),
            ("BINARY_LESS_OR_EQUAL", BINARY_LESS_OR_EQUAL),
            ("BINARY_EQUAL", BINARY_EQUAL),
            ("BINARY_KEEP", BINARY_KEEP),
            ("BINARY_DROP", BINARY_DROP),
        ]);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&UNARY, &BINARY];

/// Activations as the shader numbers them; 0 is none.
const CLIP: u32 = 1;
const LEAKY: u32 = 2;

/// Functions as the shader numbers them.
const UNARY_ACTIVATION: u32 = 0;
const UNARY_ELU: u32 = 1;
const UNARY_CELU: u32 = 2;
const UNARY_SELU: u32 = 3;
const UNARY_SIGMOID: u32 = 4;
const UNARY_SWISH: u32 = 5;
const UNARY_HARD_SIGMOID: u32 = 6;
const UNARY_HARD_SWISH: u32 = 7;
const UNARY_TANH: u32 = 8;
const UNARY_GELU: u32 = 9;
const UNARY_GELU_TANH: u32 = 10;
const UNARY_ERF: u32 = 11;
const UNARY_SOFTPLUS: u32 = 12;
const UNARY_SOFTSIGN: u32 = 13;
const UNARY_MISH: u32 = 14;
const UNARY_THRESHOLDED_RELU: u32 = 15;
const UNARY_SHRINK: u32 = 16;
const UNARY_AFFINE: u32 = 17;
const UNARY_ABS: u32 = 18;
const UNARY_CEIL: u32 = 19;
const UNARY_FLOOR: u32 = 20;
const UNARY_ROUND: u32 = 21;
const UNARY_SIGN: u32 = 22;
const UNARY_SQRT: u32 = 23;
const UNARY_RECIPROCAL: u32 = 24;
const UNARY_EXP: u32 = 25;
const UNARY_LOG: u32 = 26;
const UNARY_SIN: u32 = 27;
const UNARY_COS: u32 = 28;
const UNARY_ATAN: u32 = 29;
const UNARY_NOT: u32 = 30;
const UNARY_IS_NAN: u32 = 31;
const BINARY_ADD: u32 = 0;
const BINARY_SUB: u32 = 1;
const BINARY_MUL: u32 = 2;
const BINARY_DIV: u32 = 3;
const BINARY_PRELU: u32 = 4;
const BINARY_POW: u32 = 5;
const BINARY_MIN: u32 = 6;
const BINARY_MAX: u32 = 7;
const BINARY_LESS: u32 = 8;
const BINARY_LESS_OR_EQUAL: u32 = 9;
const BINARY_EQUAL: u32 = 10;
const BINARY_KEEP: u32 = 11;
const BINARY_DROP: u32 = 12;

shader_params! {
    /// Parameters of both kernels; the shader explains the fields.
    struct PointwiseParams {
        len: u32,
        first: u32,
        op: u32,
        activation: u32,
        low: f32,
        high: f32,
        rank: u32,
        unused: u32,
        extents: [[u32; 4]; 2],
        a_strides: [[u32; 4]; 2],
        b_strides: [[u32; 4]; 2],
    }
}

/// The number of an activation in the shader, and its two parameters.
fn activation_code(a: Activation) -> (u32, f32, f32) {
    match a {
        Activation::Identity => (0, 0.0, 0.0),
        Activation::Relu => (CLIP, 0.0, f32::INFINITY),
        Activation::Clip(low, high) => (CLIP, low, high),
        Activation::LeakyRelu(slope) => (LEAKY, slope, 0.0),
    }
}

/// The number of a function in the shader, and its two parameters.
const fn unary_code(f: Unary) -> (u32, f32, f32) {
    match f {
        Unary::Activation(_) => (UNARY_ACTIVATION, 0.0, 0.0),
        Unary::Elu(alpha) => (UNARY_ELU, alpha, 0.0),
        Unary::Celu(alpha) => (UNARY_CELU, alpha, 0.0),
        Unary::Selu(alpha, gamma) => (UNARY_SELU, alpha, gamma),
        Unary::Sigmoid => (UNARY_SIGMOID, 0.0, 0.0),
        Unary::Swish(alpha) => (UNARY_SWISH, alpha, 0.0),
        Unary::HardSigmoid(alpha, beta) => (UNARY_HARD_SIGMOID, alpha, beta),
        Unary::HardSwish => (UNARY_HARD_SWISH, 0.0, 0.0),
        Unary::Tanh => (UNARY_TANH, 0.0, 0.0),
        Unary::Gelu => (UNARY_GELU, 0.0, 0.0),
        Unary::GeluTanh => (UNARY_GELU_TANH, 0.0, 0.0),
        Unary::Erf => (UNARY_ERF, 0.0, 0.0),
        Unary::Softplus => (UNARY_SOFTPLUS, 0.0, 0.0),
        Unary::Softsign => (UNARY_SOFTSIGN, 0.0, 0.0),
        Unary::Mish => (UNARY_MISH, 0.0, 0.0),
        Unary::ThresholdedRelu(alpha) => (UNARY_THRESHOLDED_RELU, alpha, 0.0),
        Unary::Shrink(lambda, bias) => (UNARY_SHRINK, lambda, bias),
        Unary::Affine(alpha, beta) => (UNARY_AFFINE, alpha, beta),
        Unary::Abs => (UNARY_ABS, 0.0, 0.0),
        Unary::Ceil => (UNARY_CEIL, 0.0, 0.0),
        Unary::Floor => (UNARY_FLOOR, 0.0, 0.0),
        Unary::Round => (UNARY_ROUND, 0.0, 0.0),
        Unary::Sign => (UNARY_SIGN, 0.0, 0.0),
        Unary::Sqrt => (UNARY_SQRT, 0.0, 0.0),
        Unary::Reciprocal => (UNARY_RECIPROCAL, 0.0, 0.0),
        Unary::Exp => (UNARY_EXP, 0.0, 0.0),
        Unary::Log => (UNARY_LOG, 0.0, 0.0),
        Unary::Sin => (UNARY_SIN, 0.0, 0.0),
        Unary::Cos => (UNARY_COS, 0.0, 0.0),
        Unary::Atan => (UNARY_ATAN, 0.0, 0.0),
        Unary::Not => (UNARY_NOT, 0.0, 0.0),
        Unary::IsNan => (UNARY_IS_NAN, 0.0, 0.0),
    }
}

const fn binary_code(f: Binary) -> u32 {
    match f {
        Binary::Add => BINARY_ADD,
        Binary::Sub => BINARY_SUB,
        Binary::Mul => BINARY_MUL,
        Binary::Div => BINARY_DIV,
        Binary::PRelu => BINARY_PRELU,
        Binary::Pow => BINARY_POW,
        Binary::Min => BINARY_MIN,
        Binary::Max => BINARY_MAX,
        Binary::Less => BINARY_LESS,
        Binary::LessOrEqual => BINARY_LESS_OR_EQUAL,
        Binary::Equal => BINARY_EQUAL,
        Binary::Keep => BINARY_KEEP,
        Binary::Drop => BINARY_DROP,
    }
}

pub(super) fn unary(context: &Context, x: &Tensor, f: Unary) -> Result<Tensor> {
    let (op, mut low, mut high) = unary_code(f);
    let mut activation = 0;
    if let Unary::Activation(a) = f {
        (activation, low, high) = activation_code(a);
    }
    let y = context.empty(x.shape())?;
    let params = PointwiseParams {
        len: number(context, y.len())?,
        op,
        activation,
        low,
        high,
        ..PointwiseParams::default()
    };
    let buffers = [x.buffer.whole(), x.buffer.whole(), y.buffer.whole()];
    each(
        context,
        &UNARY,
        params,
        &buffers,
        UNARY.workgroups(y.len()),
        256 * 32,
    )?;
    Ok(y)
}

pub(super) fn binary(
    context: &Context,
    a: &Tensor,
    b: &Tensor,
    f: Binary,
    activation: Activation,
) -> Result<Tensor> {
    let plan = BroadcastPlan::new(a.shape(), b.shape())?;
    let y = context.empty(&plan.shape)?;
    let narrow = |values: &[usize]| values.iter().map(|&v| v as u32).collect::<Vec<_>>();
    let (kind, low, high) = activation_code(activation);
    let params = PointwiseParams {
        len: number(context, y.len())?,
        op: binary_code(f),
        activation: kind,
        low,
        high,
        rank: plan.extents.len() as u32,
        extents: eight(&narrow(&plan.extents)),
        a_strides: eight(&narrow(&plan.a)),
        b_strides: eight(&narrow(&plan.b)),
        ..PointwiseParams::default()
    };
    let buffers = [a.buffer.whole(), b.buffer.whole(), y.buffer.whole()];
    each(
        context,
        &BINARY,
        params,
        &buffers,
        BINARY.workgroups(y.len()),
        256 * 32,
    )?;
    Ok(y)
}
