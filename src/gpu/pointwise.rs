//! Functions of one or two numbers on the device. Floor: operands and result once.

use super::context::Context;
use super::each::{Params, each, eight, number};
use super::pipeline::{Access, Kernel};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::Activation;
use crate::ops::net::{Binary, BroadcastPlan, Unary};

const SOURCE: &str = include_str!("../../shaders/pointwise.wgsl");
const BUFFERS: &[Access] = &[Access::Read, Access::Read, Access::Write];
const UNARY: Kernel = Kernel {
    entry: "unary",
    source: SOURCE,
    buffers: BUFFERS,
};
const BINARY: Kernel = Kernel {
    entry: "binary",
    source: SOURCE,
    buffers: BUFFERS,
};

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
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

impl Params for PointwiseParams {
    fn start_at(&mut self, first: u32) {
        self.first = first;
    }
}

/// Number of an activation and its two parameters, as the shader has them.
fn activation_code(a: Activation) -> (u32, f32, f32) {
    match a {
        Activation::Identity => (0, 0.0, 0.0),
        Activation::Relu => (1, 0.0, f32::INFINITY),
        Activation::Clip(low, high) => (1, low, high),
        Activation::LeakyRelu(slope) => (2, slope, 0.0),
    }
}

pub(super) fn unary(context: &Context, x: &Tensor, f: Unary) -> Result<Tensor> {
    let (op, activation, low, high) = match f {
        Unary::Activation(a) => {
            let (kind, low, high) = activation_code(a);
            (0, kind, low, high)
        }
        Unary::Elu(alpha) => (1, 0, alpha, 0.0),
        Unary::Sigmoid => (2, 0, 0.0, 0.0),
        Unary::HardSigmoid(alpha, beta) => (3, 0, alpha, beta),
        Unary::HardSwish => (4, 0, 0.0, 0.0),
        Unary::Tanh => (5, 0, 0.0, 0.0),
        Unary::Gelu => (6, 0, 0.0, 0.0),
        Unary::GeluTanh => (7, 0, 0.0, 0.0),
        Unary::Erf => (8, 0, 0.0, 0.0),
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
        y.len().div_ceil(256) as u64,
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
            Binary::Add => 0,
            Binary::Sub => 1,
            Binary::Mul => 2,
            Binary::Div => 3,
            Binary::PRelu => 4,
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
        y.len().div_ceil(256) as u64,
        256 * 32,
    )?;
    Ok(y)
}
