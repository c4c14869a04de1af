//! Copies between strided views on the device. Floor: the box twice.

use super::context::Context;
use super::each::{Params, each, eight, number};
use super::pipeline::{Access, Kernel};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::check_strided;
use crate::ops::net::StridedCopy;

const STRIDED: Kernel = Kernel {
    entry: "strided",
    source: include_str!("../../shaders/strided.wgsl"),
    buffers: &[Access::Read, Access::Write],
};

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct StridedParams {
    len: u32,
    first: u32,
    rank: u32,
    src_offset: u32,
    dst_offset: u32,
    unused: [u32; 3],
    extents: [[u32; 4]; 2],
    src_strides: [[i32; 4]; 2],
    dst_strides: [[u32; 4]; 2],
}

impl Params for StridedParams {
    fn start_at(&mut self, first: u32) {
        self.first = first;
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
    let workgroups = len.div_ceil(256) as u64;
    each(context, &STRIDED, params, &buffers, workgroups, 256 * 32)
}
