//! What the units of a run are: a pure function of the input's fingerprints, the options and the number of units.

use crate::error::OutputProblem;
use crate::io::fs;
use crate::io::sink::{PLAN, UNITS, write_file};
use crate::measure::redundancy::{Estimate, RedundancyOptions, survey_parts};
use crate::report::results::{Input, Skipped};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The schema of `run.json` that this version writes and reads.
pub const SCHEMA: &str = "chanscope-run/1";

/// A run in units: the content of `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of chanscope that planned the run.
    pub version: String,
    /// `blake3:` and 64 hexadecimal digits over everything that units depend on. Every unit names it.
    pub hash: String,
    /// Files and folders of activations, absolute.
    pub dumps: Vec<PathBuf>,
    /// File of labels, absolute.
    pub labels: Option<PathBuf>,
    /// File of the images behind the samples, absolute.
    #[serde(default)]
    pub images: Option<PathBuf>,
    /// Whether files that cannot be read are left out.
    pub skip_unreadable: bool,
    /// Whether the graphs are written.
    pub save_graph: bool,
    /// Whether the supports are kept in the results. Units do not depend on it.
    #[serde(default)]
    pub supports: bool,
    /// Options of the measure.
    pub options: RedundancyOptions,
    /// Every option in the words of `results.json`.
    pub parameters: Map<String, Value>,
    /// What is read, as in `results.json`: a layer each, then the labels.
    pub input: Vec<Input>,
    /// What is left out, as in `results.json`.
    pub skipped: Vec<Skipped>,
    /// Layers, in the order of the results.
    pub layers: Vec<PlannedLayer>,
    /// Units, those of graphs first. The number of a unit is its place.
    pub units: Vec<Unit>,
}

/// A layer of a [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedLayer {
    /// Name.
    pub name: String,
    /// `[N, C, H, W]` as stored.
    pub shape: [usize; 4],
    /// Channels that are measured.
    pub channels: usize,
    /// Samples left out because they are not finite.
    pub skipped: Vec<usize>,
    /// Queries.
    pub queries: usize,
    /// Queries in a piece of a file of supports. Ranges of queries begin at multiples of it.
    pub piece: usize,
    /// Samples in a part of a copy of the layer by channels, where one is made.
    pub part: usize,
}

impl PlannedLayer {
    /// Samples that are measured.
    pub fn measured(&self) -> usize {
        self.shape[0].saturating_sub(self.skipped.len())
    }
}

/// The two stages of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Graphs and the survey.
    Graphs,
    /// Overlaps; needs all units of graphs.
    Overlap,
}

/// What a unit computes. Ranges are `[first, end]`, the end not included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Dead channels, sums for the correlations of channels, Gram matrices for CKA.
    Survey {
        /// Layer, by its place in the plan.
        layer: usize,
        /// Samples that are measured, by their places among those.
        samples: [usize; 2],
    },
    /// Graphs of channels, by their positions in the selection.
    Channels {
        /// Layer, by its place in the plan.
        layer: usize,
        /// Positions in the selection of channels.
        channels: [usize; 2],
        /// Queries.
        queries: [usize; 2],
    },
    /// Graphs of all channels taken as one vector per sample.
    Aggregate {
        /// Layer.
        layer: usize,
        /// Queries.
        queries: [usize; 2],
    },
    /// Overlaps of all channels.
    Overlap {
        /// Layer.
        layer: usize,
        /// Queries.
        queries: [usize; 2],
    },
}

impl Work {
    /// The layer that it is of, by its place in the plan.
    pub fn layer(&self) -> usize {
        match self {
            Self::Survey { layer, .. }
            | Self::Channels { layer, .. }
            | Self::Aggregate { layer, .. }
            | Self::Overlap { layer, .. } => *layer,
        }
    }
}

