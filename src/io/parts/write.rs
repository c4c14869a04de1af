//! Writing a part.

use super::{FileRecord, MARKER, Marker, Piece};
use crate::io::fs;
use crate::io::sink::{ArrayWriter, CleanUp, NpyElement};
use crate::{Error, Result};
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes read at a time where a file is read again for its checksum.
const BUFFER: usize = 1 << 20;

/// A part in the making. Dropped without [`Part::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Part {
    name: String,
    /// Where it will be.
    place: PathBuf,
    /// Where it is made.
    temporary: PathBuf,
    files: Mutex<Vec<FileRecord>>,
    clean_up: CleanUp,
}

impl Part {
    /// Begins the part `name` in `folder`, which has to be there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(folder: &Path, name: &str) -> Result<Self> {
        // Unlike any other, also of processes on other machines.
        let random = std::hash::RandomState::new().build_hasher().finish();
        let temporary = folder.join(format!(".{name}-{random:016x}"));
        fs::make_folder(&temporary).map_err(|e| Error::io(folder, "make a folder in", e))?;
        let clean_up = CleanUp::new({
            let temporary = temporary.clone();
            move || {
                // Another thread may still write.
                for _ in 0..3 {
                    if fs::remove_tree(&temporary).is_ok() {
                        break;
                    }
                }
            }
        });
        Ok(Self {
            name: name.to_string(),
            place: folder.join(name),
            temporary,
            files: Mutex::default(),
            clean_up,
        })
    }

    /// Begins a file that is written from its beginning to its end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn file(&self, name: &str) -> Result<PartFile<'_>> {
        let file = self.scattered(name)?;
        Ok(PartFile {
            part: self,
            name: name.to_string(),
            path: self.place.join(name),
            file,
            at: 0,
            hash: blake3::Hasher::new(),
            begun: 0,
            pieces: Vec::new(),
        })
    }

    /// Creates a file that the caller fills in any order. When that is done, [`Part::add`] has to be told of it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(in crate::io) fn scattered(&self, name: &str) -> Result<File> {
        let created = fs::create_new(&self.temporary.join(name));
        created.map_err(|e| Error::io(self.place.join(name), "create", e))
    }

    /// Writes a file of one piece.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.file(name)?;
        file.put(bytes)?;
        file.finish();
        Ok(())
    }

    /// Begins an array that is filled block by block, in any order. It is a file of one piece, and has to be finished
    /// before the part is.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Output`] for a shape too large.
    pub fn array_writer<T: NpyElement>(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<ArrayWriter<T>> {
        let writer =
            ArrayWriter::in_part(&self.temporary.join(name), self.place.join(name), shape)?;
        // Its pieces are found when the part is finished.
        self.add(name.to_string(), Vec::new());
        Ok(writer)
    }

    /// Adds a file that is written, with its pieces; where there are none, it is one, whose checksum is found when the part
    /// is finished.
    pub(in crate::io) fn add(&self, name: String, pieces: Vec<Piece>) {
        let files = self.files.lock();
        let mut files = files.unwrap_or_else(PoisonError::into_inner);
        files.push(FileRecord { name, pieces });
    }

    /// Makes the part last and puts it in its place, as a part of `run`. Where it is there already, this one is removed:
    /// somebody else was faster.
    ///
    /// # Errors
    /// [`Error::Io`]; the part is then not there.
    pub fn finish(self, run: &str, about: serde_json::Value) -> Result<()> {
        let files = self.files.into_inner();
        let mut files = files.unwrap_or_else(PoisonError::into_inner);
        for file in &mut files {
            let path = self.temporary.join(&file.name);
            let failed = |action: &str, e| Error::io(self.place.join(&file.name), action, e);
            if file.pieces.is_empty() {
                file.pieces
                    .push(read_again(&path).map_err(|e| failed("read", e))?);
            }
            fs::sync_path(&path).map_err(|e| failed("sync", e))?;
        }
        let marker = Marker {
            run: run.to_string(),
            part: self.name,
            files,
            about,
        };
        let failed = |e| Error::io(&self.place, "write", e);
        let text = serde_json::to_vec(&marker).map_err(|e| failed(e.into()))?;
        let file = fs::create_new(&self.temporary.join(MARKER)).map_err(failed)?;
        fs::write_all_at(&file, &text, 0)
            .and_then(|()| fs::sync(&file))
            .and_then(|()| fs::sync_path(&self.temporary))
            .map_err(failed)?;
        let renamed = self
            .clean_up
            .keep_if(|| match fs::rename(&self.temporary, &self.place) {
                Ok(()) => Ok(true),
                Err(e) if is_taken(&e, &self.place) => Ok(false),
                Err(e) => Err(failed(e)),
            })?;
        match (renamed, self.place.parent()) {
            (true, Some(folder)) => fs::sync_path(folder).map_err(|e| Error::io(folder, "sync", e)),
            _ => Ok(()),
        }
    }
}

/// Whether a rename failed because a folder with something in it has the name.
fn is_taken(e: &std::io::Error, place: &Path) -> bool {
    use ErrorKind::{AlreadyExists, DirectoryNotEmpty, PermissionDenied};
    // Windows denies what Unix calls a folder that is not empty.
    matches!(
        e.kind(),
        AlreadyExists | DirectoryNotEmpty | PermissionDenied
    ) && place.is_dir()
}

fn read_again(path: &Path) -> std::io::Result<Piece> {
    let file = File::open(path)?;
    let (mut hash, mut bytes) = (blake3::Hasher::new(), 0);
    let mut buffer = vec![0; BUFFER];
    loop {
        match fs::read_at(&file, &mut buffer, bytes)? {
            0 => break,
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
    let blake3 = hash.finalize().to_hex().to_string();
    Ok(Piece { bytes, blake3 })
}

/// A file of a [`Part`], written piece by piece.
#[derive(Debug)]
pub struct PartFile<'a> {
    part: &'a Part,
    name: String,
    /// The place that it will have, for messages.
    path: PathBuf,
    file: File,
    at: u64,
    /// Of the piece that has begun.
    hash: blake3::Hasher,
    begun: u64,
    pieces: Vec<Piece>,
}

impl PartFile<'_> {
    /// Appends bytes to the piece that has begun.
    ///
    /// # Errors
    /// [`Error::Io`], also when the disk is full.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        fs::write_all_at(&self.file, bytes, self.at).map_err(|e| {
            let action = format!("write {} bytes at byte {} of", bytes.len(), self.at);
            Error::io(&self.path, action, e)
        })?;
        self.at += bytes.len() as u64;
        self.begun += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(())
    }

    /// Ends a piece.
    pub fn end_piece(&mut self) {
        self.pieces.push(Piece {
            bytes: std::mem::take(&mut self.begun),
            blake3: self.hash.finalize().to_hex().to_string(),
        });
        self.hash.reset();
    }

    /// Ends the file, and with it the piece that has begun.
    pub fn finish(mut self) {
        if self.begun > 0 || self.pieces.is_empty() {
            self.end_piece();
        }
        self.part.add(self.name, self.pieces);
    }
}
