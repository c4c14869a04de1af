//! Means and softmax along axes on the device. Floor: input and output once.

use super::context::Context;
use super::each::{Params, each, number};
use super::pipeline::{Access, Kernel};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::{check_mean, check_softmax};
use std::ops::Range;

const SOURCE: &str = include_str!("../../shaders/reduce.wgsl");
const BUFFERS: &[Access] = &[Access::Read, Access::Write];
const MEAN: Kernel = Kernel {
    entry: "mean",
    source: SOURCE,
    buffers: BUFFERS,
};
const SOFTMAX: Kernel = Kernel {
    entry: "softmax",
    source: SOURCE,
    buffers: BUFFERS,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ReduceParams {
    threads: u32,
    first: u32,
    len: u32,
    inner: u32,
}

impl Params for ReduceParams {
    fn start_at(&mut self, first: u32) {
        self.first = first;
    }
}

fn reduce(
    context: &Context,
    kernel: &Kernel,
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
    let workgroups = threads.div_ceil(64) as u64;
    each(
        context,
        kernel,
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
