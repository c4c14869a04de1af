//! Putting the results together.

use super::input::{Data, View};
use super::plan::{Plan, PlannedLayer, Work, range};
use super::request::device_of;
use super::status::{number_list, survey_units};
use super::supports::Supports;
use super::survey::SurveySums;
use super::{graphs, overlap, survey};
use crate::device::{Device, DeviceChoice};
use crate::error::OutputProblem;
use crate::io::open::ids_of;
use crate::io::parts::Done;
use crate::io::sink::{Output, PLAN};
use crate::io::size::available_memory;
use crate::io::spill::remove_copy;
use crate::measure::Context;
use crate::measure::baselines::{Cka, cka_of_packed};
use crate::measure::redundancy::{
    Across, AcrossInput, LayerRedundancy, OverlapPart, SideLayer, SpaceSums, Spaces, SupportSink,
    across, check_overlap_memory,
};
use crate::report::folder::{GraphWriters, ResultsFolder, out_of_range};
use crate::report::results::{DeviceRecord, Results, Skipped};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Writes the results of the run in `folder` into it, and removes the units unless they are to be kept. Earlier results in
/// the folder are replaced.
///
/// # Errors
/// [`Error::Output`] with the list of units that are missing or damaged, where the folder holds no run, the input is not
/// what it was, and while another run writes into the folder; [`Error::Io`].
pub fn merge(folder: &Path, keep_units: bool) -> Result<Results> {
    merge_within(folder, keep_units, available_memory())
}

/// As [`merge`], in about `memory` bytes.
///
/// # Errors
/// As [`merge`]; [`Error::Memory`] where the plan or the overlaps of a layer take more.
pub fn merge_within(folder: &Path, keep_units: bool, memory: u64) -> Result<Results> {
    let plan = Plan::read(folder, memory)?;
    let inputs: Vec<&Path> = plan
        .dumps
        .iter()
        .chain(&plan.labels)
        .chain(&plan.images)
        .map(PathBuf::as_path)
        .collect();
    let output = Output::resume(folder, &inputs)?;
    merge_into(output, keep_units, memory)
}

/// As [`merge_within`], into a folder that the caller has taken by [`Output::resume`], or in which it has planned the run.
///
/// # Errors
/// As [`merge_within`].
pub fn merge_into(mut output: Output, keep_units: bool, memory: u64) -> Result<Results> {
    let folder = output.folder().to_path_buf();
    let plan = Plan::read(&folder, memory)?;
    for layer in &plan.layers {
        let (k, sampled) = (plan.options.graph.k, plan.options.queries.is_some());
        check_overlap_memory(layer.channels, k, sampled, memory)?;
    }
    let (status, done) = survey_units(&plan, &folder)?;
    if done.len() < plan.units.len() {
        let damaged: Vec<usize> = status.damaged.iter().map(|d| d.unit).collect();
        let problem = OutputProblem::Units {
            missing: number_list(&status.missing),
            damaged: number_list(&damaged),
        };
        return Err(Error::output(&folder, problem));
    }
    // Of a run that was killed when all its graphs were done.
    (0..plan.layers.len()).for_each(|layer| remove_copy(&folder, layer));
    let data = Data::of_plan(&plan, &folder)?;
    output.own_units(keep_units);
    let merging = Merging {
        plan: &plan,
        data: &data,
        done: &done,
        memory,
        results: ResultsFolder::begin(output, "redundancy"),
    };
    merging.run()
}

fn is_survey(work: &Work) -> bool {
    matches!(work, Work::Survey { .. })
}

struct Merging<'a> {
    plan: &'a Plan,
    data: &'a Data,
    /// A unit each.
    done: &'a [Done],
    memory: u64,
    results: ResultsFolder,
}

