//! What a run reads: asked for by a request, or named by a plan and found to be the same.

use super::plan::{Plan, PlannedLayer};
use crate::error::OutputProblem;
use crate::io::fingerprint::{Stamp, stamped};
use crate::io::kept::Kept;
use crate::io::labels::read_labels;
use crate::io::layer::Layer;
use crate::io::npy;
use crate::io::open::{Dump, Unreadable, open_dump_with};
use crate::io::sink::PLAN;
use crate::io::spill::are_parts;
use crate::measure::Context;
use crate::measure::redundancy::{
    Prepared, RedundancyInput, RedundancyOptions, draw_queries, selected,
};
use crate::report::folder::redundancy_parameters;
use crate::report::notes::unequal;
use crate::report::results::{Input, Skipped};
use crate::tensor::LayerShape;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A redundancy run: what to measure and how.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Request {
    /// Files and folders of activations ([`crate::io::open::open_dump`]).
    pub dumps: Vec<PathBuf>,
    /// Class of every sample; `None`: the labels that lie in a folder of `dumps`, if there are.
    pub labels: Option<PathBuf>,
    /// The images behind the samples, of which the results get pictures ([`crate::report::folder::ResultsFolder::images`]).
    pub images: Option<PathBuf>,
    /// Options of the measure.
    pub options: RedundancyOptions,
    /// Whether to write the graphs.
    pub save_graph: bool,
    /// Whether to keep the supports, by which finished runs are compared.
    pub supports: bool,
    /// Whether to leave out files that cannot be read.
    pub skip_unreadable: bool,
    /// Options as the user wrote them, for `parameters` in `results.json`; the others are described by `options`.
    pub as_written: Map<String, Value>,
}

impl Request {
    /// A run over these files and folders, which keeps its supports.
    pub fn new(dumps: Vec<PathBuf>, options: RedundancyOptions) -> Self {
        Self {
            dumps,
            options,
            supports: true,
            ..Self::default()
        }
    }

    /// All options in the words of `results.json`.
    pub(super) fn parameters(&self, ctx: &Context<'_>) -> Map<String, Value> {
        let mut parameters = redundancy_parameters(ctx, &self.options, self.save_graph);
        let images = self.images.as_ref().map(|path| path.display().to_string());
        parameters.insert("images".into(), images.into());
        parameters.insert("no-supports".into(), (!self.supports).into());
        parameters.insert("skip-unreadable".into(), self.skip_unreadable.into());
        parameters.extend(self.as_written.clone());
        parameters
    }

    /// Everything that is read, where the results may not go.
    pub(super) fn paths<'a>(&'a self, data: &'a Data) -> Vec<&'a Path> {
        let dumps = self.dumps.iter().map(PathBuf::as_path);
        let images = data.images.as_ref().and_then(|images| images.path());
        dumps
            .chain(data.label_file.as_deref())
            .chain(images)
            .collect()
    }
}

/// Opens the images behind the samples.
fn open_images(path: &Path) -> Result<Box<dyn Layer>> {
    npy::open(path, &path.display().to_string())
}

/// Queries of a layer of which so many samples are measured.
pub(super) fn query_count(options: &RedundancyOptions, measured: usize) -> usize {
    options
        .queries
        .map_or(measured, |count| count.min(measured))
}

/// The input of a run, opened.
pub(super) struct Data {
    dump: Vec<Box<dyn Layer>>,
    pub label_file: Option<PathBuf>,
    pub labels: Option<Vec<u32>>,
    /// The images behind the samples.
    pub images: Option<Box<dyn Layer>>,
    /// As in `results.json`.
    pub input: Vec<Input>,
    /// What is left out, as in `results.json`.
    pub left_out: Vec<Skipped>,
    stamps: Vec<Stamp>,
}

