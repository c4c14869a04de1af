//! Computing units.

use super::input::{Data, View};
use super::plan::{Plan, Stage, Unit, Work};
use super::status::number_list;
use super::{graphs, overlap, survey};
use crate::control::Progress;
use crate::error::OutputProblem;
use crate::io::parts::{Depth, Done, Part, State, look};
use crate::io::sink::{copy_names, remove_unit};
use crate::io::spill::{CopyPlace, remove_copy};
use crate::measure::Context;
use crate::measure::redundancy::{LayerCopy, Prepared, Spaces, repack};
use crate::{Error, Result};
use serde_json::json;
use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use web_time::Instant;

/// Which units to compute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Units of this stage only; `None`: of graphs, and then of overlaps if all units of graphs are done.
    pub stage: Option<Stage>,
    /// Which of them.
    pub share: Share,
}

/// A share of the units of each stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// All.
    #[default]
    All,
    /// Every `count`-th from the `index`-th on.
    Shard {
        /// From 0 to `count - 1`.
        index: usize,
        /// Shards.
        count: usize,
    },
    /// These, by number.
    Units(Vec<usize>),
}

/// What [`work`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// Units that were computed.
    pub computed: Vec<usize>,
    /// Units that were done before.
    pub skipped: Vec<usize>,
    /// Units of graphs that others still have to compute before overlaps can be.
    pub waiting_for: Vec<usize>,
    /// Bytes of values that were read from the files of the dump. What was read from a temporary copy is no part of them.
    pub bytes_read: u64,
}

/// Computes units of the run in `folder` that are missing or damaged, one after another.
///
/// # Errors
/// [`Error::Argument`] for shares and units that there are not; [`Error::Output`] where the folder holds no run or the
/// input is not what it was, and where overlaps are asked for before all graphs are there; as
/// [`crate::measure::redundancy()`].
pub fn work(ctx: &Context<'_>, folder: &Path, selection: &Selection) -> Result<Worked> {
    let plan = Plan::read(folder, ctx.memory())?;
    selection.check(&plan)?;
    let data = Data::of_plan(&plan, folder)?;
    let worker = Worker {
        ctx,
        plan: &plan,
        data: &data,
        folder,
        units: Plan::units_folder(folder)?,
        selection,
        copy: RefCell::default(),
    };
    let mut worked = worker.run()?;
    worked.bytes_read = data.bytes_read();
    Ok(worked)
}

impl Selection {
    fn check(&self, plan: &Plan) -> Result<()> {
        match &self.share {
            Share::All => Ok(()),
            Share::Shard { index, count } if index < count => Ok(()),
            Share::Shard { index, count } => {
                let expected = "I/N with I from 0 to N - 1";
                Err(Error::argument(
                    "shard",
                    format!("{index}/{count}"),
                    expected,
                ))
            }
            Share::Units(units) => {
                let wrong = |unit: &&usize| match plan.units.get(**unit) {
                    Some(found) => self.stage.is_some_and(|stage| stage != found.stage),
                    None => true,
                };
                let Some(unit) = units.iter().find(wrong) else {
                    return Ok(());
                };
                let there = plan
                    .units
                    .iter()
                    .filter(|u| self.stage.is_none_or(|s| s == u.stage));
                let there: Vec<usize> = there.map(|u| u.unit).collect();
                let expected = format!("among {}", number_list(&there));
                Err(Error::argument("unit", unit, expected))
            }
        }
    }

    /// The chosen units of a stage.
    fn units<'a>(&self, plan: &'a Plan, stage: Stage) -> Vec<&'a Unit> {
        let chosen = plan
            .stage(stage)
            .enumerate()
            .filter(|(at, unit)| match &self.share {
                Share::All => true,
                Share::Shard { index, count } => at % count == *index,
                Share::Units(units) => units.contains(&unit.unit),
            });
        chosen.map(|(_, unit)| unit).collect()
    }
}

/// Where the units of a job lie in it, by their estimated time.
struct Turns {
    total: f64,
    done: f64,
    /// Time of a unit of which nothing is known.
    usual: f64,
}

impl Turns {
    fn new(units: &[&Unit]) -> Self {
        let known: Vec<f64> = units.iter().filter_map(|unit| unit.seconds).collect();
        // Units without an estimate are of overlaps, which as a rule take less than graphs.
        let usual = match known.is_empty() {
            true => 1.0,
            false => 0.25 * known.iter().sum::<f64>() / known.len() as f64,
        };
        let time = |unit: &&Unit| unit.seconds.unwrap_or(usual);
        Self {
            total: units.iter().map(time).sum(),
            done: 0.0,
            usual,
        }
    }

