//! What every measure is given beside its input and its options: where and within which bounds it runs.

use crate::control::{Control, Progress};
use crate::device::Device;
use crate::error::DeviceProblem;
use crate::io::spill::default_folder;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Device, memory cap, threads, progress and cancelling of a measurement.
///
/// No field of a context changes a result by a bit, except the choice of the device: the backends agree
/// within the tolerances that their tests state.
///
/// ```
/// use chanscope::device::{Device, DeviceChoice};
/// use chanscope::measure::Context;
///
/// let device = Device::open(&DeviceChoice::Cpu, 2)?;
/// let show = |p: chanscope::control::Progress<'_>| eprintln!("{}: {} of {}", p.stage, p.done, p.total);
/// let ctx = Context::new(&device).with_memory(512 << 20).with_progress(&show);
/// assert_eq!(ctx.memory(), 512 << 20);
/// # Ok::<(), chanscope::Error>(())
/// ```
#[derive(Clone)]
pub struct Context<'a> {
    device: &'a Device,
    memory: u64,
    scratch: PathBuf,
    pool: Option<Arc<rayon::ThreadPool>>,
    control: Control<'a>,
}

impl<'a> Context<'a> {
    /// A context that computes on `device` within 1 GiB, uses the current rayon thread pool for work on the
    /// host and the system's folder for temporary files, and reports nothing.
    pub fn new(device: &'a Device) -> Self {
        Self {
            device,
            memory: 1 << 30,
            scratch: default_folder(),
            pool: None,
            control: Control::default(),
        }
    }

    /// Bounds the working sets of host and device, each by `bytes`; where they share memory, together.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Folder for unnamed temporary files, which hold what does not fit under the memory cap.
    #[must_use]
    pub fn with_scratch(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch = folder.into();
        self
    }

    /// Runs the host's share of the work on `threads` threads of its own. The CPU backend has its own
    /// threads, whose number [`Device::open`] is given.
    ///
    /// # Errors
    /// [`Error::Device`] where the threads cannot be started.
    pub fn with_threads(mut self, threads: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().map_err(|e| Error::Device {
            device: "host".into(),
            problem: DeviceProblem::Threads {
                threads,
                reason: e.to_string(),
            },
        })?;
        self.pool = Some(Arc::new(pool));
        Ok(self)
    }

    /// As [`Context::with_threads`], with threads that are there already: to start them takes time in every call.
    #[must_use]
    pub fn with_pool(mut self, pool: Arc<rayon::ThreadPool>) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Reports progress to `control` and stops when it says so.
    #[must_use]
    pub fn with_control(mut self, control: Control<'a>) -> Self {
        self.control = control;
        self
    }

    /// Calls `show` after each block of work, from whichever thread finished it.
    #[must_use]
    pub fn with_progress(mut self, show: &'a (dyn Fn(Progress<'_>) + Sync)) -> Self {
        self.control = self.control.with_progress(show);
        self
    }

    /// Stops with [`Error::Cancelled`] at the next block once `flag` is true.
    #[must_use]
    pub fn with_cancel(mut self, flag: &'a AtomicBool) -> Self {
        self.control = self.control.with_cancel(flag);
        self
    }

    /// Where kernels run.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// Cap of the working sets, bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Folder for temporary files.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Threads that share the work on the host.
    pub fn threads(&self) -> usize {
        match &self.pool {
            Some(pool) => pool.current_num_threads(),
            None => rayon::current_num_threads(),
        }
    }

    /// Progress and cancelling.
    pub fn control(&self) -> &Control<'a> {
        &self.control
    }

    /// Runs `work` so that what it does in parallel on the host stays on this context's threads.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}
