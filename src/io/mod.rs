//! Files: a format a file. Knows no device.
//!
//! - [`source`]: the trait measures read from, and opening files and folders
//! - [`npy`], [`safetensors`], [`labels`]: formats, parsed strictly; files are hostile until proven sound
//! - [`names`]: layer names that are safe as file names
//! - [`array`]: layers in memory

pub mod array;
mod convert;
mod file;
pub mod labels;
pub mod names;
pub mod npy;
pub mod safetensors;
pub mod source;
mod stored;
