//! An output in the making: files are begun, written and at the end moved to their place together, or kept in memory.

use super::array::{ArrayWriter, NpyElement};
use super::files::{Files, Ticket, lock};
use super::folder::Folder;
use super::held::Units;
use super::memory::{HeldArray, Memory};
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
    place: Place,
    files: Arc<Mutex<Files>>,
}

#[derive(Debug)]
enum Place {
    Folder(Folder),
    Memory(Memory),
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
        let units = if force { Units::Replace } else { Units::Refuse };
        Ok(Self {
            place: Place::Folder(Folder::begin(folder.as_ref(), force, units, inputs)?),
            files: Arc::default(),
        })
    }

    /// An output that becomes no folder: its arrays are kept until [`Output::into_arrays`] hands them over.
    pub fn in_memory() -> Self {
        Self {
            place: Place::Memory(Memory::new()),
            files: Arc::default(),
        }
    }

    /// Takes a folder that holds the units of a run, to finish that run. Earlier results in it are replaced.
    ///
    /// # Errors
    /// As [`Output::create_apart`] with `force`.
    pub fn resume(folder: impl AsRef<Path>, inputs: &[&Path]) -> Result<Self> {
        Ok(Self {
            place: Place::Folder(Folder::begin(folder.as_ref(), true, Units::Own, inputs)?),
            files: Arc::default(),
        })
    }

    /// Says that the units in the folder are those of this run, and whether they stay beside its results.
    pub fn own_units(&mut self, keep: bool) {
        if let Place::Folder(folder) = &mut self.place {
            folder.own_units(keep);
        }
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

    /// Where the output will be; empty for an output in memory.
    pub fn folder(&self) -> &Path {
        match &self.place {
            Place::Folder(folder) => folder.named(),
            Place::Memory(_) => Path::new(""),
        }
    }

    /// A place for temporary files on the output's file system, gone with the run. For an output in memory, the
    /// system's folder for temporary files.
    pub fn scratch(&self) -> &Path {
        match &self.place {
            Place::Folder(folder) => folder.staging(),
            Place::Memory(memory) => &memory.scratch,
        }
    }

    /// Writes one file. `name` is relative, with `/` between folders. In memory it is an array of bytes.
    ///
    /// # Errors
    /// [`Error::Output`] for a name that is absolute, leaves the folder or is taken; [`Error::Io`], also
    /// when the disk is full.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (path, ticket) = self.begin(name)?;
        if let Place::Memory(memory) = &self.place {
            memory.keep(HeldArray {
                name: name.to_string(),
                kind: u8::KIND,
                shape: vec![bytes.len()],
                bytes: bytes.to_vec(),
            });
            ticket.done();
            return Ok(());
        }
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
        match &self.place {
            Place::Memory(memory) => ArrayWriter::in_memory(memory, name, shape, ticket),
            Place::Folder(folder) => {
                ArrayWriter::create(&path, folder.named().join(name), shape, Some(ticket))
            }
        }
    }

    /// The arrays of an output in memory, in the order in which they were finished; those of a folder are in their files,
    /// and there are none here.
    ///
    /// # Errors
    /// [`Error::Output`] where an array was begun but not finished.
    pub fn into_arrays(self) -> Result<Vec<HeldArray>> {
        self.done()?;
        Ok(match self.place {
            Place::Memory(memory) => memory.take(),
            Place::Folder(_) => Vec::new(),
        })
    }

    /// Writes `results` with the list of files as `results.json` and moves everything to its place.
    ///
    /// # Errors
    /// [`Error::Output`] where a file was begun but not finished; [`Error::Io`]; the folder is then as it was.
    pub fn finish(self, results: &impl serde::Serialize) -> Result<()> {
        let files = self.done()?;
        let results = Results {
            results,
            files: &files,
        };
        let mut text = serde_json::to_vec_pretty(&results)
            .map_err(|e| self.failed(RESULTS, "write", e.into()))?;
        text.push(b'\n');
        self.write(RESULTS, &text)?;
        match self.place {
            Place::Folder(folder) => folder.finish(&files),
            Place::Memory(_) => Ok(()),
        }
    }

    /// The names of all files.
    fn done(&self) -> Result<Vec<String>> {
        let mut files = lock(&self.files);
        if let Some(name) = files.open.first() {
            let path = self.folder().join(name);
            return Err(Error::output(path, OutputProblem::Unfinished));
        }
        files.done.sort();
        Ok(files.done.clone())
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
        let Place::Folder(folder) = &self.place else {
            return Ok((PathBuf::from(name), self.ticket(name)));
        };
        let path = folder.staging().join(name);
        if let Some(parent) = path.parent() {
            fs::make_folders(parent).map_err(|e| self.failed(name, "make the folder of", e))?;
        }
        Ok((path, self.ticket(name)))
    }

    fn ticket(&self, name: &str) -> Ticket {
        Ticket {
            files: Arc::clone(&self.files),
            name: name.to_string(),
        }
    }

    fn failed(&self, name: &str, action: &str, e: std::io::Error) -> Error {
        Error::io(self.folder().join(name), action, e)
    }
}
