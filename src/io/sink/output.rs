//! An output folder in the making: files are begun, written and at the end moved to their place together.

use super::array::{ArrayWriter, NpyElement};
use super::files::{Files, Ticket, lock};
use super::folder::Folder;
use super::place;
use super::write::RESULTS;
use crate::error::OutputProblem;
use crate::io::fs;
use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

/// An output folder in the making. Dropped without [`Output::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Output {
    folder: Folder,
    files: Arc<Mutex<Files>>,
}

/// What goes into `results.json`: the caller's results and the list of files, so that a later run that replaces it knows
/// what it may remove.
#[derive(serde::Serialize)]
struct Results<'a, T: serde::Serialize> {
    #[serde(flatten)]
    results: &'a T,
    files: &'a [String],
}

impl Output {
    /// Begins an output folder. It may not exist yet or be empty. With `force` it may also hold an earlier
    /// run's output, and nothing else: that is replaced when this one is complete.
    ///
    /// # Errors
    /// [`Error::Output`] for a folder that is not empty without `force`, with `force` for one that holds something that no
    /// run wrote, and for one that another run is writing into; [`Error::Io`].
    pub fn create(folder: impl AsRef<Path>, force: bool) -> Result<Self> {
        Self::create_apart(folder, force, &[])
    }

    /// As [`Output::create`], for results of a run that reads these files and folders.
    ///
    /// # Errors
    /// As [`Output::create`]; [`Error::Output`] for a folder that holds one of them, or that lies in one of them.
    pub fn create_apart(folder: impl AsRef<Path>, force: bool, inputs: &[&Path]) -> Result<Self> {
        Ok(Self {
            folder: Folder::begin(folder.as_ref(), force, inputs)?,
            files: Arc::default(),
        })
    }

    /// Refuses a file that the run is to write besides, where it would lie in this folder or replace an input.
    ///
    /// # Errors
    /// [`Error::Output`]; [`Error::Io`].
    pub fn check_file_apart(
        folder: impl AsRef<Path>,
        file: impl AsRef<Path>,
        inputs: &[&Path],
    ) -> Result<()> {
        place::check_file_apart(file.as_ref(), folder.as_ref(), inputs)
    }

    /// Where the output will be.
    pub fn folder(&self) -> &Path {
        self.folder.named()
    }

    /// A place for temporary files on the output's file system; gone with the run.
    pub fn scratch(&self) -> &Path {
        self.folder.staging()
    }

    /// Writes one file. `name` is relative, with `/` between folders.
    ///
    /// # Errors
    /// [`Error::Output`] for a name that is absolute, leaves the folder or is taken; [`Error::Io`], also
    /// when the disk is full.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (path, ticket) = self.begin(name)?;
        let file = fs::create_new(&path).map_err(|e| self.failed(name, "create", e))?;
        fs::write_all_at(&file, bytes, 0)
            .map_err(|e| self.failed(name, &format!("write {} bytes to", bytes.len()), e))?;
        ticket.done();
        Ok(())
    }

    /// Writes a whole array as `.npy`, C order. `data.len()` is the product of `shape`.
    ///
    /// # Errors
    /// As [`Output::write`]; [`Error::OutOfRange`] if there are more values than `shape` has elements.
    pub fn array<T: NpyElement>(&self, name: &str, shape: &[usize], data: &[T]) -> Result<()> {
        let writer = self.array_writer(name, shape)?;
        writer.write(0, data)?;
        writer.finish()
    }

    /// Begins an array that is filled block by block, in any order, from any thread.
    ///
    /// # Errors
    /// As [`Output::write`]; [`Error::Output`] for a shape too large.
    pub fn array_writer<T: NpyElement>(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<ArrayWriter<T>> {
        let (path, ticket) = self.begin(name)?;
        ArrayWriter::create(&path, self.folder().join(name), shape, Some(ticket))
    }

    /// Writes `results` with the list of files as `results.json` and moves everything to its place.
    ///
    /// # Errors
    /// [`Error::Output`] where a file was begun but not finished; [`Error::Io`]; the folder is then as it was.
    pub fn finish(self, results: &impl serde::Serialize) -> Result<()> {
        let files = {
            let mut files = lock(&self.files);
            if let Some(name) = files.open.first() {
                let path = self.folder().join(name);
                return Err(Error::output(path, OutputProblem::Unfinished));
            }
            files.done.sort();
            files.done.clone()
        };
        let results = Results {
            results,
            files: &files,
        };
        let mut text = serde_json::to_vec_pretty(&results)
            .map_err(|e| self.failed(RESULTS, "write", e.into()))?;
        text.push(b'\n');
        self.write(RESULTS, &text)?;
        self.folder.finish(&files)
    }

    /// Checks a name and makes the folders it needs.
    fn begin(&self, name: &str) -> Result<(PathBuf, Ticket)> {
        let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
        // Hidden names at the top are for what a run works with.
        let hidden = name.starts_with('.');
        if name.is_empty()
            || hidden
            || name.contains('\\')
            || !Path::new(name).components().all(plain)
        {
            let name = name.into();
            return Err(Error::output(
                self.folder(),
                OutputProblem::BadName { name },
            ));
        }
        {
            let mut files = lock(&self.files);
            if files.done.iter().chain(&files.open).any(|f| f == name) {
                let name = name.into();
                return Err(Error::output(self.folder(), OutputProblem::Twice { name }));
            }
            files.open.push(name.to_string());
        }
        let path = self.folder.staging().join(name);
        if let Some(parent) = path.parent() {
            fs::make_folders(parent).map_err(|e| self.failed(name, "make the folder of", e))?;
        }
        let ticket = Ticket {
            files: Arc::clone(&self.files),
            name: name.to_string(),
        };
        Ok((path, ticket))
    }

    fn failed(&self, name: &str, action: &str, e: std::io::Error) -> Error {
        Error::io(self.folder().join(name), action, e)
    }
}
