//! Failures of the device as typed errors.
//!
//! Drivers fail where memory is allocated, copied to, or where work is submitted or waited for. Each of these calls is
//! made in one place of this folder, which first asks [`Guard::meet`], so that a test can make any single one fail.

use super::calls::{Call, Failure};
use super::fault::Faults;
use super::wait::{self, Submission};
use crate::error::DeviceProblem;
use crate::{Error, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Once, OnceLock};

/// What wgpu 30 begins its panic with when a wait finds that the device is lost.
const WAIT_PANIC: &str = "Error in Device::poll";

/// A device whose failures are caught.
pub(super) struct Guard {
    pub(super) device: wgpu::Device,
    queue: wgpu::Queue,
    /// The adapter's name, for errors.
    name: String,
    /// Why the device was lost, once it is.
    lost: Arc<OnceLock<String>>,
    pub(super) faults: Faults,
}

impl Guard {
    pub(super) fn new(device: wgpu::Device, queue: wgpu::Queue, name: String) -> Self {
        Self {
            device,
            queue,
            name,
            lost: Arc::default(),
            faults: Faults::default(),
        }
    }

    /// Takes note when the device is lost. It replaces the device's callback, so it is for devices that
    /// this crate opened.
    pub(super) fn watch(&self) {
        let lost = Arc::clone(&self.lost);
        self.device.set_device_lost_callback(move |reason, text| {
            if !matches!(reason, wgpu::DeviceLostReason::Destroyed) {
                let _ = lost.set(text);
            }
        });
    }

    /// A typed error with the adapter's name.
    pub(super) fn fail(&self, problem: DeviceProblem) -> Error {
        Error::Device {
            device: self.name.clone(),
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

    pub(super) fn check_lost(&self) -> Result<()> {
        match self.lost.get() {
            None => Ok(()),
            Some(why) => Err(self.is_lost(why)),
        }
    }

    fn is_lost(&self, why: &str) -> Error {
        let first = why.lines().map(str::trim).find(|l| !l.is_empty());
        self.fail(DeviceProblem::Lost {
            reason: first.unwrap_or("no reason given").into(),
        })
    }

    /// To be called before every call of a kind: how a test wants it to fail. A device that is to be lost is lost when
    /// this returns, and the call is then made as on any lost device. `bytes`: what is allocated or copied.
    pub(super) fn meet(&self, call: Call, bytes: u64) -> Option<Failure> {
        let failure = self.faults.meet(call, bytes)?;
        if failure == Failure::Lost || call != Call::Allocate {
            self.device.destroy();
            let _ = self
                .lost
                .set(format!("a test made {call:?} fail: {failure:?}"));
        }
        Some(failure)
    }

    /// Waits for one submission, or for all.
    pub(super) fn wait(&self, submission: Option<Submission>) -> Result<()> {
        self.check_lost()?;
        let waiting = || {
            if let Some(failure) = self.meet(Call::Wait, 0) {
                panic!("{WAIT_PANIC}: {failure:?}");
            }
            wait::finish(&self.device, &self.queue, submission)
        };
        // wgpu calls back, and then panics, where it is the wait that tells that the device is lost.
        let waited = catch_unwind(AssertUnwindSafe(waiting));
        self.check_lost()?;
        match waited {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(self.fail(DeviceProblem::NoAnswer { reason })),
            // A device of the caller's, whose callback is not ours.
            Err(panic) => match wait_panic(&*panic) {
                Some(text) => Err(self.is_lost(text)),
                None => resume_unwind(panic),
            },
        }
    }

    /// Runs `work` and turns every error that wgpu reports into a typed error, where it would otherwise
    /// panic.
    pub(super) fn run<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
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
            complaint = wait::block_on(scope.pop()).or(complaint);
        }
        // Memory first: where it is used up in the middle of a submission, wgpu also takes the device for lost.
        if let Some(wgpu::Error::OutOfMemory { .. }) = complaint {
            return Err(self.fail(DeviceProblem::OutOfMemory {
                what: what.into(),
                bytes: None,
            }));
        }
        self.check_lost()?;
        match (result, complaint) {
            (Err(e), _) => Err(e),
            (Ok(_), Some(other)) => Err(self.failed(what, other)),
            (Ok(value), None) => Ok(value),
        }
    }
}

/// The text of wgpu's panic when a wait finds that the device is lost, after its first words.
fn wait_panic(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>()?;
    Some(text.strip_prefix(WAIT_PANIC)?.trim_start_matches(':'))
}

/// Whether a panic is one that wgpu 30 uses to tell that a device is lost. This library catches it and returns
/// [`crate::error::DeviceProblem::Lost`], so a program may keep its panic hook from printing it ([`hush_losses`]).
pub fn is_loss(panic: &std::panic::PanicHookInfo<'_>) -> bool {
    let text = panic.payload().downcast_ref::<String>();
    text.is_some_and(|text| text.starts_with(WAIT_PANIC))
}

/// Keeps the program's panic hook from printing losses of a device ([`is_loss`]), from the first call on.
pub fn hush_losses() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_loss(panic) {
                hook(panic);
            }
        }));
    });
}

/// Whether a device had too little memory, so that less at a time may do.
fn is_out_of_memory(error: &Error) -> bool {
    let Error::Device { problem, .. } = error else {
        return false;
    };
    matches!(problem, DeviceProblem::OutOfMemory { .. })
}

/// Halves what is done at a time if the device was out of memory; gives the error back where it is another one, or
/// where less than one is not possible.
pub(super) fn halve(step: &mut usize, error: Error) -> Result<()> {
    if *step <= 1 || !is_out_of_memory(&error) {
        return Err(error);
    }
    *step = step.div_ceil(2);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_halved_for_lack_of_memory_only() {
        let error = |problem| Error::Device {
            device: "a card".into(),
            problem,
        };
        let full = || {
            error(DeviceProblem::OutOfMemory {
                what: "a buffer".into(),
                bytes: Some(1 << 30),
            })
        };
        let mut step = 5;
        for expected in [3, 2, 1] {
            halve(&mut step, full()).unwrap();
            assert_eq!(step, expected);
        }
        assert_eq!(halve(&mut step, full()), Err(full()));
        let lost = || {
            error(DeviceProblem::Lost {
                reason: "unplugged".into(),
            })
        };
        let mut step = 5;
        assert_eq!(halve(&mut step, lost()), Err(lost()));
        assert_eq!(step, 5);
    }

    #[test]
    fn only_the_panic_of_a_wait_is_a_loss() {
        let text = |s: &str| -> Box<dyn Any + Send> { Box::new(s.to_string()) };
        let lost = text("Error in Device::poll: \n  Parent device is lost\n");
        assert!(
            wait_panic(&*lost)
                .unwrap()
                .contains("Parent device is lost")
        );
        assert_eq!(wait_panic(&*text("Error in Queue::submit: x")), None);
        assert_eq!(wait_panic(&7), None);
    }
}
