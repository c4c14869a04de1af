//! The output folder itself: taking it, and putting a finished run in its place.

use super::held::Units;
use super::live::Guard;
use super::lock::{JOURNAL, Lock, WORK, release};
use super::write::RESULTS;
use super::{held, place, publish};
use crate::io::fs;
use crate::{Error, Result};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// An output folder that is taken, with the folder in which its new content is made.
#[derive(Debug)]
pub(super) struct Folder {
    /// As the caller named it.
    named: PathBuf,
    /// The same with symbolic links resolved.
    path: PathBuf,
    staging: PathBuf,
    force: bool,
    units: Units,
    guard: Guard,
    /// Held while the run lives, and while `guard` cleans up. The staging folder has a lock too if it is to take the
    /// folder's place.
    _locks: Vec<Lock>,
}

impl Folder {
    /// Takes the folder for a run that reads `inputs`.
    pub(super) fn begin(named: &Path, force: bool, units: Units, inputs: &[&Path]) -> Result<Self> {
        let path = place::resolve(named)?;
        place::check_apart(&path, named, inputs)?;
        let made = place::outermost_missing(&path);
        let begun = Self::take(named, &path, force, units, made.as_deref());
        if begun.is_err() {
            place::unmake(&path, made.as_deref());
        }
        let (staging, locks) = begun?;
        let guard = Guard::new({
            let (path, staging, made) = (path.clone(), staging.clone(), made.clone());
            move || {
                // Another thread may still write; what it leaves is removed by the next run.
                for _ in 0..3 {
                    if held::remove(&staging).is_ok() {
                        break;
                    }
                }
                release(&path);
                place::unmake(&path, made.as_deref());
            }
        });
        Ok(Self {
            named: named.to_path_buf(),
            path,
            staging,
            force,
            units,
            guard,
            _locks: locks,
        })
    }

    /// Locks the folder, removes what a killed run left, checks what it holds, and makes the staging folder.
    fn take(
        named: &Path,
        path: &Path,
        force: bool,
        units: Units,
        made: Option<&Path>,
    ) -> Result<(PathBuf, Vec<Lock>)> {
        let lock = Lock::of_folder(path).map_err(|e| rename(e, path, named))?;
        let ready = (|| {
            publish::recover(path)?;
            held::check(path, named, force, units)?;
            if units == Units::Replace && held::holds_run(path) {
                held::remove_run(path)?;
            }
            sync_made(path, made)?;
            stage(path)
        })();
        match ready {
            Ok((staging, own)) => Ok((staging, own.into_iter().chain([lock]).collect())),
            Err(e) => {
                release_unless_pending(path);
                drop(lock);
                Err(e)
            }
        }
    }

    /// Says that the units in the folder are this run's, and whether they stay when it is finished.
    pub(super) fn own_units(&mut self, keep: bool) {
        self.units = if keep { Units::Keep } else { Units::Own };
    }

    /// As the caller named it.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    pub(super) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Syncs everything and puts it in its place, with `results.json` among the files.
    pub(super) fn finish(self, files: &[String]) -> Result<()> {
        let all: Vec<&str> = files.iter().map(String::as_str).chain([RESULTS]).collect();
        all.par_iter().try_for_each(|name| {
            fs::sync_path(&self.staging.join(name))
                .map_err(|e| Error::io(self.named.join(name), "sync", e))
        })?;
        publish::sync_folders(&self.staging)?;
        let (named, path, staging) = (&self.named, &self.path, &self.staging);
        // The locks are held until everything is in its place.
        let (force, units, _locks) = (self.force, self.units, self._locks);
        let kept = units == Units::Keep;
        self.guard.finish(|| {
            // Something may have been put there since the run began.
            held::check(path, named, force, units)?;
            let inside = path.join(WORK).join(publish::NEW);
            let failed = |e| Error::io(named, "move the finished results to", e);
            if *staging == inside {
                publish::moves(path, kept)?;
            } else if !publish::exchange(path, staging, kept)? {
                fs::rename(staging, &inside).map_err(failed)?;
                // The lock in it was for the place that it does not take.
                release(&inside);
                publish::moves(path, kept).inspect_err(|e| {
                    if !e.leave {
                        let _ = fs::rename(&inside, staging);
                    }
                })?;
            }
            release(path);
            Ok(())
        })
    }
}

/// Makes the staging folder: beside the folder if it can take its place, else inside.
fn stage(path: &Path) -> Result<(PathBuf, Option<Lock>)> {
    if let Some(staging) = place::beside(path)
        && clear(&staging)
        && fs::make_folder(&staging).is_ok()
    {
        let lock = place::copy_attributes(path, &staging)
            .map_err(|e| Error::io(&staging, "set the owner of", e))
            .and_then(|()| Lock::of_folder(&staging));
        match lock {
            Ok(lock) => return Ok((staging, Some(lock))),
            Err(_) => {
                let _ = held::remove(&staging);
            }
        }
    }
    let staging = path.join(WORK).join(publish::NEW);
    fs::make_folder(&staging).map_err(|e| Error::io(path, "write in", e))?;
    Ok((staging, None))
}

/// Removes what a killed run left beside the folder; `false` where something else has that name.
fn clear(staging: &Path) -> bool {
    if !fs::is_folder(staging) {
        return staging.symlink_metadata().is_err();
    }
    // Empty if the run was killed just after making it.
    fs::is_folder(&staging.join(WORK)) && held::remove(staging).is_ok()
        || fs::remove_folder(staging).is_ok()
}

/// Makes folders that were made for the run last through a power cut.
fn sync_made(path: &Path, made: Option<&Path>) -> Result<()> {
    let Some(made) = made else { return Ok(()) };
    for folder in path.ancestors().skip(1) {
        fs::sync_path(folder).map_err(|e| Error::io(folder, "sync", e))?;
        if !folder.starts_with(made) {
            break;
        }
    }
    Ok(())
}

/// Releases the lock of a folder after a failure; where an interrupted run left moves to be completed, they stay to be
/// completed by the next one.
fn release_unless_pending(path: &Path) {
    if path.join(WORK).join(JOURNAL).symlink_metadata().is_err() {
        release(path);
    }
}

/// An error about a folder in terms of the name that the caller gave it.
fn rename(error: Error, path: &Path, named: &Path) -> Error {
    match error {
        Error::Output { path: at, problem } if at == path => Error::output(named, problem),
        error => error,
    }
}

/// Takes a finished folder to write a file into it: completes what an interrupted run left, and keeps other runs out while
/// the result lives.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _lock: Lock,
}

impl Claim {
    /// Claims the folder of a finished run.
    ///
    /// # Errors
    /// [`Error::Output`] while a run writes into it, or if it is no folder; [`Error::Io`].
    pub fn new(folder: impl AsRef<Path>) -> Result<Self> {
        let named = folder.as_ref();
        let failed = |e| Error::io(named, "open", e);
        if !named.metadata().map_err(failed)?.is_dir() {
            return Err(Error::output(
                named,
                crate::error::OutputProblem::NotAFolder,
            ));
        }
        let path = named.canonicalize().map_err(failed)?;
        let lock = Lock::of_folder(&path).map_err(|e| rename(e, &path, named))?;
        let claim = Self { path, _lock: lock };
        publish::recover(&claim.path)?;
        // Of a run that was killed when its results were in place already.
        if let Some(staging) = place::beside(&claim.path) {
            clear(&staging);
        }
        Ok(claim)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        release_unless_pending(&self.path);
    }
}
