//! Shuffling channels on the device, and comparing what follows from it.

use super::context::Context;
use super::each::{Params, each, number};
use super::memory::Kind;
use super::pipeline::{Access, Kernel};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::net::Shuffle;
use crate::ops::{check_shuffle, check_substitute, check_variants};
use std::ops::Range;

const SOURCE: &str = include_str!("../../shaders/shuffle.wgsl");

const fn kernel(entry: &'static str) -> Kernel {
    Kernel {
        entry,
        source: SOURCE,
        buffers: &[Access::Read, Access::Read, Access::Read, Access::Write],
    }
}

const SAMPLES: Kernel = kernel("shuffle_samples");
const PIXELS: Kernel = kernel("shuffle_pixels");
const SUBSTITUTE: Kernel = kernel("substitute");
const CHANNEL_DOTS: Kernel = kernel("channel_dots");

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct ShuffleParams {
    len: u32,
    first: u32,
    channels: u32,
    dim: u32,
    variants: u32,
    channel: u32,
}

impl Params for ShuffleParams {
    fn start_at(&mut self, first: u32) {
        self.first = first;
    }
}

pub(super) fn shuffle(context: &Context, x: &Tensor, how: Shuffle<'_>) -> Result<Tensor> {
    let [_, c, d] = check_shuffle(x.shape(), how)?;
    let y = context.empty(x.shape())?;
    let (kernel, index) = match how {
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
    let workgroups = y.len().div_ceil(256) as u64;
    each(context, kernel, params, &buffers, workgroups, 256 * 8)?;
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
    let workgroups = y.len().div_ceil(256) as u64;
    each(context, &SUBSTITUTE, params, &buffers, workgroups, 256 * 16)?;
    Ok(y)
}

pub(super) fn channel_dots(context: &Context, x: &Tensor, y: &Tensor) -> Result<Vec<f32>> {
    let [n, m, d, variants] = check_variants(x.shape(), y.shape())?;
    let rows = n * variants * m;
    let out = context.empty(&[rows, 3])?;
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
    context.download(&out)
}
