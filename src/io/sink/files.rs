//! The list of files of an output folder: begun and done.

use std::sync::{Arc, Mutex, PoisonError};

/// Files of the run so far, relative to the folder, with `/`.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) done: Vec<String>,
    pub(super) open: Vec<String>,
}

/// Marks a file as written.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) files: Arc<Mutex<Files>>,
    pub(super) name: String,
}

impl Ticket {
    pub(super) fn done(self) {
        let mut files = lock(&self.files);
        files.open.retain(|f| *f != self.name);
        files.done.push(self.name.clone());
    }
}

pub(super) fn lock(files: &Mutex<Files>) -> std::sync::MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}
