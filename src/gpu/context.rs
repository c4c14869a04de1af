//! Adapter, device, limits, and what happens when the device fails.

use super::memory::Pool;
use super::pipeline::Pipelines;
use super::profile::Profiler;
use crate::device::DeviceInfo;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Never GL: it finds the same adapters with fewer features.
const BACKENDS: wgpu::Backends = wgpu::Backends::VULKAN
    .union(wgpu::Backends::METAL)
    .union(wgpu::Backends::DX12);

/// Buffers stay below 2^31 bytes whatever the adapter claims: drivers use signed offsets.
const MAX_BUFFER: u64 = (1 << 31) - (1 << 16);

/// Submissions in flight before the host waits for the oldest.
const IN_FLIGHT: usize = 3;

/// A submission that takes longer than this is a hung device, not a slow one.
const PATIENCE: Duration = Duration::from_secs(600);

/// Arithmetic of the steps that decide: distances that are compared, Gram matrices, solves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wide {
    /// The adapter's float64.
    Float64,
    /// Pairs of `f32`, about 46 bits; for adapters without float64 (Metal).
    DoubleFloat,
}

impl Wide {
    /// A number as it lies in a buffer of wide ones; limited to what those hold.
    pub(super) fn encode(self, x: f64) -> [u32; 2] {
        match self {
            Self::Float64 => [x.to_bits() as u32, (x.to_bits() >> 32) as u32],
            Self::DoubleFloat => {
                let x = x.clamp(-1e30, 1e30);
                let high = x as f32;
                [high.to_bits(), ((x - f64::from(high)) as f32).to_bits()]
            }
        }
    }

    /// A wide number as it lies in a buffer.
    pub(super) fn decode(self, [x, y]: [u32; 2]) -> f64 {
        match self {
            Self::Float64 => f64::from_bits(u64::from(x) | u64::from(y) << 32),
            Self::DoubleFloat => f64::from(f32::from_bits(x)) + f64::from(f32::from_bits(y)),
        }
    }
}

/// How to use an adapter. The default fits every adapter.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `None`: float64 where the adapter has it.
    pub wide: Option<Wide>,
    /// Upper bound for one buffer, bytes; also bounded by the adapter.
    pub max_buffer_bytes: Option<u64>,
    /// Times every kernel on the device ([`super::Gpu::kernel_times`]), where the adapter can.
    pub profile: bool,
}

/// One adapter, as `chanscope devices` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Position for `--device gpu:INDEX`.
    pub index: usize,
    /// Name, backend, driver.
    pub info: DeviceInfo,
    /// `discrete`, `integrated`, `virtual`, `software`, `other`.
    pub kind: &'static str,
    /// Largest buffer that will be used, bytes.
    pub max_buffer_bytes: u64,
    /// Workgroup memory, bytes.
    pub workgroup_bytes: u32,
    /// Smallest and largest subgroup.
    pub subgroup: [u32; 2],
    /// Features that matter here: `f64`, `f16`, `subgroups`, `timestamps`, `cooperative-matrix`.
    pub features: Vec<&'static str>,
}

/// Everything the kernels share: device, queue, caches. One per [`super::Gpu`].
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
    pub(super) pool: Arc<Pool>,
    pub(super) pipelines: Pipelines,
    pub(super) profiler: Option<Profiler>,
    lost: Arc<OnceLock<String>>,
    in_flight: Mutex<VecDeque<wgpu::SubmissionIndex>>,
}

fn instance() -> wgpu::Instance {
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = BACKENDS;
    desc.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(desc)
}

fn describe(info: &wgpu::AdapterInfo) -> DeviceInfo {
    let driver = [info.driver.as_str(), info.driver_info.as_str()];
    DeviceInfo {
        name: info.name.clone(),
        backend: info.backend.to_string(),
        driver: driver.join(" ").trim().to_string(),
    }
}

const fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

fn buffer_limit(limits: &wgpu::Limits) -> u64 {
    let limit = limits
        .max_storage_buffer_binding_size
        .min(limits.max_buffer_size)
        .min(MAX_BUFFER);
    limit & !255
}

/// Adapters of the native backends, software ones included, in the order that indices refer to.
pub fn adapters() -> Vec<Adapter> {
    let found = pollster::block_on(instance().enumerate_adapters(BACKENDS));
    found.iter().enumerate().map(summary).collect()
}

fn summary((index, adapter): (usize, &wgpu::Adapter)) -> Adapter {
    let (info, limits, has) = (adapter.get_info(), adapter.limits(), adapter.features());
    let known = [
        (wgpu::Features::SHADER_F64, "f64"),
        (wgpu::Features::SHADER_F16, "f16"),
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
        (
            wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            "cooperative-matrix",
        ),
    ];
    Adapter {
        index,
        info: describe(&info),
        kind: kind(info.device_type),
        max_buffer_bytes: buffer_limit(&limits),
        workgroup_bytes: limits.max_compute_workgroup_storage_size,
        subgroup: [info.subgroup_min_size, info.subgroup_max_size],
        features: known
            .iter()
            .filter(|(f, _)| has.contains(*f))
            .map(|(_, name)| *name)
            .collect(),
    }
}

/// The adapter that `--device gpu` and `--device auto` take: the first real GPU, discrete ones first.
pub fn preferred(found: &[Adapter]) -> Option<&Adapter> {
    let rank = |a: &Adapter| match a.kind {
        "discrete" => 0,
        "integrated" => 1,
        "virtual" => 2,
        _ => 3,
    };
    found
        .iter()
        .filter(|a| a.kind != "software")
        .min_by_key(|a| (rank(a), a.index))
}

