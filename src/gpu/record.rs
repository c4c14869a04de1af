//! Work recorded for the device and submitted in pieces of bounded length.

use super::context::Context;
use super::memory::{Buffer, Kind};
use super::pipeline::Pipeline;
use crate::Result;
use std::sync::Arc;

/// Operations after which recorded work is submitted. A weak GPU (0.5 Tflop/s) takes a tenth of a
/// second for it, a software one a few: no driver takes the device for hung, and memory held by
/// work in flight stays bounded.
const SUBMIT_AFTER: u64 = 50_000_000_000;

/// Most operations one dispatch may do: callers split larger work.
pub(super) const DISPATCH_WORK: u64 = 20_000_000_000;

/// Alignment of parameters in their buffer; the largest that wgpu allows an adapter to ask for.
const PARAMS_ALIGN: usize = 256;

enum Command {
    Dispatch {
        pipeline: Arc<Pipeline>,
        group: wgpu::BindGroup,
        workgroups: [u32; 3],
    },
    Clear(wgpu::Buffer, u64),
    Copy(wgpu::Buffer, u64, wgpu::Buffer, u64),
}

/// Records kernels, then submits them in order.
pub(super) struct Recorder<'a> {
    context: &'a Context,
    commands: Vec<Command>,
    params: Vec<u8>,
    params_buffer: Option<Buffer>,
    work: u64,
}

/// Bytes of parameters per submission.
const PARAMS_BYTES: usize = 64 << 10;

impl<'a> Recorder<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self {
            context,
            commands: Vec::new(),
            params: Vec::new(),
            params_buffer: None,
            work: 0,
        }
    }

    /// Records `workgroups` workgroups of a kernel. `work`: operations, to bound a submission's length.
    /// Nothing is recorded for no workgroups.
    pub(super) fn dispatch<P: bytemuck::Pod>(
        &mut self,
        pipeline: &Arc<Pipeline>,
        params: &P,
        buffers: &[wgpu::BufferBinding<'_>],
        workgroups: u64,
        work: u64,
    ) -> Result<()> {
        if workgroups == 0 {
            return Ok(());
        }
        let size = size_of::<P>().next_multiple_of(16);
        if self.work > 0 && self.work.saturating_add(work) > SUBMIT_AFTER
            || self.params.len() + PARAMS_ALIGN + size > PARAMS_BYTES
        {
            self.submit()?;
        }
        self.work = self.work.saturating_add(work);
        let offset = self.params.len();
        self.params.extend_from_slice(bytemuck::bytes_of(params));
        self.params
            .resize((offset + size).next_multiple_of(PARAMS_ALIGN), 0);
        let group = self.bind(pipeline, offset, size, buffers)?;
        self.commands.push(Command::Dispatch {
            pipeline: Arc::clone(pipeline),
            group,
            workgroups: flatten(workgroups, self.context.max_workgroups),
        });
        Ok(())
    }

    fn bind(
        &mut self,
        pipeline: &Pipeline,
        offset: usize,
        size: usize,
        buffers: &[wgpu::BufferBinding<'_>],
    ) -> Result<wgpu::BindGroup> {
        let params = match self.params_buffer.take() {
            Some(buffer) => buffer,
            None => self.context.pool.get(Kind::Params, PARAMS_BYTES as u64)?,
        };
        let first = wgpu::BufferBinding {
            buffer: &params,
            offset: offset as u64,
            size: wgpu::BufferSize::new(size as u64),
        };
        let entries: Vec<wgpu::BindGroupEntry<'_>> = std::iter::once(&first)
            .chain(buffers)
            .zip(0..)
            .map(|(binding, i)| wgpu::BindGroupEntry {
                binding: i,
                resource: wgpu::BindingResource::Buffer(binding.clone()),
            })
            .collect();
        let group = self
            .context
            .device
            .create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(pipeline.entry),
                layout: &pipeline.layout,
                entries: &entries,
            });
        self.params_buffer = Some(params);
        Ok(group)
    }

    /// Records setting the first `bytes` bytes to zero.
    pub(super) fn clear(&mut self, buffer: &wgpu::Buffer, bytes: u64) {
        if bytes > 0 {
            self.commands
                .push(Command::Clear(buffer.clone(), bytes.next_multiple_of(4)));
        }
    }

    /// Records a copy of `bytes` bytes from `offset` of `from` to the start of `to`.
    pub(super) fn copy(&mut self, from: &wgpu::Buffer, offset: u64, to: &wgpu::Buffer, bytes: u64) {
        if bytes > 0 {
            self.commands
                .push(Command::Copy(from.clone(), offset, to.clone(), bytes));
        }
    }

    /// Submits what was recorded.
    pub(super) fn submit(&mut self) -> Result<()> {
        let commands = std::mem::take(&mut self.commands);
        if commands.is_empty() {
            return Ok(());
        }
        let context = self.context;
        if let Some(buffer) = &self.params_buffer {
            context.queue.write_buffer(buffer, 0, &self.params);
        }
        let mut encoder = context.device.create_command_encoder(&Default::default());
        let mut timed = context
            .profiler
            .as_ref()
            .map(|_| super::profile::Timed::new(context, commands.len()));
        for command in &commands {
            match command {
                Command::Clear(buffer, bytes) => encoder.clear_buffer(buffer, 0, Some(*bytes)),
                Command::Copy(from, offset, to, bytes) => {
                    encoder.copy_buffer_to_buffer(from, *offset, to, 0, *bytes);
                }
                Command::Dispatch {
                    pipeline,
                    group,
                    workgroups: [x, y, z],
                } => {
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: Some(pipeline.entry),
                        timestamp_writes: timed.as_mut().map(|t| t.pass(pipeline.entry)),
                    });
                    pass.set_pipeline(&pipeline.inner);
                    pass.set_bind_group(0, group, &[]);
                    pass.dispatch_workgroups(*x, *y, *z);
                }
            }
        }
        if let Some(timed) = &timed {
            timed.resolve(&mut encoder);
        }
        context.submit(Some(encoder.finish()))?;
        if let (Some(timed), Some(profiler)) = (timed, &context.profiler) {
            profiler.add(context, &timed)?;
        }
        // The queue runs in order: whoever takes this buffer next writes it after these kernels.
        self.params_buffer = None;
        self.params.clear();
        self.work = 0;
        Ok(())
    }
}

/// A count of workgroups as three dimensions, each within the device's limit; kernels flatten it
/// again (`shaders/shared/workgroup.wgsl`) and ignore those past the end.
fn flatten(workgroups: u64, limit: u32) -> [u32; 3] {
    let limit = u64::from(limit);
    let x = workgroups.min(limit);
    let y = workgroups.div_ceil(x).min(limit);
    let z = workgroups.div_ceil(x * y);
    [x, y, z].map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::flatten;

    #[test]
    fn workgroups_are_flattened() {
        assert_eq!(flatten(7, 65535), [7, 1, 1]);
        assert_eq!(flatten(65536, 65535), [65535, 2, 1]);
        assert_eq!(flatten(20, 3), [3, 3, 3]);
        for n in [1u64, 65535, 65536, 1 << 20, 1 << 32] {
            let [x, y, z] = flatten(n, 65535).map(u64::from);
            assert!(x * y * z >= n && x <= 65535 && y <= 65535 && z <= 65535);
        }
    }
}