/// A unit of a [`Plan`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Its number.
    pub unit: usize,
    /// Its stage.
    pub stage: Stage,
    /// What it computes.
    #[serde(flatten)]
    pub work: Work,
    /// Estimated seconds on the device that planned; `None` where nothing is known.
    pub seconds: Option<f64>,
    /// Estimated working set, bytes; `None` where nothing is known.
    pub memory_bytes: Option<u64>,
}

impl Unit {
    /// Name of its folder.
    pub fn name(&self) -> String {
        format!("{:05}", self.unit)
    }
}

impl Plan {
    /// Writes `run.json` and makes the folder of units.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(PLAN);
        write_file(&path, false, |out| {
            serde_json::to_writer_pretty(&mut *out, self)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(|e| Error::io(&path, "write", e))
        })?;
        Self::units_folder(folder).map(drop)
    }

    /// The folder of units, made if a kill came between the plan and it.
    pub(super) fn units_folder(folder: &Path) -> Result<PathBuf> {
        let units = folder.join(UNITS);
        match fs::make_folder(&units) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(Error::io(&units, "make the folder", e))
            }
            // A link would lead to another place, in which nothing may be removed.
            Err(_) if !fs::is_folder(&units) => {
                Err(Error::output(&units, OutputProblem::NotAFolder))
            }
            _ => Ok(units),
        }
    }

    /// Units of a stage.
    pub fn stage(&self, stage: Stage) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(move |u| u.stage == stage)
    }

    /// The hash of what units depend on: estimates, paths, the memory cap and threads are not among it.
    pub(super) fn hashed(&self) -> String {
        let input: Vec<_> = (self.input.iter())
            .map(|i| (&i.fingerprint, &i.shape, &i.dtype))
            .collect();
        let units: Vec<_> = self
            .units
            .iter()
            .map(|u| (u.unit, u.stage, &u.work))
            .collect();
        let all = (
            (&self.schema, &self.version, self.save_graph),
            &self.options,
            input,
            &self.layers,
            units,
        );
        let text = serde_json::to_vec(&all).unwrap_or_default();
        format!("blake3:{}", blake3::hash(&text).to_hex())
    }
}

/// Cuts a run into units. Those of the survey depend on the layers alone, so that its sums have the same bits at any `count`. Of the
/// others there are about `count` a stage: every layer, and every aggregate, gets at least one, and more in proportion to its work.
pub(super) fn cut(layers: &[PlannedLayer], aggregate: bool, count: usize) -> Vec<Unit> {
    let work = |l: &PlannedLayer| {
        let [n, _, h, w] = l.shape;
        n as f64 * l.queries as f64 * (l.channels * h * w) as f64
    };
    let total: f64 = layers.iter().map(work).sum();
    let kinds = if aggregate { 2.0 } else { 1.0 };
    let share = |l: &PlannedLayer, of: f64| {
        let share = (count as f64 * work(l) / (total * of)).round();
        (share as usize).max(1)
    };
    let mut units = Vec::new();
    for (layer, l) in layers.iter().enumerate() {
        let [_, _, h, w] = l.shape;
        units.extend(survey_parts(l.measured(), l.channels, h * w).map(|part| {
            let samples = [part.start, part.end];
            (Stage::Graphs, Work::Survey { layer, samples })
        }));
    }
    for (layer, l) in layers.iter().enumerate() {
        let share = share(l, kinds);
        for channels in parts(l.channels, 1, share) {
            for queries in parts(l.queries, l.piece, share.div_ceil(l.channels)) {
                let work = Work::Channels {
                    layer,
                    channels: channels.into(),
                    queries: queries.into(),
                };
                units.push((Stage::Graphs, work));
            }
        }
        if aggregate {
            let queries = parts(l.queries, l.piece, share).map(Into::into);
            units
                .extend(queries.map(|queries| (Stage::Graphs, Work::Aggregate { layer, queries })));
        }
    }
    for (layer, l) in layers.iter().enumerate() {
        let queries = parts(l.queries, l.piece, share(l, 1.0)).map(Into::into);
        units.extend(queries.map(|queries| (Stage::Overlap, Work::Overlap { layer, queries })));
    }
    let numbered = units.into_iter().enumerate();
    numbered
        .map(|(unit, (stage, work))| Unit {
            unit,
            stage,
            work,
            seconds: None,
            memory_bytes: None,
        })
        .collect()
}

