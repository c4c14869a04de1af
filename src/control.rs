//! How a caller watches and stops a long computation. Nothing is printed by the library.

use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// A step of progress within one stage.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Stage: layer and what is done to it.
    pub stage: &'a str,
    /// Work done so far, in `unit`s.
    pub done: u64,
    /// Work altogether, in `unit`s.
    pub total: u64,
    /// What is counted: "queries", "bytes".
    pub unit: &'static str,
}

/// Progress callback and cancel flag, both optional. `Control::default()` has neither.
#[derive(Clone, Copy, Default)]
pub struct Control<'a> {
    progress: Option<&'a (dyn Fn(Progress<'_>) + Sync)>,
    cancel: Option<&'a AtomicBool>,
}

impl<'a> Control<'a> {
    /// Calls `f` after each block of work, from whichever thread finished it.
    #[must_use]
    pub fn with_progress(mut self, f: &'a (dyn Fn(Progress<'_>) + Sync)) -> Self {
        self.progress = Some(f);
        self
    }

    /// Stops with [`Error::Cancelled`] at the next block once `flag` is true.
    #[must_use]
    pub fn with_cancel(mut self, flag: &'a AtomicBool) -> Self {
        self.cancel = Some(flag);
        self
    }

    /// Reports progress.
    pub fn report(&self, progress: Progress<'_>) {
        if let Some(f) = self.progress {
            f(progress);
        }
    }

    /// # Errors
    /// [`Error::Cancelled`] once the caller has set the flag.
    pub fn check(&self) -> Result<()> {
        match self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::Cancelled),
            _ => Ok(()),
        }
    }
}
