//! Where and within which bounds a computation runs.

use crate::status::{Failure, Outcome, Status, guard};
use crate::view::target;
use chanscope::control::Progress as Step;
use chanscope::device::{Device, DeviceChoice};
use chanscope::measure;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A device, a memory cap, and a function that is told of progress.
pub struct Context {
    device: Device,
    memory: u64,
    threads: usize,
    watcher: Watcher,
}

/// Is told how far a computation is: what is being done, how much of it is done, and how much there is. Returns whether to
/// go on. Calls come from any thread, one at a time.
pub type Progress = Option<
    unsafe extern "C" fn(user: *mut c_void, stage: *const c_char, done: u64, total: u64) -> bool,
>;

/// The progress function with its argument.
struct Watcher {
    function: Progress,
    user: *mut c_void,
}

// SAFETY: whoever sets the function promises that it may be called with this argument from any thread.
unsafe impl Send for Watcher {}
// SAFETY: as above; the calls are made one at a time.
unsafe impl Sync for Watcher {}

impl Context {
    /// Runs `work` in this context.
    pub fn run<T>(
        &self,
        work: impl FnOnce(&measure::Context<'_>) -> chanscope::Result<T>,
    ) -> Outcome<T> {
        let stop = AtomicBool::new(false);
        let turn = Mutex::new(());
        let watcher = &self.watcher;
        let show = |step: Step<'_>| {
            let Some(function) = watcher.function else {
                return;
            };
            let _one_at_a_time = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let stage = CString::new(step.stage.replace('\0', " ")).unwrap_or_default();
            // SAFETY: the caller of chanscope_context_set_progress promised that the call is sound; the stage lives until
            // it returns.
            if !unsafe { function(watcher.user, stage.as_ptr(), step.done, step.total) } {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let mut context = measure::Context::new(&self.device)
            .with_memory(self.memory)
            .with_progress(&show)
            .with_cancel(&stop);
        if self.threads > 0 {
            context = context.with_threads(self.threads)?;
        }
        Ok(work(&context)?)
    }
}

/// Opens a device. `device` is "auto" (a real GPU if there is one, else the CPU), "cpu", "gpu" or "gpu:NAME_OR_INDEX".
/// `threads` is the number of threads of the CPU backend and of work on the host, 0 for all cores. `memory` bounds the
/// working sets on host and device, in bytes.
///
/// # Safety
/// `device` is a string that ends with a zero byte, and `context` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_context_new(
    device: *const c_char,
    threads: usize,
    memory: u64,
    context: *mut *mut Context,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let context = unsafe { target(context, "context") }?;
        if device.is_null() {
            return Err(Failure::argument("device is NULL"));
        }
        // A status tells that a device is lost; the panic that the library catches need not be printed too.
        chanscope::gpu::hush_losses();
        // SAFETY: the caller's promise; it was checked that the pointer is not null.
        let device = unsafe { CStr::from_ptr(device) }.to_string_lossy();
        let choice: DeviceChoice = device.parse()?;
        *context = Box::into_raw(Box::new(Context {
            device: Device::open(&choice, threads)?,
            memory,
            threads,
            watcher: Watcher {
                function: None,
                user: std::ptr::null_mut(),
            },
        }));
        Ok(())
    })
}

/// Has `progress` called with `user` during every computation in this context from now on; NULL ends that.
///
/// # Safety
/// `context` came from chanscope_context_new. The function may be called with `user` from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_context_set_progress(
    context: *mut Context,
    progress: Progress,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let context = unsafe { target(context, "context") }?;
        context.watcher = Watcher {
            function: progress,
            user,
        };
        Ok(())
    })
}

/// Closes the device.
///
/// # Safety
/// `context` came from chanscope_context_new and is not used any more, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_context_free(context: *mut Context) {
    if !context.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(context) });
    }
}
