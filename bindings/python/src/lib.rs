//! The extension module `chanscope._chanscope`: the library's functions for the Python package beside it.
//!
//! Everything that users see is written in Python, in `chanscope/`; here are the calls that need Rust.

use pyo3::prelude::*;

// The package installs the command, which is compiled here as it is into the binary. Of it the binary alone takes the
// allocator.
#[allow(dead_code)]
#[path = "../../../src/cli/mod.rs"]
mod cli;

mod command;

/// The functions and classes of the module.
#[pymodule(gil_used = false)]
fn _chanscope(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(command::command, module)?)?;
    Ok(())
}