    /// The share of the next unit.
    fn next(&mut self, unit: &Unit) -> Range<f64> {
        let start = self.done;
        self.done += unit.seconds.unwrap_or(self.usual);
        let total = self.total.max(f64::MIN_POSITIVE);
        start / total..self.done / total
    }
}

/// The share of a unit's progress that a copy of its layer takes.
const COPYING: f64 = 0.3;

/// One call of [`work`].
struct Worker<'a> {
    ctx: &'a Context<'a>,
    plan: &'a Plan,
    data: &'a Data,
    folder: &'a Path,
    /// The folder of units.
    units: PathBuf,
    selection: &'a Selection,
    /// The layer whose units of graphs were computed last.
    copy: RefCell<Option<CopyOf<'a>>>,
}

/// A layer's number, and the copy of it by channels if that pays for the units of graphs that are to be computed.
type CopyOf<'a> = (usize, Option<LayerCopy<'a>>);

impl<'a> Worker<'a> {
    fn run(&self) -> Result<Worked> {
        let selection = self.selection;
        let mut worked = Worked::default();
        let wanted = |stage| selection.stage.is_none_or(|s| s == stage);
        let graphs = match wanted(Stage::Graphs) {
            true => selection.units(self.plan, Stage::Graphs),
            false => Vec::new(),
        };
        let overlaps = selection.units(self.plan, Stage::Overlap);
        let all = match wanted(Stage::Overlap) {
            true => [&graphs[..], &overlaps].concat(),
            false => graphs.clone(),
        };
        let mut turns = Turns::new(&all);
        for unit in graphs {
            self.unit(unit, &turns.next(unit), &[], &mut worked)?;
        }
        self.close_copy()?;
        if wanted(Stage::Graphs) {
            (0..self.plan.layers.len()).try_for_each(|layer| self.remove_unused_copy(layer))?;
        }
        if !wanted(Stage::Overlap) || overlaps.is_empty() {
            return Ok(worked);
        }
        let mut done = Vec::new();
        for unit in self.plan.stage(Stage::Graphs) {
            // What is read of a unit is checked when it is read.
            match self.look(unit, Depth::Lengths)? {
                State::Done(found) => done.push((unit.unit, found)),
                _ => worked.waiting_for.push(unit.unit),
            }
        }
        if worked.waiting_for.is_empty() {
            for unit in overlaps {
                self.unit(unit, &turns.next(unit), &done, &mut worked)?;
            }
        } else if selection.stage.is_some() {
            let problem = OutputProblem::Units {
                missing: number_list(&worked.waiting_for),
                damaged: String::new(),
            };
            return Err(Error::output(self.folder, problem));
        }
        Ok(worked)
    }

    fn look(&self, unit: &Unit, depth: Depth) -> Result<State> {
        look(&self.units, &unit.name(), &self.plan.hash, depth)
    }

