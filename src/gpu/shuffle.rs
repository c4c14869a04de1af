//! Shuffling channels on the device, and comparing results with and without a shuffle.

use super::context::Context;
use super::each::{each, number};
use super::memory::Kind;
use super::shader::{Shader, Storage, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::net::Shuffle;
use crate::ops::{check_shuffle, check_substitute, check_variants};
use std::ops::Range;

const STORAGE: &[Storage] = &[
    reads("x", "f32"),
    reads("other", "f32"),
    reads("index", "u32"),
    writes("y", "f32"),
];

const fn shader(entry: &'static str, threads: u32) -> Shader {
    Shader::new::<ShuffleParams>(entry, file!("shuffle"), Threads::Fixed(threads), STORAGE)
}

static SAMPLES: Shader = shader("shuffle_samples", 256);
static PIXELS: Shader = shader("shuffle_pixels", 256);
static SUBSTITUTE: Shader = shader("substitute", 256);
static CHANNEL_DOTS: Shader = shader("channel_dots", 64);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&SAMPLES, &PIXELS, &SUBSTITUTE, &CHANNEL_DOTS];

shader_params! {
    /// Parameters of all kernels; the shader explains the fields.
    struct ShuffleParams {
        len: u32,
        first: u32,
        channels: u32,
        dim: u32,
        variants: u32,
        channel: u32,
    }
}

pub(super) fn shuffle(context: &Context, x: &Tensor, how: Shuffle<'_>) -> Result<Tensor> {
    let [_, c, d] = check_shuffle(x.shape(), how)?;
    let y = context.empty(x.shape())?;
    let (shader, index) = match how {
        Shuffle::Samples(index) => (&SAMPLES, index),
        Shuffle::Pixels(index) => (&PIXELS, index),
    };
    let indices = context.pool.get(Kind::Storage, index.len() as u64 * 4)?;
    context.write(&indices, index)?;
    let params = ShuffleParams {
        len: number(context, y.len())?,
        channels: number(context, c)?,
        dim: number(context, d)?,
        ..ShuffleParams::default()
    };
    let buffers = [
        x.buffer.whole(),
        x.buffer.whole(),
        indices.whole(),
        y.buffer.whole(),
    ];
    let workgroups = shader.workgroups(y.len());
    each(context, shader, params, &buffers, workgroups, 256 * 8)?;
    Ok(y)
}

pub(super) fn substitute(
    context: &Context,
    x: &Tensor,
    other: &Tensor,
    channels: Range<usize>,
) -> Result<Tensor> {
    let [n, c, d] = check_substitute(x.shape(), other.shape(), &channels)?;
    let mut shape = x.shape().to_vec();
    shape[0] = n * channels.len();
    let y = context.empty(&shape)?;
    let params = ShuffleParams {
        len: number(context, y.len())?,
        channels: number(context, c)?,
        dim: number(context, d)?,
        variants: number(context, channels.len())?,
        channel: number(context, channels.start)?,
        ..ShuffleParams::default()
    };
    let none = context.pool.get(Kind::Storage, 16)?;
    let buffers = [
        x.buffer.whole(),
        other.buffer.whole(),
        none.whole(),
        y.buffer.whole(),
    ];
    let workgroups = SUBSTITUTE.workgroups(y.len());
    each(context, &SUBSTITUTE, params, &buffers, workgroups, 256 * 16)?;
    Ok(y)
}

pub(super) fn channel_dots(context: &Context, x: &Tensor, y: &Tensor) -> Result<Vec<f64>> {
    let [n, m, d, variants] = check_variants(x.shape(), y.shape())?;
    let rows = n * variants * m;
    // Three products and two exponents.
    let out = context.empty(&[rows, 5])?;
    let params = ShuffleParams {
        len: number(context, rows)?,
        channels: number(context, m)?,
        dim: number(context, d)?,
        variants: number(context, variants)?,
        ..ShuffleParams::default()
    };
    let none = context.pool.get(Kind::Storage, 16)?;
    let buffers = [
        x.buffer.whole(),
        y.buffer.whole(),
        none.whole(),
        out.buffer.whole(),
    ];
    let work = 64 * 32 + 8 * d as u64;
    each(context, &CHANNEL_DOTS, params, &buffers, rows as u64, work)?;
    let found = context.download(&out)?;
    let unscaled = |&[xy, xx, yy, a, b]: &[f32; 5]| {
        let [x, y] = [a, b].map(|e| f64::from(e).exp2());
        [
            f64::from(xy) * x * y,
            f64::from(xx) * x * x,
            f64::from(yy) * y * y,
        ]
    };
    Ok(found.as_chunks().0.iter().flat_map(unscaled).collect())
}
