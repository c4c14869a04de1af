//! Files: a format a file. Knows no device.
//!
//! - [`source`]: the trait measures read from, and opening files and folders
//! - [`npy`], [`safetensors`], [`labels`]: formats, parsed strictly; files are hostile until proven sound
//! - [`mod@array`], [`kept`]: layers in memory, layers without some of their samples
//! - [`scan`]: one pass over a layer that counts NaN, infinities and zeros
//! - [`names`], [`size`], [`fingerprint`]: layer names safe as file names, sizes as people write them, what
//!   identifies an input
//! - [`sink`]: output folders and arrays, whole or not at all
//! - [`spill`]: supports of a layer, in memory while they fit

pub mod array;
mod convert;
mod file;
pub mod fingerprint;
pub mod kept;
pub mod labels;
pub mod names;
pub mod npy;
pub mod safetensors;
pub mod scan;
pub mod sink;
pub mod size;
pub mod source;
pub mod spill;
mod stored;
