//! Writing one file whole or not at all.

use crate::error::OutputProblem;
use crate::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// The file that is written last and says that a folder is complete.
pub const RESULTS: &str = "results.json";

/// Writes a single file outside an output folder: under a temporary name beside it, synced, renamed. An
/// existing file is replaced only with `force`; on failure it is as it was.
///
/// # Errors
/// [`Error::Output`] for an existing file without `force`; [`Error::Io`], also when the disk is full; whatever `fill` meets.
pub fn write_file(
    path: impl AsRef<Path>,
    force: bool,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let exists = || Error::output(path, OutputProblem::Exists);
    if !force && path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let failed = |e| Error::io(path, "write", e);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".chanscope-partial-");
    // Temporary files are private by default; a result is as readable as any new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(parent).map_err(failed)?;
    let mut buffered = std::io::BufWriter::with_capacity(1 << 20, file.as_file_mut());
    fill(&mut buffered)?;
    buffered.flush().map_err(failed)?;
    drop(buffered);
    file.as_file().sync_all().map_err(failed)?;
    let renamed = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    match renamed {
        Ok(_) => sync_folder(parent),
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Err(exists()),
        Err(e) => Err(failed(e.error)),
    }
}

/// Makes renames in a folder last through a power cut. Elsewhere than on Unix folders cannot be synced.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    #[cfg(unix)]
    File::open(path)
        .and_then(|f| f.sync_all())
        .map_err(|e| Error::io(path, "sync", e))?;
    let _ = path;
    Ok(())
}
