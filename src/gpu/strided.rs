//! Copies between strided views on the device. Lower bound of the cost: the box is read and written
//! once.

use super::context::Context;
use super::each::{each, eight, number};
use super::shader::{Shader, Threads, file, reads, shader_params, writes};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::check_strided;
use crate::ops::net::StridedCopy;

static STRIDED: Shader = Shader::new::<StridedParams>(
    "strided",
    file!("strided"),
    Threads::Fixed(256),
    &[reads("x", "f32"), writes("y", "f32")],
);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&STRIDED];

shader_params! {
    /// Parameters; the shader explains the fields.
    struct StridedParams {
        len: u32,
        first: u32,
        rank: u32,
        src_offset: u32,
        dst_offset: u32,
        unused_0: u32,
        unused_1: u32,
        unused_2: u32,
        extents: [[u32; 4]; 2],
        src_strides: [[i32; 4]; 2],
        dst_strides: [[u32; 4]; 2],
    }
}

pub(super) fn copy(
    context: &Context,
    x: &Tensor,
    into: &mut Tensor,
    c: &StridedCopy,
) -> Result<()> {
    check_strided(c, x.len(), into.len())?;
    let len: usize = c.extents.iter().product();
    if len == 0 {
        return Ok(());
    }
    let params = StridedParams {
        len: number(context, len)?,
        rank: c.extents.len() as u32,
        src_offset: number(context, c.src_offset)?,
        dst_offset: number(context, c.dst_offset)?,
        extents: eight(&c.extents.iter().map(|&v| v as u32).collect::<Vec<_>>()),
        src_strides: eight(&c.src_strides.iter().map(|&v| v as i32).collect::<Vec<_>>()),
        dst_strides: eight(&c.dst_strides.iter().map(|&v| v as u32).collect::<Vec<_>>()),
        ..StridedParams::default()
    };
    let buffers = [x.buffer.whole(), into.buffer.whole()];
    let workgroups = STRIDED.workgroups(len);
    each(context, &STRIDED, params, &buffers, workgroups, 256 * 32)
}
