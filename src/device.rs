//! Choosing a device. The only file that knows both backends.

use crate::ops::{Backend, DeviceInfo};
use crate::{Result, cpu::Cpu, gpu::Gpu};

/// Which device to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A real GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first real GPU.
    Gpu,
    /// An adapter by index or part of its name (software adapters too).
    GpuNamed(String),
}

impl std::str::FromStr for DeviceChoice {
    type Err = crate::Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            _ => match s.strip_prefix("gpu:") {
                Some(name) if !name.is_empty() => Ok(Self::GpuNamed(name.to_string())),
                _ => Err(crate::Error::unknown(
                    "device",
                    s,
                    "auto, cpu, gpu, or gpu:NAME_OR_INDEX",
                )),
            },
        }
    }
}

/// A device to compute on.
pub enum Device {
    /// Native, multithreaded.
    Cpu(Cpu),
    /// WGSL through wgpu.
    Gpu(Box<Gpu>),
}

impl Device {
    /// Opens the device asked for. `threads` bounds the CPU backend's thread pool (0: all cores).
    ///
    /// # Errors
    /// [`crate::Error::NoAdapter`] lists what was found.
    pub fn open(choice: &DeviceChoice, threads: usize) -> Result<Self> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::Cpu(Cpu::new(threads)?)),
            DeviceChoice::Auto => match Gpu::open(None) {
                Ok(gpu) => Ok(Self::Gpu(Box::new(gpu))),
                Err(crate::Error::NoAdapter { .. }) => Ok(Self::Cpu(Cpu::new(threads)?)),
                // A GPU that is there but does not work: its owner wants to know.
                Err(e) => Err(e),
            },
            DeviceChoice::Gpu => Ok(Self::Gpu(Box::new(Gpu::open(None)?))),
            DeviceChoice::GpuNamed(name) => Ok(Self::Gpu(Box::new(Gpu::open(Some(name))?))),
        }
    }

    /// What the results record.
    pub fn info(&self) -> &DeviceInfo {
        match self {
            Self::Cpu(cpu) => cpu.info(),
            Self::Gpu(gpu) => gpu.info(),
        }
    }
}

/// Runs `$work` with `$backend` bound to the backend of a [`Device`]: the type of the block must not depend
/// on the backend.
macro_rules! on_backend {
    ($device:expr, |$backend:ident| $work:expr) => {
        match $device {
            $crate::device::Device::Cpu($backend) => $work,
            $crate::device::Device::Gpu(boxed) => {
                let $backend = boxed.as_ref();
                $work
            }
        }
    };
}
pub(crate) use on_backend;
