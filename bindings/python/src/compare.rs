//! `compare`: which channels of finished runs pick the same neighbours.

use crate::call::{Settings, long, still_wanted};
use crate::output::{Finished, Found};
use chanscope::report::finished::ComparedRuns;
use chanscope::report::folder::ResultsFolder;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};

/// Compares the first of the runs in these folders with each of the others.
#[pyfunction]
#[pyo3(signature = (folders, settings))]
pub fn compare(py: Python<'_>, folders: Vec<PathBuf>, settings: Settings) -> PyResult<Found> {
    let target = settings.target();
    let found = long(py, settings, move |ctx| {
        let runs = ComparedRuns::open(&folders, ctx.memory())?;
        let inputs: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let folder = ResultsFolder::begin(target.output(&inputs)?, "compare");
        let ctx = ctx.clone().with_scratch(folder.scratch());
        folder.compare(&ctx, &runs)?;
        still_wanted(&ctx)?;
        Ok(Finished::of(folder, &target, true)?)
    });
    found?.into_found(py)
}
