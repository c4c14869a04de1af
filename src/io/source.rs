//! What a measure reads from: layers of activations, in blocks of rows.

use super::names::Namer;
use super::{npy, safetensors};
use crate::tensor::{DType, LayerShape};
use crate::{Error, Result};
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One layer of activations `A[N, C, H, W]`, in a file or in memory.
///
/// Values come out as `f32` whatever the stored type; a stored finite value that `f32` cannot hold
/// comes out as an infinity and is reported like one.
pub trait Layer: Send + Sync {
    /// Name of the layer: file stem or tensor key.
    fn name(&self) -> &str;
    /// Shape; 2-D input is one channel.
    fn shape(&self) -> LayerShape;
    /// Stored element type.
    fn dtype(&self) -> DType;
    /// Reads samples `rows` of `channels` into `out`, channel-major `[channels, rows, H * W]`.
    fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()>;
    /// Reads samples `rows` of `channels` into `out`, sample-major `[rows, channels, H * W]`.
    fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()>;
    /// The file it lies in, if any.
    fn path(&self) -> Option<&Path> {
        None
    }
    /// Whether stored numbers have their most significant byte first.
    fn big_endian(&self) -> bool {
        false
    }
}

macro_rules! pass_on {
    ($($holder:ty),*) => {$(
        impl<L: Layer + ?Sized> Layer for $holder {
            fn name(&self) -> &str {
                (**self).name()
            }
            fn shape(&self) -> LayerShape {
                (**self).shape()
            }
            fn dtype(&self) -> DType {
                (**self).dtype()
            }
            fn read_channels(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
                (**self).read_channels(rows, channels, out)
            }
            fn read_rows(&self, rows: Range<usize>, channels: &[usize], out: &mut [f32]) -> Result<()> {
                (**self).read_rows(rows, channels, out)
            }
            fn path(&self) -> Option<&Path> {
                (**self).path()
            }
            fn big_endian(&self) -> bool {
                (**self).big_endian()
            }
        }
    )*};
}
pass_on!(&L, Box<L>);

/// Layers, and the labels that lay beside them.
pub struct Dump {
    /// In the order of the arguments; within a folder sorted by file name, within a file by key. Names are
    /// unique and safe as file names.
    pub layers: Vec<Box<dyn Layer>>,
    /// `labels.npy` of a folder.
    pub labels: Option<PathBuf>,
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
/// [`Error::Usage`] without paths; [`Error::Io`]; [`Error::Data`] for a file that is not sound or not of a
/// known format, a folder without any, and two folders that both bring labels.
pub fn open(paths: &[impl AsRef<Path>]) -> Result<Dump> {
    if paths.is_empty() {
        return Err(Error::Usage(
            "no activations given; name .npy or .safetensors files, or a folder of them".into(),
        ));
    }
    let mut dump = Dump {
        layers: Vec::new(),
        labels: None,
    };
    let mut namer = Namer::new();
    for path in paths.iter().map(AsRef::as_ref) {
        let meta = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
        if !meta.is_dir() {
            open_file(path, &mut namer, &mut dump.layers)?;
            continue;
        }
        let (files, labels) = list(path)?;
        for file in &files {
            open_file(file, &mut namer, &mut dump.layers)?;
        }
        if let (Some(first), Some(second)) = (&dump.labels, &labels) {
            return Err(Error::data(
                second,
                format!(
                    "{} holds labels too; say which to use with --labels",
                    first.display()
                ),
            ));
        }
        dump.labels = dump.labels.or(labels);
    }
    Ok(dump)
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
        return Err(Error::data(
            folder,
            "no .npy or .safetensors file directly in this folder; name the folder of the dump",
        ));
    }
    files.sort();
    Ok((files, labels))
}

/// Formats, by extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Npy,
    Safetensors,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
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

fn open_file(path: &Path, namer: &mut Namer, layers: &mut Vec<Box<dyn Layer>>) -> Result<()> {
    match Format::of(path) {
        Some(Format::Npy) => {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            layers.push(npy::open(path, &namer.name(&stem))?);
            Ok(())
        }
        Some(Format::Safetensors) => safetensors::open(path, namer, layers),
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
            Err(Error::data(path, format!("unknown format; {hint}")))
        }
    }
}

/// Checks what a caller asks a layer for.
pub(crate) fn check_request(
    shape: LayerShape,
    rows: &Range<usize>,
    channels: &[usize],
    out: usize,
) -> Result<()> {
    if rows.start > rows.end || rows.end > shape.samples {
        return Err(Error::Shape(format!(
            "samples {rows:?} asked for, the layer has {}",
            shape.samples
        )));
    }
    if let Some(c) = channels.iter().find(|&&c| c >= shape.channels) {
        return Err(Error::Shape(format!(
            "channel {c} asked for, the layer has {} (the first is 0)",
            shape.channels
        )));
    }
    let needed = rows
        .len()
        .checked_mul(channels.len())
        .and_then(|n| n.checked_mul(shape.dim()));
    if needed != Some(out) {
        return Err(Error::Shape(format!(
            "room for {out} numbers given, {} samples of {} channels need {needed:?}",
            rows.len(),
            channels.len()
        )));
    }
    Ok(())
}
