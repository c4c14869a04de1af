//! Units of the survey: what the first reading finds in a part of a layer's samples, and how parts are put together.

use super::input::{Data, View};
use super::plan::{Plan, range};
use crate::error::OutputProblem;
use crate::io::kept::Kept;
use crate::io::layer::Layer;
use crate::io::parts::{Done, Part};
use crate::io::scan::scan;
use crate::io::sink::PLAN;
use crate::measure::Context;
use crate::measure::baselines::{ALIGNED, ChannelSimilarity, Totals, mini_batches, packed_len};
use crate::measure::redundancy::{
    NonFinite, PartSurvey, STRONGEST, Strong, strongest_of, survey_part,
};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

const SURVEY: &str = "survey.json";
const TOTALS: &str = "totals.bin";
const GRAMS: &str = "grams.bin";

/// The strongest samples of a channel, each with the bits of its mean.
type Listed = Vec<(usize, u64)>;

/// What a unit found, without matrices.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Which of the selected channels are zero on every sample of the part.
    dead: Vec<bool>,
    /// Samples as stored, of each channel, if asked for.
    strongest: Option<Vec<Listed>>,
}

/// Whether CKA compares the layers of a plan: those of as many samples each.
pub(super) fn compares_layers(plan: &Plan) -> bool {
    let mut samples = plan.layers.iter().map(|layer| layer.shape[0]);
    let first = samples.next();
    plan.options.baselines && plan.layers.len() > 1 && samples.all(|other| Some(other) == first)
}

/// Computes the unit of some samples of a layer.
pub(super) fn compute(
    ctx: &Context<'_>,
    plan: &Plan,
    data: &Data,
    (layer, samples): (usize, &[usize; 2]),
    (part, folder): (&Part, &Path),
) -> Result<()> {
    let view = data.view(plan, layer)?;
    let (samples, options) = (range(samples), &plan.options);
    let whole = samples == (0..view.layer().shape().samples);
    let some = match whole {
        true => None,
        false => Some(Kept::new(view.layer(), samples.clone().collect())?),
    };
    let of_part: &dyn Layer = match &some {
        Some(some) => some,
        None => view.layer(),
    };
    let mut grams = match compares_layers(plan) && mini_batches(samples.len(), ALIGNED).count() > 0
    {
        true => Some(part.file(GRAMS)?),
        false => None,
    };
    let found = match &mut grams {
        Some(file) => {
            let mut put = |gram: &[f64]| {
                file.put(&little_endian(gram))?;
                file.end_piece();
                Ok(())
            };
            survey_part(ctx, of_part, &view.channels, options, Some(&mut put))?
        }
        None => survey_part(ctx, of_part, &view.channels, options, None)?,
    };
    let Some(found) = found else {
        return Err(refusal(ctx, plan, data, (layer, &view), folder));
    };
    if let Some(file) = grams {
        file.finish();
    }
    let PartSurvey {
        dead,
        totals,
        strongest,
    } = found;
    if let Some(totals) = totals {
        let mut file = part.file(TOTALS)?;
        totals.pieces(|piece| {
            file.put(piece)?;
            file.end_piece();
            Ok::<(), Error>(())
        })?;
        file.finish();
    }
    let listed = |found: Vec<Strong>| -> Listed {
        let sample = |found: Strong| {
            (
                view.stored(samples.start + found.sample),
                found.mean.to_bits(),
            )
        };
        found.into_iter().map(sample).collect()
    };
    let head = Head {
        dead,
        strongest: strongest.map(|channels| channels.into_iter().map(listed).collect()),
    };
    let text = serde_json::to_vec(&head).map_err(|e| Error::io(SURVEY, "write", e.into()))?;
    part.write(SURVEY, &text)
}

