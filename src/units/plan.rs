//! What the units of a run are: a pure function of the input's fingerprints, the options and the number of units.

use super::input::{Data, Request, as_written};
use crate::error::{LayerProblem, OutputProblem};
use crate::io::scan::scan;
use crate::io::sink::{Output, PLAN, UNITS, write_file};
use crate::io::whole::read_whole;
use crate::measure::redundancy::{NonFinite, RedundancyOptions, check, estimate, selected};
use crate::measure::{Context, RedundancyInput};
use crate::report::results::{Input, Skipped};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The schema of `run.json` that this version writes and reads.
pub const SCHEMA: &str = "chanscope-run/1";
/// Most bytes of a `run.json`.
const LARGEST: u64 = 1 << 30;
/// Bytes of supports in a piece of a file, in all channels together: what a unit of overlaps reads at a time.
const PIECE: u64 = 64 << 20;

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
    /// Whether files that cannot be read are left out.
    pub skip_unreadable: bool,
    /// Whether the graphs are written.
    pub save_graph: bool,
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
    /// Dead channels, correlations of channels, CKA: all layers.
    Survey,
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
    /// Reads `run.json` of a folder.
    ///
    /// # Errors
    /// [`Error::Output`] where there is none or another version wrote it; [`Error::File`] where it is damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
            version: String,
        }
        let path = folder.join(PLAN);
        if !path.is_file() {
            return Err(Error::output(folder, OutputProblem::NoRun));
        }
        let bytes = read_whole(&path, LARGEST)?;
        let damaged =
            |e: serde_json::Error| Error::malformed(&path, None, format!("{e}; plan again"));
        let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
        if head.schema != SCHEMA || head.version != env!("CARGO_PKG_VERSION") {
            let version = format!("{} ({})", head.version, head.schema);
            return Err(Error::output(
                folder,
                OutputProblem::OtherVersion { version },
            ));
        }
        let plan: Self = serde_json::from_slice(&bytes).map_err(damaged)?;
        match plan.hash == plan.hashed() && plan.is_sound() {
            true => Ok(plan),
            false => Err(Error::malformed(
                &path,
                None,
                "is not as it was written; plan again",
            )),
        }
    }

    /// Writes `run.json` and makes the folder of units.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(PLAN);
        write_file(&path, false, |out| {
            serde_json::to_writer_pretty(&mut *out, self)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(|e| Error::io(&path, "write", e))
        })?;
        let units = folder.join(UNITS);
        std::fs::create_dir(&units).map_err(|e| Error::io(&units, "make the folder", e))
    }

    /// The folder of units, made if a kill came between the plan and it.
    pub(super) fn units_folder(folder: &Path) -> Result<PathBuf> {
        let units = folder.join(UNITS);
        match std::fs::create_dir(&units) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(Error::io(&units, "make the folder", e))
            }
            _ => Ok(units),
        }
    }

    /// Units of a stage.
    pub fn stage(&self, stage: Stage) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(move |u| u.stage == stage)
    }

    /// The hash of what units depend on: estimates, paths, the memory cap and threads are not among it.
    fn hashed(&self) -> String {
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

    /// Whether every unit lies within its layer, as those of [`cut`] do.
    fn is_sound(&self) -> bool {
        let within = |range: &[usize; 2], len: usize| range[0] < range[1] && range[1] <= len;
        let sound = |(place, unit): (usize, &Unit)| {
            let inside = match &unit.work {
                Work::Survey => true,
                Work::Channels {
                    layer,
                    channels,
                    queries,
                } => self
                    .layers
                    .get(*layer)
                    .is_some_and(|l| within(channels, l.channels) && within(queries, l.queries)),
                Work::Aggregate { layer, queries } | Work::Overlap { layer, queries } => {
                    let layer = self.layers.get(*layer);
                    layer.is_some_and(|l| within(queries, l.queries))
                }
            };
            unit.unit == place && inside
        };
        self.layers.iter().all(|l| l.piece > 0) && self.units.iter().enumerate().all(sound)
    }
}

/// Plans a run of about `units` units in each of its two stages, and writes it to `folder`, which must not exist or be
/// empty; with `force` it may hold earlier results, which stay until the run is merged, or another run, which is removed.
/// Reads the dumps' headers, the blocks of their fingerprints, and with [`NonFinite::Skip`] everything once.
///
/// # Errors
/// [`Error::Argument`] for `units` of 0; as [`crate::measure::redundancy()`], and as [`Output::create_apart`].
pub fn plan(
    ctx: &Context<'_>,
    request: &Request,
    folder: &Path,
    force: bool,
    units: usize,
) -> Result<Plan> {
    if units == 0 {
        return Err(Error::argument("units", 0, "at least 1"));
    }
    let data = Data::open(request)?;
    let output = Output::create_apart(folder, force, &request.paths(&data))?;
    let plan = plan_of(ctx, request, &data, units)?;
    plan.write(folder)?;
    drop(output);
    Ok(plan)
}

