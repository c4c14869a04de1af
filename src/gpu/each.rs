//! Kernels with a thread, or a workgroup, per element of the result.

use super::context::Context;
use super::pipeline::{Kernel, Pipeline};
use super::record::{DISPATCH_WORK, Recorder};
use crate::Result;
use std::sync::Arc;

/// Parameters that say where a dispatch begins.
pub(super) trait Params: bytemuck::Pod {
    /// Sets the first workgroup.
    fn start_at(&mut self, first: u32);
}

/// Runs `workgroups` workgroups of `work` operations each, in as many dispatches as their length asks for.
pub(super) fn each<P: Params>(
    context: &Context,
    kernel: &Kernel,
    params: P,
    buffers: &[wgpu::BufferBinding<'_>],
    workgroups: u64,
    work: u64,
) -> Result<()> {
    let pipeline = context.pipeline(kernel, &[])?;
    each_of(context, &pipeline, params, buffers, workgroups, work)
}

/// The same for a compiled kernel.
pub(super) fn each_of<P: Params>(
    context: &Context,
    pipeline: &Arc<Pipeline>,
    mut params: P,
    buffers: &[wgpu::BufferBinding<'_>],
    workgroups: u64,
    work: u64,
) -> Result<()> {
    let step = (DISPATCH_WORK / work.max(1)).max(1);
    let mut recorder = Recorder::new(context);
    let mut first = 0;
    while first < workgroups {
        let count = step.min(workgroups - first);
        params.start_at(number(context, first)?);
        recorder.dispatch(
            pipeline,
            &params,
            buffers,
            count,
            count.saturating_mul(work),
        )?;
        first += count;
    }
    recorder.submit()
}

/// A size as the shaders have it.
pub(super) fn number(context: &Context, n: impl TryInto<u32>) -> Result<u32> {
    n.try_into().map_err(|_| context.too_large("a tensor"))
}

/// Up to eight numbers as two vectors of four.
pub(super) fn eight<T: Copy + Default>(values: &[T]) -> [[T; 4]; 2] {
    let mut out = [[T::default(); 4]; 2];
    for (i, &v) in values.iter().take(8).enumerate() {
        out[i / 4][i % 4] = v;
    }
    out
}
