//! Locks: one run at a time writes into a folder or to a file.

use crate::error::OutputProblem;
use crate::io::fs;
use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

/// The hidden folder inside an output folder in which a run works. It is there while the run lives, and after a run that
/// was killed until the next one.
pub(super) const WORK: &str = ".chanscope";
/// The lock file in it.
const LOCK: &str = "lock";
/// What is to be moved, while results are moved one by one.
pub(super) const JOURNAL: &str = "journal";
/// How often a lock is tried to be taken that others remove at the same time.
const ATTEMPTS: usize = 64;

/// A lock file that is held. Where the file system has no locks, it is only there.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of a folder, which is made if it is missing.
    ///
    /// # Errors
    /// [`Error::Output`] while another run holds it; [`Error::Io`].
    pub(super) fn of_folder(folder: &Path) -> Result<Self> {
        let work = folder.join(WORK);
        let path = work.join(LOCK);
        for _ in 0..ATTEMPTS {
            fs::make_folders(folder).map_err(|e| Error::io(folder, "make the folder", e))?;
            match fs::make_folder(&work) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::io(folder, "write in", e));
                }
                _ => {}
            }
            if fs::look(&work).is_ok_and(|found| found.is_some_and(|meta| !meta.is_dir())) {
                let holds = WORK.into();
                return Err(Error::output(folder, OutputProblem::Foreign { holds }));
            }
            let lock = Self::at(&path, folder).inspect_err(|_| {
                // Where it was made just now, it is empty.
                let _ = fs::remove_folder(&work);
            })?;
            match lock {
                Some(lock) => return Ok(lock),
                None => continue,
            }
        }
        Err(Error::output(folder, OutputProblem::InUse))
    }

    /// Takes the lock that is the file `path`, which is made if it is missing; `None` where the file was removed at the same
    /// time. `of` is what the lock protects.
    pub(super) fn at(path: &Path, of: &Path) -> Result<Option<Self>> {
        let failed = |e| Error::io(of, "lock", e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use rustix::fs::OFlags;
            use std::os::unix::fs::OpenOptionsExt;
            // A link would lead to a file elsewhere, and a pipe would wait for a reader.
            options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
        }
        let file = match fs::open(&options, path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Error::output(of, OutputProblem::InUse));
            }
            // Where locks are not supported, runs are not kept apart.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        // Its last holder may have removed it in the meantime.
        let there = fs::is_at(&file, path).map_err(failed)?;
        Ok(there.then_some(Self { file }))
    }

    /// The locked file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// Removes what a run that holds a folder's lock works with, then the lock itself.
pub(super) fn release(folder: &Path) {
    if clear(folder).is_ok() {
        // While it is held, so that nobody takes a lock that is about to be removed.
        let _ = fs::remove_file(&folder.join(WORK).join(LOCK));
        let _ = fs::remove_folder(&folder.join(WORK));
    }
}

/// Removes what a run has left in the hidden folder, apart from the lock, the journal first: without it nothing of what is
/// there counts.
pub(super) fn clear(folder: &Path) -> std::io::Result<()> {
    let work = folder.join(WORK);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&work)? {
        let entry = entry?;
        names.push((entry.file_name(), entry.file_type()?.is_dir()));
    }
    names.retain(|(name, _)| name != LOCK);
    names.sort_by_key(|(name, _)| name != JOURNAL);
    for (name, folder) in names {
        match folder {
            true => fs::remove_tree(&work.join(name))?,
            false => fs::remove_file(&work.join(name))?,
        }
    }
    Ok(())
}
