//! The supports that a finished run kept, and whether two runs can be compared by theirs.

use super::{Described, Finished};
use crate::io::npy::{read_array, read_shape};
use crate::io::supports::{MEMBERS, SIZES, StoredSupports, SupportShape};
use crate::measure::redundancy::SideLayer;
use crate::ops::MAX_K;
use crate::report::arrays::is_file_name;
use crate::report::results::Redundancy;
use crate::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Options that change supports, by their names in `results.json`.
const OPTIONS: [&str; 5] = ["k", "kernel", "sigma", "identical", "queries"];

/// Finished runs over the same samples and with the same options, which can be compared.
#[derive(Debug)]
pub struct ComparedRuns {
    /// What their `results.json` say.
    pub finished: Vec<Finished>,
    /// Their supports.
    pub kept: Vec<KeptRun>,
}

impl ComparedRuns {
    /// Opens the folders of runs. An eighth of `memory` bytes is for what is known of all of them.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two runs; as [`Finished::open`], [`Finished::kept`] and [`KeptRun::check_same`].
    pub fn open(folders: &[impl AsRef<Path>], memory: u64) -> Result<Self> {
        if folders.len() < 2 {
            return Err(Error::argument(
                "runs",
                folders.len(),
                "at least two runs to compare",
            ));
        }
        let finished = folders
            .iter()
            .map(|path| Finished::open(path.as_ref(), memory));
        let finished: Vec<Finished> = finished.collect::<Result<_>>()?;
        let share = memory / 8 / finished.len() as u64;
        let kept = finished.iter().map(|run| run.kept(share));
        let kept: Vec<KeptRun> = kept.collect::<Result<_>>()?;
        if let Some((first, others)) = kept.split_first() {
            others.iter().try_for_each(|run| first.check_same(run))?;
        }
        Ok(Self { finished, kept })
    }
}

/// A finished run with the supports of its channels.
#[derive(Debug)]
pub struct KeptRun {
    /// Its folder.
    pub folder: PathBuf,
    /// Its layers, which have the same samples.
    pub layers: Vec<KeptLayer>,
    /// Samples of every layer as it was given.
    pub samples: usize,
    /// Queries.
    pub queries: usize,
    /// Most members of a support.
    pub k: usize,
    results: PathBuf,
    options: Vec<(&'static str, Value)>,
    /// Indices of the samples that were measured, where some were left out.
    kept: Option<Vec<f64>>,
    labels: Option<String>,
    ids: Option<String>,
}

/// A layer of a finished run.
#[derive(Debug)]
pub struct KeptLayer {
    /// Layer.
    pub name: String,
    /// `[C]`: the channels that were measured, by their index in the layer.
    pub channels: Vec<usize>,
    /// `[C]`: those that are dead.
    pub dead: Vec<bool>,
    /// Their supports.
    pub supports: StoredSupports,
    /// The files of these: sizes and members.
    pub files: [PathBuf; 2],
}

impl KeptLayer {
    /// For [`crate::measure::compare`].
    pub fn side(&self) -> SideLayer<'_> {
        SideLayer {
            name: &self.name,
            channels: &self.channels,
            dead: &self.dead,
            supports: &self.supports,
        }
    }
}

impl Finished {
    /// Opens the supports of all layers. What is kept of them in memory takes at most `memory` bytes.
    ///
    /// # Errors
    /// [`Error::File`] where the run measured something else or kept no supports, where its layers have different samples, and
    /// where files are not sound; [`Error::Io`]; [`Error::Memory`].
    pub fn kept(&self, memory: u64) -> Result<KeptRun> {
        let path = self.results_file();
        let refused = |what: String| Error::unsuitable(&path, what);
        let layers = self.described("layers");
        let (Some(section), Some(first)) = (&self.results.redundancy, layers.first()) else {
            let command = self.results.command.escape_debug();
            return Err(refused(format!(
                "is of a run of `chanscope {command}`, which measured no layers of activations; runs of `chanscope redundancy` \
                 are compared"
            )));
        };
        let k = self.results.parameters.get("k").and_then(Value::as_u64);
        let k = k.and_then(|k| usize::try_from(k).ok());
        let Some(k) = k.filter(|k| (1..=MAX_K).contains(k)) else {
            return Err(refused(format!("names no k from 1 to {MAX_K}")));
        };
        let counts = Counts::of(section).map_err(refused)?;
        let share = memory / layers.len() as u64;
        let opened = layers
            .iter()
            .map(|layer| self.open_layer(layer, &counts, k, share));
        let opened: Vec<KeptLayer> = opened.collect::<Result<_>>()?;
        let kept = match counts.skipped {
            0 => None,
            _ => Some(self.left_in(first.name, &counts, memory)?),
        };
        let mut options: Vec<(&str, Value)> = OPTIONS
            .iter()
            .map(|&name| (name, self.option(name)))
            .collect();
        if self.option("queries").is_number() {
            options.push(("seed", self.option("seed")));
        }
        let samples = section.samples.clone().unwrap_or_default();
        Ok(KeptRun {
            folder: self.folder.clone(),
            layers: opened,
            samples: counts.samples,
            queries: counts.queries,
            k,
            results: path.clone(),
            options,
            kept,
            labels: samples.labels,
            ids: samples.ids,
        })
    }

    fn option(&self, name: &str) -> Value {
        let found = self.results.parameters.get(name);
        match (name, found) {
            ("queries", None | Some(Value::Null)) => "all".into(),
            (_, found) => found.cloned().unwrap_or(Value::Null),
        }
    }

