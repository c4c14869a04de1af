//! The output folder itself: taking it, and moving a finished run into it.

use super::replace;
use super::write::{RESULTS, sync_folder};
use crate::error::OutputProblem;
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Hidden folders of runs that are not finished.
const STAGING: &str = ".chanscope-partial-";

/// An output folder with a staging folder in it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// `None` only while being dropped.
    staging: Option<TempDir>,
    /// Held while the run lives; a later run removes staging folders whose lock is free.
    _lock: File,
    /// The outermost folder that did not exist before.
    made: Option<PathBuf>,
    /// What an earlier run wrote here and this one replaces.
    earlier: Vec<String>,
    force: bool,
    finished: bool,
}

impl Folder {
    /// Takes the folder for a run.
    pub(super) fn begin(path: &Path, force: bool) -> Result<Self> {
        let made = outermost_missing(path);
        if path.symlink_metadata().is_ok() && !path.is_dir() {
            return Err(Error::output(path, OutputProblem::NotAFolder));
        }
        std::fs::create_dir_all(path).map_err(|e| Error::io(path, "make the folder", e))?;
        let taken = earlier(path, force).and_then(|earlier| Ok((earlier, stage(path)?)));
        let (earlier, (staging, lock)) = match taken {
            Ok(taken) => taken,
            Err(e) => {
                unmake(path, made.as_deref());
                return Err(e);
            }
        };
        Ok(Self {
            path: path.to_path_buf(),
            staging: Some(staging),
            _lock: lock,
            made,
            earlier,
            force,
            finished: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn staging(&self) -> &Path {
        self.staging.as_ref().map_or(&self.path, TempDir::path)
    }

    /// Syncs all files, then moves them to their places, `results.json` last.
    pub(super) fn finish(mut self, files: &[String]) -> Result<()> {
        // Another run may have finished here since this one began.
        if !self.force {
            earlier(&self.path, false)?;
        }
        let staging = self.staging().to_path_buf();
        let all: Vec<&str> = files.iter().map(String::as_str).chain([RESULTS]).collect();
        all.par_iter().try_for_each(|name| {
            let failed = |e| Error::io(self.path.join(name), "sync", e);
            // Opened for writing: some systems sync only what can be written.
            let file = File::options()
                .write(true)
                .open(staging.join(name))
                .map_err(failed)?;
            file.sync_all().map_err(failed)
        })?;
        replace::replace(&self.path, &staging, &self.earlier, &all)?;
        self.finished = true;
        let folders: BTreeSet<PathBuf> = all
            .iter()
            .filter_map(|name| Some(self.path.join(Path::new(name).parent()?)))
            .collect();
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.staging.take());
        if !self.finished {
            unmake(&self.path, self.made.as_deref());
        }
    }
}

/// Files of an earlier run in the folder; nothing when it is empty.
fn earlier(path: &Path, force: bool) -> Result<Vec<String>> {
    let failed = |e| Error::io(path, "list", e);
    let mut other = None;
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(STAGING.as_bytes()) {
            remove_if_abandoned(&entry.path());
        } else {
            other = Some(name);
        }
    }
    let Some(other) = other else {
        return Ok(Vec::new());
    };
    if !force {
        return Err(Error::output(path, OutputProblem::NotEmpty));
    }
    match replace::files_of(&path.join(RESULTS)) {
        Some(files) => Ok(files),
        None => {
            let holds = other.to_string_lossy().into_owned();
            Err(Error::output(path, OutputProblem::Foreign { holds }))
        }
    }
}

/// Makes the staging folder and locks it.
fn stage(path: &Path) -> Result<(TempDir, File)> {
    let failed = |e| Error::io(path, "write in", e);
    let staging = tempfile::Builder::new()
        .prefix(STAGING)
        .tempdir_in(path)
        .map_err(failed)?;
    let lock = File::create(staging.path().join(".lock")).map_err(failed)?;
    // Where locks are not supported, folders of killed runs stay until removed by hand.
    let _ = lock.try_lock();
    Ok((staging, lock))
}

/// Removes the staging folder of a run that was killed.
fn remove_if_abandoned(staging: &Path) {
    if let Ok(lock) = File::open(staging.join(".lock"))
        && lock.try_lock().is_ok()
    {
        let _ = std::fs::remove_dir_all(staging);
    }
}

fn outermost_missing(path: &Path) -> Option<PathBuf> {
    let missing = |p: &&Path| !p.as_os_str().is_empty() && p.symlink_metadata().is_err();
    path.ancestors()
        .take_while(missing)
        .last()
        .map(Path::to_path_buf)
}

/// Removes the folders that were made for this run, as far as they are empty.
fn unmake(path: &Path, made: Option<&Path>) {
    let Some(made) = made else { return };
    for folder in path.ancestors() {
        if std::fs::remove_dir(folder).is_err() || folder == made {
            return;
        }
    }
}
