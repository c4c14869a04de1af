//! Parts of a long run: folders that appear whole by one rename, and say what is in them.
//!
//! A part is written into a hidden folder beside its place. Its files are synced, the marker [`MARKER`] is written last,
//! and the folder is renamed to its place. So a part is there completely or not at all, whatever ends the process. Any
//! number of processes may write the same part: the first rename counts, and the others find it done. The marker names
//! the run that the part belongs to and every file with its length and checksums, so that a part that was damaged later
//! is told from a sound one.
//!
//! A file may consist of pieces with a checksum each: a reader that needs one of them checks that one.
//!
//! `write` makes parts, `read` finds, checks and reads them.

mod read;
mod write;

pub use read::{Depth, Done, State, look};
pub use write::{Part, PartFile};

use serde::{Deserialize, Serialize};

/// Name of the file that a part's folder holds besides what was put into it.
pub const MARKER: &str = "done.json";

/// What a part says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// The run that the part belongs to.
    pub run: String,
    /// Name of the part.
    pub part: String,
    /// Files, in the order in which they were written.
    pub files: Vec<FileRecord>,
    /// What else the writer wants to say.
    pub about: serde_json::Value,
}

/// A file of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name.
    pub name: String,
    /// What it consists of, one piece after the other.
    pub pieces: Vec<Piece>,
}

/// Consecutive bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// How many.
    pub bytes: u64,
    /// Their BLAKE3 hash, 64 hexadecimal digits.
    pub blake3: String,
}

impl FileRecord {
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        total(&self.pieces)
    }
}

/// Bytes of all pieces; the largest number where a damaged marker claims more, which no file has.
fn total(pieces: &[Piece]) -> u64 {
    pieces.iter().fold(0, |all, p| all.saturating_add(p.bytes))
}
