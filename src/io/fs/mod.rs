//! The system calls that reading and writing files consists of, a function each.
//!
//! Every function goes on after an interrupted call and after a partial read or write. Results are written through these
//! functions only, so that tests can make any single call fail, or end the process before it (`fault`).

#[cfg(feature = "internals")]
mod fault;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Without the feature for tests no call is ever made to fail.
#[cfg(not(feature = "internals"))]
mod fault {
    pub(super) fn meet(_: super::Call) -> std::io::Result<bool> {
        Ok(false)
    }
}

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Open,
    Read,
    Write,
    Sync,
    Rename,
    Exchange,
    MakeFolder,
    Reserve,
    Remove,
}

/// Makes a call, again where a signal interrupted it.
fn again<T>(call: Call, mut make: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match fault::meet(call).and_then(|_| make()) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Opens or creates a file as `options` say.
pub(super) fn open(options: &OpenOptions, path: &Path) -> Result<File> {
    again(Call::Open, || options.open(path))
}

/// Creates a file without a name in a folder. It is gone once it is closed.
pub(super) fn temporary(folder: &Path) -> Result<File> {
    #[cfg(not(target_family = "wasm"))]
    return tempfile::tempfile_in(folder);
    #[cfg(target_family = "wasm")]
    {
        let _ = folder;
        Err(ErrorKind::Unsupported.into())
    }
}

/// The system's folder for temporary files; an empty path in a browser, which has none.
pub(super) fn temporary_folder() -> PathBuf {
    match cfg!(target_family = "wasm") {
        true => PathBuf::new(),
        false => std::env::temp_dir(),
    }
}

/// Creates a file that must not be there yet.
pub(super) fn create_new(path: &Path) -> Result<File> {
    open(OpenOptions::new().write(true).create_new(true), path)
}

/// Reads once from `offset` on, at most `buf.len()` bytes; 0 at the end of the file.
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> Result<usize> {
    loop {
        let read = fault::meet(Call::Read).and_then(|short| {
            let part = if short { 1.min(buf.len()) } else { buf.len() };
            positional::read(file, &mut buf[..part], offset)
        });
        match read {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Fills `buf` from `offset` on.
pub(super) fn read_exact_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
    while !buf.is_empty() {
        match read_at(file, buf, offset)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}

/// Writes all of `bytes` from `offset` on.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        let written = fault::meet(Call::Write).and_then(|short| {
            let part = if short { 1 } else { bytes.len() };
            positional::write(file, &bytes[..part], offset)
        });
        match written {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Gives a file its final size, with room on the disk where the file system can reserve it.
pub(super) fn reserve(file: &File, bytes: u64) -> Result<()> {
    again(Call::Reserve, || {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            use rustix::io::Errno;
            match fallocate(file, FallocateFlags::empty(), 0, bytes) {
                // Not every file system can; then a full disk shows later.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(e) => return Err(e.into()),
            }
        }
        file.set_len(bytes)
    })
}

/// Makes a file's content last through a power cut.
pub(super) fn sync(file: &File) -> Result<()> {
    again(Call::Sync, || file.sync_all())
}

/// As [`sync`], for the file or folder at `path`. Elsewhere than on Unix folders cannot be synced.
pub(super) fn sync_path(path: &Path) -> Result<()> {
    if cfg!(unix) {
        return sync(&File::open(path)?);
    }
    if path.is_dir() {
        return Ok(());
    }
    // Some systems sync only what is open for writing.
    sync(&OpenOptions::new().write(true).open(path)?)
}

/// Renames, in place of what may be there.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    again(Call::Rename, || std::fs::rename(from, to))
}

/// Renames a file to a name that must be free.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] where it is not.
pub(super) fn rename_new(from: &Path, to: &Path) -> Result<()> {
    again(Call::Rename, || {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            use rustix::io::Errno;
            match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                // Not every file system can.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
                done => return Ok(done?),
            }
        }
        std::fs::hard_link(from, to)?;
        std::fs::remove_file(from)
    })
}

/// Exchanges two folders: each gets the other's name, in one step that nothing can come between.
///
/// # Errors
/// [`ErrorKind::Unsupported`], or what the system says, where the file system or the operating system cannot.
pub(super) fn exchange(a: &Path, b: &Path) -> Result<()> {
    again(Call::Exchange, || {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
        }
        #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
        {
            let _ = (a, b);
            Err(ErrorKind::Unsupported.into())
        }
    })
}

/// Makes a folder. One that is there already is an error.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    again(Call::MakeFolder, || std::fs::create_dir(path))
}

/// Makes a folder and those above it that are missing.
pub(super) fn make_folders(path: &Path) -> Result<()> {
    again(Call::MakeFolder, || std::fs::create_dir_all(path))
}

/// Removes a file or a symbolic link.
pub(super) fn remove_file(path: &Path) -> Result<()> {
    again(Call::Remove, || std::fs::remove_file(path))
}

/// Removes an empty folder.
pub(super) fn remove_folder(path: &Path) -> Result<()> {
    again(Call::Remove, || std::fs::remove_dir(path))
}

/// Removes a folder with everything in it. Symbolic links in it are removed, never followed.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    again(Call::Remove, || std::fs::remove_dir_all(path))
}

/// What is at `path` itself, a symbolic link not followed; `None` where there is nothing.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether `path` is a folder itself, and no link to one.
pub(crate) fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_dir())
}

/// Whether an open file is the one at `path`: it may have been renamed or removed since it was opened.
pub(super) fn is_at(file: &File, path: &Path) -> Result<bool> {
    let Some(there) = look(path)? else {
        return Ok(false);
    };
    Ok(same(&file.metadata()?, &there))
}

/// Whether two entries are of one file. Where the system does not number files, sizes and times have to do.
pub(super) fn same(a: &Metadata, b: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    }
    #[cfg(not(unix))]
    {
        a.file_type() == b.file_type() && a.created().ok() == b.created().ok()
    }
}

#[cfg(unix)]
mod positional {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    pub(super) fn read(file: &File, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        file.read_at(buf, offset)
    }

    pub(super) fn write(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<usize> {
        file.write_at(bytes, offset)
    }
}

#[cfg(windows)]
mod positional {
    use std::fs::File;
    use std::os::windows::fs::FileExt;

    pub(super) fn read(file: &File, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        file.seek_read(buf, offset)
    }

    pub(super) fn write(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<usize> {
        file.seek_write(bytes, offset)
    }
}

/// A browser has no files.
#[cfg(target_family = "wasm")]
mod positional {
    use std::fs::File;
    use std::io::ErrorKind;

    pub(super) fn read(_: &File, _: &mut [u8], _: u64) -> std::io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    pub(super) fn write(_: &File, _: &[u8], _: u64) -> std::io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }
}