/// Picks an adapter: by index or part of its name, else the preferred one.
fn choose(name: Option<&str>, found: &[Adapter]) -> Result<usize> {
    let chosen = match name {
        None => preferred(found),
        Some(name) => match name.parse::<usize>() {
            Ok(index) => found.get(index),
            Err(_) => {
                let wanted = name.to_lowercase();
                found
                    .iter()
                    .find(|a| a.info.name.to_lowercase().contains(&wanted))
            }
        },
    };
    chosen.map(|a| a.index).ok_or_else(|| {
        let list: Vec<String> = found
            .iter()
            .map(|a| {
                format!(
                    "{}: {} ({}, {})",
                    a.index, a.info.name, a.kind, a.info.backend
                )
            })
            .collect();
        Error::NoAdapter {
            wanted: match name {
                None => "for --device gpu (software adapters only when named)".into(),
                Some(n) => format!("'{n}'"),
            },
            found: match list.is_empty() {
                true => "none".into(),
                false => list.join(", "),
            },
        }
    })
}

impl Context {
    pub(super) fn open(name: Option<&str>, options: &Options) -> Result<Self> {
        let instance = instance();
        let mut found = pollster::block_on(instance.enumerate_adapters(BACKENDS));
        let list: Vec<Adapter> = found.iter().enumerate().map(summary).collect();
        let adapter = found.swap_remove(choose(name, &list)?);
        let wanted = wgpu::Features::SHADER_F64 | wgpu::Features::TIMESTAMP_QUERY;
        let desc = wgpu::DeviceDescriptor {
            label: Some("chanscope"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&desc)).map_err(|e| Error::Device {
                device: adapter.get_info().name,
                what: format!("refused to open: {e}; update its driver or use --device cpu"),
            })?;
        let context = Self::adopt(device, queue, options)?;
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

    /// Works on a device that somebody else opened. Its callbacks are left alone.
    pub(super) fn adopt(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &Options,
    ) -> Result<Self> {
        let (adapter, limits) = (device.adapter_info(), device.limits());
        let info = describe(&adapter);
        let f64_here = device.features().contains(wgpu::Features::SHADER_F64)
            && adapter.backend == wgpu::Backend::Vulkan;
        let wide = match options.wide {
            Some(Wide::Float64) if !f64_here => {
                return Err(Error::Device {
                    device: info.name,
                    what: "has no float64 shaders; use double-float arithmetic".into(),
                });
            }
            Some(wide) => wide,
            None if f64_here => Wide::Float64,
            None => Wide::DoubleFloat,
        };
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
            lost: Arc::default(),
            in_flight: Mutex::default(),
        })
    }

    /// A typed error with the adapter's name.
    pub(super) fn fail(&self, what: impl Into<String>) -> Error {
        Error::Device {
            device: self.info.name.clone(),
            what: what.into(),
        }
    }

    /// How many loop iterations one invocation may do altogether: Mesa's software adapter leaves all
    /// loops after 65535, silently.
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
            false => Err(self.fail(format!(
                "{what} is beyond a software adapter; use --device cpu"
            ))),
        }
    }

    pub(super) fn check_lost(&self) -> Result<()> {
        match self.lost.get() {
            None => Ok(()),
            Some(why) => Err(self.fail(format!(
                "the device was lost ({}); run again, or use --device cpu",
                why.lines().next().unwrap_or("no reason given")
            ))),
        }
    }

    /// Runs `work` so that whatever wgpu complains about becomes a typed error, never a panic.
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
            (Ok(_), Some(wgpu::Error::OutOfMemory { .. })) => Err(self.fail(format!(
                "out of memory in {what}; use a smaller --memory or close other programs"
            ))),
            (Ok(_), Some(other)) => Err(self.fail(format!("{what} failed: {other}"))),
            (Ok(value), None) => Ok(value),
        }
    }

    /// Submits and keeps few submissions in flight, so that memory and driver queues stay bounded.
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

    /// Waits for a submission, or for all of them.
    pub(super) fn wait(&self, index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let poll = wgpu::PollType::Wait {
            submission_index: index,
            timeout: Some(PATIENCE),
        };
        match self.device.poll(poll) {
            Ok(_) => self.check_lost(),
            Err(e) => Err(self.fail(format!(
                "does not answer ({e}); run again, or use --device cpu"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, name: &str, kind: &'static str) -> Adapter {
        Adapter {
            index,
            info: DeviceInfo {
                name: name.into(),
                backend: "vulkan".into(),
                driver: String::new(),
            },
            kind,
            max_buffer_bytes: 0,
            workgroup_bytes: 0,
            subgroup: [0, 0],
            features: Vec::new(),
        }
    }

    #[test]
    fn software_adapters_only_when_named() {
        let found = [
            adapter(0, "llvmpipe (LLVM 15)", "software"),
            adapter(1, "Iris Xe", "integrated"),
            adapter(2, "H200", "discrete"),
        ];
        assert_eq!(choose(None, &found).ok(), Some(2));
        assert_eq!(choose(None, &found[..2]).ok(), Some(1));
        assert_eq!(choose(Some("LLVMpipe"), &found).ok(), Some(0));
        assert_eq!(choose(Some("1"), &found).ok(), Some(1));
        let refused = choose(None, &found[..1]).map_err(|e| e.to_string());
        assert!(refused.is_err_and(|e| e.contains("llvmpipe (LLVM 15)")));
        let none = choose(Some("7"), &[]).map_err(|e| e.to_string());
        assert!(none.is_err_and(|e| e.contains("'7'") && e.contains("none")));
    }
}
