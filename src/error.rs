//! The one error type. Every message says what (file, device, option), where, and what to do.

use std::path::{Path, PathBuf};

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. One line each, ready to be shown to a user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was attempted, as an infinitive: "read 512 bytes at byte 128".
        action: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file's content is not what it claims or what is needed. `what` also says where and what to do.
    #[error("{}: {what}", path.display())]
    Data {
        /// File.
        path: PathBuf,
        /// What is wrong, where (byte, element, channel) and what to do.
        what: String,
    },
    /// A parameter is out of its range, or parameters contradict each other (exit code 2).
    #[error("{0}")]
    Usage(String),
    /// Arrays whose shapes do not fit each other or the operation.
    #[error("{0}")]
    Shape(String),
    /// The memory cap is too small to work in.
    #[error("--memory {cap} is too small for {what}: at least {needed} is needed")]
    Memory {
        /// What has to fit.
        what: String,
        /// Bytes needed, formatted.
        needed: String,
        /// The cap, formatted.
        cap: String,
    },
    /// No adapter matches the one asked for.
    #[error(
        "no GPU adapter {wanted}; found: {found}; use --device cpu, or install a Vulkan driver"
    )]
    NoAdapter {
        /// What was asked for: "for --device gpu", "named 'x'".
        wanted: String,
        /// Adapters found, comma-separated, or "none".
        found: String,
    },
    /// The device failed while working: out of memory, lost, refused a kernel.
    #[error("{device}: {what}")]
    Device {
        /// Adapter name.
        device: String,
        /// What happened and what to do.
        what: String,
    },
    /// A model uses something that is not supported; names the node.
    #[error("{0}")]
    Model(String),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An I/O error with its file and the attempted action.
    pub fn io(path: impl AsRef<Path>, action: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.as_ref().to_path_buf(),
            action: action.into(),
            source,
        }
    }

    /// A file with wrong content. What the file says of itself may be part of `what`: it stays one line.
    pub fn data(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::Data {
            path: path.as_ref().to_path_buf(),
            what: what.into().replace(char::is_control, " "),
        }
    }

    /// Exit code of the command line: 2 for wrong usage, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}
