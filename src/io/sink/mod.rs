//! Output folders that are whole or not there at all.
//!
//! Everything is written to a hidden folder inside the output folder, synced, and moved to its place at the
//! end, `results.json` last. Whatever ends a run before that, the output folder is as it was. The hidden
//! folder is inside, not beside, so that a mounted folder works and moving never crosses a file system.
//!
//! `output` is the folder as its writers see it and `array` the `.npy` files in it, filled in any order;
//! `files` lists what was begun and what is done; `folder` and `replace` move the finished files to their
//! place and take them back when that fails; `write` writes single files the same way.

mod array;
mod files;
mod folder;
mod output;
mod replace;
mod write;

pub(crate) use array::write_all_at;
pub use array::{ArrayWriter, NpyElement};
pub use output::Output;
pub use write::{RESULTS, write_file};
