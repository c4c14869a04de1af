//! 2-D pooling on the device. Lower bound of the cost: input and output are moved once.

use super::context::Context;
use super::each::{each, number};
use super::shader::{Shader, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::check_pool2d;
use crate::ops::net::{Pool2dParams, PoolKind};

static POOL2D: Shader = Shader::new::<Pool2dShape>(
    "pool2d",
    file!("pool2d"),
    Threads::Fixed(256),
    &[reads("x", "f32"), writes("y", "f32")],
)
.constants(&[
    ("POOL_MAX", MAX),
    ("POOL_AVERAGE", AVERAGE),
    ("POOL_AVERAGE_PADDED", AVERAGE_PADDED),
    ("POOL_FIRST", FIRST),
]);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&POOL2D];

/// Kinds of pooling as the shader numbers them.
const MAX: u32 = 0;
const AVERAGE: u32 = 1;
const AVERAGE_PADDED: u32 = 2;
const FIRST: u32 = 3;

shader_params! {
    /// Shape of one pooling; the shader explains the fields.
    struct Pool2dShape {
        len: u32,
        first: u32,
        kind: u32,
        height: u32,
        width: u32,
        out_height: u32,
        out_width: u32,
        kernel_height: u32,
        kernel_width: u32,
        stride_y: u32,
        stride_x: u32,
        pad_top: u32,
        pad_left: u32,
        pad_bottom: u32,
        pad_right: u32,
        dilation_y: u32,
        dilation_x: u32,
    }
}

pub(super) fn pool2d(context: &Context, x: &Tensor, p: &Pool2dParams) -> Result<Tensor> {
    let [n, c, h, w] = check_pool2d(x.shape(), p)?;
    let y = context.empty(&[n, c, p.output[0], p.output[1]])?;
    let size = |v: usize| number(context, v);
    let shape = Pool2dShape {
        len: size(y.len())?,
        first: 0,
        kind: match p.kind {
            PoolKind::Max => MAX,
            PoolKind::Average => AVERAGE,
            PoolKind::AveragePadded => AVERAGE_PADDED,
            PoolKind::First => FIRST,
        },
        height: size(h)?,
        width: size(w)?,
        out_height: size(p.output[0])?,
        out_width: size(p.output[1])?,
        kernel_height: size(p.kernel[0])?,
        kernel_width: size(p.kernel[1])?,
        stride_y: size(p.stride[0])?,
        stride_x: size(p.stride[1])?,
        pad_top: size(p.padding[0])?,
        pad_left: size(p.padding[1])?,
        pad_bottom: size(p.padding[2])?,
        pad_right: size(p.padding[3])?,
        dilation_y: size(p.dilation[0])?,
        dilation_x: size(p.dilation[1])?,
    };
    let window = (p.kernel[0] * p.kernel[1]) as u64;
    let buffers = [x.buffer.whole(), y.buffer.whole()];
    let workgroups = POOL2D.workgroups(y.len());
    each(
        context,
        &POOL2D,
        shape,
        &buffers,
        workgroups,
        256 * 8 * window,
    )?;
    Ok(y)
}
