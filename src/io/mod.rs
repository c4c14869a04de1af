//! Files: a format a file. Knows no device.
//!
//! - [`layer`]: the trait that measures read through, one layer `A[N, C, H, W]` in blocks of samples
//! - [`open`]: opens files and folders and tells their formats; the only file besides [`fingerprint`] that
//!   knows them all
//! - [`npy`], [`safetensors`], [`labels`]: formats, parsed strictly; files are hostile until proven sound
//! - `stored`: what the formats have in common, numbers in one piece of a file; `file` reads bytes at an
//!   offset, `convert` turns stored elements into `f32`, `fs` makes the system calls
//! - [`mod@array`], [`kept`]: layers in memory, layers without some of their samples
//! - [`scan`]: one pass over a layer that counts NaN, infinities and zeros
//! - [`names`], [`size`], [`fingerprint`]: layer names safe as file names, sizes as people write them, what
//!   identifies an input
//! - [`foreign`]: formats that are not read, and how to convert them
//! - [`whole`]: small files read whole
//! - [`parts`]: folders that appear whole by one rename, with checksums: what a long run keeps of its work
//! - [`sink`]: output folders and arrays, whole or not at all
//! - [`spill`]: supports of a layer, in memory while they fit
//! - [`supports`]: supports of a layer as results of a run keep them
//!
//! On the way in, `open` asks a format's module for layers; each is a `Stored`, which reads through `file`
//! and `convert` whenever a measure asks the trait for samples. On the way out, a measure writes through
//! [`sink`]: nothing is seen in the output folder until everything is written.

pub mod array;
mod convert;
pub(crate) mod file;
pub mod fingerprint;
pub mod foreign;
pub(crate) mod fs;
pub mod kept;
pub mod labels;
pub mod layer;
pub mod names;
pub mod npy;
pub mod open;
pub mod parts;
pub mod safetensors;
pub mod scan;
pub mod sink;
pub mod size;
pub mod spill;
mod stored;
pub mod supports;
pub mod whole;