impl Merging<'_> {
    fn run(self) -> Result<Results> {
        let results = &self.results;
        for (name, value) in &self.plan.parameters {
            results.parameter(name, value.clone());
        }
        self.device()?;
        self.plan
            .input
            .iter()
            .for_each(|i| results.input(i.clone()));
        self.plan
            .skipped
            .iter()
            .for_each(|s| results.skip(s.clone()));
        let ids = ids_of(&self.plan.dumps);
        results.samples(self.data.labels.as_deref(), ids.as_deref())?;
        let mut notes = Vec::new();
        let mut all_dead = Vec::new();
        for at in 0..self.plan.layers.len() {
            let units = self.surveys(at).into_iter();
            let Some(mut survey) = SurveySums::of_units(self.plan, at, units)? else {
                let path = results.path().join(PLAN);
                return Err(Error::malformed(path, None, "has no survey; plan again"));
            };
            let mut found = self.layer(at, &survey.dead, &mut notes)?;
            found.similarity = survey.similarity();
            found.strongest = survey.strongest();
            results.redundancy_layer(&found)?;
            let seconds = self.seconds(|work| !is_survey(work) && work.layer() == at);
            results.stage_before(found.name, seconds);
            all_dead.push(survey.dead);
        }
        results.stage_before("survey", self.seconds(is_survey));
        if survey::compares_layers(self.plan) {
            results.cka(&self.cka()?);
        }
        if self.plan.options.across {
            results.across(&self.across(&all_dead)?)?;
        }
        if let Some(images) = &self.data.images {
            results.images(images.as_ref())?;
        }
        notes.into_iter().for_each(|note| results.skip(note));
        self.data.check_unchanged()?;
        self.results.finish()
    }

    /// The channels of all layers, by the supports in the units. Every device finds the same.
    fn across(&self, dead: &[Vec<bool>]) -> Result<Across> {
        let plan = self.plan;
        let units: Vec<(usize, &Done)> = self.done.iter().enumerate().collect();
        let views: Vec<View<'_>> = (0..plan.layers.len())
            .map(|at| self.data.view(plan, at))
            .collect::<Result<_>>()?;
        let supports: Vec<Supports> = (views.iter().enumerate())
            .map(|(at, view)| overlap::supports_of(plan, view, at, false, &units))
            .collect();
        let layers: Vec<SideLayer<'_>> = (plan.layers.iter().enumerate())
            .map(|(at, layer)| SideLayer {
                name: &layer.name,
                channels: &views[at].channels,
                dead: &dead[at],
                supports: &supports[at],
            })
            .collect();
        let first = plan.layers.first();
        let input = AcrossInput {
            layers: &layers,
            queries: first.map_or(0, |l| l.queries),
            samples: first.map_or(0, |l| l.shape[0]),
            k: plan.options.graph.k,
        };
        let device = Device::open(&DeviceChoice::Cpu, 0)?;
        across(&Context::new(&device).with_memory(self.memory), &input)
    }

    /// CKA between all layers, of the Gram matrices in the units.
    fn cka(&self) -> Result<Cka> {
        let layers = &self.plan.layers;
        let surveys: Vec<_> = (0..layers.len()).map(|at| self.surveys(at)).collect();
        let get = |layer: usize, batch: usize| survey::gram(&surveys[layer], batch);
        let names = layers.iter().map(|layer| layer.name.clone()).collect();
        let samples = layers.first().map_or(0, PlannedLayer::measured);
        let device = Device::open(&DeviceChoice::Cpu, 0)?;
        cka_of_packed(&Context::new(&device), names, samples, &get)
    }

    /// Units of the survey of a layer, in the order of their samples.
    fn surveys(&self, at: usize) -> Vec<([usize; 2], &Done)> {
        let of_layer = |(work, done)| match work {
            &Work::Survey { layer, samples } if layer == at => Some((samples, done)),
            _ => None,
        };
        self.units().filter_map(of_layer).collect()
    }

    fn units(&self) -> impl Iterator<Item = (&Work, &Done)> {
        (self.plan.units.iter().zip(self.done)).map(|(unit, done)| (&unit.work, done))
    }

    /// Seconds that some units took.
    fn seconds(&self, which: impl Fn(&Work) -> bool) -> f64 {
        let own = self.units().filter(|(work, _)| which(work));
        own.filter_map(|(_, done)| done.marker().about.get("seconds")?.as_f64())
            .sum()
    }

    /// Records what computed: all devices, where units come from several.
    fn device(&self) -> Result<()> {
        let mut devices: Vec<DeviceRecord> = Vec::new();
        for done in self.done {
            if let Some(device) = device_of(&done.marker().about)
                && !devices.contains(&device)
            {
                devices.push(device);
            }
        }
        devices.sort_by(|a, b| (&a.backend, &a.name).cmp(&(&b.backend, &b.name)));
        let join = |of: &dyn Fn(&DeviceRecord) -> String| {
            let mut names: Vec<String> = devices.iter().map(of).collect();
            names.dedup();
            names.join(" and ")
        };
        self.results.record_device(DeviceRecord {
            name: join(&|d| d.name.clone()),
            backend: join(&|d| d.backend.clone()),
            driver: join(&|d| d.driver.clone()),
        });
        Ok(())
    }

    /// Adds up the units of a layer, and copies its graphs.
    fn layer(&self, at: usize, dead: &[bool], notes: &mut Vec<Skipped>) -> Result<LayerRedundancy> {
        let (plan, planned, results) = (self.plan, &self.plan.layers[at], &self.results);
        let view = self.data.view(plan, at)?;
        let mut channels = vec![SpaceSums::default(); planned.channels];
        let mut aggregate = SpaceSums::default();
        let mut overlaps = OverlapPart::new(planned.channels);
        let (queries, k) = (planned.queries, plan.options.graph.k);
        let writers = |folder: &str, spaces| match plan.save_graph {
            true => {
                let folder = format!("layers/{}/{folder}", planned.name);
                let output = results.output();
                GraphWriters::create(output, &folder, spaces, queries, k).map(Some)
            }
            false => Ok(None),
        };
        let own = writers("", planned.channels)?;
        let whole = match plan.options.aggregate {
            true => writers("aggregate/", 1)?,
            false => None,
        };
        let mut lost = 0;
        for (work, done) in self.units() {
            if let Work::Overlap { layer, queries } = work
                && *layer == at
            {
                let queries = range(queries).len();
                overlaps.merge(&overlap::read(done, planned.channels, queries, k)?);
            }
            let Some((layer, spaces, queries)) = graphs::job(work) else {
                continue;
            };
            if layer != at {
                continue;
            }
            let sums = graphs::read(done, spaces.count(), queries.len())?;
            lost = u64::saturating_add(lost, sums.out_of_range);
            let (range, targets, writers) = match &spaces {
                Spaces::Channels(range) => (range.clone(), &mut channels[range.clone()], &own),
                Spaces::Aggregate => (0..1, std::slice::from_mut(&mut aggregate), &whole),
            };
            targets
                .iter_mut()
                .zip(&sums.spaces)
                .for_each(|(a, b)| a.merge(b));
            if let Some(writers) = writers {
                writers.copy(&done.path(""), &range, &queries)?;
            }
        }
        for writers in [own, whole].into_iter().flatten() {
            writers.finish()?;
        }
        notes.extend(out_of_range(&planned.name, lost));
        let prepared = view.prepared(dead, &plan.options);
        if plan.supports {
            let units: Vec<(usize, &Done)> = self.done.iter().enumerate().collect();
            let source = overlap::supports_of(plan, &view, at, false, &units);
            let supports = prepared.supports(view.shape(), &source, self.memory);
            results.supports().take(&supports)?;
        }
        let aggregate = plan.options.aggregate.then_some(&aggregate);
        Ok(LayerRedundancy::assemble(
            &prepared,
            view.shape(),
            view.skipped.clone(),
            &channels,
            aggregate,
            &overlaps,
        ))
    }
}
