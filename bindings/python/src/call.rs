//! Long calls: the work runs on a thread of its own without the interpreter's lock, while the calling thread looks for
//! signals and reports progress.

use crate::cli::error::Error as CommandError;
use crate::engine::{self, STACK_BYTES};
use crate::error::{exception, failed, raised};
use chanscope::control::Progress;
use chanscope::io::sink::{Output, abandon};
use chanscope::io::size::memory_cap;
use chanscope::measure::Context;
use chanscope::{Error, Result};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often signals are looked for.
const TICK: Duration = Duration::from_millis(20);
/// How long work that is to stop is waited for. It stops between blocks; if none ends in this time, it goes on by itself
/// until one does, and then cleans up.
const GRACE: Duration = Duration::from_millis(100);

/// Where and within which bounds a call computes: the arguments that all long calls share.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Settings {
    device: String,
    memory: Option<String>,
    threads: usize,
    /// Called with `(stage, done, total)`.
    progress: Option<Py<PyAny>>,
    out: Option<PathBuf>,
    force: bool,
}

impl Settings {
    /// Takes what the work needs to know of the output, before the settings go to [`long`].
    pub fn target(&self) -> Target {
        Target {
            out: self.out.clone(),
            force: self.force,
        }
    }
}

/// Where results go.
pub struct Target {
    pub out: Option<PathBuf>,
    pub force: bool,
}

impl Target {
    /// Whether results go to a folder.
    pub fn is_folder(&self) -> bool {
        self.out.is_some()
    }

    /// Takes the folder `out`, or room in memory without one.
    pub fn output(&self, inputs: &[&Path]) -> Result<Output> {
        match &self.out {
            Some(folder) => Output::create_apart(folder, self.force, inputs),
            None => Ok(Output::in_memory()),
        }
    }
}

/// A step of progress that was not reported yet.
struct Step {
    stage: String,
    done: u64,
    total: u64,
}

/// What the two threads share.
#[derive(Default)]
struct Shared {
    cancel: AtomicBool,
    /// The last step of every stage since they were reported last.
    steps: Mutex<Vec<Step>>,
}

impl Shared {
    fn note(&self, p: Progress<'_>) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match steps.last_mut() {
            Some(last) if last.stage == p.stage => {
                last.done = last.done.max(p.done);
                last.total = p.total;
            }
            _ => steps.push(Step {
                stage: p.stage.to_string(),
                done: p.done,
                total: p.total,
            }),
        }
    }

    fn report(&self, py: Python<'_>, to: Option<&Py<PyAny>>) -> PyResult<()> {
        let Some(to) = to else { return Ok(()) };
        let steps = std::mem::take(&mut *self.steps.lock().unwrap_or_else(PoisonError::into_inner));
        for Step { stage, done, total } in steps {
            to.call1(py, (stage, done, total))?;
        }
        Ok(())
    }
}

/// Runs `work` with a context made from the settings. Raises `KeyboardInterrupt` soon after Ctrl-C, and what a progress
/// callback raises; the work is then told to stop.
pub fn long<T: Send + 'static>(
    py: Python<'_>,
    settings: Settings,
    work: impl FnOnce(&Context<'_>) -> Result<T, CommandError> + Send + 'static,
) -> PyResult<T> {
    let Settings {
        device,
        memory,
        threads,
        progress,
        ..
    } = settings;
    let memory = memory_cap(memory.as_deref()).map_err(|e| raised(py, &e))?;
    let shared = Arc::new(Shared::default());
    let (send, receive) = sync_channel(1);
    let receive = Mutex::new(receive);
    let wanted = progress.is_some();
    let theirs = Arc::clone(&shared);
    let job = move || {
        let run = || {
            let engine = engine::open(&device, threads)?;
            let show = |p: Progress<'_>| theirs.note(p);
            let mut ctx = Context::new(&engine.device)
                .with_memory(memory)
                .with_pool(Arc::clone(&engine.pool))
                .with_cancel(&theirs.cancel);
            if wanted {
                ctx = ctx.with_progress(&show);
            }
            engine.pool.install(|| work(&ctx))
        };
        let _ = send.send(catch_unwind(AssertUnwindSafe(run)));
    };
    let thread = std::thread::Builder::new()
        .name("chanscope".into())
        .stack_size(STACK_BYTES)
        .spawn(job);
    thread.map_err(|e| {
        exception(
            py,
            "DeviceError",
            format!("no thread could be started: {e}"),
        )
    })?;
    let wait = |time| {
        py.detach(|| {
            let receive = receive.lock().unwrap_or_else(PoisonError::into_inner);
            receive.recv_timeout(time)
        })
    };
    loop {
        match wait(TICK) {
            Ok(Ok(found)) => {
                shared.report(py, progress.as_ref())?;
                return found.map_err(|e| failed(py, &e));
            }
            Ok(Err(panic)) => return Err(internal(py, panic.as_ref())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(internal(py, &"no result")),
        }
        let stop = py.check_signals();
        if let Err(stop) = stop.and_then(|()| shared.report(py, progress.as_ref())) {
            shared.cancel.store(true, Ordering::Relaxed);
            let _ = wait(GRACE);
            return Err(stop);
        }
    }
}

/// A defect of chanscope.
fn internal(py: Python<'_>, panic: &(dyn std::any::Any + Send)) -> PyErr {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    let text = format!("chanscope failed in a way it should not: {text}; please report it");
    exception(py, "InternalError", text)
}

/// To be called when the process ends: removes what work that goes on after an interrupt has written.
#[pyfunction]
pub fn abandon_outputs(py: Python<'_>) {
    py.detach(abandon);
}

/// Fails where the caller was interrupted, before results are moved to their place.
pub fn still_wanted(ctx: &Context<'_>) -> Result<(), Error> {
    ctx.control().check()
}
