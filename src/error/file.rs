//! What can be wrong with files that are read, and with places that results go to.

use std::path::PathBuf;

/// Why a file cannot be used. Positions count bytes from the start of the file, elements from 0 in C order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// A folder, pipe or device where a file is needed.
    #[error("is {kind}; a regular file is needed: write it to disk first")]
    NotAFile {
        /// What it is: "a folder".
        kind: &'static str,
    },
    /// The file ends before what its header promises.
    #[error(
        "is truncated: it ends at byte {length} inside {inside}, {} bytes early; write or copy it again",
        needed - length
    )]
    Truncated {
        /// The part that is cut: "the header".
        inside: String,
        /// Bytes of the file.
        length: u64,
        /// Bytes it should have, at least.
        needed: u64,
    },
    /// The file goes on after what its header promises.
    #[error(
        "has {bytes} trailing bytes after {after}, from byte {from} on; write or copy it again"
    )]
    Trailing {
        /// The last part: "the data of shape (3, 4)".
        after: String,
        /// First byte too many.
        from: u64,
        /// Bytes too many.
        bytes: u64,
    },
    /// The file became shorter after it was opened.
    #[error(
        "ends at byte {length}, but had {was} bytes when it was opened: something shortened it while it was \
         read; run again when it is no longer being written"
    )]
    Shortened {
        /// Where it ends now.
        length: u64,
        /// Bytes it had.
        was: u64,
    },
    /// The file was written to, or another one was put in its place, while it was read.
    #[error(
        "was changed while it was read, so nothing was written; run again when it is no longer being written"
    )]
    Changed,
    /// The bytes do not follow the format.
    #[error("{}{what}", at.map_or_else(String::new, |at| format!("at byte {at}: ")))]
    Malformed {
        /// First byte at fault, where known.
        at: Option<u64>,
        /// What is wrong and what to do.
        what: String,
    },
    /// An element has a value that is not allowed.
    #[error("element {index}{}: {what}", at.map_or_else(String::new, |at| format!(" (byte {at})")))]
    Element {
        /// Which one.
        index: u64,
        /// Its first byte, where known.
        at: Option<u64>,
        /// What is wrong and what to do.
        what: String,
    },
    /// Another number of elements than needed.
    #[error("has {got} {what} for {expected} samples; give the {what} of exactly these samples")]
    Count {
        /// What is counted: "labels".
        what: &'static str,
        /// Elements needed.
        expected: u64,
        /// Elements in the file.
        got: u64,
    },
    /// Sound, but something else than is needed.
    #[error("{what}")]
    Unsuitable {
        /// What it holds and what to do.
        what: String,
    },
    /// Two folders of activations hold a file of labels each.
    #[error("holds labels, and so does {}; name the one to use", other.display())]
    SecondLabels {
        /// The labels found first.
        other: PathBuf,
    },
}

impl FileProblem {
    /// Control characters become spaces: parts of a message may come from the file itself.
    pub(super) fn on_one_line(mut self) -> Self {
        if let Self::Malformed { what, .. }
        | Self::Element { what, .. }
        | Self::Unsuitable { what }
        | Self::Truncated { inside: what, .. }
        | Self::Trailing { after: what, .. } = &mut self
            && what.contains(char::is_control)
        {
            *what = what.replace(char::is_control, " ");
        }
        self
    }
}

/// Why results cannot be written to a file or folder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutputProblem {
    /// The file exists, and replacing it was not asked for.
    #[error("exists already; name another file, or ask to replace it")]
    Exists,
    /// The folder holds something, and replacing it was not asked for.
    #[error("exists and is not empty; name another folder, or ask to replace the results in it")]
    NotEmpty,
    /// The folder holds the units of a run that is not finished.
    #[error("holds a run that is not finished; resume it, or ask to replace it")]
    HoldsRun,
    /// The folder holds no run in units.
    #[error("holds no run in units; plan one, or name another folder")]
    NoRun,
    /// The folder holds a run that another version of the program planned.
    #[error(
        "holds a run that version {version} planned; finish it with that version, or plan again"
    )]
    OtherVersion {
        /// The version, or the schema where that is another.
        version: String,
    },
    /// The folder holds a run of other input or with other options.
    #[error("holds a run with {what} {was}, not {is}; give the same, or name another folder")]
    OtherRun {
        /// What differs: an option by its long name, or an input.
        what: String,
        /// As the run has it.
        was: String,
        /// As it is now.
        is: String,
    },
    /// The disk has too little room for a run.
    #[error(
        "needs about {needed} bytes for the run, but the disk has {free}; make room, name a folder on another disk, or measure a sample of the queries"
    )]
    NoRoom {
        /// Bytes of units and results, estimated.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Units of a run are missing or damaged.
    #[error("lacks {}", lacking(missing, damaged))]
    Units {
        /// Numbers of units that are not there, such as `3,17-19`; empty for none.
        missing: String,
        /// Numbers of units that are damaged.
        damaged: String,
    },
    /// The path is not a folder.
    #[error("is not a folder; name another one")]
    NotAFolder,
    /// The path cannot be a file.
    #[error("is not a file, and cannot become one; name another one")]
    NotAFile,
    /// The folder holds something that no run wrote, so that it is never replaced.
    #[error("holds '{}', which is not from an earlier run, so it is not replaced; name another folder, or move it away", holds.escape_debug())]
    Foreign {
        /// One of the files in it, with the folders on the way to it.
        holds: String,
    },
    /// Another run is writing into the folder or the file.
    #[error("is being written by another run; wait for it to end, or name another one")]
    InUse,
    /// The folder is or holds something that is read.
    #[error("holds the input {}, which would be replaced; name another folder", input.display())]
    HoldsInput {
        /// The input as it was named.
        input: PathBuf,
    },
    /// The folder lies in a folder that is read.
    #[error("lies in the input folder {}; name a folder outside of it", input.display())]
    InsideInput {
        /// The input as it was named.
        input: PathBuf,
    },
    /// The file is to lie in the folder that the results go to.
    #[error("lies in {}, the folder for the results; name a file outside of it", folder.display())]
    InsideOutput {
        /// The folder as it was named.
        folder: PathBuf,
    },
    /// The file to write is the one that is read.
    #[error("is the input itself; name another file")]
    IsInput,
    /// A name that leads out of the folder.
    #[error("'{}' is not a name inside an output folder", name.escape_debug())]
    BadName {
        /// The name.
        name: String,
    },
    /// An array that is too large for a file.
    #[error("shape {shape:?} is too large for a file")]
    TooLarge {
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The same file was to be written twice.
    #[error("output file {name} is written twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// The results were to be finished while a file was still open.
    #[error("was begun but not written to its end")]
    Unfinished,
    /// An array was finished before all of its elements were written.
    #[error("{written} of {expected} elements were written")]
    Incomplete {
        /// Elements written.
        written: u64,
        /// Elements of the array.
        expected: u64,
    },
}

/// Units that a run lacks, in words.
fn lacking(missing: &str, damaged: &str) -> String {
    let advice = "compute them, then merge";
    match (missing.is_empty(), damaged.is_empty()) {
        (false, true) => format!("units {missing}; {advice}"),
        (true, false) => format!("sound units {damaged}, which are damaged; {advice}"),
        _ => format!("units {missing}, and units {damaged} are damaged; {advice}"),
    }
}
