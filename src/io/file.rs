//! A file read at given positions by several threads. Never mapped: a mapped file that shrinks kills the process.

use super::fs;
use crate::error::FileProblem;
use crate::{Error, Result};
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

/// An open regular file, and what it was like when it was opened.
#[derive(Debug)]
pub(crate) struct DataFile {
    path: PathBuf,
    file: File,
    opened: Metadata,
}

impl DataFile {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] for folders, pipes and devices, which have no positions to read at.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // Asked before opening: opening a pipe would wait for a writer.
        let meta = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
        if !meta.is_file() {
            let kind = match meta.is_dir() {
                true => "a folder",
                false => "a pipe or device",
            };
            return Err(Error::file(path, FileProblem::NotAFile { kind }));
        }
        let file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
        let opened = file
            .metadata()
            .map_err(|e| Error::io(path, "read the size of", e))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            opened,
        })
    }

    /// A temporary file in `folder`, as long as it is now.
    pub(super) fn temporary(file: File, folder: &Path) -> std::io::Result<Self> {
        Ok(Self {
            path: folder.to_path_buf(),
            opened: file.metadata()?,
            file,
        })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes the file had when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.opened.len()
    }

    /// Refuses a file that was changed since it was opened, by its size and time of modification, or replaced by another
    /// one of its name.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Io`].
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        let failed = |e| Error::io(&self.path, "look again at", e);
        let now = std::fs::metadata(&self.path).map_err(failed)?;
        check_same(&self.path, &self.opened, &now)?;
        // What is open may be another file by now, which was changed before it was replaced.
        check_same(
            &self.path,
            &self.opened,
            &self.file.metadata().map_err(failed)?,
        )
    }

    /// Refuses a file that was written to since it was opened. One that was removed or replaced by another of its name is
    /// still the file that was opened.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Io`].
    pub(crate) fn check_unwritten(&self) -> Result<()> {
        let now = self.file.metadata();
        let now = now.map_err(|e| Error::io(&self.path, "look again at", e))?;
        check_same(&self.path, &self.opened, &now)
    }

    /// What the file was like when it was opened.
    pub(crate) fn opened(&self) -> &Metadata {
        &self.opened
    }

    /// Fills `buf` from `offset` on. Needs no lock; any number of threads may read.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] when the file has become shorter since it was opened.
    pub(crate) fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            match fs::read_at(&self.file, buf, offset) {
                Ok(0) => return Err(self.shrunk(offset)),
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) => {
                    let action = format!("read {} bytes at byte {offset} of", buf.len());
                    return Err(Error::io(&self.path, action, e));
                }
            }
        }
        Ok(())
    }

    /// Tells the kernel that the file is read from front to back; a hint, so failure means nothing.
    pub(crate) fn hint_sequential(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::Sequential);
    }

    /// Tells the kernel that these bytes are read soon, so that it fetches them meanwhile; a hint, as above.
    pub(crate) fn hint_soon(&self, offset: u64, len: u64) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(len) = std::num::NonZeroU64::new(len) {
            let _ =
                rustix::fs::fadvise(&self.file, offset, Some(len), rustix::fs::Advice::WillNeed);
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = (offset, len);
    }

    fn shrunk(&self, offset: u64) -> Error {
        let problem = FileProblem::Shortened {
            length: offset,
            was: self.len(),
        };
        Error::file(&self.path, problem)
    }
}

/// Refuses a file that was written to or replaced between two looks at it.
pub(super) fn check_same(path: &Path, before: &Metadata, now: &Metadata) -> Result<()> {
    let same = fs::same(before, now)
        && before.len() == now.len()
        && before.modified().ok() == now.modified().ok();
    match same {
        true => Ok(()),
        false => Err(Error::file(path, FileProblem::Changed)),
    }
}
