//! What all kernels share: the device with its limits and caches. `open` makes one.

use super::adapter::{MAX_BUFFER, buffer_limit, describe};
use super::calls::Call;
use super::cooperative::Cooperative;
use super::guard::Guard;
use super::memory::{Pool, Stages};
use super::pace::Pace;
use super::pipeline::{Pipeline, Pipelines};
use super::profile::Profiler;
use super::shader::{Define, Shader};
use super::wait::{self, Submission};
use super::wide::Wide;
use crate::error::DeviceProblem;
use crate::ops::DeviceInfo;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Submissions in flight before the host waits for the oldest.
const IN_FLIGHT: usize = 3;

/// How to use an adapter. The default suits every adapter.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Arithmetic of the steps that matter for the result; `None` chooses float64 where the adapter has
    /// it.
    pub wide: Option<Wide>,
    /// Largest buffer, bytes. The adapter's limit applies as well.
    pub max_buffer_bytes: Option<u64>,
    /// Measures the device time of every kernel ([`super::Gpu::kernel_times`]), if the adapter can.
    pub profile: bool,
    /// Whether to compute products on cooperative matrices (tensor cores). `None` does so where the
    /// adapter has them, but not on a device that the caller opened, because a device does not tell
    /// their sizes. No result depends on it except the last bits of Gram matrices.
    pub cooperative_matrix: Option<bool>,
}

/// Device, queue and caches. Each [`super::Gpu`] has one.
pub(super) struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: DeviceInfo,
    pub(super) shares_host_memory: bool,
    software: bool,
    pub(super) max_buffer: u64,
    pub(super) max_workgroups: u32,
    pub(super) workgroup_bytes: u32,
    pub(super) wide: Wide,
    pub(super) cooperative: Option<Cooperative>,
    pub(super) pool: Arc<Pool>,
    pub(super) guard: Arc<Guard>,
    pipelines: Pipelines,
    pub(super) profiler: Option<Profiler>,
    pub(super) stages: Stages,
    /// How much work is recorded and submitted at a time.
    pub(super) pace: Pace,
    in_flight: Mutex<VecDeque<Submission>>,
    #[cfg(feature = "internals")]
    pub(super) tally: super::tally::Tally,
}

