//! Records kernels and copies, and submits them in pieces of bounded length.

use super::context::Context;
use super::memory::{Buffer, Kind};
use super::pipeline::Pipeline;
use super::profile::{Profiler, Timed};
use super::shader::ShaderParams;
use super::wait::Submission;
use crate::Result;
use std::sync::Arc;

/// Alignment of parameters in their buffer: the largest that wgpu lets an adapter require.
const PARAMS_ALIGN: usize = 256;

enum Command {
    Dispatch {
        pipeline: Arc<Pipeline>,
        group: wgpu::BindGroup,
        workgroups: [u32; 3],
    },
    Clear(wgpu::Buffer, u64),
    /// From a buffer and offset to another, bytes.
    Copy(wgpu::Buffer, u64, wgpu::Buffer, u64, u64),
}

/// Records kernels, then submits them in order.
pub(super) struct Recorder<'a> {
    context: &'a Context,
    commands: Vec<Command>,
    params: Vec<u8>,
    params_buffer: Option<Buffer>,
    work: u64,
    last: Option<Submission>,
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
            last: None,
        }
    }

    /// Records `workgroups` workgroups of a kernel, each of which does `work` operations, in dispatches
    /// of at most as many operations as [`super::pace::Pace`] allows, where that is possible.
    pub(super) fn dispatch<P: ShaderParams>(
        &mut self,
        pipeline: &Arc<Pipeline>,
        mut params: P,
        buffers: &[wgpu::BufferBinding<'_>],
        workgroups: u64,
        work: u64,
    ) -> Result<()> {
        debug_assert_eq!(pipeline.shader.params.name, P::LAYOUT.name);
        debug_assert_eq!(pipeline.shader.storage.len(), buffers.len());
        let step = self.context.pace.step(workgroups, work);
        #[cfg(feature = "internals")]
        self.context.tally.add(super::tally::Launch {
            kernel: pipeline.shader.entry,
            workgroups,
            work,
            dispatches: workgroups.div_ceil(step),
            smallest: workgroups - workgroups.saturating_sub(1) / step * step,
        });
        let mut first = 0;
        while first < workgroups {
            let count = step.min(workgroups - first);
            params.start_at(number(self.context, first)?);
            self.dispatch_once(
                pipeline,
                &params,
                buffers,
                count,
                count.saturating_mul(work),
            )?;
            first += count;
        }
        Ok(())
    }

    /// Records one dispatch of `workgroups` workgroups that do `work` operations together.
    fn dispatch_once<P: ShaderParams>(
        &mut self,
        pipeline: &Arc<Pipeline>,
        params: &P,
        buffers: &[wgpu::BufferBinding<'_>],
        workgroups: u64,
        work: u64,
    ) -> Result<()> {
        let size = size_of::<P>().next_multiple_of(16);
        if self.work > 0 && self.work.saturating_add(work) > self.context.pace.submit
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
                label: Some(pipeline.shader.entry),
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
        self.copy_to((from, offset), (to, 0), bytes);
    }

    /// Records a copy of `bytes` bytes from an offset of a buffer to an offset of another.
    pub(super) fn copy_to(
        &mut self,
        (from, offset): (&wgpu::Buffer, u64),
        (to, at): (&wgpu::Buffer, u64),
        bytes: u64,
    ) {
        if bytes > 0 {
            self.commands
                .push(Command::Copy(from.clone(), offset, to.clone(), at, bytes));
        }
    }

    /// Submits what is left, and tells the last submission, if there was one.
    pub(super) fn finish(mut self) -> Result<Option<Submission>> {
        self.submit()?;
        Ok(self.last)
    }

    /// Submits everything recorded so far.
    pub(super) fn submit(&mut self) -> Result<()> {
        let commands = std::mem::take(&mut self.commands);
        if commands.is_empty() {
            return Ok(());
        }
        let context = self.context;
        if let Some(buffer) = &self.params_buffer {
            context.copy_in(buffer, 0, &self.params);
        }
        let mut encoder = context.device.create_command_encoder(&Default::default());
        let mut timed = match &context.profiler {
            Some(_) => {
                // A start and an end, 8 bytes each.
                let resolved = context.pool.get(Kind::Times, commands.len() as u64 * 16)?;
                Some(Timed::new(&context.device, resolved, commands.len()))
            }
            None => None,
        };
        for command in &commands {
            match command {
                Command::Clear(buffer, bytes) => encoder.clear_buffer(buffer, 0, Some(*bytes)),
                Command::Copy(from, offset, to, at, bytes) => {
                    encoder.copy_buffer_to_buffer(from, *offset, to, *at, *bytes);
                }
                Command::Dispatch {
                    pipeline,
                    group,
                    workgroups: [x, y, z],
                } => {
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: Some(pipeline.shader.entry),
                        timestamp_writes: timed.as_mut().map(|t| t.pass(pipeline.shader.entry)),
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
        self.last = Some(context.submit(Some(encoder.finish()))?);
        if let (Some(timed), Some(profiler)) = (timed, &context.profiler) {
            read_times(context, &timed, profiler)?;
        }
        // The queue runs in order, so the next owner of this buffer writes it after these kernels have
        // run.
        self.params_buffer = None;
        self.params.clear();
        self.work = 0;
        Ok(())
    }
}

/// Waits for a submission and adds its times.
fn read_times(context: &Context, timed: &Timed, profiler: &Profiler) -> Result<()> {
    if timed.len() == 0 {
        return Ok(());
    }
    let mut ticks = vec![0u64; timed.len()];
    let bytes = size_of_val(ticks.as_slice()) as u64;
    let staging = context.pool.get(Kind::Readback, bytes)?;
    let mut encoder = context.device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(timed.resolved(), 0, &staging, 0, bytes);
    context.submit(Some(encoder.finish()))?;
    context.read_mapped(&staging, bytemuck::cast_slice_mut(&mut ticks))?;
    let period = f64::from(context.queue.get_timestamp_period()) * 1e-9;
    profiler.add(timed, &ticks, period);
    Ok(())
}

/// Folds a number of workgroups into three dimensions, each within the device's limit. Kernels compute
/// the index from them (`shaders/shared/workgroup.wgsl`) and ignore workgroups past the end.
fn flatten(workgroups: u64, limit: u32) -> [u32; 3] {
    let limit = u64::from(limit);
    let x = workgroups.min(limit);
    let y = workgroups.div_ceil(x).min(limit);
    let z = workgroups.div_ceil(x * y);
    [x, y, z].map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// A size as the shaders represent it.
pub(super) fn number(context: &Context, n: impl TryInto<u32>) -> Result<u32> {
    n.try_into().map_err(|_| context.too_large("a tensor"))
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
