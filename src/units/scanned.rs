//! A survey that only looks for dead channels and values that are not finite: in parts of the samples, which are kept over a
//! kill. What it counts does not depend on the order of the samples, unlike the sums of the other surveys.

use super::input::Data;
use super::plan::Plan;
use crate::Result;
use crate::io::kept::Kept;
use crate::io::layer::Layer;
use crate::io::parts::{Depth, Done, Part, State, look};
use crate::io::scan::scan;
use crate::io::sink::{InParts, PartState, UNITS, remove_unit};
use crate::measure::Context;
use std::ops::Range;
use std::path::Path;

/// The file in a part: which of the selected channels are zero on every sample of it.
const DEAD: &str = "dead.json";

/// Which of the selected channels of every layer are zero on every sample. `None` where the survey has to be made in one go:
/// where it adds up more, where samples are left out, and where a value is not finite, which it says in its own words.
pub(super) fn dead(
    ctx: &Context<'_>,
    plan: &Plan,
    data: &Data,
    folder: &Path,
) -> Result<Option<Vec<Vec<bool>>>> {
    let (options, layers) = (&plan.options, &plan.layers);
    if options.baselines || options.strongest || layers.iter().any(|l| !l.skipped.is_empty()) {
        return Ok(None);
    }
    let mut all = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let view = data.view(plan, at)?;
        let mut dead = vec![true; layer.channels];
        let (samples, part) = (layer.shape[0], layer.part);
        for number in 0..samples.div_ceil(part) {
            let rows = number * part..samples.min((number + 1) * part);
            let share =
                |row: usize| (at as f64 + row as f64 / samples as f64) / layers.len() as f64;
            let control = ctx.control().part(share(rows.start), share(rows.end));
            let ctx = ctx.clone().with_control(control);
            let scanning = Scanning {
                ctx: &ctx,
                plan,
                data,
                folder,
                name: InParts::Survey.name(at, number),
            };
            let Some(found) = scanning.part(view.layer(), &view.channels, rows)? else {
                return Ok(None);
            };
            let both = dead.iter_mut().zip(found);
            both.for_each(|(all, of_part)| *all &= of_part);
        }
        all.push(dead);
    }
    Ok(Some(all))
}

/// A part of a survey.
struct Scanning<'a> {
    ctx: &'a Context<'a>,
    plan: &'a Plan,
    data: &'a Data,
    folder: &'a Path,
    name: String,
}

impl Scanning<'_> {
    /// Which of `channels` are zero on all of `rows`, as it was found before or is found now; `None` where a value is not
    /// finite.
    fn part(
        &self,
        layer: &dyn Layer,
        channels: &[usize],
        rows: Range<usize>,
    ) -> Result<Option<Vec<bool>>> {
        let (units, run) = (self.folder.join(UNITS), &self.plan.hash);
        self.ctx.control().check()?;
        match look(&units, &self.name, run, Depth::Contents)? {
            State::Missing => {}
            State::Done(done) => {
                if let Some(found) = read(&done, channels.len()) {
                    return Ok(Some(found));
                }
                self.remove();
            }
            State::Damaged(_) => self.remove(),
        }
        let samples = rows.clone().collect();
        let of_part = Kept::new(layer, samples)?;
        let (memory, control) = (self.ctx.memory(), self.ctx.control());
        let found = self.ctx.run(|| scan(&of_part, channels, memory, control))?;
        if found.refusal(layer).is_some() {
            return Ok(None);
        }
        let zero = found.dead_channels();
        let dead: Vec<bool> = channels.iter().map(|c| zero.contains(c)).collect();
        self.data.check_unchanged()?;
        let part = Part::begin(&units, &self.name)?;
        let text = serde_json::Value::from(dead.clone()).to_string();
        part.write(DEAD, text.as_bytes())?;
        let about = serde_json::json!({ "samples": [rows.start, rows.end] });
        part.finish(run, about)?;
        Ok(Some(dead))
    }

    /// Removes what is there of the part, which is damaged. Another process may do so too, when it has made the survey; what
    /// stays in the way is not used, and named when the run is merged.
    fn remove(&self) {
        let _ = remove_unit(self.folder, &self.name);
    }
}

/// What a part found of so many channels; `None` where it is no such part.
fn read(done: &Done, channels: usize) -> Option<Vec<bool>> {
    let bytes = done.read(DEAD, 16 + 8 * channels).ok()?;
    let found: Vec<bool> = serde_json::from_slice(&bytes).ok()?;
    (found.len() == channels).then_some(found)
}

/// Removes the parts of surveys of so many layers, as far as that is possible; the others stay until the run is merged.
pub(super) fn remove(folder: &Path, layers: usize) {
    for layer in 0..layers {
        for (name, state) in InParts::Survey.names(folder, layer) {
            if state == PartState::Whole {
                let _ = remove_unit(folder, &name);
            }
        }
    }
}