impl Context {
    /// Works on an open device. `cooperative` are matrices that it was opened for, if any.
    pub(super) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &Options,
        cooperative: Option<Cooperative>,
    ) -> Result<Self> {
        let (adapter, limits) = (device.adapter_info(), device.limits());
        let info = describe(&adapter);
        let f64_here = device.features().contains(wgpu::Features::SHADER_F64)
            && adapter.backend == wgpu::Backend::Vulkan;
        let wide = match options.wide {
            Some(Wide::Float64) if !f64_here => {
                return Err(Error::Device {
                    device: info.name,
                    problem: DeviceProblem::Lacks {
                        feature: "float64 shaders",
                        advice: "use double-float arithmetic",
                    },
                });
            }
            Some(wide) => wide,
            None if f64_here => Wide::Float64,
            None => Wide::DoubleFloat,
        };
        if options.cooperative_matrix == Some(true) && cooperative.is_none() {
            return Err(Error::Device {
                device: info.name,
                problem: DeviceProblem::Lacks {
                    feature: "cooperative matrices that can be used",
                    advice: "leave the choice open",
                },
            });
        }
        let cap = options.max_buffer_bytes.unwrap_or(MAX_BUFFER).max(1 << 16);
        let shares_host_memory = matches!(
            adapter.device_type,
            wgpu::DeviceType::Cpu | wgpu::DeviceType::IntegratedGpu
        );
        let timestamps = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let guard = Arc::new(Guard::new(device.clone(), queue.clone(), info.name.clone()));
        Ok(Self {
            pool: Arc::new(Pool::new(Arc::clone(&guard), shares_host_memory)),
            guard,
            pipelines: Pipelines::default(),
            profiler: (options.profile && timestamps).then(Profiler::default),
            max_buffer: buffer_limit(&limits).min(cap & !255),
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            device,
            queue,
            info,
            shares_host_memory,
            software: adapter.device_type == wgpu::DeviceType::Cpu,
            wide,
            cooperative,
            stages: Stages::default(),
            pace: Pace::default(),
            in_flight: Mutex::default(),
            #[cfg(feature = "internals")]
            tally: super::tally::Tally::default(),
        })
    }

    /// A typed error with the adapter's name.
    pub(super) fn fail(&self, problem: DeviceProblem) -> Error {
        self.guard.fail(problem)
    }

    /// A typed error for a kernel or operation that failed.
    pub(super) fn failed(&self, what: impl Into<String>, reason: impl std::fmt::Display) -> Error {
        self.guard.failed(what, reason)
    }

    /// A typed error for an array that exceeds what a kernel can count.
    pub(super) fn too_large(&self, what: impl Into<String>) -> Error {
        self.fail(DeviceProblem::TooLarge {
            what: what.into(),
            limit: None,
        })
    }

    /// Loop iterations that one invocation may do in total. Mesa's software adapter silently leaves all
    /// loops after 65535.
    pub(super) const fn loop_budget(&self) -> usize {
        match self.software {
            true => 50_000,
            false => usize::MAX,
        }
    }

    /// Refuses work that a software adapter would silently cut short.
    pub(super) fn check_loops(&self, what: &str, iterations: usize) -> Result<()> {
        match iterations <= self.loop_budget() {
            true => Ok(()),
            false => Err(self.fail(DeviceProblem::LoopLimit { what: what.into() })),
        }
    }

    /// Runs `work`, and turns every error that wgpu reports into a typed error; see [`Guard::run`].
    pub(super) fn guarded<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.guard.run(what, work)
    }

    /// The shader compiled with these definitions, from the cache where possible. This adds `WIDE_F64`,
    /// which depends on the device alone.
    pub(super) fn pipeline(
        &self,
        shader: &'static Shader,
        defines: &[Define],
    ) -> Result<Arc<Pipeline>> {
        let mut all = defines.to_vec();
        if shader.is_wide() && self.wide == Wide::Float64 {
            all.push(("WIDE_F64", None));
        }
        self.pipelines.get(&self.guard, shader, all)
    }

    /// The matrices that may replace an f32 kernel for rows of `dim` numbers. Below 16 numbers most of
    /// the operands would be padding.
    pub(super) fn cooperative_for(&self, dim: usize) -> Option<Cooperative> {
        self.cooperative.filter(|_| dim >= 16)
    }

    /// Copies bytes to a buffer, before anything that is submitted later.
    pub(super) fn copy_in(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        self.guard.meet(Call::Write, bytes.len() as u64);
        #[cfg(feature = "internals")]
        self.tally.add_uploaded(bytes.len());
        self.queue.write_buffer(buffer, offset, bytes);
    }

    /// Submits commands, and waits for older ones so that only a few submissions are in flight: memory
    /// and driver queues stay bounded.
    pub(super) fn submit(&self, commands: Option<wgpu::CommandBuffer>) -> Result<Submission> {
        self.guard.meet(Call::Submit, 0);
        let submission = Submission::new(&self.queue, commands);
        let oldest = {
            let mut queue = self
                .in_flight
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            queue.push_back(submission.clone());
            (queue.len() > IN_FLIGHT)
                .then(|| queue.pop_front())
                .flatten()
        };
        if oldest.is_some() {
            self.wait(oldest)?;
        }
        Ok(submission)
    }

    /// Waits for one submission, or for all.
    pub(super) fn wait(&self, submission: Option<Submission>) -> Result<()> {
        self.guard.wait(submission)
    }

    /// Asks for the start of a mappable buffer, as it is when everything submitted so far is done.
    pub(super) fn map(&self, staging: &wgpu::Buffer, bytes: usize) -> Mapping {
        let (sender, receiver) = std::sync::mpsc::channel();
        let end = bytes.next_multiple_of(4) as u64;
        staging.map_async(wgpu::MapMode::Read, 0..end, move |result| {
            let _ = sender.send(result);
            wait::wake();
        });
        Mapping { bytes, receiver }
    }

    /// Waits for the submission that filled the buffer (`None`: for all), and lets `work` read what was asked for.
    pub(super) fn mapped<T>(
        &self,
        staging: &wgpu::Buffer,
        mapping: &Mapping,
        submission: Option<Submission>,
        work: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        self.wait(submission)?;
        match wait::received(&mapping.receiver) {
            Some(Ok(())) => {}
            _ => {
                return Err(self.fail(DeviceProblem::NoAnswer {
                    reason: "results cannot be read back".into(),
                }));
            }
        }
        let end = mapping.bytes.next_multiple_of(4) as u64;
        let view = staging
            .get_mapped_range(0..end)
            .map_err(|e| self.failed("reading results back", e))?;
        let result = work(&view[..mapping.bytes]);
        drop(view);
        staging.unmap();
        Ok(result)
    }

    /// Waits for everything submitted, then copies the start of a mappable buffer.
    pub(super) fn read_mapped(&self, staging: &wgpu::Buffer, out: &mut [u8]) -> Result<()> {
        let mapping = self.map(staging, out.len());
        self.mapped(staging, &mapping, None, |bytes| out.copy_from_slice(bytes))
    }
}

/// A part of a buffer that the host asked for.
pub(super) struct Mapping {
    bytes: usize,
    receiver: std::sync::mpsc::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
}
