//! A file read at given positions by several threads, on a disk or in memory. Never mapped: a mapped file that shrinks
//! kills the process.

use super::fs;
use crate::error::FileProblem;
use crate::{Error, Result};
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open regular file, or the bytes of one.
#[derive(Debug)]
pub(crate) struct DataFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// With what the file was like when it was opened.
    Disk {
        file: File,
        opened: Metadata,
    },
    Memory(Arc<Vec<u8>>),
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
            content: Content::Disk { file, opened },
        })
    }

    /// A temporary file in `folder`, as long as it is now.
    pub(super) fn temporary(file: File, folder: &Path) -> std::io::Result<Self> {
        Ok(Self {
            path: folder.to_path_buf(),
            content: Content::Disk {
                opened: file.metadata()?,
                file,
            },
        })
    }

    /// The bytes of a file whose name is `path`.
    pub(crate) fn in_memory(path: &Path, bytes: Arc<Vec<u8>>) -> Self {
        Self {
            path: path.to_path_buf(),
            content: Content::Memory(bytes),
        }
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes the file had when it was opened.
    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            Content::Disk { opened, .. } => opened.len(),
            Content::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Refuses a file that was changed since it was opened, by its size and time of modification, or replaced by another
    /// one of its name.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Io`].
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        let Content::Disk { opened, .. } = &self.content else {
            return Ok(());
        };
        let now = std::fs::metadata(&self.path);
        let now = now.map_err(|e| Error::io(&self.path, "look again at", e))?;
        check_same(&self.path, opened, &now)?;
        // What is open may be another file by now, which was changed before it was replaced.
        self.check_unwritten()
    }

    /// Refuses a file that was written to since it was opened. One that was removed or replaced by another of its name is
    /// still the file that was opened.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Io`].
    pub(crate) fn check_unwritten(&self) -> Result<()> {
        let Content::Disk { file, opened } = &self.content else {
            return Ok(());
        };
        let now = file.metadata();
        let now = now.map_err(|e| Error::io(&self.path, "look again at", e))?;
        check_same(&self.path, opened, &now)
    }

    /// What the file was like when it was opened; `None` for bytes in memory.
    pub(crate) fn opened(&self) -> Option<&Metadata> {
        match &self.content {
            Content::Disk { opened, .. } => Some(opened),
            Content::Memory(_) => None,
        }
    }

    /// Fills `buf` from `offset` on. Needs no lock; any number of threads may read.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] when the file has become shorter since it was opened.
    pub(crate) fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
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

    /// Reads once from `offset` on; 0 bytes at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        match &self.content {
            Content::Disk { file, .. } => fs::read_at(file, buf, offset),
            Content::Memory(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let count = buf.len().min(bytes.len() - start);
                buf[..count].copy_from_slice(&bytes[start..start + count]);
                Ok(count)
            }
        }
    }

    /// Tells the kernel that the file is read from front to back; a hint, so failure means nothing.
    pub(crate) fn hint_sequential(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Content::Disk { file, .. } = &self.content {
            let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
        }
    }

    /// Tells the kernel that these bytes are read soon, so that it fetches them meanwhile; a hint, as above.
    pub(crate) fn hint_soon(&self, offset: u64, len: u64) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let (Content::Disk { file, .. }, Some(len)) =
            (&self.content, std::num::NonZeroU64::new(len))
        {
            let _ = rustix::fs::fadvise(file, offset, Some(len), rustix::fs::Advice::WillNeed);
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