impl Data {
    /// Opens what is asked for.
    pub fn open(request: &Request) -> Result<Self> {
        let unreadable = match request.skip_unreadable {
            true => Unreadable::Skip,
            false => Unreadable::Refuse,
        };
        let Dump {
            layers: dump,
            labels,
            left_out,
        } = open_dump_with(&request.dumps, unreadable)?;
        let label_file = request.labels.clone().or(labels);
        let left_out = left_out.into_iter();
        let mut data = Self {
            dump,
            label_file,
            labels: None,
            images: request.images.as_deref().map(open_images).transpose()?,
            input: Vec::new(),
            left_out: left_out
                .map(|(name, reason)| Skipped { name, reason })
                .collect(),
            stamps: Vec::new(),
        };
        if let Some(reason) = unequal(&data.layers()) {
            let name = "CKA between layers".into();
            data.left_out.push(Skipped { name, reason });
        }
        data.look()?;
        Ok(data)
    }

    /// Opens what a plan names, and refuses it where it is not what was planned.
    pub fn of_plan(plan: &Plan, folder: &Path) -> Result<Self> {
        let request = Request {
            dumps: plan.dumps.clone(),
            labels: plan.labels.clone(),
            images: plan.images.clone(),
            skip_unreadable: plan.skip_unreadable,
            ..Request::default()
        };
        let data = Self::open(&request)?;
        let names = |layers: &[PlannedLayer]| {
            let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
            names.join(", ")
        };
        let found: Vec<&str> = data.dump.iter().map(|l| l.name()).collect();
        let (was, is) = (names(&plan.layers), found.join(", "));
        let differs = |what: &str, was: String, is: String| {
            let what = what.to_string();
            Error::output(folder, OutputProblem::OtherRun { what, was, is })
        };
        if was != is {
            return Err(differs("the layers", was, is));
        }
        for (was, is) in plan.input.iter().zip(&data.input) {
            if was.fingerprint != is.fingerprint || was.shape != is.shape {
                let short = |i: &Input| format!("{:?} {}", i.shape, i.fingerprint);
                return Err(differs(&was.path, short(was), short(is)));
            }
        }
        if plan.input.len() != data.input.len() {
            return Err(differs(
                "a number of input files of",
                plan.input.len().to_string(),
                data.input.len().to_string(),
            ));
        }
        data.check_layers(plan, folder)?;
        Ok(data)
    }

    /// Refuses a plan whose layers are not those of the input: what units allocate is in proportion to them.
    fn check_layers(&self, plan: &Plan, folder: &Path) -> Result<()> {
        let layers = self.layers();
        let channels = selected(&RedundancyInput::new(&layers), &plan.options)?;
        for ((layer, channels), planned) in layers.iter().zip(channels).zip(&plan.layers) {
            let s = layer.shape();
            let measured = s.samples.checked_sub(planned.skipped.len());
            let ascending = planned.skipped.windows(2).all(|w| w[0] < w[1]);
            let fits = planned.shape == [s.samples, s.channels, s.height, s.width]
                && planned.channels == channels.len()
                && ascending
                && planned.skipped.last().is_none_or(|&last| last < s.samples)
                && measured.map(|n| query_count(&plan.options, n)) == Some(planned.queries)
                && planned.piece <= planned.queries
                && measured.is_some_and(|n| planned.part <= n && are_parts(n, planned.part));
            if !fits {
                let what = format!("layer {} is of another shape; plan again", planned.name);
                return Err(Error::malformed(folder.join(PLAN), None, what));
            }
        }
        Ok(())
    }

    /// Takes the fingerprints and reads the labels.
    fn look(&mut self) -> Result<()> {
        let mut known: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut entry = |path: &Path, shape: Vec<u64>, dtype: &str| -> Result<Input> {
            let fingerprint = match known.get(path) {
                Some(found) => found.clone(),
                None => {
                    let (found, stamp) = stamped(path)?;
                    self.stamps.push(stamp);
                    known.insert(path.to_path_buf(), found.clone());
                    found
                }
            };
            Ok(Input {
                path: path.display().to_string(),
                shape,
                dtype: dtype.into(),
                fingerprint,
            })
        };
        for layer in &self.dump {
            let s = layer.shape();
            let shape = [s.samples, s.channels, s.height, s.width].map(|d| d as u64);
            if let Some(path) = layer.path() {
                let found = entry(path, shape.to_vec(), layer.dtype().name())?;
                self.input.push(found);
            }
            if let Some(path) = &self.label_file {
                self.labels = Some(read_labels(path, s.samples)?);
            }
        }
        if let Some(path) = &self.label_file {
            let samples = self.dump.first().map_or(0, |l| l.shape().samples as u64);
            self.input.push(entry(path, vec![samples], "labels")?);
        }
        if let Some((images, path)) = self.images.as_ref().and_then(|i| Some((i, i.path()?))) {
            let s = images.shape();
            let shape = [s.samples, s.channels, s.height, s.width].map(|d| d as u64);
            self.input
                .push(entry(path, shape.to_vec(), images.dtype().name())?);
        }
        Ok(())
    }

