//! The extension module `chanscope._chanscope`: the library's functions for the Python package beside it.
//!
//! Everything that users see is written in Python, in `chanscope/`; here are the calls that need Rust. A call takes its
//! layers from `input` (`memory` are arrays, `dlpack` those of other libraries, `rows` what is read in blocks), runs on a
//! thread of its own (`call`) with a device that is kept for the process (`engine`), and returns arrays (`output`).
//! `error` makes exceptions of the library's errors, `regularizer` and `narrow` work on PyTorch's tensors.

use pyo3::prelude::*;

// The package installs the command, which is compiled here as it is into the binary. Of it the binary alone takes the
// allocator.
#[allow(dead_code)]
#[path = "../../../src/cli/mod.rs"]
mod cli;

mod ablate;
mod call;
mod command;
mod compare;
mod dlpack;
mod engine;
mod error;
mod filters;
mod graph;
mod input;
mod inspect;
mod layers;
mod memory;
mod narrow;
mod network;
mod output;
mod rank;
mod redundancy;
mod regularizer;
mod rows;
mod units;

/// The functions and classes of the module.
#[pymodule(gil_used = false)]
fn _chanscope(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // An exception tells that a device is lost; the panic that the library catches need not be printed too.
    chanscope::gpu::hush_losses();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<input::Input>()?;
    module.add_class::<output::Block>()?;
    module.add_class::<output::Found>()?;
    module.add_class::<regularizer::Regularizer>()?;
    module.add_function(wrap_pyfunction!(ablate::ablate, module)?)?;
    module.add_function(wrap_pyfunction!(call::abandon_outputs, module)?)?;
    module.add_function(wrap_pyfunction!(command::command, module)?)?;
    module.add_function(wrap_pyfunction!(engine::forked, module)?)?;
    module.add_function(wrap_pyfunction!(filters::filters, module)?)?;
    module.add_function(wrap_pyfunction!(filters::filters_name, module)?)?;
    module.add_function(wrap_pyfunction!(graph::graph, module)?)?;
    module.add_function(wrap_pyfunction!(input::layer_name, module)?)?;
    module.add_function(wrap_pyfunction!(inspect::devices, module)?)?;
    module.add_function(wrap_pyfunction!(inspect::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(narrow::narrow, module)?)?;
    module.add_function(wrap_pyfunction!(network::impulse, module)?)?;
    module.add_function(wrap_pyfunction!(network::run, module)?)?;
    module.add_function(wrap_pyfunction!(network::shuffle, module)?)?;
    module.add_function(wrap_pyfunction!(output::write_folder, module)?)?;
    module.add_function(wrap_pyfunction!(output::write_report, module)?)?;
    module.add_function(wrap_pyfunction!(rank::rank, module)?)?;
    module.add_function(wrap_pyfunction!(compare::compare, module)?)?;
    module.add_function(wrap_pyfunction!(redundancy::redundancy, module)?)?;
    module.add_function(wrap_pyfunction!(regularizer::minimize_filters, module)?)?;
    module.add_function(wrap_pyfunction!(units::merge, module)?)?;
    module.add_function(wrap_pyfunction!(units::plan, module)?)?;
    module.add_function(wrap_pyfunction!(units::resume, module)?)?;
    module.add_function(wrap_pyfunction!(units::status, module)?)?;
    module.add_function(wrap_pyfunction!(units::work, module)?)?;
    Ok(())
}
