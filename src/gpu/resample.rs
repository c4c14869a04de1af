//! Weighted sums along an axis on the device: interpolation, repetition, selection. Lower bound of the cost: the
//! source is read as often as it has terms, the result written once.

use super::context::Context;
use super::each::{each, number};
use super::memory::Kind;
use super::shader::{Shader, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::check_resample;
use crate::ops::net::Resampling;

static RESAMPLE: Shader = Shader::new::<ResampleParams>(
    "resample",
    file!("resample"),
    Threads::Fixed(256),
    &[
        reads("x", "f32"),
        reads("index", "u32"),
        reads("weight", "f32"),
        writes("y", "f32"),
    ],
);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&RESAMPLE];

shader_params! {
    /// Parameters; the shader explains the fields.
    struct ResampleParams {
        len: u32,
        first: u32,
        source: u32,
        target_len: u32,
        inner: u32,
        terms: u32,
    }
}

pub(super) fn resample(
    context: &Context,
    x: &Tensor,
    axis: usize,
    by: &Resampling,
) -> Result<Tensor> {
    let shape = check_resample(x.shape(), axis, by)?;
    let y = context.empty(&shape)?;
    if y.len() == 0 {
        return Ok(y);
    }
    let bytes = by.index.len() as u64 * 4;
    let index = context.pool.get(Kind::Storage, bytes)?;
    let weight = context.pool.get(Kind::Storage, bytes)?;
    context.write(&index, &by.index)?;
    context.write(&weight, &by.weight)?;
    let params = ResampleParams {
        len: number(context, y.len())?,
        first: 0,
        source: number(context, x.shape()[axis])?,
        target_len: number(context, shape[axis])?,
        inner: number(context, shape[axis + 1..].iter().product::<usize>())?,
        terms: number(context, by.terms)?,
    };
    let buffers = [
        x.buffer.whole(),
        index.whole(),
        weight.whole(),
        y.buffer.whole(),
    ];
    let workgroups = RESAMPLE.workgroups(y.len());
    let work = 256 * (8 + 8 * by.terms as u64);
    each(context, &RESAMPLE, params, &buffers, workgroups, work)?;
    Ok(y)
}
