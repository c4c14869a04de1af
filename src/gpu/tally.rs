//! Counts what the device was asked to run. Only builds with the feature `internals` hold this file: tests and
//! `benches/shader_stats` look whether dispatches fill a device.

use std::sync::atomic::{AtomicU64, Ordering};
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

/// The launches of one device, the bytes copied to it, and the blocks analysed for it.
#[derive(Default)]
pub(super) struct Tally {
    launches: Mutex<Vec<Launch>>,
    uploaded: AtomicU64,
    analysed: AtomicU64,
}

impl Tally {
    pub(super) fn add(&self, launch: Launch) {
        let mut launches = self.launches.lock().unwrap_or_else(PoisonError::into_inner);
        launches.push(launch);
    }

    /// Launches since the last call.
    pub(super) fn take(&self) -> Vec<Launch> {
        std::mem::take(&mut *self.launches.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts bytes that are copied from the host.
    pub(super) fn add_uploaded(&self, bytes: usize) {
        self.uploaded.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a block that was analysed beforehand.
    pub(super) fn add_analysed(&self) {
        self.analysed.fetch_add(1, Ordering::Relaxed);
    }

    /// Blocks analysed since the last call.
    pub(super) fn take_analysed(&self) -> u64 {
        self.analysed.swap(0, Ordering::Relaxed)
    }

    /// Bytes copied since the last call.
    pub(super) fn take_uploaded(&self) -> u64 {
        self.uploaded.swap(0, Ordering::Relaxed)
    }
}
