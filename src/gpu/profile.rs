//! Measures the device time of kernels with timestamps.

use super::context::Context;
use super::memory::{Buffer, Kind};
use crate::Result;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Device time of one kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KernelTime {
    /// Dispatches.
    pub dispatches: u64,
    /// Seconds on the device.
    pub seconds: f64,
}

/// Times of each kernel so far.
#[derive(Default)]
pub(super) struct Profiler {
    times: Mutex<BTreeMap<&'static str, KernelTime>>,
}

/// The timestamps of one submission.
pub(super) struct Timed {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    names: Vec<&'static str>,
}

impl Timed {
    pub(super) fn new(context: &Context, passes: usize) -> Self {
        let count = u32::try_from(passes * 2).unwrap_or(u32::MAX);
        let queries = context.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: u64::from(count) * 8,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Self {
            queries,
            resolved,
            names: Vec::with_capacity(passes),
        }
    }

    pub(super) fn pass(&mut self, name: &'static str) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = self.names.len() as u32 * 2;
        self.names.push(name);
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if !self.names.is_empty() {
            let used = self.names.len() as u32 * 2;
            encoder.resolve_query_set(&self.queries, 0..used, &self.resolved, 0);
        }
    }
}

impl Profiler {
    /// Waits for the submission and adds its times.
    pub(super) fn add(&self, context: &Context, timed: &Timed) -> Result<()> {
        let bytes = timed.names.len() as u64 * 16;
        if bytes == 0 {
            return Ok(());
        }
        let staging: Buffer = context.pool.get(Kind::Readback, bytes)?;
        let mut encoder = context.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&timed.resolved, 0, &staging, 0, bytes);
        context.submit(Some(encoder.finish()))?;
        let mut ticks = vec![0u64; timed.names.len() * 2];
        context.read_mapped(&staging, bytemuck::cast_slice_mut(&mut ticks))?;
        let period = f64::from(context.queue.get_timestamp_period()) * 1e-9;
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, pair) in timed.names.iter().zip(ticks.chunks_exact(2)) {
            let entry = times.entry(name).or_default();
            entry.dispatches += 1;
            entry.seconds += pair[1].saturating_sub(pair[0]) as f64 * period;
        }
        Ok(())
    }

    /// Times since the last call.
    pub(super) fn take(&self) -> BTreeMap<&'static str, KernelTime> {
        std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
