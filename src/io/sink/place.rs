//! Where results go: the folder behind the name that was given, and the place beside it where they are made.

use crate::error::OutputProblem;
use crate::io::fs;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The folder that a name leads to, symbolic links resolved, also where its last parts do not exist yet.
///
/// # Errors
/// [`Error::Output`] for something else than a folder; [`Error::Io`].
pub(super) fn resolve(named: &Path) -> Result<PathBuf> {
    let failed = |e| Error::io(named, "open", e);
    if fs::look(named).map_err(failed)?.is_some() && !named.is_dir() {
        return Err(Error::output(named, OutputProblem::NotAFolder));
    }
    canonical(named).map_err(failed)
}

/// As [`std::fs::canonicalize`], also for a path whose last parts do not exist.
fn canonical(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut missing = Vec::new();
    let mut there = path.as_path();
    loop {
        match there.canonicalize() {
            Ok(mut found) => {
                found.extend(missing.iter().rev());
                return Ok(found);
            }
            Err(e) => match (there.parent(), there.file_name()) {
                (Some(parent), Some(name)) if e.kind() == std::io::ErrorKind::NotFound => {
                    missing.push(name.to_os_string());
                    there = parent;
                }
                _ => return Err(e),
            },
        }
    }
}

/// Refuses an output folder that holds an input, or that lies in a folder that is read.
pub(super) fn check_apart(folder: &Path, named: &Path, inputs: &[&Path]) -> Result<()> {
    for input in inputs {
        // What cannot be resolved cannot be read either, and the reader says so.
        let Ok(found) = input.canonicalize() else {
            continue;
        };
        let input = input.to_path_buf();
        let problem = if found.starts_with(folder) {
            OutputProblem::HoldsInput { input }
        } else if folder.starts_with(&found) {
            OutputProblem::InsideInput { input }
        } else {
            continue;
        };
        return Err(Error::output(named, problem));
    }
    Ok(())
}

/// Refuses a file that is to be written into an output folder, or in the place of an input.
pub(super) fn check_file_apart(file: &Path, folder: &Path, inputs: &[&Path]) -> Result<()> {
    let failed = |e| Error::io(file, "open", e);
    let name = file.file_name().unwrap_or_default();
    // The last part is not followed: a link there would itself be replaced.
    let target = canonical(super::write::parent(file))
        .map_err(failed)?
        .join(name);
    if target.starts_with(canonical(folder).map_err(failed)?) {
        let folder = folder.to_path_buf();
        return Err(Error::output(file, OutputProblem::InsideOutput { folder }));
    }
    for input in inputs {
        if input.canonicalize().is_ok_and(|input| input == target) {
            return Err(Error::output(file, OutputProblem::IsInput));
        }
    }
    Ok(())
}

/// The folder beside `folder` in which new results can be made, to be exchanged with it: hidden, and known by its name.
/// `None` where they have to be made inside: the folder is a mount point, something else has that name, or the caller
/// works in it and would find itself in a removed folder.
pub(super) fn beside(folder: &Path) -> Option<PathBuf> {
    let (parent, name) = (folder.parent()?, folder.file_name()?);
    let inside = |here: PathBuf| here.canonicalize().is_ok_and(|h| h.starts_with(folder));
    if is_mount_point(folder, parent) || std::env::current_dir().is_ok_and(inside) {
        return None;
    }
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(super::write::TEMPORARY);
    Some(parent.join(hidden))
}

#[cfg(unix)]
fn is_mount_point(folder: &Path, parent: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // A folder of the same file system may be mounted too, and not every system tells.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        let found = statx(
            CWD,
            folder,
            AtFlags::SYMLINK_NOFOLLOW,
            StatxFlags::BASIC_STATS,
        );
        if found.is_ok_and(|s| s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
            return true;
        }
    }
    let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
    device(folder) != device(parent)
}

#[cfg(not(unix))]
fn is_mount_point(_: &Path, _: &Path) -> bool {
    false
}

/// Gives `new` the permissions and owners of `folder`, whose place it takes.
pub(super) fn copy_attributes(folder: &Path, new: &Path) -> std::io::Result<()> {
    let meta = folder.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let made = new.metadata()?;
        let differs = |a: u32, b: u32| (a != b).then_some(a);
        let owner = differs(meta.uid(), made.uid()).map(rustix::fs::Uid::from_raw);
        let group = differs(meta.gid(), made.gid()).map(rustix::fs::Gid::from_raw);
        if owner.is_some() || group.is_some() {
            rustix::fs::chown(new, owner, group)?;
        }
    }
    std::fs::set_permissions(new, meta.permissions())
}

/// The outermost folder of a path that does not exist yet.
pub(super) fn outermost_missing(path: &Path) -> Option<PathBuf> {
    let missing = |p: &&Path| !p.as_os_str().is_empty() && p.symlink_metadata().is_err();
    path.ancestors()
        .take_while(missing)
        .last()
        .map(Path::to_path_buf)
}

/// Removes the folders that were made for a run, as far as they are empty.
pub(super) fn unmake(path: &Path, made: Option<&Path>) {
    let Some(made) = made else { return };
    for folder in path.ancestors() {
        if fs::remove_folder(folder).is_err() || folder == made {
            return;
        }
    }
}
