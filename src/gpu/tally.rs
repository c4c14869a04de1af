//! Counts what the device was asked to run. Only builds with the feature `internals` hold this file: tests and
//! `benches/shader_stats` look whether dispatches fill a device.

use std::sync::{Mutex, PoisonError};

/// A kernel that was run, in one dispatch or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Entry point.
    pub kernel: &'static str,
    /// Workgroups of all dispatches.
    pub workgroups: u64,
    /// Operations of a workgroup, as the kernel estimates them.
    pub work: u64,
    /// Dispatches.
    pub dispatches: u64,
    /// Workgroups of the smallest of them.
    pub smallest: u64,
}

/// The launches of one device.
#[derive(Default)]
pub(super) struct Tally(Mutex<Vec<Launch>>);

impl Tally {
    pub(super) fn add(&self, launch: Launch) {
        let mut launches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        launches.push(launch);
    }

    /// Launches since the last call.
    pub(super) fn take(&self) -> Vec<Launch> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
