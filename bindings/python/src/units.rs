//! A redundancy run in units, over processes or machines: `plan`, `work`, `status`, `merge`, and runs that are resumed.

use crate::call::{Settings, Target, long, still_wanted};
use crate::error::{raised, usage};
use crate::redundancy::{Arguments, GraphArguments, options};
use chanscope::Result;
use chanscope::io::sink::Output;
use chanscope::measure::Context;
use chanscope::units::{
    self, Earlier, Request, Selection, Share, Stage, earlier, merge_into, plan_in,
};
use pyo3::prelude::*;
use std::path::{Path, PathBuf};

/// Seconds of a unit of a run that can be resumed.
const UNIT: f64 = 30.0;

/// What to measure, in files.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Files {
    dumps: Vec<PathBuf>,
    labels: Option<PathBuf>,
    images: Option<PathBuf>,
    /// The bandwidth as the user wrote it.
    sigma: String,
}

/// The run that Python's arguments ask for.
fn request(
    py: Python<'_>,
    files: Files,
    graph: &GraphArguments,
    arguments: &Arguments,
) -> PyResult<Request> {
    let mut request = Request::new(files.dumps, options(py, graph, arguments)?);
    request.labels = files.labels;
    request.images = files.images;
    request.save_graph = arguments.save_graph;
    request.supports = arguments.supports;
    request.skip_unreadable = arguments.skip_unreadable;
    request
        .as_written
        .insert("sigma".into(), files.sigma.into());
    Ok(request)
}

/// The folder that is always given.
fn folder(py: Python<'_>, target: &Target) -> PyResult<PathBuf> {
    let out = target.out.clone();
    out.ok_or_else(|| usage(py, "a folder out= is needed"))
}

/// Plans a run: its hash, units, units of graphs, and estimated seconds.
#[pyfunction]
pub fn plan(
    py: Python<'_>,
    files: Files,
    graph: GraphArguments,
    arguments: Arguments,
    units: usize,
    settings: Settings,
) -> PyResult<(String, usize, usize, f64)> {
    let request = request(py, files, &graph, &arguments)?;
    let target = settings.target();
    let folder = folder(py, &target)?;
    let made = long(py, settings, move |ctx| {
        Ok(units::plan(ctx, &request, &folder, target.force, units)?)
    })?;
    let seconds = made.units.iter().filter_map(|u| u.seconds).sum();
    let graphs = made.stage(Stage::Graphs).count();
    Ok((made.hash, made.units.len(), graphs, seconds))
}

/// Computes units of the planned run in the folder: those that were computed, that were done before, and that overlaps
/// wait for.
#[pyfunction]
#[pyo3(signature = (stage, shard, unit, settings))]
pub fn work(
    py: Python<'_>,
    stage: Option<&str>,
    shard: Option<(usize, usize)>,
    unit: Option<Vec<usize>>,
    settings: Settings,
) -> PyResult<(Vec<usize>, Vec<usize>, Vec<usize>)> {
    let stage = match stage {
        None => None,
        Some("graphs") => Some(Stage::Graphs),
        Some("overlap") => Some(Stage::Overlap),
        Some(other) => {
            return Err(crate::redundancy::unknown(
                py,
                "stage",
                other,
                "graphs or overlap",
            ));
        }
    };
    let share = match (shard, unit) {
        (Some((index, count)), _) => Share::Shard { index, count },
        (None, Some(units)) => Share::Units(units),
        (None, None) => Share::All,
    };
    let folder = folder(py, &settings.target())?;
    let selection = Selection { stage, share };
    let worked = long(py, settings, move |ctx| {
        Ok(units::work(ctx, &folder, &selection)?)
    })?;
    Ok((worked.computed, worked.skipped, worked.waiting_for))
}

/// How far the run in a folder is, as `chanscope status --json` says it.
#[pyfunction]
pub fn status(py: Python<'_>, folder: PathBuf) -> PyResult<String> {
    let found = py.detach(|| units::status(&folder));
    let found = found.map_err(|e| raised(py, &e))?;
    serde_json::to_string(&found).map_err(|e| usage(py, e.to_string()))
}

/// Puts the results of the run in the folder together.
#[pyfunction]
pub fn merge(py: Python<'_>, keep_units: bool, settings: Settings) -> PyResult<()> {
    let folder = folder(py, &settings.target())?;
    long(py, settings, move |ctx| {
        still_wanted(ctx)?;
        units::merge_within(&folder, keep_units, ctx.memory())?;
        Ok(())
    })
}

/// Goes on with the run that the folder holds, or begins it in units.
#[pyfunction]
pub fn resume(
    py: Python<'_>,
    files: Files,
    graph: GraphArguments,
    arguments: Arguments,
    settings: Settings,
) -> PyResult<()> {
    let request = request(py, files, &graph, &arguments)?;
    let target = settings.target();
    let folder = folder(py, &target)?;
    long(py, settings, move |ctx| {
        let inputs: Vec<&Path> = (request.dumps.iter())
            .chain(&request.labels)
            .chain(&request.images)
            .map(PathBuf::as_path)
            .collect();
        let output = match earlier(ctx, &request, &folder)? {
            Earlier::Finished => return Ok(()),
            Earlier::Begun => Output::resume(&folder, &inputs)?,
            Earlier::Nothing => {
                let output = target.output(&inputs)?;
                plan_in(ctx, &request, &output, count(ctx, &request)?)?;
                output
            }
        };
        let ctx = ctx.clone().with_scratch(output.scratch());
        units::work(&ctx, &folder, &Selection::default())?;
        still_wanted(&ctx)?;
        merge_into(output, false, ctx.memory())?;
        Ok(())
    })
}

/// How many units a run is cut into.
fn count(ctx: &Context<'_>, request: &Request) -> Result<usize> {
    let dump = chanscope::io::open::open_dump_with(
        &request.dumps,
        crate::cli::samples::unreadable(request.skip_unreadable),
    )?;
    let mut seconds = 0.0;
    for layer in &dump.layers {
        let layer = layer.as_ref();
        seconds += chanscope::measure::redundancy::estimate(ctx, layer, &request.options)?.seconds;
    }
    Ok((seconds / UNIT).ceil().max(1.0) as usize)
}
