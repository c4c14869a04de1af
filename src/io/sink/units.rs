//! The units of a run inside an output folder: which of the files in them a run wrote.
//!
//! They are known by their names, as a damaged unit has no list of its files. A run that replaces, computes again or merges
//! units removes nothing else, and refuses a folder in which anything else lies.

use crate::error::OutputProblem;
use crate::io::fs;
use crate::{Error, Result};
use std::ffi::OsStr;
use std::fs::FileType;
use std::path::{Path, PathBuf};

/// The plan of a run that is computed in units, and the folder of its units. They are there until the results are.
pub const PLAN: &str = "run.json";
/// See [`PLAN`].
pub const UNITS: &str = "units";

/// Files of a unit.
const FILES: &[&str] = &[
    "done.json",
    "survey.json",
    "totals.bin",
    "grams.bin",
    "sums.json",
    "supports.bin",
    "pairs.bin",
    "unions.json",
    "neighbors.npy",
    "sq_distances.npy",
    "weights.npy",
    "objective.npy",
    "degenerate.npy",
    "maps.bin",
];
/// Fewest digits of a unit's number.
const DIGITS: usize = 5;
/// How the name of a part of a copy begins.
const COPY: &str = "copy-";
/// Hexadecimal digits at the end of the name of a unit in the making.
const RANDOM: usize = 16;

/// What lies in the units of the run in `folder` and is not of the run: names relative to `folder`, in order.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn foreign_in_units(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (name, kind) in entries(folder, Path::new(UNITS))? {
        match kind.is_dir() && is_unit(&name) {
            true => found.extend(foreign_in_unit(folder, &name)?),
            false => found.push(name),
        }
    }
    found.sort();
    Ok(found)
}

/// As [`foreign_in_units`], of one unit.
fn foreign_in_unit(folder: &Path, unit: &Path) -> Result<Vec<PathBuf>> {
    let files = entries(folder, unit)?.into_iter();
    let foreign = files.filter(|(name, kind)| !(kind.is_file() && is_file_of_unit(name)));
    Ok(foreign.map(|(name, _)| name).collect())
}

/// Removes the unit `name` of the run in `folder`. Of a link in its place only the link is removed.
///
/// # Errors
/// [`Error::Output`] where anything lies in it that no run wrote; [`Error::Io`].
pub fn remove_unit(folder: &Path, name: &str) -> Result<()> {
    let unit = Path::new(UNITS).join(name);
    let place = folder.join(&unit);
    let failed = |e| Error::io(&place, "remove the damaged unit", e);
    if !fs::is_folder(&place) {
        return fs::remove_file(&place).map_err(failed);
    }
    match foreign_in_unit(folder, &unit)?.first() {
        Some(name) => Err(is_foreign(folder, name)),
        None => fs::remove_tree(&place).map_err(failed),
    }
}

/// The refusal of a folder that holds `name`, which no run wrote.
pub(super) fn is_foreign(folder: &Path, name: &Path) -> Error {
    let holds = name.to_string_lossy().replace('\\', "/");
    Error::output(folder, OutputProblem::Foreign { holds })
}

/// What is in the folder `inside` of `folder`: names relative to `folder`. The kinds are those of the entries themselves, of
/// links too.
fn entries(folder: &Path, inside: &Path) -> Result<Vec<(PathBuf, FileType)>> {
    let at = folder.join(inside);
    let failed = |e| Error::io(&at, "list", e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&at).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        found.push((inside.join(entry.file_name()), kind));
    }
    Ok(found)
}

/// Name of a part of the copy of a layer by channels, which lies among the units.
pub fn copy_name(layer: usize, part: usize) -> String {
    format!("{COPY}{layer:0DIGITS$}-{part:0DIGITS$}")
}

/// Whether a part of a copy is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It is.
    Whole,
    /// It is in the making, or a killed process left it so.
    Making,
}

/// Names of what there is of the copy of a layer among the units of the run in `folder`; none where they cannot be listed.
pub fn copy_names(folder: &Path, layer: usize) -> Vec<(String, Copied)> {
    let found = entries(folder, Path::new(UNITS)).unwrap_or_default();
    let of_layer = |(name, _): (PathBuf, FileType)| {
        let name = name.file_name()?.to_str()?.to_string();
        let (finished, state) = finished_name(&name)?;
        let (of, _) = finished.strip_prefix(COPY)?.split_once('-')?;
        (is_unit(Path::new(&name)) && of.parse() == Ok(layer)).then_some((name, state))
    };
    found.into_iter().filter_map(of_layer).collect()
}

/// The name that a folder has or will have when it is finished: that of one in the making is `.NAME-` and [`RANDOM`]
/// digits.
fn finished_name(name: &str) -> Option<(&str, Copied)> {
    let Some(making) = name.strip_prefix('.') else {
        return Some((name, Copied::Whole));
    };
    let (name, random) = making.rsplit_once('-')?;
    let random = random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_hexdigit());
    random.then_some((name, Copied::Making))
}

/// Whether a folder has the name of a unit, as `00017`, of a part of a copy, as [`copy_name`] tells, or of one in the making.
fn is_unit(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_long = |number: &str| number.len() >= DIGITS && is_number(number);
    finished_name(name).is_some_and(|(name, _)| match name.strip_prefix(COPY) {
        Some(copy) => copy
            .split_once('-')
            .is_some_and(|(layer, part)| is_long(layer) && is_long(part)),
        None => is_long(name),
    })
}

/// Whether a file has the name of one of a unit's.
fn is_file_of_unit(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    FILES.contains(&name)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_their_files_are_known_by_name() {
        let copies = [
            copy_name(0, 17),
            format!(".{}-0123456789abcdef", copy_name(2, 3)),
        ];
        let units = ["00000", "00017", "123456", ".00017-0123456789abcdef"];
        for name in units.into_iter().chain(copies.iter().map(String::as_str)) {
            assert!(is_unit(Path::new(name)), "{name}");
        }
        for name in [
            "",
            "17",
            "0001x",
            ".00017",
            ".00017-",
            ".00017-0123456789abcdeg",
            ".copy-00017-0123456789abcdef",
            "copy-00017",
            "copy-00017-1",
            "copy-00017-00001-00001",
            "mine",
        ] {
            assert!(!is_unit(Path::new(name)), "{name}");
        }
        for name in ["done.json", "totals.bin", "units/00001/pairs.bin"] {
            assert!(is_file_of_unit(Path::new(name)), "{name}");
        }
        for name in ["", "mine.npy", "cosine-0.bin", "totals.npy", ".done.json"] {
            assert!(!is_file_of_unit(Path::new(name)), "{name}");
        }
    }
}
