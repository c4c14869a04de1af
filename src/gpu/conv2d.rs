//! 2-D convolution on the device, with bias and activation in the same kernel.
//!
//! Lower bounds of the cost: input, weights and output are moved once, and `2 N M H' W' (C / groups) kh
//! kw` operations.

use super::context::Context;
use super::memory::Kind;
use super::record::Recorder;
use super::shader::Definition::OneOf;
use super::shader::{Define, Shader, Storage, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::{Activation, Conv2dParams, check_conv2d};

const STORAGE: &[Storage] = &[
    reads("x", "f32"),
    reads("weight", "f32"),
    reads("bias", "f32"),
    writes("y", "f32"),
];
static CONV2D: Shader =
    Shader::new::<Conv2dShape>("conv2d", file!("conv2d"), Threads::Fixed(64), STORAGE).constants(
        &[
            ("TILE", TILE as u32),
            ("ACTIVATION_CLIP", CLIP),
            ("ACTIVATION_LEAKY", LEAKY),
        ],
    );

static DIRECT: Shader = Shader::new::<Conv2dShape>(
    "conv2d_direct",
    file!("conv2d_direct"),
    Threads::Fixed(64),
    STORAGE,
)
.define(&[OneOf(|| BLOCKS.map(block_defines).to_vec())])
.constants(&[
    ("STRIP", STRIP),
    ("ACTIVATION_CLIP", CLIP),
    ("ACTIVATION_LEAKY", LEAKY),
]);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&CONV2D, &DIRECT];

/// Activations as the shaders number them; 0 is none.
const CLIP: u32 = 1;
const LEAKY: u32 = 2;
/// Filters, and positions, of a workgroup's tile (`shaders/shared/tile.wgsl`).
const TILE: u64 = 64;
/// With fewer filters per group most rows of a tile would be empty.
const DIRECT_BELOW: u32 = 24;
/// Filters that a thread of the direct kernel may compute.
const BLOCKS: [u32; 3] = [1, 4, 8];
/// Positions that it computes, side by side in a row.
const STRIP: u32 = 4;

shader_params! {
    /// Shape of one convolution; `shaders/shared/conv2d_shape.wgsl` explains the fields.
    struct Conv2dShape {
        batch: u32,
        channels: u32,
        height: u32,
        width: u32,
        filters: u32,
        group_channels: u32,
        group_filters: u32,
        kernel_height: u32,
        kernel_width: u32,
        out_height: u32,
        out_width: u32,
        stride_y: u32,
        stride_x: u32,
        pad_top: u32,
        pad_left: u32,
        dilation_y: u32,
        dilation_x: u32,
        first: u32,
        workgroups: u32,
        has_bias: u32,
        activation: u32,
        low: f32,
        high: f32,
    }
}

/// `x [N, C, H, W]`, `weight [M, C / groups, kh, kw]`, `bias [M]` to `[N, M, H', W']`.
pub(super) fn conv2d(
    context: &Context,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &Conv2dParams,
) -> Result<Tensor> {
    let mut shape = geometry(x.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    let out = [
        shape.batch,
        shape.filters,
        shape.out_height,
        shape.out_width,
    ]
    .map(|d| d as usize);
    let y = context.empty(&out)?;
    if y.len() == 0 {
        return Ok(y);
    }
    let none = context.pool.get(Kind::Storage, 16)?;
    let buffers = [
        x.buffer.whole(),
        weight.buffer.whole(),
        bias.map_or(&none, |b| &b.buffer).whole(),
        y.buffer.whole(),
    ];
    let (shader, defines, all) = plan(&shape);
    let pipeline = context.pipeline(shader, &defines)?;
    let tiled = std::ptr::eq(shader, &CONV2D);
    shape.workgroups =
        u32::try_from(all).map_err(|_| context.too_large("the output of a convolution"))?;
    let terms = u64::from(shape.group_channels * shape.kernel_height * shape.kernel_width);
    let work = match tiled {
        true => TILE * TILE * 2 * terms.max(1),
        false => 64 * 2 * 8 * u64::from(STRIP) * terms.max(1),
    };
    // The tiled kernel takes 26 steps per 16 taps, the direct one nine per tap.
    let loops = terms as usize * if tiled { 2 } else { 9 };
    context.check_loops(&format!("a convolution of {terms} taps"), loops)?;
    let mut recorder = Recorder::new(context);
    recorder.dispatch(&pipeline, shape, &buffers, all, work)?;
    recorder.submit()?;
    Ok(y)
}

/// The shader that suits the shape, its definitions and its number of workgroups.
fn plan(s: &Conv2dShape) -> (&'static Shader, Vec<Define>, u64) {
    let plane = u64::from(s.out_height) * u64::from(s.out_width);
    let groups = u64::from(s.filters / s.group_filters);
    if s.group_filters >= DIRECT_BELOW {
        let tiles = groups * u64::from(s.group_filters).div_ceil(TILE);
        let columns = (u64::from(s.batch) * plane).div_ceil(TILE);
        return (&CONV2D, Vec::new(), tiles * columns);
    }
    let block = match s.group_filters {
        1 => BLOCKS[0],
        2..=4 => BLOCKS[1],
        _ => BLOCKS[2],
    };
    let blocks = groups * u64::from(s.group_filters.div_ceil(block));
    let strips = u64::from(s.out_height) * u64::from(s.out_width.div_ceil(STRIP));
    let threads = u64::from(s.batch) * blocks * strips;
    let workgroups = DIRECT.workgroups(threads as usize);
    (&DIRECT, block_defines(block), workgroups)
}

fn block_defines(block: u32) -> Vec<Define> {
    vec![("BLOCK", Some(block))]
}

/// Checks the arguments and gives the sizes to the kernels.
fn geometry(
    x: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
    params: &Conv2dParams,
) -> Result<Conv2dShape> {
    let sizes = check_conv2d(x, weight, bias, params)?;
    let [top, left, ..] = params.padding;
    let (activation, low, high) = match params.activation {
        Activation::Identity => (0, 0.0, 0.0),
        Activation::Relu => (CLIP, 0.0, f32::MAX),
        Activation::Clip(low, high) => (CLIP, low, high),
        Activation::LeakyRelu(slope) => (LEAKY, slope, 0.0),
    };
    Ok(Conv2dShape {
        batch: sizes.samples as u32,
        channels: sizes.channels as u32,
        height: sizes.input[0] as u32,
        width: sizes.input[1] as u32,
        filters: sizes.filters as u32,
        group_channels: sizes.group_channels as u32,
        group_filters: (sizes.filters / params.groups) as u32,
        kernel_height: sizes.kernel[0] as u32,
        kernel_width: sizes.kernel[1] as u32,
        out_height: sizes.output[0] as u32,
        out_width: sizes.output[1] as u32,
        stride_y: params.stride[0] as u32,
        stride_x: params.stride[1] as u32,
        pad_top: top as u32,
        pad_left: left as u32,
        dilation_y: params.dilation[0] as u32,
        dilation_x: params.dilation[1] as u32,
        first: 0,
        workgroups: 0,
        has_bias: u32::from(bias.is_some()),
        activation,
        low,
        high,
    })
}
