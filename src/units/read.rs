//! Reading a plan, and whether its units are those of a run: anybody may have written it.

use super::plan::{Plan, PlannedLayer, SCHEMA, Stage, Unit, Work};
use crate::error::OutputProblem;
use crate::io::sink::PLAN;
use crate::io::whole::read_json;
use crate::measure::baselines::ALIGNED;
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

impl Plan {
    /// Reads `run.json` of a folder, which may take `memory` bytes.
    ///
    /// # Errors
    /// [`Error::Output`] where there is none or another version wrote it; [`Error::File`] where it is damaged;
    /// [`Error::Memory`].
    pub fn read(folder: &Path, memory: u64) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
            version: String,
        }
        let path = folder.join(PLAN);
        if !path.is_file() {
            return Err(Error::output(folder, OutputProblem::NoRun));
        }
        let bytes = read_json(&path, memory)?;
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
        let sound = is_sound(&plan.units, &plan.layers, plan.options.aggregate);
        match sound && plan.hash == plan.hashed() {
            true => Ok(plan),
            false => Err(Error::malformed(
                &path,
                None,
                "is not as it was written; plan again",
            )),
        }
    }
}

/// Whether the units are numbered in their order and compute everything once, as those do into which a run is cut, the survey in the
/// order of the samples. So no sum has more terms than there are queries.
fn is_sound(units: &[Unit], layers: &[PlannedLayer], aggregate: bool) -> bool {
    let numbered = |(place, unit): (usize, &Unit)| {
        let stage = match unit.work {
            Work::Overlap { .. } => Stage::Overlap,
            _ => Stage::Graphs,
        };
        unit.unit == place && unit.stage == stage
    };
    if !units.iter().enumerate().all(numbered) {
        return false;
    }
    let mut covered: Vec<Covered> = layers.iter().map(|_| Covered::default()).collect();
    let added = units.iter().all(|unit| {
        let layer = unit.work.layer();
        match (layers.get(layer), covered.get_mut(layer)) {
            (Some(planned), Some(covered)) => covered.add(&unit.work, planned),
            _ => false,
        }
    });
    let whole = |(layer, covered): (&PlannedLayer, &Covered)| {
        layer.piece > 0 && covered.is_whole(layer, aggregate)
    };
    added && layers.iter().zip(&covered).all(whole)
}

/// What the units of a layer compute.
#[derive(Default)]
struct Covered {
    /// Samples that are surveyed.
    samples: usize,
    /// By how many queries a channel has more than the one before it.
    channels: BTreeMap<usize, i128>,
    /// Queries of the aggregate, and of the overlaps.
    aggregate: usize,
    overlaps: usize,
}

impl Covered {
    /// Adds a unit; `false` where it does not lie within the layer.
    fn add(&mut self, work: &Work, layer: &PlannedLayer) -> bool {
        let within = |range: &[usize; 2], len: usize| range[0] < range[1] && range[1] <= len;
        let (queries, channels) = match work {
            Work::Survey { samples, .. } => {
                let next = within(samples, layer.measured())
                    && samples[0] == self.samples
                    && samples[0] % ALIGNED == 0;
                self.samples = samples[1];
                return next;
            }
            Work::Channels {
                channels, queries, ..
            } => (queries, Some(channels)),
            Work::Aggregate { queries, .. } | Work::Overlap { queries, .. } => (queries, None),
        };
        if !within(queries, layer.queries) || channels.is_some_and(|c| !within(c, layer.channels)) {
            return false;
        }
        let count = queries[1] - queries[0];
        match (work, channels) {
            (_, Some(channels)) => {
                *self.channels.entry(channels[0]).or_default() += count as i128;
                *self.channels.entry(channels[1]).or_default() -= count as i128;
            }
            (Work::Aggregate { .. }, _) => self.aggregate = self.aggregate.saturating_add(count),
            _ => self.overlaps = self.overlaps.saturating_add(count),
        }
        true
    }

    fn is_whole(&self, layer: &PlannedLayer, aggregate: bool) -> bool {
        let mut steps = self.channels.iter().filter(|(_, by)| **by != 0);
        let all = layer.queries as i128;
        steps.next() == Some((&0, &all))
            && steps.next() == Some((&layer.channels, &-all))
            && steps.next().is_none()
            && self.aggregate == if aggregate { layer.queries } else { 0 }
            && self.overlaps == layer.queries
            && self.samples == layer.measured()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::plan::cut;

    fn layer(queries: usize, channels: usize, piece: usize) -> PlannedLayer {
        PlannedLayer {
            name: "a".into(),
            shape: [queries, channels, 2, 2],
            channels,
            skipped: Vec::new(),
            queries,
            piece,
            part: 1,
        }
    }

    #[test]
    fn what_is_cut_is_sound_and_nothing_else_is() {
        for aggregate in [false, true] {
            for count in [1, 2, 7, 40, 300] {
                let layers = [layer(50, 3, 7), layer(9, 5, 2)];
                let units = cut(&layers, aggregate, count);
                assert!(is_sound(&units, &layers, aggregate), "{count}");
                assert!(!is_sound(&units, &layers, !aggregate));
                assert!(!is_sound(&units, &layers[..1], aggregate));
                let numbered = |mut units: Vec<Unit>| {
                    (0..units.len()).for_each(|at| units[at].unit = at);
                    units
                };
                for at in 0..units.len() {
                    let mut without = units.clone();
                    without.remove(at);
                    assert!(!is_sound(&numbered(without), &layers, aggregate));
                    let mut twice = units.clone();
                    twice.insert(at, units[at].clone());
                    assert!(!is_sound(&numbered(twice), &layers, aggregate));
                    let mut late = units.clone();
                    match &mut late[at].work {
                        Work::Survey { samples, .. } => samples[1] += 1,
                        Work::Channels { queries, .. }
                        | Work::Aggregate { queries, .. }
                        | Work::Overlap { queries, .. } => queries[1] += 1,
                    }
                    assert!(!is_sound(&late, &layers, aggregate));
                }
                let mut whole = layers.clone();
                whole[1].piece = 0;
                assert!(!is_sound(&units, &whole, aggregate));
            }
        }
    }
}