/// `[first, end]` of each of `count` parts of `0..len`, as equal as multiples of `step` allow.
fn parts(len: usize, step: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let steps = len.div_ceil(step);
    let count = count.clamp(1, steps.max(1));
    let at = move |part: usize| (part * steps / count * step).min(len);
    (0..count).map(move |part| (at(part), at(part + 1)))
}

impl Plan {
    /// Spreads a layer's estimate over its units of the survey and of graphs.
    pub(super) fn estimated(&mut self, at: usize, found: &Estimate) {
        let l = &self.layers[at];
        let kinds = if self.options.aggregate { 2.0 } else { 1.0 };
        let whole = (l.queries * l.channels) as f64 * kinds;
        let (channels_of_all, measured) = (l.channels, l.measured() as f64);
        let graphs = found.seconds - found.survey_seconds;
        for unit in &mut self.units {
            let (layer, work) = match &unit.work {
                Work::Channels {
                    layer,
                    channels,
                    queries,
                } => (*layer, range(channels).len() * range(queries).len()),
                Work::Aggregate { layer, queries } => {
                    (*layer, channels_of_all * range(queries).len())
                }
                Work::Survey { layer, samples } if *layer == at => {
                    let share = range(samples).len() as f64 / measured;
                    unit.seconds = Some(found.survey_seconds * share);
                    continue;
                }
                _ => continue,
            };
            if layer == at {
                unit.seconds = Some(graphs * work as f64 / whole);
                unit.memory_bytes = Some(found.memory_bytes);
            }
        }
    }
}

/// A range of a unit.
pub(super) fn range(of: &[usize; 2]) -> Range<usize> {
    of[0]..of[1]
}

/// The plan that a text holds, with its hash made right; `None` where it holds none.
#[cfg(feature = "internals")]
pub fn signed_plan(text: &[u8]) -> Option<Vec<u8>> {
    let mut plan: Plan = serde_json::from_slice(text).ok()?;
    plan.hash = plan.hashed();
    serde_json::to_vec(&plan).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(n: usize, c: usize, piece: usize) -> PlannedLayer {
        PlannedLayer {
            name: "a".into(),
            shape: [n, c, 2, 2],
            channels: c,
            skipped: Vec::new(),
            queries: n,
            piece,
            part: n,
        }
    }

    #[test]
    fn units_cover_every_channel_and_query_once_at_any_number() {
        for (n, c, piece) in [(2, 1, 1), (50, 3, 7), (101, 16, 10), (64, 64, 64)] {
            for count in [1, 2, 3, 5, 16, 40, 1000] {
                let units = cut(&[layer(n, c, piece), layer(n, 2, 3)], true, count);
                let mut seen = vec![0; n * c];
                let mut overlaps = vec![0; n];
                for unit in &units {
                    match &unit.work {
                        Work::Channels {
                            layer: 0,
                            channels,
                            queries,
                        } => {
                            assert_eq!(queries[0] % piece, 0);
                            for c in range(channels) {
                                range(queries).for_each(|q| seen[c * n + q] += 1);
                            }
                        }
                        Work::Overlap { layer: 0, queries } => {
                            range(queries).for_each(|q| overlaps[q] += 1);
                        }
                        _ => {}
                    }
                }
                assert!(
                    seen.iter().chain(&overlaps).all(|&times| times == 1),
                    "{n} {c} {count}"
                );
                assert!(units.iter().enumerate().all(|(i, u)| u.unit == i));
                let first = units.iter().position(|u| u.stage == Stage::Overlap);
                assert!(
                    units[first.unwrap()..]
                        .iter()
                        .all(|u| u.stage == Stage::Overlap)
                );
            }
        }
    }
}
