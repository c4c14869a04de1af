//! Means and softmax along axes on the device. Lower bound of the cost: input and output are
//! moved once.

use super::context::Context;
use super::each::{each, number};
use super::shader::{Shader, Storage, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::{check_mean, check_softmax};
use std::ops::Range;

const STORAGE: &[Storage] = &[reads("x", "f32"), writes("y", "f32")];

static MEAN: Shader =
    Shader::new::<ReduceParams>("mean", file!("reduce"), Threads::Fixed(64), STORAGE);

static SOFTMAX: Shader =
    Shader::new::<ReduceParams>("softmax", file!("reduce"), Threads::Fixed(64), STORAGE);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&MEAN, &SOFTMAX];

shader_params! {
    /// Parameters of both kernels; the shader explains the fields.
    struct ReduceParams {
        threads: u32,
        first: u32,
        len: u32,
        inner: u32,
    }
}

fn reduce(
    context: &Context,
    shader: &'static Shader,
    x: &Tensor,
    axes: Range<usize>,
    shape: &[usize],
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
        first: 0,
        len: number(context, len)?,
        inner: number(context, inner)?,
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

pub(super) fn mean(
    context: &Context,
    x: &Tensor,
    axes: Range<usize>,
    shape: &[usize],
) -> Result<Tensor> {
    check_mean(x.shape(), &axes, shape)?;
    reduce(context, &MEAN, x, axes, shape)
}

pub(super) fn softmax(context: &Context, x: &Tensor, axis: usize) -> Result<Tensor> {
    check_softmax(x.shape(), axis)?;
    reduce(context, &SOFTMAX, x, axis..axis + 1, x.shape())
}