/// The refusal of a layer with a value that is not finite where the plan takes all to be: as a run in one go refuses it.
fn refusal(
    ctx: &Context<'_>,
    plan: &Plan,
    data: &Data,
    (at, view): (usize, &View<'_>),
    folder: &Path,
) -> Error {
    let layers = data.layers();
    let layer = layers[at];
    let scanned = ctx.run(|| scan(layer, &view.channels, ctx.memory(), ctx.control()));
    let found = match scanned {
        Ok(found) => found,
        Err(error) => return error,
    };
    if let (NonFinite::Reject, Some(refusal)) = (plan.options.non_finite, found.refusal(layer)) {
        return refusal;
    }
    // The values have changed since it was planned.
    let count = |samples: &[usize]| format!("{} samples left out", samples.len());
    let what = format!("the values of layer {}:", plan.layers[at].name);
    let (was, is) = (count(&view.skipped), count(&found.bad_samples));
    let changed = Error::output(folder, OutputProblem::OtherRun { what, was, is });
    data.check_unchanged().err().unwrap_or(changed)
}

/// What the survey found in some samples of a layer, or in all of them.
pub(super) struct SurveySums {
    pub dead: Vec<bool>,
    totals: Option<Totals>,
    strongest: Option<Vec<Vec<Strong>>>,
}

impl SurveySums {
    /// Of all units of a layer, in their order.
    pub(super) fn of_units<'d>(
        plan: &Plan,
        layer: usize,
        mut units: impl Iterator<Item = ([usize; 2], &'d Done)>,
    ) -> Result<Option<Self>> {
        let Some((samples, done)) = units.next() else {
            return Ok(None);
        };
        let mut all = read(done, plan, layer, &samples)?;
        for (samples, done) in units {
            all.merge(read(done, plan, layer, &samples)?);
        }
        Ok(Some(all))
    }

    fn merge(&mut self, later: Self) {
        let dead = self.dead.iter_mut().zip(later.dead);
        dead.for_each(|(all, later)| *all &= later);
        if let (Some(all), Some(later)) = (&mut self.totals, later.totals) {
            all.merge(later);
        }
        if let (Some(all), Some(later)) = (&mut self.strongest, later.strongest) {
            for (all, later) in all.iter_mut().zip(later) {
                *all = strongest_of(all.drain(..).chain(later));
            }
        }
    }

    /// The correlations of channels, if asked for.
    pub(super) fn similarity(&self) -> Option<ChannelSimilarity> {
        self.totals.as_ref().map(Totals::similarity)
    }

    /// The strongest samples of every channel, if asked for.
    pub(super) fn strongest(&mut self) -> Option<Vec<Vec<Strong>>> {
        self.strongest.take()
    }
}

/// Reads which channels are zero on every sample of a unit's.
pub(super) fn dead(done: &Done, plan: &Plan, layer: usize) -> Result<Vec<bool>> {
    Ok(head(done, plan, layer)?.dead)
}

fn head(done: &Done, plan: &Plan, layer: usize) -> Result<Head> {
    let planned = &plan.layers[layer];
    let failed = |what: String| Error::malformed(done.path(SURVEY), None, what);
    let each = match plan.options.strongest {
        true => 8 + 48 * STRONGEST,
        false => 8,
    };
    let most = 1024 + each * planned.channels;
    let head: Head = serde_json::from_slice(&done.read(SURVEY, most)?)
        .map_err(|e| failed(format!("{e}; compute it again")))?;
    let are_strongest = |found: &Listed| {
        let there = |&(sample, _): &(usize, u64)| sample < planned.shape[0];
        found.len() <= STRONGEST && found.iter().all(there)
    };
    let strongest = match &head.strongest {
        Some(found) => found.len() == planned.channels && found.iter().all(are_strongest),
        None => true,
    };
    let fits = head.dead.len() == planned.channels
        && head.strongest.is_some() == plan.options.strongest
        && strongest;
    match fits {
        true => Ok(head),
        false => Err(failed("is of other layers; compute it again".into())),
    }
}

/// Reads a unit.
fn read(done: &Done, plan: &Plan, layer: usize, samples: &[usize; 2]) -> Result<SurveySums> {
    let head = head(done, plan, layer)?;
    let planned = &plan.layers[layer];
    let [_, _, h, w] = planned.shape;
    let totals = match plan.options.baselines {
        true => {
            let shape = [range(samples).len(), planned.channels, h * w];
            let found = Totals::of_pieces(shape, |at, most| done.piece(TOTALS, at, most))?;
            let what = "holds sums of other samples or channels; compute it again";
            Some(found.ok_or_else(|| Error::malformed(done.path(TOTALS), None, what))?)
        }
        false => None,
    };
    let strong = |(sample, bits): (usize, u64)| Strong {
        sample,
        mean: f64::from_bits(bits),
    };
    let channels = |of: Vec<Listed>| -> Vec<Vec<Strong>> {
        let channels = of.into_iter();
        channels
            .map(|found| found.into_iter().map(strong).collect())
            .collect()
    };
    Ok(SurveySums {
        dead: head.dead,
        totals,
        strongest: head.strongest.map(channels),
    })
}

/// Reads the packed Gram matrix of a mini-batch, by its number among those of the layer; `units` are the survey's of the layer,
/// in their order.
pub(super) fn gram(units: &[([usize; 2], &Done)], batch: usize) -> Result<Vec<f64>> {
    let first = batch * ALIGNED;
    let at = units.partition_point(|(samples, _)| samples[1] <= first);
    let Some((samples, done)) = units.get(at) else {
        let what = format!("surveys no sample {first}; plan again");
        return Err(Error::malformed(PLAN, None, what));
    };
    let in_batch = ALIGNED.min(samples[1] - first);
    let most = 8 * packed_len(in_batch);
    let bytes = done.piece(GRAMS, (first - samples[0]) / ALIGNED, most)?;
    let (values, _) = bytes.as_chunks::<8>();
    match bytes.len() == most {
        true => Ok(values.iter().map(|v| f64::from_le_bytes(*v)).collect()),
        false => {
            let what = "holds matrices of other samples; compute it again";
            Err(Error::malformed(done.path(GRAMS), None, what))
        }
    }
}

fn little_endian(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
