//! Opens files and folders of activations: tells the format of each file by its extension and passes it to
//! that format's module. A new format is a variant of `Format` here and a module beside this one.

use super::layer::Layer;
use super::names::Namer;
use super::{foreign, npy, safetensors};
use crate::error::FileProblem;
use crate::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Layers, and the labels that lay beside them.
pub struct Dump {
    /// In the order of the arguments; within a folder sorted by file name without extension, within a file by
    /// key. Names are unique and safe as file names.
    pub layers: Vec<Box<dyn Layer>>,
    /// `labels.npy` of a folder, or the `.safetensors` file that holds a tensor `labels`.
    pub labels: Option<PathBuf>,
    /// Tensors that are no activations, by name, and why.
    pub left_out: Vec<(String, String)>,
}

impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.layers.iter().map(|l| l.name()).collect();
        f.debug_struct("Dump")
            .field("layers", &names)
            .field("labels", &self.labels)
            .finish()
    }
}

/// What becomes of a file that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unreadable {
    /// It is an error.
    #[default]
    Refuse,
    /// It is listed in [`Dump::left_out`] by its path, with the reason.
    Skip,
}

/// Opens activation files and folders of them. A folder is every `.npy` and `.safetensors` directly in it,
/// sorted; hidden files and subfolders are passed over; `labels.npy` in it is the labels, not a layer.
///
/// # Errors
/// [`Error::Argument`] without paths; [`Error::Io`]; [`Error::File`] for a file that is not sound or not of a
/// known format, a folder without any, and two folders that both bring labels.
pub fn open_dump(paths: &[impl AsRef<Path>]) -> Result<Dump> {
    open_dump_with(paths, Unreadable::Refuse)
}

/// As [`open_dump`], and says what becomes of files that cannot be read.
///
/// # Errors
/// As [`open_dump`]. With [`Unreadable::Skip`] an unreadable file is an error only where no other holds a layer;
/// a path that does not exist, a folder without activations and second labels are errors all the same.
pub fn open_dump_with(paths: &[impl AsRef<Path>], unreadable: Unreadable) -> Result<Dump> {
    if paths.is_empty() {
        let expected = "at least one .npy or .safetensors file, or a folder of them";
        return Err(Error::argument("paths", "empty", expected));
    }
    let mut dump = Dump {
        layers: Vec::new(),
        labels: None,
        left_out: Vec::new(),
    };
    let mut namer = Namer::new();
    let mut first_failure = None;
    let mut add = |dump: &mut Dump, path: &Path| {
        let before = dump.layers.len();
        match (open_file(path, &mut namer, &mut dump.layers), unreadable) {
            (Ok(None), _) => Ok(()),
            (Ok(Some(found)), _) => dump.add(path, found),
            (Err(error), Unreadable::Refuse) => Err(error),
            (Err(error), Unreadable::Skip) => {
                // Of a file either all layers are measured or none.
                dump.layers.truncate(before);
                dump.left_out.push(unread(path, &error));
                first_failure.get_or_insert(error);
                Ok(())
            }
        }
    };
    for path in paths.iter().map(AsRef::as_ref) {
        let meta = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
        if !meta.is_dir() {
            add(&mut dump, path)?;
            continue;
        }
        let (files, labels) = list(path)?;
        for file in &files {
            add(&mut dump, file)?;
        }
        if let Some(labels) = labels {
            dump.add_labels(labels)?;
        }
    }
    match first_failure {
        Some(error) if dump.layers.is_empty() => Err(error),
        _ => Ok(dump),
    }
}

/// Name of the file of sample ids in a folder of activations: a line a sample.
const IDS: &str = "ids.txt";

/// The file of sample ids in the first of these folders that has one.
pub fn ids_of(paths: &[impl AsRef<Path>]) -> Option<PathBuf> {
    let inside = paths.iter().map(|path| path.as_ref().join(IDS));
    inside.into_iter().find(|path| path.is_file())
}

/// A file that is left out: its path, and the reason, which does not repeat the path.
pub fn unread(path: &Path, error: &Error) -> (String, String) {
    let name = path.display().to_string();
    let reason = error.to_string();
    let reason = match reason.strip_prefix(&format!("{name}: ")) {
        Some(rest) => rest.to_string(),
        None => reason,
    };
    (name, reason)
}