/// As [`plan`], into a folder that the caller has taken.
///
/// # Errors
/// As [`plan`].
pub fn plan_in(
    ctx: &Context<'_>,
    request: &Request,
    output: &Output,
    units: usize,
) -> Result<Plan> {
    let plan = plan_of(ctx, request, &Data::open(request)?, units)?;
    plan.write(output.folder())?;
    Ok(plan)
}

fn plan_of(ctx: &Context<'_>, request: &Request, data: &Data, units: usize) -> Result<Plan> {
    let options = &request.options;
    let layers = data.layers();
    let input = RedundancyInput::new(&layers).with_labels(data.labels.as_deref());
    check(ctx, &input, options)?;
    let channels = selected(&input, options)?;
    let skipped = skipped_samples(ctx, &input, options, &channels)?;
    let mut planned = Vec::new();
    for ((layer, channels), skipped) in layers.iter().zip(&channels).zip(skipped) {
        let s = layer.shape();
        let measured = s.samples - skipped.len();
        if measured < 2 {
            let problem = match measured {
                0 if s.samples > 0 => LayerProblem::NoFiniteSample,
                got => LayerProblem::TooFewSamples { got, needed: 2 },
            };
            return Err(Error::layer(layer.name(), layer.path(), problem));
        }
        let queries = super::input::query_count(options, measured);
        let each = (channels.len() * (4 * options.graph.k + 2)) as u64;
        let most = usize::try_from(PIECE / each.max(1)).unwrap_or(usize::MAX);
        planned.push(PlannedLayer {
            name: layer.name().to_string(),
            shape: [s.samples, s.channels, s.height, s.width],
            channels: channels.len(),
            skipped,
            queries,
            piece: most.min(queries.div_ceil(units)).max(1),
        });
    }
    let mut plan = Plan {
        schema: SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        hash: String::new(),
        dumps: request.dumps.iter().map(absolute).collect::<Result<_>>()?,
        labels: data.label_file.as_ref().map(absolute).transpose()?,
        skip_unreadable: request.skip_unreadable,
        save_graph: request.save_graph,
        options: options.clone(),
        parameters: as_written(ctx, request),
        input: data.input.clone(),
        skipped: data.left_out.clone(),
        units: cut(&planned, options.aggregate, units),
        layers: planned,
    };
    plan.hash = plan.hashed();
    for (at, layer) in layers.iter().enumerate() {
        let found = estimate(ctx, *layer, options)?;
        plan.estimated(at, found.seconds, found.memory_bytes);
    }
    data.check_unchanged()?;
    Ok(plan)
}

fn absolute(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    std::path::absolute(path).map_err(|e| Error::io(path, "find", e))
}

/// Samples of every layer that are left out; those of all layers in each, where all have the same samples.
fn skipped_samples(
    ctx: &Context<'_>,
    input: &RedundancyInput<'_>,
    options: &RedundancyOptions,
    channels: &[Vec<usize>],
) -> Result<Vec<Vec<usize>>> {
    let layers = input.layers;
    if options.non_finite == NonFinite::Reject {
        return Ok(vec![Vec::new(); layers.len()]);
    }
    let scanned = (layers.iter().zip(channels)).map(|(layer, channels)| {
        let found = ctx.run(|| scan(*layer, channels, ctx.memory(), ctx.control()))?;
        Ok(found.bad_samples)
    });
    let mut skipped: Vec<Vec<usize>> = scanned.collect::<Result<_>>()?;
    let samples = layers.first().map_or(0, |l| l.shape().samples);
    if layers.iter().all(|l| l.shape().samples == samples) {
        let mut all = skipped.concat();
        all.sort_unstable();
        all.dedup();
        skipped.fill(all);
    }
    Ok(skipped)
}

/// Cuts a run into about `count` units a stage: every layer, and every aggregate, gets at least one, and more in
/// proportion to its work.
fn cut(layers: &[PlannedLayer], aggregate: bool, count: usize) -> Vec<Unit> {
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
    let mut units = vec![(Stage::Graphs, Work::Survey)];
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
    /// Spreads a layer's estimate over its units of graphs.
    fn estimated(&mut self, at: usize, seconds: f64, memory: u64) {
        let l = &self.layers[at];
        let kinds = if self.options.aggregate { 2.0 } else { 1.0 };
        let whole = (l.queries * l.channels) as f64 * kinds;
        let channels_of_all = l.channels;
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
                _ => continue,
            };
            if layer == at {
                unit.seconds = Some(seconds * work as f64 / whole);
                unit.memory_bytes = Some(memory);
            }
        }
    }
}

/// A range of a unit.
pub(super) fn range(of: &[usize; 2]) -> Range<usize> {
    of[0]..of[1]
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
