//! Output folders that are whole or not there at all.
//!
//! A run makes its results in a folder of their own, beside the output folder, syncs them, and exchanges the two folders
//! in one step. Before that step the output folder is as it was, whatever ends the run; after it the new results are
//! there. Only then are the earlier results removed. Where folders cannot be exchanged (a mount point, an operating system
//! or file system that does not offer it), the new files are moved in one by one under a journal, which the next run
//! completes if this one is interrupted.
//!
//! A run holds a lock from its beginning to its end, so that no second one writes into the same folder, and a later run
//! knows what a killed one left and removes it. It refuses a folder that holds anything no run wrote.
//!
//! `output` is the folder as its writers see it and `array` the `.npy` files in it, filled in any order; `files` lists
//! what was begun and what is done. `folder` takes an output folder and finishes it: `place` finds it and the place
//! beside it, `lock` keeps others out, `held` says what is in it, `units` which files of units a run wrote, and `publish`
//! puts the new results in its place.
//! `memory` holds an output that becomes no folder. `write` writes single files in the same way. `live` cleans up when the process ends by a signal.

mod array;
mod files;
mod folder;
mod held;
mod live;
mod lock;
mod memory;
mod names;
mod output;
mod place;
mod publish;
mod units;
mod write;

pub use array::{ArrayWriter, NpyElement};
pub use folder::Claim;
pub(in crate::io) use live::CleanUp;
pub use live::{abandon, abandon_unlocked};
pub use memory::HeldArray;
pub use output::Output;
pub use units::{Copied, PLAN, UNITS, copy_name, copy_names, remove_unit};
pub use write::{RESULTS, check_file, write_file};
