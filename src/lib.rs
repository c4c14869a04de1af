//! chanscope measures how redundant the channels of a convolutional network are.
#![deny(missing_docs)]

pub mod control;
pub mod cpu;
pub mod device;
mod error;
pub mod gpu;
pub mod io;
pub mod measure;
pub mod model;
pub mod report;
pub mod stream;
pub mod tensor;

pub use error::{Error, Result};
