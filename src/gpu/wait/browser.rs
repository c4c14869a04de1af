//! Waiting in a browser, where a call that blocks would keep the very promises from being settled that it waits for.
//!
//! A browser can suspend a call into WebAssembly, run other things, and go on with it later (JavaScript Promise
//! Integration). The program that contains this library hands in how ([`suspend_by`]); `examples/web` shows it. While a
//! call is suspended, callbacks run: they leave their message and wake it.

use crate::error::DeviceProblem;
use crate::{Error, Result};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

/// How a call is suspended and resumed.
#[derive(Clone, Copy, Debug)]
pub struct Suspension {
    /// Suspends the running call until `wake` is called. It returns at once if that has happened since the last time
    /// that it returned. It may return earlier: what is waited for is looked at again.
    pub sleep: fn(),
    /// Resumes the call that is suspended.
    pub wake: fn(),
}

static SUSPENSION: OnceLock<Suspension> = OnceLock::new();

/// Says how calls are suspended, before a device is opened. The first call counts.
pub fn suspend_by(suspension: Suspension) {
    let _ = SUSPENSION.set(suspension);
}

/// Refuses a program that has not said how it waits.
pub(in crate::gpu) fn check() -> Result<()> {
    match SUSPENSION.get() {
        Some(_) => Ok(()),
        None => Err(Error::Device {
            device: "WebGPU".into(),
            problem: DeviceProblem::Lacks {
                feature: "a way to wait for the device",
                advice: "call gpu::suspend_by first",
            },
        }),
    }
}

/// Resumes the call that waits.
pub(in crate::gpu) fn wake() {
    if let Some(suspension) = SUSPENSION.get() {
        (suspension.wake)();
    }
}

/// Looks again and again, each time that something happened.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        if let Some(suspension) = SUSPENSION.get() {
            (suspension.sleep)();
        }
    }
}

struct Resume;

impl Wake for Resume {
    fn wake(self: Arc<Self>) {
        wake();
    }
}

/// Runs a future to its end.
pub(in crate::gpu) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Resume));
    let mut context = Context::from_waker(&waker);
    until(|| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Work that was submitted, and whether it is done.
#[derive(Clone)]
pub(in crate::gpu) struct Submission(Arc<AtomicBool>);

impl Submission {
    /// Commands on their way to the device.
    pub(in crate::gpu) fn new(queue: &wgpu::Queue, commands: Option<wgpu::CommandBuffer>) -> Self {
        queue.submit(commands);
        let done = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&done);
        queue.on_submitted_work_done(move || {
            told.store(true, Ordering::Relaxed);
            wake();
        });
        Self(done)
    }
}

/// Waits for one submission, or for all.
pub(in crate::gpu) fn finish(
    _: &wgpu::Device,
    queue: &wgpu::Queue,
    submission: Option<Submission>,
) -> Result<(), String> {
    let Submission(done) = submission.unwrap_or_else(|| Submission::new(queue, None));
    until(|| done.load(Ordering::Relaxed).then_some(()));
    Ok(())
}

/// Waits for what a callback sends; `None` if it was dropped.
pub(in crate::gpu) fn received<T>(receiver: &Receiver<T>) -> Option<T> {
    until(|| match receiver.try_recv() {
        Ok(sent) => Some(Some(sent)),
        Err(TryRecvError::Disconnected) => Some(None),
        Err(TryRecvError::Empty) => None,
    })
}
