//! Reductions, softmax and normalisation along axes on the device. Lower bound of the cost: input and output are
//! moved once.

use super::context::Context;
use super::each::{each, number};
use super::shader::{Shader, Storage, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::net::Reduction;
use crate::ops::{check_normalise, check_reduce, check_softmax};
use std::ops::Range;

const STORAGE: &[Storage] = &[reads("x", "f32"), writes("y", "f32")];

static REDUCE: Shader =
    Shader::new::<ReduceParams>("reduce", file!("reduce"), Threads::Fixed(64), STORAGE).constants(
        &[
            ("REDUCE_MEAN", MEAN),
            ("REDUCE_SUM", SUM),
            ("REDUCE_SUM_ABS", SUM_ABS),
            ("REDUCE_SUM_SQUARES", SUM_SQUARES),
            ("REDUCE_NORM", NORM),
            ("REDUCE_PRODUCT", PRODUCT),
            ("REDUCE_MAX", MAX),
            ("REDUCE_MIN", MIN),
            ("REDUCE_LOG_SUM_EXP", LOG_SUM_EXP),
            ("REDUCE_ARG_MAX", ARG_MAX),
        ],
    );

static NORMALISE: Shader =
    Shader::new::<ReduceParams>("normalise", file!("reduce"), Threads::Fixed(64), STORAGE);

static SOFTMAX: Shader =
    Shader::new::<ReduceParams>("softmax", file!("reduce"), Threads::Fixed(64), STORAGE);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&REDUCE, &SOFTMAX, &NORMALISE];

/// Reductions as the shader numbers them.
const MEAN: u32 = 0;
const SUM: u32 = 1;
const SUM_ABS: u32 = 2;
const SUM_SQUARES: u32 = 3;
const NORM: u32 = 4;
const PRODUCT: u32 = 5;
const MAX: u32 = 6;
const MIN: u32 = 7;
const LOG_SUM_EXP: u32 = 8;
const ARG_MAX: u32 = 9;

shader_params! {
    /// Parameters of all kernels; the shader explains the fields.
    struct ReduceParams {
        threads: u32,
        first: u32,
        len: u32,
        inner: u32,
        kind: u32,
        epsilon: f32,
    }
}

fn along(
    context: &Context,
    shader: &'static Shader,
    x: &Tensor,
    axes: Range<usize>,
    shape: &[usize],
    kind: u32,
) -> Result<Tensor> {
    let y = context.empty(shape)?;
    let size = |r: Range<usize>| {
        let dims = x.shape().get(r).unwrap_or_default();
        dims.iter().product::<usize>()
    };
    let (outer, len) = (size(0..axes.start), size(axes.clone()));
    let inner = size(axes.end..x.shape().len());
    let threads = outer * inner;
    let params = ReduceParams {
        threads: number(context, threads)?,
        len: number(context, len)?,
        inner: number(context, inner)?,
        kind,
        ..ReduceParams::default()
    };
    let buffers = [x.buffer.whole(), y.buffer.whole()];
    let workgroups = shader.workgroups(threads);
    each(
        context,
        shader,
        params,
        &buffers,
        workgroups,
        64 * 16 * len as u64,
    )?;
    Ok(y)
}

pub(super) fn reduce(
    context: &Context,
    x: &Tensor,
    kind: Reduction,
    axes: Range<usize>,
    shape: &[usize],
) -> Result<Tensor> {
    check_reduce(x.shape(), kind, &axes, shape)?;
    let kind = match kind {
        Reduction::Mean => MEAN,
        Reduction::Sum => SUM,
        Reduction::SumAbs => SUM_ABS,
        Reduction::SumSquares => SUM_SQUARES,
        Reduction::Norm => NORM,
        Reduction::Product => PRODUCT,
        Reduction::Max => MAX,
        Reduction::Min => MIN,
        Reduction::LogSumExp => LOG_SUM_EXP,
        Reduction::ArgMax => ARG_MAX,
    };
    along(context, &REDUCE, x, axes, shape, kind)
}

pub(super) fn softmax(context: &Context, x: &Tensor, axis: usize) -> Result<Tensor> {
    check_softmax(x.shape(), axis)?;
    along(context, &SOFTMAX, x, axis..axis + 1, x.shape(), 0)
}

pub(super) fn normalise(context: &Context, x: &Tensor, len: usize, epsilon: f32) -> Result<Tensor> {
    check_normalise(x.shape(), len)?;
    let y = context.empty(x.shape())?;
    let runs = x.len() / len;
    let params = ReduceParams {
        threads: number(context, runs)?,
        len: number(context, len)?,
        epsilon,
        ..ReduceParams::default()
    };
    let buffers = [x.buffer.whole(), y.buffer.whole()];
    let work = 64 * 64 + 16 * len as u64;
    each(context, &NORMALISE, params, &buffers, runs as u64, work)?;
    Ok(y)
}
