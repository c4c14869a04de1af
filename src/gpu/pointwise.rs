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
            ("UNARY_SIGMOID", UNARY_SIGMOID),
            ("UNARY_HARD_SIGMOID", UNARY_HARD_SIGMOID),
            ("UNARY_HARD_SWISH", UNARY_HARD_SWISH),
            ("UNARY_TANH", UNARY_TANH),
            ("UNARY_GELU", UNARY_GELU),
            ("UNARY_GELU_TANH", UNARY_GELU_TANH),
            ("UNARY_ERF", UNARY_ERF),
        ]);

static BINARY: Shader =
    Shader::new::<PointwiseParams>("binary", file!("pointwise"), Threads::Fixed(256), STORAGE)
        .constants(&[
            ("BINARY_ADD", BINARY_ADD),
            ("BINARY_SUB", BINARY_SUB),
            ("BINARY_MUL", BINARY_MUL),
            ("BINARY_DIV", BINARY_DIV),
            ("BINARY_PRELU", BINARY_PRELU),
        ]);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&UNARY, &BINARY];

/// Activations as the shader numbers them; 0 is none.
const CLIP: u32 = 1;
const LEAKY: u32 = 2;

/// Functions as the shader numbers them.
const UNARY_ACTIVATION: u32 = 0;
const UNARY_ELU: u32 = 1;
const UNARY_SIGMOID: u32 = 2;
const UNARY_HARD_SIGMOID: u32 = 3;
const UNARY_HARD_SWISH: u32 = 4;
const UNARY_TANH: u32 = 5;
const UNARY_GELU: u32 = 6;
const UNARY_GELU_TANH: u32 = 7;
const UNARY_ERF: u32 = 8;
const BINARY_ADD: u32 = 0;
const BINARY_SUB: u32 = 1;
const BINARY_MUL: u32 = 2;
const BINARY_DIV: u32 = 3;
const BINARY_PRELU: u32 = 4;

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

pub(super) fn unary(context: &Context, x: &Tensor, f: Unary) -> Result<Tensor> {
    let (op, activation, low, high) = match f {
        Unary::Activation(a) => {
            let (kind, low, high) = activation_code(a);
            (UNARY_ACTIVATION, kind, low, high)
        }
        Unary::Elu(alpha) => (UNARY_ELU, 0, alpha, 0.0),
        Unary::Sigmoid => (UNARY_SIGMOID, 0, 0.0, 0.0),
        Unary::HardSigmoid(alpha, beta) => (UNARY_HARD_SIGMOID, 0, alpha, beta),
        Unary::HardSwish => (UNARY_HARD_SWISH, 0, 0.0, 0.0),
        Unary::Tanh => (UNARY_TANH, 0, 0.0, 0.0),
        Unary::Gelu => (UNARY_GELU, 0, 0.0, 0.0),
        Unary::GeluTanh => (UNARY_GELU_TANH, 0, 0.0, 0.0),
        Unary::Erf => (UNARY_ERF, 0, 0.0, 0.0),
    };
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
        op: match f {
            Binary::Add => BINARY_ADD,
            Binary::Sub => BINARY_SUB,
            Binary::Mul => BINARY_MUL,
            Binary::Div => BINARY_DIV,
            Binary::PRelu => BINARY_PRELU,
        },
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
