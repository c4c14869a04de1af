//! What all kernels share: the device with its limits and caches, and the handling of its failures.

use super::adapter::{
    Adapter, BACKENDS, MAX_BUFFER, buffer_limit, choose, describe, instance, summary,
};
use super::cooperative::{self, Cooperative};
use super::gram;
use super::memory::Pool;
use super::pipeline::Pipelines;
use super::profile::Profiler;
use super::shader::WideBits;
use crate::error::DeviceProblem;
use crate::ops::DeviceInfo;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Submissions in flight before the host waits for the oldest.
const IN_FLIGHT: usize = 3;

/// Longest time that a submission may take before the device is considered hung.
const PATIENCE: Duration = Duration::from_secs(600);

/// Arithmetic of all steps whose rounding could change a result: distances that are compared, kernel
/// matrices, linear systems. Shaders call its numbers wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wide {
    /// The adapter's float64.
    Float64,
    /// Pairs of `f32`, about 46 bits; for adapters without float64 (Metal).
    DoubleFloat,
}

impl Wide {
    /// A number as it lies in a buffer of wide numbers. Pairs of `f32` are clamped to +-1e30.
    pub(super) fn encode(self, x: f64) -> WideBits {
        WideBits(match self {
            Self::Float64 => [x.to_bits() as u32, (x.to_bits() >> 32) as u32],
            Self::DoubleFloat => {
                let x = x.clamp(-1e30, 1e30);
                let high = x as f32;
                [high.to_bits(), ((x - f64::from(high)) as f32).to_bits()]
            }
        })
    }

    /// A wide number as it lies in a buffer.
    pub(super) fn decode(self, WideBits([x, y]): WideBits) -> f64 {
        match self {
            Self::Float64 => f64::from_bits(u64::from(x) | u64::from(y) << 32),
            Self::DoubleFloat => f64::from(f32::from_bits(x)) + f64::from(f32::from_bits(y)),
        }
    }
}

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
    pub(super) pipelines: Pipelines,
    pub(super) profiler: Option<Profiler>,
    lost: Arc<OnceLock<String>>,
    in_flight: Mutex<VecDeque<wgpu::SubmissionIndex>>,
}

impl Context {
    pub(super) fn open(name: Option<&str>, options: &Options) -> Result<Self> {
        let instance = instance();
        let mut found = pollster::block_on(instance.enumerate_adapters(BACKENDS));
        let list: Vec<Adapter> = found.iter().enumerate().map(summary).collect();
        let adapter = found.swap_remove(choose(name, &list)?);
        let mut wanted = wgpu::Features::SHADER_F64 | wgpu::Features::TIMESTAMP_QUERY;
        let wants_matrices = options.cooperative_matrix != Some(false);
        let matrices = Cooperative::of(&adapter).filter(|_| wants_matrices);
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if matrices.is_some() {
            wanted |= cooperative::FEATURES;
            // SAFETY: the caller has to accept that experimental features may have bugs. This crate's
            // shaders use one such feature: matrices of sizes that the adapter names, at pointers into
            // arrays that hold them completely, in uniform control flow.
            experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        let desc = wgpu::DeviceDescriptor {
            label: Some("chanscope"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            experimental_features,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&desc)).map_err(|e| Error::Device {
                device: adapter.get_info().name,
                problem: DeviceProblem::Refused {
                    reason: e.to_string(),
                },
            })?;
        let mut context = Self::adopt_with(device, queue, options, matrices)?;
        context.try_cooperative(options)?;
        let lost = Arc::clone(&context.lost);
        context
            .device
            .set_device_lost_callback(move |reason, text| {
                if !matches!(reason, wgpu::DeviceLostReason::Destroyed) {
                    let _ = lost.set(text);
                }
            });
        Ok(context)
    }

    /// Works on a device that the caller opened, and leaves its callbacks alone.
    pub(super) fn adopt(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &Options,
    ) -> Result<Self> {
        Self::adopt_with(device, queue, options, None)
    }

    fn adopt_with(
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
        Ok(Self {
            pool: Arc::new(Pool::new(device.clone(), info.name.clone())),
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
            lost: Arc::default(),
            in_flight: Mutex::default(),
        })
    }

    /// Tests cooperative matrices, and continues without them if the test fails.
    fn try_cooperative(&mut self, options: &Options) -> Result<()> {
        let Some(matrices) = self.cooperative else {
            return Ok(());
        };
        let trial = || gram::products_are_right(self, matrices);
        if matches!(
            self.guarded("a trial of cooperative matrices", trial),
            Ok(true)
        ) {
            // The test does not belong to the times that the caller asked for.
            self.profiler.as_ref().map(Profiler::take);
            return Ok(());
        }
        self.cooperative = None;
        match options.cooperative_matrix {
            Some(true) => Err(self.fail(DeviceProblem::Lacks {
                feature: "cooperative matrices that pass a trial",
                advice: "leave the choice open",
            })),
            _ => Ok(()),
        }
    }

    /// A typed error with the adapter's name.
    pub(super) fn fail(&self, problem: DeviceProblem) -> Error {
        Error::Device {
            device: self.info.name.clone(),
            problem,
        }
    }

    /// A typed error for a kernel or operation that failed.
    pub(super) fn failed(&self, what: impl Into<String>, reason: impl std::fmt::Display) -> Error {
        self.fail(DeviceProblem::Failed {
            what: what.into(),
            reason: reason.to_string(),
        })
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

    pub(super) fn check_lost(&self) -> Result<()> {
        match self.lost.get() {
            None => Ok(()),
            Some(why) => Err(self.fail(DeviceProblem::Lost {
                reason: why.lines().next().unwrap_or("no reason given").into(),
            })),
        }
    }

    /// Runs `work` and turns every error that wgpu reports into a typed error, where it would otherwise
    /// panic.
    pub(super) fn guarded<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check_lost()?;
        let scopes = [
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::OutOfMemory,
        ]
        .map(|filter| self.device.push_error_scope(filter));
        let result = work();
        let mut complaint = None;
        for scope in scopes.into_iter().rev() {
            complaint = pollster::block_on(scope.pop()).or(complaint);
        }
        self.check_lost()?;
        match (result, complaint) {
            (Err(e), _) => Err(e),
            (Ok(_), Some(wgpu::Error::OutOfMemory { .. })) => {
                Err(self.fail(DeviceProblem::OutOfMemory {
                    what: what.into(),
                    bytes: None,
                }))
            }
            (Ok(_), Some(other)) => Err(self.failed(what, other)),
            (Ok(value), None) => Ok(value),
        }
    }

    /// Submits commands, and waits for older ones so that only a few submissions are in flight: memory
    /// and driver queues stay bounded.
    pub(super) fn submit(&self, commands: Option<wgpu::CommandBuffer>) -> Result<()> {
        let index = self.queue.submit(commands);
        let oldest = {
            let mut queue = self
                .in_flight
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            queue.push_back(index);
            (queue.len() > IN_FLIGHT)
                .then(|| queue.pop_front())
                .flatten()
        };
        match oldest {
            Some(index) => self.wait(Some(index)),
            None => Ok(()),
        }
    }

    /// Waits for one submission, or for all.
    pub(super) fn wait(&self, index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let poll = wgpu::PollType::Wait {
            submission_index: index,
            timeout: Some(PATIENCE),
        };
        match self.device.poll(poll) {
            Ok(_) => self.check_lost(),
            Err(e) => Err(self.fail(DeviceProblem::NoAnswer {
                reason: e.to_string(),
            })),
        }
    }
}
