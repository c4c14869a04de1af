//! Measures the device time of kernels with timestamps. `record` puts them around every kernel and reads them back.

use super::memory::Buffer;
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
    resolved: Buffer,
    names: Vec<&'static str>,
}

impl Timed {
    /// For `passes` kernels, whose timestamps go to `resolved`.
    pub(super) fn new(device: &wgpu::Device, resolved: Buffer, passes: usize) -> Self {
        let count = u32::try_from(passes * 2).unwrap_or(u32::MAX);
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
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

    /// Number of timestamps: a start and an end per pass.
    pub(super) fn len(&self) -> usize {
        self.names.len() * 2
    }

    /// The buffer that [`Timed::resolve`] fills with the timestamps, `u64` each.
    pub(super) fn resolved(&self) -> &wgpu::Buffer {
        &self.resolved
    }
}

impl Profiler {
    /// Adds the times of a submission. `ticks` are its timestamps, each `period` seconds long.
    pub(super) fn add(&self, timed: &Timed, ticks: &[u64], period: f64) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, pair) in timed.names.iter().zip(ticks.chunks_exact(2)) {
            let entry = times.entry(name).or_default();
            entry.dispatches += 1;
            entry.seconds += pair[1].saturating_sub(pair[0]) as f64 * period;
        }
    }

    /// Times since the last call.
    pub(super) fn take(&self) -> BTreeMap<&'static str, KernelTime> {
        std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