    /// Computes a unit unless it is done. `share` is its part in the progress of the job.
    fn unit(
        &self,
        unit: &Unit,
        share: &Range<f64>,
        graphs: &[(usize, Done)],
        worked: &mut Worked,
    ) -> Result<()> {
        self.ctx.control().check()?;
        match self.look(unit, Depth::Contents)? {
            State::Done(_) => {
                worked.skipped.push(unit.unit);
                return Ok(());
            }
            State::Missing => {}
            State::Damaged(_) => remove_unit(self.folder, &unit.name())?,
        }
        let (started, before) = (Instant::now(), self.data.bytes_read());
        let of = self.plan.units.len();
        let outer = self.ctx.control().part(share.start, share.end);
        let show = |p: Progress<'_>| {
            let stage = format!("unit {} of {of}, {}", unit.unit, p.stage);
            outer.relay(p.with_stage(&stage));
        };
        let own = outer.whole().with_progress(&show);
        let ctx = self.ctx.clone().with_control(own);
        let part = Part::begin(&self.units, &unit.name())?;
        self.compute(&ctx, unit, graphs, &part)?;
        self.data.check_unchanged()?;
        let info = self.ctx.device().info();
        let about = json!({
            "device": {"name": info.name, "backend": info.backend, "driver": info.driver},
            "seconds": started.elapsed().as_secs_f64(),
            "bytes_read": self.data.bytes_read() - before,
        });
        part.finish(&self.plan.hash, about)?;
        worked.computed.push(unit.unit);
        Ok(())
    }

    fn compute(
        &self,
        ctx: &Context<'_>,
        unit: &Unit,
        done: &[(usize, Done)],
        part: &Part,
    ) -> Result<()> {
        match &unit.work {
            Work::Survey { layer, samples } => {
                let of = (*layer, samples);
                survey::compute(ctx, self.plan, self.data, of, (part, self.folder))
            }
            Work::Overlap { layer, queries } => {
                let view = self.data.view(self.plan, *layer)?;
                overlap::compute(ctx, self.plan, &view, (*layer, queries), done, part)
            }
            Work::Channels { .. } | Work::Aggregate { .. } => {
                let Some(job) = graphs::job(&unit.work) else {
                    return Ok(());
                };
                let view = self.data.view(self.plan, job.0)?;
                let dead = match self.dead(job.0)? {
                    Some(dead) => dead,
                    None => graphs::dead_channels(ctx, self.data, &view, &job.1)?,
                };
                let prepared = view.prepared(&dead, &self.plan.options);
                let ctx = match &job.1 {
                    Spaces::Channels(_) => self.make_copy(ctx, job.0, &view, &prepared)?,
                    Spaces::Aggregate => ctx.clone(),
                };
                let copy = self.copy.borrow();
                let prepared = match (&job.1, &*copy) {
                    (Spaces::Channels(_), Some((_, Some(copy)))) => Prepared {
                        layer: copy.layer(),
                        ..prepared
                    },
                    _ => prepared,
                };
                graphs::compute(&ctx, self.plan, &prepared, &job, part)
            }
        }
    }

    /// Copies a layer by channels, before the first unit that reads it, if that pays for all units that are to be computed,
    /// and what was found to be damaged of the copy once more. Returns the context for the unit.
    fn make_copy<'c>(
        &self,
        ctx: &Context<'c>,
        layer: usize,
        view: &View<'a>,
        prepared: &Prepared<'_>,
    ) -> Result<Context<'c>> {
        let sound = |copy: &Option<LayerCopy<'_>>| copy.as_ref().is_none_or(|c| !c.is_damaged());
        if matches!(&*self.copy.borrow(), Some((of, copy)) if *of == layer && sound(copy)) {
            return Ok(ctx.clone());
        }
        // The room of the layer's before is needed.
        if let Some(before) = self.close_copy()?
            && before != layer
        {
            self.remove_unused_copy(before)?;
        }
        let mut parts = Vec::new();
        for unit in self.selection.units(self.plan, Stage::Graphs) {
            if let Some((of, Spaces::Channels(channels), queries)) = graphs::job(&unit.work)
                && of == layer
                && !matches!(self.look(unit, Depth::Lengths)?, State::Done(_))
            {
                parts.push((channels, queries));
            }
        }
        let control = ctx.control().part(0.0, COPYING);
        let copying = ctx.clone().with_control(control);
        let part = self.plan.layers[layer].part;
        let place = CopyPlace::new(self.folder, layer, &self.plan.hash, part);
        let made = repack(&copying, prepared, view.owned(), &parts, &place)?;
        let left = match made {
            Some(_) => ctx.control().part(COPYING, 1.0),
            None => *ctx.control(),
        };
        *self.copy.borrow_mut() = Some((layer, made));
        Ok(ctx.clone().with_control(left))
    }

    /// Closes the copy, whatever layer it is of, and removes what is damaged of it. Returns the layer.
    fn close_copy(&self) -> Result<Option<usize>> {
        let Some((layer, copy)) = self.copy.take() else {
            return Ok(None);
        };
        copy.map_or(Ok(()), LayerCopy::close)?;
        Ok(Some(layer))
    }

    /// Removes the copy of a layer if no unit will read it any more.
    fn remove_unused_copy(&self, layer: usize) -> Result<()> {
        if copy_names(self.folder, layer).is_empty() {
            return Ok(());
        }
        for unit in self.plan.stage(Stage::Graphs) {
            if matches!(unit.work, Work::Channels { layer: of, .. } if of == layer)
                && !matches!(self.look(unit, Depth::Lengths)?, State::Done(_))
            {
                return Ok(());
            }
        }
        remove_copy(self.folder, layer);
        Ok(())
    }

    /// Dead channels of a layer, where its survey is done: then the values are known to be finite too.
    fn dead(&self, layer: usize) -> Result<Option<Vec<bool>>> {
        let of_layer =
            |unit: &&Unit| matches!(unit.work, Work::Survey { layer: of, .. } if of == layer);
        let mut all = vec![true; self.plan.layers[layer].channels];
        for unit in self.plan.units.iter().filter(of_layer) {
            let State::Done(done) = self.look(unit, Depth::Lengths)? else {
                return Ok(None);
            };
            // A damaged unit is computed again by whoever meets it in its turn; here the values are looked at instead.
            let Ok(dead) = survey::dead(&done, self.plan, layer) else {
                return Ok(None);
            };
            all.iter_mut()
                .zip(dead)
                .for_each(|(all, dead)| *all &= dead);
        }
        Ok(Some(all))
    }
}