impl Dump {
    fn add(&mut self, path: &Path, found: safetensors::Found) -> Result<()> {
        self.left_out.extend(found.left_out);
        match found.labels {
            true => self.add_labels(path.to_path_buf()),
            false => Ok(()),
        }
    }

    fn add_labels(&mut self, labels: PathBuf) -> Result<()> {
        if let Some(first) = &self.labels {
            let problem = FileProblem::SecondLabels {
                other: first.clone(),
            };
            return Err(Error::file(labels, problem));
        }
        self.labels = Some(labels);
        Ok(())
    }
}

/// Activation files of a folder, sorted, and its labels.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Option<PathBuf>)> {
    let fail = |e| Error::io(folder, "list", e);
    let (mut files, mut labels, mut others) = (Vec::new(), None, Vec::new());
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if Format::of(&path).is_none() || path.is_dir() {
            others.push(path);
        } else if name == "labels.npy" {
            labels = Some(path);
        } else {
            files.push(path);
        }
    }
    if files.is_empty() {
        others.sort();
        return Err(Error::unsuitable(folder, no_activations(folder, &others)));
    }
    // By what comes before the extension: `relu.npy` before `relu.1.npy`, a second call of the same module.
    files.sort_by(|a, b| (a.file_stem(), a).cmp(&(b.file_stem(), b)));
    Ok((files, labels))
}

/// Why a folder is no dump, and what to do, from what else lies in it.
fn no_activations(folder: &Path, others: &[PathBuf]) -> String {
    let none = "no .npy or .safetensors file directly in this folder";
    if let Some(advice) = foreign::advice(folder) {
        return format!("{none}; {advice}");
    }
    if let Some((other, advice)) = others.iter().find_map(|o| Some((o, foreign_to_dumps(o)?))) {
        let name = other.file_name().unwrap_or_default().display();
        return format!("{none}, but '{name}': {advice}");
    }
    let folders: Vec<&PathBuf> = others.iter().filter(|o| o.is_dir()).collect();
    if folders.is_empty() {
        return format!("{none}; name the folder of the dump");
    }
    let holds = |folder: &PathBuf| {
        let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.any(|e| Format::of(&e.path()).is_some())
    };
    let sound: Vec<&PathBuf> = folders.iter().copied().filter(|f| holds(f)).collect();
    let (what, named) = match sound.is_empty() {
        true => ("only subfolders, such as", &folders),
        false => ("but there are in its subfolders, such as", &sound),
    };
    let first = named[0].display();
    format!("{none}, {what} {first}; subfolders are not searched: name the one to measure")
}

/// What to do with a file beside which no activations lie. Text files are notes as a rule.
fn foreign_to_dumps(path: &Path) -> Option<String> {
    let text = path.extension().is_some_and(|e| e == "txt");
    foreign::advice(path).filter(|_| !text)
}

/// Formats, by extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    Safetensors,
}

impl Format {
    /// The format of a file, `None` where its extension names none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension().and_then(OsStr::to_str)?;
        if extension.eq_ignore_ascii_case("npy") {
            Some(Self::Npy)
        } else if extension.eq_ignore_ascii_case("safetensors") {
            Some(Self::Safetensors)
        } else {
            None
        }
    }
}

/// Adds the layers of a file; what else it holds, where its format tells.
fn open_file(
    path: &Path,
    namer: &mut Namer,
    layers: &mut Vec<Box<dyn Layer>>,
) -> Result<Option<safetensors::Found>> {
    match Format::of(path) {
        Some(Format::Npy) => {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            layers.push(npy::open(path, &namer.name(&stem))?);
            Ok(None)
        }
        Some(Format::Safetensors) => safetensors::open(path, namer, layers).map(Some),
        None => {
            let what = foreign::advice(path).unwrap_or_else(|| {
                "unknown format; .npy and .safetensors are read, told by their extension: convert or rename it".into()
            });
            Err(Error::unsuitable(path, what))
        }
    }
}