    /// The layers.
    pub fn layers(&self) -> Vec<&dyn Layer> {
        self.dump.iter().map(AsRef::as_ref).collect()
    }

    /// Bytes of values read from the files of the layers so far.
    pub fn bytes_read(&self) -> u64 {
        self.dump.iter().map(|layer| layer.bytes_read()).sum()
    }

    /// Refuses input that was changed since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        self.stamps.iter().try_for_each(Stamp::check)?;
        self.dump.iter().try_for_each(|l| l.check_unchanged())
    }

    /// A layer as the plan measures it.
    pub fn view(&self, plan: &Plan, at: usize) -> Result<View<'_>> {
        let (layer, planned) = (self.dump[at].as_ref(), &plan.layers[at]);
        let layers = [layer];
        let input = RedundancyInput::new(&layers).with_labels(self.labels.as_deref());
        let channels = selected(&input, &plan.options)?;
        let skipped = &planned.skipped;
        let samples = 0..layer.shape().samples;
        let good = || {
            samples
                .clone()
                .filter(|i| skipped.binary_search(i).is_err())
        };
        let kept = match skipped.is_empty() {
            true => None,
            false => Some(Kept::new(layer, good().collect())?),
        };
        let labels = match (&self.labels, &kept) {
            (Some(labels), Some(kept)) => Some(kept.kept().iter().map(|&i| labels[i]).collect()),
            (labels, _) => labels.clone(),
        };
        let measured = layer.shape().samples - skipped.len();
        Ok(View {
            layer,
            queries: draw_queries(&plan.options, measured, kept.as_ref().map(Kept::kept)),
            kept,
            labels,
            channels: channels.into_iter().next().unwrap_or_default(),
            skipped: skipped.clone(),
        })
    }
}

/// A layer as it is measured.
pub(super) struct View<'a> {
    layer: &'a dyn Layer,
    kept: Option<Kept<&'a dyn Layer>>,
    labels: Option<Vec<u32>>,
    queries: Option<Vec<usize>>,
    pub channels: Vec<usize>,
    pub skipped: Vec<usize>,
}

impl<'a> View<'a> {
    /// The samples that are measured.
    pub fn layer(&self) -> &dyn Layer {
        match &self.kept {
            Some(kept) => kept,
            None => self.layer,
        }
    }

    /// The same, to be kept.
    pub fn owned(&self) -> Box<dyn Layer + 'a> {
        match &self.kept {
            Some(kept) => Box::new(kept.clone()),
            None => Box::new(self.layer),
        }
    }

    /// The index as stored of a sample that is measured.
    pub fn stored(&self, sample: usize) -> usize {
        self.kept
            .as_ref()
            .map_or(sample, |kept| kept.kept()[sample])
    }

    /// Shape as stored.
    pub fn shape(&self) -> LayerShape {
        self.layer.shape()
    }

    /// For the stages, once it is known which channels are `dead`.
    pub fn prepared<'p>(
        &'p self,
        dead: &'p [bool],
        options: &'p RedundancyOptions,
    ) -> Prepared<'p> {
        Prepared {
            layer: self.layer(),
            kept: self.kept.as_ref().map(Kept::kept),
            channels: &self.channels,
            dead,
            labels: self.labels.as_deref(),
            queries: self.queries.as_deref(),
            options,
        }
    }
}
