//! What an output folder holds: results of an earlier run, the units of a run that is not finished, or something that no
//! run wrote.

use super::lock::WORK;
use super::names::names;
use super::units::{PLAN, UNITS, foreign_in_units, is_foreign};
use super::write::{RESULTS, is_temporary};
use crate::error::OutputProblem;
use crate::io::fs;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The report, which `chanscope report` also writes into folders whose `results.json` does not list it.
const REPORT: &str = "report.html";

/// What is to become of the units of a run in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    /// They are refused.
    Refuse,
    /// They are replaced, as results are.
    Replace,
    /// They are those of the run that takes the folder, and go when its results are there.
    Own,
    /// As [`Units::Own`], but they stay.
    Keep,
}

/// The parts of an earlier `results.json` that matter here.
#[derive(serde::Deserialize)]
struct Earlier {
    schema: String,
    #[serde(default, deserialize_with = "names")]
    files: Vec<String>,
}

/// Files and folders, relative to the folder, that no run wrote, in order. A run wrote what the folder's own
/// `results.json` lists, if it is a regular file that is reached through no symbolic link, and the folders on the way to
/// it. Files that runs work with are passed over.
///
/// The plan and the units of a run are such files only where they are to be `kept`.
pub(super) fn foreign(folder: &Path, kept: bool) -> Result<Vec<PathBuf>> {
    let run = !kept && holds_run(folder);
    let listed = listed(&folder.join(RESULTS));
    let files: HashSet<&Path> = listed.iter().map(Path::new).collect();
    let folders: HashSet<&Path> = (files.iter())
        .flat_map(|name| name.ancestors().skip(1))
        .collect();
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inside) = open.pop() {
        let at = folder.join(&inside);
        let failed = |e| Error::io(&at, "list", e);
        for entry in std::fs::read_dir(&at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = inside.join(entry.file_name());
            let kind = entry.file_type().map_err(failed)?;
            let top = inside.as_os_str().is_empty();
            if top && (name == Path::new(WORK) || kind.is_file() && is_temporary(&name)) {
                continue;
            }
            if top && run && is_of_run(&name, kind.is_dir()) {
                if kind.is_dir() {
                    found.extend(foreign_in_units(folder)?);
                }
                continue;
            }
            if kind.is_dir() && folders.contains(name.as_path()) {
                open.push(name);
            } else if !(kind.is_file() && files.contains(name.as_path())) {
                found.insert(name);
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// Whether an entry of a folder is the plan of a run or the folder of its units.
fn is_of_run(name: &Path, is_folder: bool) -> bool {
    name == Path::new(PLAN) && !is_folder || name == Path::new(UNITS) && is_folder
}

/// Whether a folder holds the plan of a run: a regular file that says so.
pub(super) fn holds_run(folder: &Path) -> bool {
    let path = folder.join(PLAN);
    let read = || {
        if !path.symlink_metadata().ok()?.is_file() {
            return None;
        }
        let text = BufReader::new(File::open(&path).ok()?);
        let found: Earlier = serde_json::from_reader(text).ok()?;
        Some(found.schema.starts_with("chanscope-run/"))
    };
    read().unwrap_or(false)
}

/// Removes the units of a run, and its plan last: what is left of them is known by it.
pub(super) fn remove_run(folder: &Path) -> Result<()> {
    let failed = |e| Error::io(folder, "remove the unfinished run in", e);
    let units = folder.join(UNITS);
    if fs::is_folder(&units) {
        fs::remove_tree(&units).map_err(failed)?;
    }
    fs::remove_file(&folder.join(PLAN)).map_err(failed)
}

/// Whether a folder holds nothing but what runs work with, the units of a run among that if `run` says so.
pub(super) fn is_empty(folder: &Path, run: bool) -> Result<bool> {
    let run = run && holds_run(folder);
    let failed = |e| Error::io(folder, "list", e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let kind = entry.file_type().map_err(failed)?;
        let temporary = kind.is_file() && is_temporary(Path::new(&name));
        let own = run
            && is_of_run(Path::new(&name), kind.is_dir())
            && (kind.is_file() || foreign_in_units(folder)?.is_empty());
        if name != WORK && !temporary && !own {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a folder that results cannot be written to: without `force` one that is not empty, with it one that holds
/// something no run wrote.
pub(super) fn check(folder: &Path, named: &Path, force: bool, units: Units) -> Result<()> {
    let own = matches!(units, Units::Own | Units::Keep);
    if is_empty(folder, own)? {
        return Ok(());
    }
    if !own && units == Units::Refuse && holds_run(folder) {
        return Err(Error::output(named, OutputProblem::HoldsRun));
    }
    if !force {
        return Err(Error::output(named, OutputProblem::NotEmpty));
    }
    match foreign(folder, false)?.first() {
        None => Ok(()),
        Some(name) => Err(is_foreign(named, name)),
    }
}

/// Removes a folder of earlier results. What no run wrote is moved to `instead` under its name; if that fails, the folder
/// stays. So are the units of a run that are to be `kept`.
pub(super) fn discard(folder: &Path, instead: &Path, kept: bool) -> Result<()> {
    for name in foreign(folder, kept)? {
        let (from, to) = (folder.join(&name), instead.join(&name));
        let failed = |e| Error::io(&from, "move it to the new results", e);
        if let Some(parent) = to.parent() {
            fs::make_folders(parent).map_err(failed)?;
        }
        fs::rename_new(&from, &to).map_err(failed)?;
    }
    remove(folder)
}

/// Removes a folder. `results.json` goes after the files that it lists, and the lock of a run last: what is left of a folder
/// that was being removed is known by them.
pub(super) fn remove(folder: &Path) -> Result<()> {
    let failed = |e| Error::io(folder, "remove", e);
    if !fs::is_folder(folder) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name == WORK || name == RESULTS {
            continue;
        }
        let removed = match entry.file_type().map_err(failed)?.is_dir() {
            true => fs::remove_tree(&entry.path()),
            false => fs::remove_file(&entry.path()),
        };
        removed.map_err(failed)?;
    }
    if fs::look(&folder.join(RESULTS))
        .map_err(failed)?
        .is_some_and(|m| !m.is_dir())
    {
        fs::remove_file(&folder.join(RESULTS)).map_err(failed)?;
    }
    fs::remove_tree(folder).map_err(failed)
}

/// Names of files that a `results.json` lists, itself and the report among them; none where it is not one of ours.
fn listed(results: &Path) -> Vec<String> {
    let read = || {
        // Not through a link, and not from a pipe, which would be waited for.
        if !results.symlink_metadata().ok()?.is_file() {
            return None;
        }
        let text = BufReader::new(File::open(results).ok()?);
        let earlier: Earlier = serde_json::from_reader(text).ok()?;
        earlier
            .schema
            .starts_with("chanscope/")
            .then_some(earlier.files)
    };
    let Some(mut files) = read() else {
        return Vec::new();
    };
    files.extend([RESULTS.into(), REPORT.into()]);
    files
}
