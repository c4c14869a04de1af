//! Which units are done.

use super::plan::{Plan, Stage};
use crate::Result;
use crate::io::parts::{Depth, Done, State, look};
use crate::io::sink::{PLAN, RESULTS, UNITS};
use crate::io::size::available_memory;
use serde::Serialize;
use std::path::Path;

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether the results are there, and no unit is left to compute.
    pub finished: bool,
    /// Units of the run; 0 when it is finished and its units are removed.
    pub units: usize,
    /// Units of graphs, the first ones; the others are of overlaps.
    pub graphs: usize,
    /// Units that are done.
    pub done: Vec<usize>,
    /// Units that are not there.
    pub missing: Vec<usize>,
    /// Units that are there but damaged.
    pub damaged: Vec<Damage>,
    /// Missing and damaged units as a list such as `3,17-19`, which Slurm takes as an array.
    pub array: String,
}

/// A damaged unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Its number.
    pub unit: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Looks at every byte of every unit of the run in `folder`.
///
/// # Errors
/// [`crate::Error::Output`] where it holds no run of this version; [`crate::Error::Io`].
pub fn status(folder: &Path) -> Result<Status> {
    status_within(folder, available_memory())
}

/// As [`status`], in about `memory` bytes.
///
/// # Errors
/// As [`status`]; [`crate::Error::Memory`] where the plan takes more.
pub fn status_within(folder: &Path, memory: u64) -> Result<Status> {
    if !folder.join(PLAN).is_file() && folder.join(RESULTS).is_file() {
        return Ok(Status {
            finished: true,
            units: 0,
            graphs: 0,
            done: Vec::new(),
            missing: Vec::new(),
            damaged: Vec::new(),
            array: String::new(),
        });
    }
    let plan = Plan::read(folder, memory)?;
    Ok(survey_units(&plan, folder)?.0)
}

/// The status, and what is done in the order of the units.
pub(super) fn survey_units(plan: &Plan, folder: &Path) -> Result<(Status, Vec<Done>)> {
    let units = folder.join(UNITS);
    let mut status = Status {
        finished: false,
        units: plan.units.len(),
        graphs: plan.stage(Stage::Graphs).count(),
        done: Vec::new(),
        missing: Vec::new(),
        damaged: Vec::new(),
        array: String::new(),
    };
    let mut found = Vec::new();
    for unit in &plan.units {
        match look(&units, &unit.name(), &plan.hash, Depth::Contents)? {
            State::Done(done) => {
                status.done.push(unit.unit);
                found.push(done);
            }
            State::Missing => status.missing.push(unit.unit),
            State::Damaged(reason) => status.damaged.push(Damage {
                unit: unit.unit,
                reason,
            }),
        }
    }
    let damaged = status.damaged.iter().map(|d| d.unit);
    let mut open: Vec<usize> = status.missing.iter().copied().chain(damaged).collect();
    open.sort_unstable();
    status.array = number_list(&open);
    // With `--keep-units` both stand side by side.
    status.finished = open.is_empty() && folder.join(RESULTS).is_file();
    Ok((status, found))
}

/// Ascending numbers as a list such as `3,17-19`.
pub fn number_list(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|&a, &b| b == a + 1).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        [one] => one.to_string(),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}
