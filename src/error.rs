//! The library's error type. Every variant carries what went wrong as data: names, shapes, byte counts, paths.
//!
//! `Display` gives one complete line for programs that only print errors. It speaks of parameters by their
//! names in this library and of sizes in bytes. The command line and other front ends match on the variants
//! and say the same in their own words: with the names of options, with sizes in MiB, and with exit codes.

mod device;
mod file;
mod layer;
mod shape;
mod system;

pub use device::{DeviceAdvice, DeviceProblem, FoundAdapter};
pub use file::{FileProblem, OutputProblem};
pub use layer::{LayerProblem, NonFiniteValues};
pub use shape::Dim;
pub(crate) use shape::dims;
pub use system::SystemError;

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("{}: cannot {action}: {source}{}", path.display(), source.advice())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was attempted, as an infinitive that takes the path as its object: "read 512 bytes at byte
        /// 128 of".
        action: String,
        /// The system's reason.
        source: SystemError,
    },
    /// The neighbours of a run exceed the memory cap, and the folder for temporary files cannot take them.
    #[error(
        "{}: cannot {action}: {source}; make room in this folder, or allow more memory so that the \
         neighbours stay there", folder.display()
    )]
    Spill {
        /// Folder of the temporary file.
        folder: PathBuf,
        /// What was attempted, as an infinitive.
        action: String,
        /// The system's reason.
        source: SystemError,
    },
    /// A file's content is not what it claims to be, or not what is needed.
    #[error("{}: {problem}", path.display())]
    File {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// A file or folder for results cannot be used for them.
    #[error("{}: {problem}", path.display())]
    Output {
        /// File or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: OutputProblem,
    },
    /// A layer's activations cannot be measured as they are.
    #[error("{}: layer {layer}: {problem}", path.display())]
    LayerFile {
        /// File that holds the layer.
        path: PathBuf,
        /// Name of the layer.
        layer: String,
        /// What is wrong with it.
        problem: LayerProblem,
    },
    /// As [`Error::LayerFile`], for a layer in memory.
    #[error("layer {layer}: {problem}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// What is wrong with it.
        problem: LayerProblem,
    },
    /// An argument is out of its range, or contradicts another one.
    #[error("{name} is {got}, expected {expected}")]
    Argument {
        /// The parameter or field, such as `k`, `sigma` or `learning_rate`.
        name: &'static str,
        /// Its value.
        got: String,
        /// Which values are allowed, as a noun phrase without a full stop: "1 to 1024", "a positive number".
        expected: String,
    },
    /// A name that is not one of the choices.
    #[error("unknown {name} '{got}': use {choices}")]
    Unknown {
        /// The parameter, such as `mode`.
        name: &'static str,
        /// The name given.
        got: String,
        /// The names there are: "channel or pixel".
        choices: &'static str,
    },
    /// An element of a list has a value that is not allowed.
    #[error("{name}[{index}] is {got}, expected {expected}")]
    Item {
        /// The parameter, such as `labels`.
        name: &'static str,
        /// The element.
        index: usize,
        /// Its value.
        got: String,
        /// Which values are allowed, as in [`Error::Argument`].
        expected: String,
    },
    /// An index or a range of indices lies outside what it selects from.
    #[error("{name} selects {}, outside 0..{len}", range(got))]
    OutOfRange {
        /// The parameter, such as `rows` or `channels`.
        name: &'static str,
        /// The indices asked for.
        got: Range<usize>,
        /// How many there are.
        len: usize,
    },
    /// An array has another shape than the operation takes.
    #[error("{name} has shape {got:?}, expected {}", shape::list(expected))]
    WrongShape {
        /// The parameter.
        name: &'static str,
        /// The shapes that are allowed.
        expected: Vec<Dim>,
        /// Its shape.
        got: Vec<usize>,
    },
    /// A list has another number of elements than its companions require.
    #[error("{name} has {got} elements, expected {expected}")]
    WrongLength {
        /// The parameter.
        name: &'static str,
        /// Elements that are needed.
        expected: usize,
        /// Its elements.
        got: usize,
    },
    /// The shapes of several arrays do not fit each other or the operation's parameters.
    #[error(
        "{operation}: the shapes {} do not fit: {reason}",
        shape::several(shapes)
    )]
    Mismatch {
        /// The operation, such as `conv2d`.
        operation: &'static str,
        /// The shapes of its operands.
        shapes: Vec<Vec<usize>>,
        /// Which condition they violate.
        reason: String,
    },
    /// An array has more elements than can be addressed.
    #[error("{name} of shape {shape:?} has more elements than can be addressed")]
    TooLarge {
        /// The array.
        name: &'static str,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// The memory cap is too small to work in.
    #[error("{what} takes at least {needed} bytes, and the memory cap is {cap} bytes: allow more")]
    Memory {
        /// What has to fit, as a noun phrase.
        what: String,
        /// Smallest cap that would do, bytes.
        needed: u64,
        /// The cap, bytes.
        cap: u64,
    },
    /// No adapter matches the one asked for.
    #[error("{}; use the CPU backend, or install a Vulkan driver", device::no_adapter(wanted.as_deref(), found))]
    NoAdapter {
        /// Name or index asked for; `None` where any real GPU would have done.
        wanted: Option<String>,
        /// Adapters found.
        found: Vec<FoundAdapter>,
    },
    /// The device failed while working, or lacks what the work needs.
    #[error("{device}: {problem}")]
    Device {
        /// Adapter or processor.
        device: String,
        /// What happened.
        problem: DeviceProblem,
    },
    /// A network is damaged, or uses something that is not supported.
    #[error("{}{}{what}", prefix(path.as_deref().map(Path::display)), prefix(node.as_ref()))]
    Network {
        /// File of the model; `None` where the network was built in memory.
        path: Option<PathBuf>,
        /// The node at fault; `None` where it is no node's.
        node: Option<Node>,
        /// What is wrong and what to do.
        what: String,
    },
    /// A network that multiplies two computed values has no linear form.
    #[error(
        "node '{node}' multiplies computed values, so the network has no linear form: measure it as it is"
    )]
    NonLinear {
        /// The node.
        node: String,
    },
    /// A network's input leaves its height or width open, and no data tell it.
    #[error(
        "{}: input '{input}' leaves dimension {dimension} open: name the size of the images, or export the \
         model with a fixed size", path.display()
    )]
    OpenSize {
        /// File of the model.
        path: PathBuf,
        /// The input.
        input: String,
        /// The dimension, the batch being 0.
        dimension: usize,
    },
    /// A network does not tell which axis of its input holds the channels.
    #[error(
        "the network does not tell which axis of its input {shape:?} holds the channels: name the layout"
    )]
    NoLayout {
        /// Shape of a sample; empty where it is open.
        shape: Vec<usize>,
    },
    /// Values are not finite, so that nothing can be computed from them.
    #[error("{what}{} not finite; {advice}", place(at))]
    NonFinite {
        /// The values, as in "the weights of layer 'conv1'".
        what: String,
        /// Index of the first of them along each axis; empty where it is unknown.
        at: Vec<usize>,
        /// What the caller can do about it.
        advice: &'static str,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An I/O error with its file and the attempted action, an infinitive.
    pub fn io(path: impl AsRef<Path>, action: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.as_ref().to_path_buf(),
            action: action.into(),
            source: source.into(),
        }
    }

    /// A file that is wrong in a way that [`FileProblem`] names.
    pub fn file(path: impl AsRef<Path>, problem: FileProblem) -> Self {
        Self::File {
            path: path.as_ref().to_path_buf(),
            problem: problem.on_one_line(),
        }
    }

    /// A file that is sound but holds something else than is needed: what it holds, and what to do.
    pub fn unsuitable(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::file(path, FileProblem::Unsuitable { what: what.into() })
    }

    /// A file whose bytes do not follow its format: the byte where known, what is wrong, and what to do.
    pub fn malformed(path: impl AsRef<Path>, at: Option<u64>, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::file(path, FileProblem::Malformed { at, what })
    }

    /// A file whose element `index` has a value that is not allowed: what is wrong, and what to do.
    pub fn element(path: impl AsRef<Path>, index: usize, what: impl Into<String>) -> Self {
        let (index, what) = (index as u64, what.into());
        let at = None;
        Self::file(path, FileProblem::Element { index, at, what })
    }

    /// A file or folder that cannot take results.
    pub fn output(path: impl AsRef<Path>, problem: OutputProblem) -> Self {
        Self::Output {
            path: path.as_ref().to_path_buf(),
            problem,
        }
    }

    /// A layer that cannot be measured; `path` is the layer's file, if there is one.
    pub fn layer(
        layer: impl Into<String>,
        path: Option<impl AsRef<Path>>,
        problem: LayerProblem,
    ) -> Self {
        let layer = layer.into();
        match path {
            Some(path) => Self::LayerFile {
                path: path.as_ref().to_path_buf(),
                layer,
                problem,
            },
            None => Self::Layer { layer, problem },
        }
    }

    /// An argument with its value and the values allowed: `Error::argument("k", 0, "1 to 1024")`.
    pub fn argument(name: &'static str, got: impl Display, expected: impl Into<String>) -> Self {
        Self::Argument {
            name,
            got: got.to_string(),
            expected: expected.into(),
        }
    }

    /// The system starts no further thread.
    pub(crate) fn no_thread(reason: std::io::Error) -> Self {
        Self::Device {
            device: "cpu".into(),
            problem: DeviceProblem::Threads {
                threads: 1,
                reason: reason.to_string(),
            },
        }
    }

    /// A name that is not one of the choices; control characters in it are escaped.
    pub fn unknown(name: &'static str, got: &str, choices: &'static str) -> Self {
        Self::Unknown {
            name,
            got: got.escape_debug().to_string(),
            choices,
        }
    }

    /// An element of a list with its value and the values allowed.
    pub fn item(
        name: &'static str,
        index: usize,
        got: impl Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Item {
            name,
            index,
            got: got.to_string(),
            expected: expected.into(),
        }
    }

    /// An array's shape, and the shape that is expected.
    pub fn wrong_shape(name: &'static str, expected: Vec<Dim>, got: &[usize]) -> Self {
        Self::WrongShape {
            name,
            expected,
            got: got.to_vec(),
        }
    }

    /// Shapes of operands that do not fit each other, and why.
    pub fn mismatch(
        operation: &'static str,
        shapes: &[&[usize]],
        reason: impl Into<String>,
    ) -> Self {
        Self::Mismatch {
            operation,
            shapes: shapes.iter().map(|s| s.to_vec()).collect(),
            reason: reason.into(),
        }
    }

    /// A network in memory that cannot be used: what is wrong, and what to do.
    pub fn network(what: impl Into<String>) -> Self {
        Self::Network {
            path: None,
            node: None,
            what: what.into(),
        }
    }
}

/// A node of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, or that of its output where it has none.
    pub name: String,
    /// Its operator, as in ONNX.
    pub operator: String,
}

impl Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node '{}' ({})", self.name, self.operator)
    }
}

/// `7`, or `3..9` where there are several or none.
fn range(got: &Range<usize>) -> String {
    match got.len() {
        1 => got.start.to_string(),
        _ => format!("{got:?}"),
    }
}

/// Text and a colon, or nothing.
fn prefix(text: Option<impl Display>) -> String {
    text.map_or_else(String::new, |text| format!("{text}: "))
}

/// ` at [0, 2] is`, or ` are` where the place is unknown.
fn place(at: &[usize]) -> String {
    match at {
        [] => " are".into(),
        at => format!(": the value at {at:?} is"),
    }
}
