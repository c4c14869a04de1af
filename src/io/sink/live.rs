//! What to clean up when the process is about to end by a signal.

use crate::{Error, Result};
use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Removes what an output has written so far.
type Work = Box<dyn FnOnce() + Send>;
type Slot = Mutex<Option<Work>>;

/// Outputs of this process that are neither finished nor dropped.
static LIVE: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a clean-up once: when it is dropped, or when [`abandon`] is called, unless its output is finished before.
pub(super) struct Guard(Arc<Slot>);

impl Guard {
    pub(super) fn new(clean_up: impl FnOnce() + Send + 'static) -> Self {
        let slot: Arc<Slot> = Arc::new(Mutex::new(Some(Box::new(clean_up))));
        let mut live = lock(&LIVE);
        live.retain(|other| other.strong_count() > 0);
        live.push(Arc::downgrade(&slot));
        Self(slot)
    }

    /// Puts the output in its place by `publish`, which [`abandon`] does not interrupt. Nothing is cleaned up afterwards
    /// if it succeeds, or if it fails in a way that has to be left to the next run.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after [`abandon`]; what `publish` says.
    pub(super) fn finish(self, publish: impl FnOnce() -> Result<(), Unpublished>) -> Result<()> {
        let mut slot = lock(&self.0);
        if slot.is_none() {
            return Err(Error::Cancelled);
        }
        match publish() {
            Ok(()) => {
                *slot = None;
                Ok(())
            }
            Err(Unpublished { error, leave }) => {
                if leave {
                    *slot = None;
                }
                Err(error)
            }
        }
    }
}

/// Why an output is not in its place.
pub(super) struct Unpublished {
    pub(super) error: Error,
    /// Whether the next run has to complete or clean up what is there.
    pub(super) leave: bool,
}

impl From<Error> for Unpublished {
    fn from(error: Error) -> Self {
        let leave = false;
        Self { error, leave }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        if let Some(clean_up) = slot.take() {
            clean_up();
        }
    }
}

impl Debug for Guard {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

/// A [`Guard`] for the rest of the crate's writers.
#[derive(Debug)]
pub(in crate::io) struct CleanUp(Guard);

impl CleanUp {
    /// Runs `clean_up` when it is dropped, or when [`abandon`] is called.
    pub(in crate::io) fn new(clean_up: impl FnOnce() + Send + 'static) -> Self {
        Self(Guard::new(clean_up))
    }

    /// Puts what was written in its place by `publish`, which says whether it did. If not, it is cleaned up.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after [`abandon`]; what `publish` says.
    pub(in crate::io) fn keep_if(self, publish: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let mut slot = lock(&self.0.0);
        if slot.is_none() {
            return Err(Error::Cancelled);
        }
        let published = publish()?;
        if published {
            *slot = None;
        }
        Ok(published)
    }
}

/// Removes everything that unfinished outputs of this process have written; they can no longer be finished. An output
/// that is being moved to its place at this moment is waited for. To be called before the process ends by a signal.
pub fn abandon() {
    let live: Vec<_> = lock(&LIVE).iter().filter_map(Weak::upgrade).collect();
    for slot in live {
        if let Some(clean_up) = lock(&slot).take() {
            clean_up();
        }
    }
}

/// As [`abandon`], but passes over outputs that some thread is working on at this moment: for a process that ends because
/// it has no memory, in which that thread may be the caller.
pub fn abandon_unlocked() {
    let Ok(live) = LIVE.try_lock() else {
        return;
    };
    for slot in live.iter() {
        if let Some(slot) = slot.upgrade()
            && let Ok(mut slot) = slot.try_lock()
            && let Some(clean_up) = slot.take()
        {
            clean_up();
        }
    }
}
