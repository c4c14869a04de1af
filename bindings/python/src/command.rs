//! The command `chanscope`, as the package installs it.

use crate::cli;
use pyo3::prelude::*;
use std::ffi::OsString;

/// Runs the command line with `arguments`, of which the first is the program, and returns its exit code.
#[pyfunction]
pub fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| cli::main(arguments))
}
