//! Whether a folder holds the run that is asked for, finished or not.

use super::input::{Data, Request};
use super::plan::Plan;
use crate::error::OutputProblem;
use crate::io::parts::{Depth, State, look};
use crate::io::sink::{PLAN, RESULTS, UNITS};
use crate::io::whole::read_json;
use crate::measure::Context;
use crate::report::results::{DeviceRecord, Input, Results};
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;

/// Parameters that change no result, and may differ when a run is resumed.
const WITHOUT_EFFECT: [&str; 2] = ["memory", "threads"];

/// What a folder holds of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing.
    Nothing,
    /// Its plan, and perhaps some of its units.
    Begun,
    /// Its results.
    Finished,
}

/// Looks whether `folder` holds the run that is asked for.
///
/// # Errors
/// [`Error::Output`] where it holds another run, with what differs, or a run that another version planned; as opening the
/// input.
pub fn earlier(ctx: &Context<'_>, request: &Request, folder: &Path) -> Result<Earlier> {
    let begun = folder.join(PLAN).is_file();
    let results = folder.join(RESULTS);
    if !begun && !results.is_file() {
        return Ok(Earlier::Nothing);
    }
    let data = Data::open(request)?;
    let parameters = request.parameters(ctx);
    if begun {
        let plan = Plan::read(folder, ctx.memory())?;
        compare(
            folder,
            &plan.parameters,
            &parameters,
            &plan.input,
            &data.input,
        )?;
        // With the units kept, the plan stands beside the results.
        let merged = results.is_file()
            && all_done(&plan, folder)?
            && compare_results(folder, ctx.memory(), &parameters, &data.input).is_ok();
        return Ok(match merged {
            true => Earlier::Finished,
            false => Earlier::Begun,
        });
    }
    compare_results(folder, ctx.memory(), &parameters, &data.input)?;
    Ok(Earlier::Finished)
}

/// Refuses a folder whose results are of another run.
fn compare_results(
    folder: &Path,
    memory: u64,
    parameters: &Map<String, Value>,
    input: &[Input],
) -> Result<()> {
    let path = folder.join(RESULTS);
    let found = Results::from_json(&path, &read_json(&path, memory)?)?;
    let differs = |what: &str, was: &str, is: &str| {
        let (what, was, is) = (what.into(), was.into(), is.into());
        Err(Error::output(
            folder,
            OutputProblem::OtherRun { what, was, is },
        ))
    };
    if found.command != "redundancy" {
        return differs("the command", &found.command, "redundancy");
    }
    if found.version != env!("CARGO_PKG_VERSION") {
        return differs("the version", &found.version, env!("CARGO_PKG_VERSION"));
    }
    compare(folder, &found.parameters, parameters, &found.input, input)
}

/// Whether all units are there.
fn all_done(plan: &Plan, folder: &Path) -> Result<bool> {
    let units = folder.join(UNITS);
    for unit in &plan.units {
        let found = look(&units, &unit.name(), &plan.hash, Depth::Lengths)?;
        if !matches!(found, State::Done(_)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses parameters and input that are not those of the run in the folder.
fn compare(
    folder: &Path,
    was: &Map<String, Value>,
    is: &Map<String, Value>,
    input: &[Input],
    now: &[Input],
) -> Result<()> {
    let differs = |what: &str, was: String, is: String| {
        let what = what.to_string();
        Err(Error::output(
            folder,
            OutputProblem::OtherRun { what, was, is },
        ))
    };
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    for name in was.keys().chain(is.keys()) {
        let (a, b) = (was.get(name), is.get(name));
        if a != b && !WITHOUT_EFFECT.contains(&name.as_str()) {
            return differs(name, text(a), text(b));
        }
    }
    let names = |input: &[Input]| {
        let names: Vec<&str> = input.iter().map(|i| i.path.as_str()).collect();
        names.join(", ")
    };
    if input.len() != now.len() {
        return differs("the input", names(input), names(now));
    }
    for (a, b) in input.iter().zip(now) {
        if a.fingerprint != b.fingerprint || a.shape != b.shape {
            let short = |i: &Input| format!("{} {:?} {}", i.path, i.shape, i.fingerprint);
            return differs("the input", short(a), short(b));
        }
    }
    Ok(())
}

/// The device that a unit's marker names.
pub(super) fn device_of(about: &Value) -> Option<DeviceRecord> {
    serde_json::from_value(about.get("device")?.clone()).ok()
}
