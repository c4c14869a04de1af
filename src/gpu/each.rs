//! Kernels that run once over the elements of a result.

use super::context::Context;
use super::pipeline::Pipeline;
use super::record::Recorder;
use super::shader::{Shader, ShaderParams};
use crate::Result;
use std::sync::Arc;

pub(super) use super::record::number;

/// Runs `workgroups` workgroups of a shader without definitions, each of which does `work` operations.
pub(super) fn each<P: ShaderParams>(
    context: &Context,
    shader: &'static Shader,
    params: P,
    buffers: &[wgpu::BufferBinding<'_>],
    workgroups: u64,
    work: u64,
) -> Result<()> {
    let pipeline = context.pipeline(shader, &[])?;
    each_of(context, &pipeline, params, buffers, workgroups, work)
}

/// The same for a compiled shader.
pub(super) fn each_of<P: ShaderParams>(
    context: &Context,
    pipeline: &Arc<Pipeline>,
    params: P,
    buffers: &[wgpu::BufferBinding<'_>],
    workgroups: u64,
    work: u64,
) -> Result<()> {
    let mut recorder = Recorder::new(context);
    recorder.dispatch(pipeline, params, buffers, workgroups, work)?;
    recorder.submit()
}

/// Up to eight numbers as two vectors of four, padded with zeros.
pub(super) fn eight<T: Copy + Default>(values: &[T]) -> [[T; 4]; 2] {
    let mut out = [[T::default(); 4]; 2];
    for (i, &v) in values.iter().take(8).enumerate() {
        out[i / 4][i % 4] = v;
    }
    out
}
