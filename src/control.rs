//! How a caller watches and stops a long computation. Nothing is printed by the library.

use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// A step of progress within one stage, as the stage itself counts.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Stage: layer and what is done to it.
    pub stage: &'a str,
    /// Work done so far, in `unit`s.
    pub done: u64,
    /// Work altogether, in `unit`s.
    pub total: u64,
    /// What is counted: "queries", "bytes".
    pub unit: &'static str,
}

/// What a caller is told: a step, and how far the whole job is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// Stage: layer and what is done to it.
    pub stage: &'a str,
    /// Work of the stage done so far, in `unit`s.
    pub done: u64,
    /// Work of the stage altogether, in `unit`s.
    pub total: u64,
    /// What is counted: "queries", "bytes".
    pub unit: &'static str,
    /// Share of the job done so far, by estimated time, 0 to 1. It never falls within a job that knows its stages
    /// beforehand ([`crate::measure::redundancy()`]); elsewhere every stage counts from 0 to 1.
    pub share: f64,
}

impl<'a> Progress<'a> {
    /// The same progress of a stage of another name.
    pub fn with_stage<'b>(self, stage: &'b str) -> Progress<'b>
    where
        'a: 'b,
    {
        Progress { stage, ..self }
    }
}

/// Progress callback and cancel flag, both optional. `Control::default()` has neither.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    progress: Option<&'a (dyn Fn(Progress<'_>) + Sync)>,
    cancel: Option<&'a AtomicBool>,
    /// The share of the job that what is reported here belongs to: where it starts, and its length.
    part: (f64, f64),
}

impl Default for Control<'_> {
    fn default() -> Self {
        Self {
            progress: None,
            cancel: None,
            part: (0.0, 1.0),
        }
    }
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

    /// A control for a part of the job, from share `start` to share `end` of it.
    #[must_use]
    pub fn part(&self, start: f64, end: f64) -> Self {
        let (own, length) = self.part;
        Self {
            part: (own + start * length, (end - start) * length),
            ..*self
        }
    }

    /// A control that reports to the same callback and heeds the same flag, for a job of its own.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self {
            part: (0.0, 1.0),
            ..*self
        }
    }

    /// Passes on what a job reported that is a part of this one.
    pub fn relay(&self, progress: Progress<'_>) {
        if let Some(f) = self.progress {
            let (start, length) = self.part;
            f(Progress {
                share: (start + progress.share * length).clamp(0.0, 1.0),
                ..progress
            });
        }
    }

    /// Reports progress.
    pub fn report(&self, step: Step<'_>) {
        let Some(f) = self.progress else {
            return;
        };
        let (start, length) = self.part;
        let done = step.done.min(step.total) as f64 / step.total.max(1) as f64;
        f(Progress {
            stage: step.stage,
            done: step.done,
            total: step.total,
            unit: step.unit,
            share: (start + done * length).clamp(0.0, 1.0),
        });
    }

    /// Reports that a stage is done with so many samples.
    pub(crate) fn report_samples(&self, stage: &str, done: usize, total: usize) {
        self.report(Step {
            stage,
            done: done as u64,
            total: total as u64,
            unit: "samples",
        });
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