    fn open_layer(
        &self,
        layer: &Described<'_>,
        counts: &Counts,
        k: usize,
        memory: u64,
    ) -> Result<KeptLayer> {
        let results = self.results_file();
        if !is_file_name(layer.name) {
            let what = format!("has a layer of the name '{}'", layer.name.escape_debug());
            return Err(Error::unsuitable(results, what));
        }
        let folder = self.folder.join("layers").join(layer.name);
        let files = [SIZES, MEMBERS].map(|name| folder.join(name));
        let mut missing = files.iter().filter(|file| !file.is_file());
        if missing.next().is_some() {
            let what = format!(
                "keeps no supports of layer {}, by which runs are compared; measure it again, without the option no-supports",
                layer.name
            );
            return Err(Error::unsuitable(results, what));
        }
        let count = layer.chosen.map_or(layer.channels, |c| c.len() as u64);
        let needed = 16u64.saturating_mul(count);
        if needed > memory {
            let what = format!(
                "the channels of layer {} in {}",
                layer.name,
                results.display()
            );
            let cap = memory;
            return Err(Error::Memory { what, needed, cap });
        }
        let shape = SupportShape {
            channels: count as usize,
            queries: counts.queries,
            k,
            samples: counts.samples,
        };
        let supports = StoredSupports::open(&folder, shape, memory)?;
        let channels: Vec<usize> = match layer.chosen {
            Some(chosen) => chosen.iter().map(|&c| c as usize).collect(),
            None => (0..shape.channels).collect(),
        };
        let mut dead_channels = layer.dead.to_vec();
        dead_channels.sort_unstable();
        let dead = |&c: &usize| dead_channels.binary_search(&(c as u64)).is_ok();
        Ok(KeptLayer {
            name: layer.name.to_string(),
            dead: channels.iter().map(dead).collect(),
            channels,
            supports,
            files,
        })
    }

    /// The samples that were measured.
    fn left_in(&self, layer: &str, counts: &Counts, memory: u64) -> Result<Vec<f64>> {
        let file = self.folder.join(format!("layers/{layer}/kept.npy"));
        let expected = counts.samples - counts.skipped;
        let found = read_shape(&file)?;
        if found != [expected] {
            let what = format!("has shape {found:?}, and results.json promises [{expected}]");
            return Err(Error::unsuitable(file, what));
        }
        let needed = 8 * expected as u64;
        if needed > memory {
            let what = format!("the list {}", file.display());
            let cap = memory;
            return Err(Error::Memory { what, needed, cap });
        }
        Ok(read_array(&file)?.into_iter().collect())
    }
}

/// Numbers that all layers have in common.
struct Counts {
    samples: usize,
    skipped: usize,
    queries: usize,
}

impl Counts {
    /// The numbers of a run, or why it has none.
    fn of(section: &Redundancy) -> Result<Self, String> {
        let of_layer = |l: &crate::report::results::RedundancyLayer| {
            let samples = l.shape.first().copied().unwrap_or(0);
            let measured = samples.saturating_sub(l.samples_skipped);
            (samples, l.samples_skipped, l.queries.unwrap_or(measured))
        };
        let mut layers = section.layers.iter();
        let (samples, skipped, queries) = layers.next().map(of_layer).unwrap_or_default();
        for layer in layers {
            let found = of_layer(layer);
            if found != (samples, skipped, queries) {
                return Err(format!(
                    "is of layers with different samples ({samples} of {}, {} of {}); measure those of the same samples in a run \
                     of their own",
                    section.layers[0].name, found.0, layer.name
                ));
            }
        }
        let sound = (1..=i32::MAX as u64).contains(&samples)
            && skipped < samples
            && (1..=samples - skipped).contains(&queries);
        match sound {
            true => Ok(Self {
                samples: samples as usize,
                skipped: skipped as usize,
                queries: queries as usize,
            }),
            false => Err(format!(
                "has {queries} queries of {samples} samples, {skipped} of which were left out"
            )),
        }
    }
}

impl KeptRun {
    /// Refuses a run that cannot be compared with this one, and names the difference: options that change supports, and samples.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn check_same(&self, other: &Self) -> Result<()> {
        let run = self.folder.display();
        let differs = |what: String| {
            let what = format!("{what}; runs are compared with the same samples and options only");
            Err(Error::unsuitable(&other.results, what))
        };
        for ((name, was), (_, is)) in self.options.iter().zip(&other.options) {
            if !same_value(was, is) {
                let (was, is) = (shown(was), shown(is));
                return differs(format!(
                    "was measured with {name} {is}, and {run} with {name} {was}"
                ));
            }
        }
        let (was, is) = (self.samples, other.samples);
        if was != is {
            return differs(format!("is of {is} samples, and {run} of {was}"));
        }
        if self.kept != other.kept {
            let [was, is] = [self, other].map(|run| match &run.kept {
                Some(kept) => run.samples - kept.len(),
                None => 0,
            });
            let others = if was == is {
                "other ones"
            } else {
                "not the same"
            };
            return differs(format!("left out {is} samples, and {run} {was}, {others}"));
        }
        let other_than = |was: &Option<String>, is: &Option<String>| {
            was.as_ref()
                .zip(is.as_ref())
                .is_some_and(|(was, is)| was != is)
        };
        if other_than(&self.ids, &other.ids) {
            return differs(format!("is of samples with other ids (ids.txt) than {run}"));
        }
        if other_than(&self.labels, &other.labels) {
            return differs(format!("is of samples with other labels than {run}"));
        }
        Ok(())
    }
}

/// Whether two values of an option are the same; numbers may be written differently.
fn same_value(a: &Value, b: &Value) -> bool {
    let number = |v: &Value| match v {
        Value::String(text) => text.parse::<f64>().ok(),
        v => v.as_f64(),
    };
    a == b || number(a).zip(number(b)).is_some_and(|(a, b)| a == b)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.escape_debug().to_string(),
        value => value.to_string(),
    }
}
