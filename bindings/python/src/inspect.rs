//! `inspect` and `devices`: what there is to measure, and to compute on.

use crate::call::{Settings, long};
use crate::cli::devices::document;
use crate::cli::inspect::entry::entry;
use crate::error::message;
use crate::input::Input;
use chanscope::io::scan::scan;
use chanscope::measure::RedundancyOptions;
use chanscope::measure::redundancy::estimate;
use pyo3::prelude::*;
use std::sync::Arc;

/// The run that is to be estimated, if one is.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Arguments {
    k: usize,
    queries: Option<usize>,
    baselines: bool,
    estimate: bool,
}

/// What is in the layers, and what a run would need: a JSON document for each, as `chanscope inspect --json` has it.
#[pyfunction]
pub fn inspect(
    py: Python<'_>,
    input: &Input,
    arguments: Arguments,
    settings: Settings,
) -> PyResult<Vec<String>> {
    let layers = input.collected().layers.clone();
    let mut options = RedundancyOptions::default()
        .with_queries(arguments.queries)
        .with_baselines(arguments.baselines);
    options.graph.k = arguments.k;
    let found = long(py, settings, move |ctx| {
        let mut found = Vec::new();
        for layer in layers.iter().map(Arc::as_ref) {
            let channels: Vec<usize> = (0..layer.shape().channels).collect();
            let values = scan(layer, &channels, ctx.memory(), ctx.control())?;
            ctx.control().check()?;
            let need = arguments.estimate.then(|| match layer.shape().samples {
                1 => Err("a single sample has no neighbours; at least 2 are needed".into()),
                _ => estimate(ctx, layer, &options).map_err(|e| message(&e)),
            });
            let beyond_f32 = values.beyond_f32(layer)?;
            found.push(entry(layer, &values, beyond_f32, need.as_ref()).to_string());
        }
        Ok(found)
    });
    found.map_err(|e| input.blame(e))
}

/// The CPU and all adapters: a JSON document for each, as `chanscope devices --json` has it.
#[pyfunction]
pub fn devices(py: Python<'_>, threads: usize, settings: Settings) -> PyResult<Vec<String>> {
    long(py, settings, move |ctx| {
        let threads = match threads {
            0 => ctx.threads(),
            threads => threads,
        };
        Ok(document(threads)?.iter().map(ToString::to_string).collect())
    })
}
