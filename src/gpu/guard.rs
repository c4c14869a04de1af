//! Failures of the device as typed errors.

use crate::error::DeviceProblem;
use crate::{Error, Result};
use std::sync::{Arc, OnceLock};

/// A device whose failures are caught.
pub(super) struct Guard {
    pub(super) device: wgpu::Device,
    /// The adapter's name, for errors.
    name: String,
    /// Why the device was lost, once it is.
    lost: Arc<OnceLock<String>>,
}

impl Guard {
    pub(super) fn new(device: wgpu::Device, name: String) -> Self {
        Self {
            device,
            name,
            lost: Arc::default(),
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
            Some(why) => Err(self.fail(DeviceProblem::Lost {
                reason: why.lines().next().unwrap_or("no reason given").into(),
            })),
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
}
