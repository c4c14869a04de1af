//! Waiting where threads may block.

use crate::Result;
use std::sync::mpsc::Receiver;
use std::time::Duration;

pub(in crate::gpu) use pollster::block_on;

/// Longest time that a submission may take before the device is considered hung.
const PATIENCE: Duration = Duration::from_secs(600);

/// Longest time that another thread may take to run a callback.
const CALLBACK: Duration = Duration::from_secs(60);

/// Work that was submitted.
#[derive(Clone)]
pub(in crate::gpu) struct Submission(wgpu::SubmissionIndex);

impl Submission {
    /// Commands on their way to the device.
    pub(in crate::gpu) fn new(queue: &wgpu::Queue, commands: Option<wgpu::CommandBuffer>) -> Self {
        Self(queue.submit(commands))
    }
}

/// Whether this program can wait: always.
pub(in crate::gpu) const fn check() -> Result<()> {
    Ok(())
}

/// Waits for one submission, or for all.
pub(in crate::gpu) fn finish(
    device: &wgpu::Device,
    _: &wgpu::Queue,
    submission: Option<Submission>,
) -> Result<(), String> {
    let poll = wgpu::PollType::Wait {
        submission_index: submission.map(|s| s.0),
        timeout: Some(PATIENCE),
    };
    device.poll(poll).map(|_| ()).map_err(|e| e.to_string())
}

/// What a callback sends when the device has done its work; `None` if it was dropped, or sends nothing. Another thread that
/// asks the device may be the one that runs the callback, and may not have come to it yet.
pub(in crate::gpu) fn received<T>(receiver: &Receiver<T>) -> Option<T> {
    receiver.recv_timeout(CALLBACK).ok()
}

/// Says, in a callback, that something happened. Whoever waits asks the device and needs no such word.
pub(in crate::gpu) const fn wake() {}
