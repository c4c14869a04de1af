//! Writing one file whole or not at all.

use super::live::Guard;
use super::lock::Lock;
use crate::error::OutputProblem;
use crate::io::fs;
use crate::{Error, Result};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The file that says that a folder is complete.
pub const RESULTS: &str = "results.json";

/// How names of unfinished files and folders end; they begin with a dot.
pub(super) const TEMPORARY: &str = ".chanscope-new";
/// Bytes of the longest name to which [`TEMPORARY`] is added.
const LONGEST: usize = 200;

/// Whether a file is the unfinished one of [`write_file`], by its name.
pub(super) fn is_temporary(name: &Path) -> bool {
    let name = name.as_os_str().as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(TEMPORARY.as_bytes())
}

/// Where a file lies until it is complete. The same name always: what a killed run left is overwritten by the next one.
fn unfinished(parent: &Path, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let mut hidden = OsString::from(".");
    match name.len() {
        0..=LONGEST => hidden.push(name),
        _ => hidden.push(blake3::hash(name.as_encoded_bytes()).to_hex().as_str()),
    }
    hidden.push(TEMPORARY);
    parent.join(hidden)
}

/// Writes a single file outside an output folder: under a temporary name beside it, synced, renamed. An
/// existing file is replaced only with `force`; on failure it is as it was.
///
/// # Errors
/// [`Error::Output`] for an existing file without `force`, and while another run writes it; [`Error::Io`], also when the
/// disk is full; whatever `fill` meets.
pub fn write_file(
    path: impl AsRef<Path>,
    force: bool,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    check_file(path, force)?;
    let parent = parent(path);
    let failed = |e| Error::io(path, "write", e);
    let temporary = unfinished(parent, path);
    let lock = loop {
        if let Some(lock) = Lock::at(&temporary, path)? {
            break lock;
        }
        if !parent.is_dir() {
            return Err(failed(ErrorKind::NotFound.into()));
        }
    };
    let guard = Guard::new({
        let temporary = temporary.clone();
        move || {
            let _ = fs::remove_file(&temporary);
        }
    });
    // A killed run may have left something in it.
    lock.file().set_len(0).map_err(failed)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, Positioned::new(lock.file()));
    fill(&mut buffered)?;
    buffered.flush().map_err(failed)?;
    drop(buffered);
    fs::sync(lock.file()).map_err(failed)?;
    guard.finish(|| {
        let renamed = match force {
            true => fs::rename(&temporary, path),
            false => fs::rename_new(&temporary, path),
        };
        Ok(renamed.map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => Error::output(path, OutputProblem::Exists),
            _ => failed(e),
        })?)
    })?;
    fs::sync_path(parent).map_err(|e| Error::io(parent, "sync", e))
}

/// Refuses a file that [`write_file`] could not write, before the work whose result it is to hold.
///
/// # Errors
/// [`Error::Output`] for an existing file without `force`, and for a folder; [`Error::Io`] where the folder it is to lie in
/// is not there.
pub fn check_file(path: impl AsRef<Path>, force: bool) -> Result<()> {
    let path = path.as_ref();
    let failed = |e| Error::io(path, "write", e);
    match fs::look(path).map_err(failed)? {
        Some(meta) if meta.is_dir() => return Err(Error::output(path, OutputProblem::NotAFile)),
        Some(_) if !force => return Err(Error::output(path, OutputProblem::Exists)),
        _ => {}
    }
    let parent = parent(path);
    let meta = parent.metadata().map_err(failed)?;
    if path.file_name().is_none() || !meta.is_dir() {
        return Err(Error::output(path, OutputProblem::NotAFile));
    }
    Ok(())
}

/// The folder that a file lies in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a file from its beginning on.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> Positioned<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, at: 0 }
    }
}

impl Write for Positioned<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        fs::write_all_at(self.file, bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
