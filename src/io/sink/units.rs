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
    "cka.bin",
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
    "dead.json",
];
/// Files of which a unit has one for each layer: what stands before and after the layer's number.
const NUMBERED: &[(&str, &str)] = &[("cosine-", ".bin"), ("pearson-", ".bin")];
/// Fewest digits of a unit's number.
const DIGITS: usize = 5;
/// How the names of parts of samples begin: of a copy by channels, and of the survey.
const PARTS: [&str; 2] = ["copy", "survey"];
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

/// What consists of parts that hold some samples of a layer, and lie among the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InParts {
    /// A copy by channels.
    Copy,
    /// A survey of values.
    Survey,
}

/// Whether a part is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// It is.
    Whole,
    /// It is in the making, or a killed process left it so.
    Making,
}

impl InParts {
    fn prefix(self) -> &'static str {
        match self {
            Self::Copy => PARTS[0],
            Self::Survey => PARTS[1],
        }
    }

    /// Name of a part of a layer.
    pub fn name(self, layer: usize, part: usize) -> String {
        format!("{}-{layer:0DIGITS$}-{part:0DIGITS$}", self.prefix())
    }

    /// Names of the parts of a layer that there are in the run in `folder`; none where they cannot be listed.
    pub fn names(self, folder: &Path, layer: usize) -> Vec<(String, PartState)> {
        let found = entries(folder, Path::new(UNITS)).unwrap_or_default();
        let of_layer = |(name, _): (PathBuf, FileType)| {
            let name = name.file_name()?.to_str()?.to_string();
            let (finished, state) = finished_name(&name)?;
            let (prefix, of, _) = part_name(finished)?;
            (prefix == self.prefix() && of.parse() == Ok(layer)).then_some((name, state))
        };
        found.into_iter().filter_map(of_layer).collect()
    }
}

/// What a name says that [`InParts::name`] made: of what, and the numbers of the layer and of the part.
fn part_name(name: &str) -> Option<(&str, &str, &str)> {
    let (prefix, numbers) = name.split_once('-')?;
    let (layer, part) = numbers.split_once('-')?;
    let sound = PARTS.contains(&prefix) && is_long(layer) && is_long(part);
    sound.then_some((prefix, layer, part))
}

/// The name that a folder has or will have when it is finished: that of one in the making is `.NAME-` and [`RANDOM`]
/// digits.
fn finished_name(name: &str) -> Option<(&str, PartState)> {
    let Some(making) = name.strip_prefix('.') else {
        return Some((name, PartState::Whole));
    };
    let (name, random) = making.rsplit_once('-')?;
    let random = random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_hexdigit());
    random.then_some((name, PartState::Making))
}

/// Whether a folder has the name of a unit, as `00017`, of a part, as [`InParts::name`] makes them, or of one in the making.
fn is_unit(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    finished_name(name).is_some_and(|(name, _)| is_long(name) || part_name(name).is_some())
}

/// Whether a text is the number of a unit, a layer or a part in a name.
fn is_long(number: &str) -> bool {
    number.len() >= DIGITS && is_number(number)
}

/// Whether a file has the name of one of a unit's.
fn is_file_of_unit(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let numbered = |(before, after): &(&str, &str)| {
        let number = name
            .strip_prefix(before)
            .and_then(|n| n.strip_suffix(after));
        number.is_some_and(is_number)
    };
    FILES.contains(&name) || NUMBERED.iter().any(numbered)
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
            InParts::Copy.name(0, 17),
            format!(".{}-0123456789abcdef", InParts::Survey.name(2, 3)),
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
            "other-00017-00001",
            "copy-00017-1",
            "copy-00017-00001-00001",
            "mine",
        ] {
            assert!(!is_unit(Path::new(name)), "{name}");
        }
        for name in [
            "done.json",
            "cosine-0.bin",
            "pearson-12.bin",
            "units/00001/pairs.bin",
        ] {
            assert!(is_file_of_unit(Path::new(name)), "{name}");
        }
        for name in [
            "",
            "mine.npy",
            "cosine-.bin",
            "cosine-x.bin",
            "cosine-1.npy",
            ".done.json",
        ] {
            assert!(!is_file_of_unit(Path::new(name)), "{name}");
        }
    }
}
