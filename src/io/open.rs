//! Opens files and folders of activations: tells the format of each file by its extension and passes it to
//! that format's module. A new format is a variant of `Format` here and a module beside this one.

use super::layer::Layer;
use super::names::Namer;
use super::{npy, safetensors};
use crate::error::FileProblem;
use crate::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Layers, and the labels that lay beside them.
pub struct Dump {
    /// In the order of the arguments; within a folder sorted by file name, within a file by key. Names are
    /// unique and safe as file names.
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

/// Opens activation files and folders of them. A folder is every `.npy` and `.safetensors` directly in it,
/// sorted; hidden files and subfolders are passed over; `labels.npy` in it is the labels, not a layer.
///
/// # Errors
/// [`Error::Argument`] without paths; [`Error::Io`]; [`Error::File`] for a file that is not sound or not of a
/// known format, a folder without any, and two folders that both bring labels.
pub fn open_dump(paths: &[impl AsRef<Path>]) -> Result<Dump> {
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
    for path in paths.iter().map(AsRef::as_ref) {
        let meta = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
        if !meta.is_dir() {
            dump.add(path, &mut namer)?;
            continue;
        }
        let (files, labels) = list(path)?;
        for file in &files {
            dump.add(file, &mut namer)?;
        }
        if let Some(labels) = labels {
            dump.add_labels(labels)?;
        }
    }
    Ok(dump)
}

impl Dump {
    fn add(&mut self, path: &Path, namer: &mut Namer) -> Result<()> {
        let Some(found) = open_file(path, namer, &mut self.layers)? else {
            return Ok(());
        };
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
    let (mut files, mut labels) = (Vec::new(), None);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".") || Format::of(&path).is_none() || path.is_dir()
        {
            continue;
        }
        if name == "labels.npy" {
            labels = Some(path);
        } else {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::unsuitable(
            folder,
            "no .npy or .safetensors file directly in this folder; name the folder of the dump",
        ));
    }
    files.sort();
    Ok((files, labels))
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
            let hint = match path.extension().and_then(OsStr::to_str) {
                Some("onnx") => "this is a model: chanscope run writes its activations",
                Some("npz") => {
                    "an .npz archive has to be unpacked: save each array with numpy.save"
                }
                Some("pt" | "pth" | "bin" | "ckpt") => {
                    "save PyTorch tensors with numpy.save(path, t.cpu().numpy()) or safetensors"
                }
                _ => {
                    ".npy and .safetensors are read, told by their extension; convert or rename it"
                }
            };
            Err(Error::unsuitable(path, format!("unknown format; {hint}")))
        }
    }
}
