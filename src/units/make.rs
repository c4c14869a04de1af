//! Making the plan of what is asked for.

use super::input::{Data, Request, query_count};
use super::plan::{Plan, PlannedLayer, SCHEMA, Work, cut};
use super::survey::compares_layers;
use crate::error::{LayerProblem, OutputProblem};
use crate::io::scan::scan;
use crate::io::sink::Output;
use crate::io::size::available_disk;
use crate::io::spill::part_samples;
use crate::io::supports::SupportShape;
use crate::measure::baselines::{ALIGNED, Totals, mini_batches, packed_len};
use crate::measure::redundancy::{NonFinite, RedundancyOptions, check, estimate, selected};
use crate::measure::{Context, RedundancyInput};
use crate::report::folder::check_images;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Bytes of supports in a piece of a file, in all channels together: what a unit of overlaps reads at a time.
const PIECE: u64 = 64 << 20;

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
    check_room(&plan, folder, available_disk(folder))?;
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
    check_room(&plan, output.folder(), available_disk(output.folder()))?;
    plan.write(output.folder())?;
    Ok(plan)
}

fn plan_of(ctx: &Context<'_>, request: &Request, data: &Data, units: usize) -> Result<Plan> {
    let options = &request.options;
    let layers = data.layers();
    if let Some(images) = &data.images {
        let named = layers.iter().map(|l| (l.name(), l.shape().samples));
        check_images(images.as_ref(), named)?;
    }
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
        let queries = query_count(options, measured);
        let each = (channels.len() * (4 * options.graph.k + 2)) as u64;
        let most = usize::try_from(PIECE / each.max(1)).unwrap_or(usize::MAX);
        planned.push(PlannedLayer {
            name: layer.name().to_string(),
            shape: [s.samples, s.channels, s.height, s.width],
            channels: channels.len(),
            skipped,
            queries,
            piece: most.min(queries.div_ceil(units)).max(1),
            part: part_samples(measured, s.row_len() * layer.dtype().size()),
        });
    }
    let mut plan = Plan {
        schema: SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        hash: String::new(),
        dumps: request.dumps.iter().map(absolute).collect::<Result<_>>()?,
        labels: data.label_file.as_ref().map(absolute).transpose()?,
        images: request.images.as_ref().map(absolute).transpose()?,
        skip_unreadable: request.skip_unreadable,
        save_graph: request.save_graph,
        supports: request.supports,
        options: options.clone(),
        parameters: request.parameters(ctx),
        input: data.input.clone(),
        skipped: data.left_out.clone(),
        units: cut(&planned, options.aggregate, units),
        layers: planned,
    };
    plan.hash = plan.hashed();
    for (at, layer) in layers.iter().enumerate() {
        let found = estimate(ctx, *layer, options)?;
        plan.estimated(at, &found);
    }
    data.check_unchanged()?;
    Ok(plan)
}

/// Refuses a run for which a disk with so many bytes `free` has no room.
fn check_room(plan: &Plan, folder: &Path, free: Option<u64>) -> Result<()> {
    let needed = disk_bytes(plan);
    match free {
        Some(free) if free < needed => {
            let problem = OutputProblem::NoRoom { needed, free };
            Err(Error::output(folder, problem))
        }
        _ => Ok(()),
    }
}

/// Bytes that units and results of a run take at the most, estimated.
fn disk_bytes(plan: &Plan) -> u64 {
    let k = plan.options.graph.k as u64;
    // Written for the unit, and copied when the run is merged.
    let graphs = if plan.save_graph { 2 * (12 * k + 5) } else { 0 };
    let of_layer = |(at, layer): (usize, &PlannedLayer)| {
        let spaces = layer.channels as u64 + u64::from(plan.options.aggregate);
        let queries = spaces * layer.queries as u64;
        let overlaps = plan
            .units
            .iter()
            .filter(|unit| matches!(unit.work, Work::Overlap { layer, .. } if layer == at));
        // Upper triangles of four matrices in each unit of overlaps, and whole matrices in the results.
        let pairs = (layer.channels as u64).pow(2);
        let matrices = 16 * pairs * overlaps.count() as u64 + 48 * pairs;
        let surveys = (plan.units.iter())
            .filter(|unit| matches!(unit.work, Work::Survey { layer, .. } if layer == at));
        let totals = match plan.options.baselines {
            true => Totals::most_bytes(layer.channels) * surveys.count() as u64,
            false => 0,
        };
        let grams = match compares_layers(plan) {
            true => mini_batches(layer.measured(), ALIGNED)
                .map(|batch| 8 * packed_len(batch.len()) as u64)
                .sum(),
            false => 0,
        };
        let kept = match plan.supports {
            true => planned_supports(plan, layer).bytes(),
            false => 0,
        };
        queries * (2 + 4 * SupportShape::members(plan.options.graph.k) + graphs)
            + matrices
            + totals
            + grams
            + kept
    };
    plan.layers.iter().enumerate().map(of_layer).sum()
}

/// The supports of a layer in the results.
fn planned_supports(plan: &Plan, layer: &PlannedLayer) -> SupportShape {
    SupportShape {
        channels: layer.channels,
        queries: layer.queries,
        k: plan.options.graph.k,
        samples: layer.shape[0],
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, DeviceChoice};

    /// A dump of 50 x 2 x 2 x 2 in a folder, and the plan of a run over it in three units.
    fn planned(folder: &Path) -> Plan {
        let dump = folder.join("dump");
        let output = Output::create(&dump, false).expect("folder");
        let values: Vec<f32> = (0..400).map(|i| (i as f32).sin()).collect();
        output
            .array("a.npy", &[50, 2, 2, 2], &values)
            .expect("array");
        output.finish(&serde_json::json!({})).expect("written");
        let request = Request::new(vec![dump.join("a.npy")], RedundancyOptions::default());
        let device = Device::open(&DeviceChoice::Cpu, 1).expect("CPU");
        let data = Data::open(&request).expect("opened");
        plan_of(&Context::new(&device), &request, &data, 3).expect("planned")
    }

    #[test]
    fn a_plan_that_claims_more_than_the_input_has_is_refused() {
        let dir = tempfile::tempdir().expect("folder");
        let plan = planned(dir.path());
        assert!(Data::of_plan(&plan, dir.path()).is_ok());
        let changes: [fn(&mut PlannedLayer); 7] = [
            |layer| layer.channels = 1 << 40,
            |layer| layer.queries = 1 << 40,
            |layer| layer.piece = 1 << 40,
            |layer| layer.part = 0,
            |layer| layer.part = 1 << 40,
            |layer| layer.shape[0] = 1 << 40,
            |layer| layer.skipped = vec![1 << 40],
        ];
        for change in changes {
            let mut wrong = plan.clone();
            change(&mut wrong.layers[0]);
            let refused = Data::of_plan(&wrong, dir.path()).err().expect("refused");
            assert!(refused.to_string().contains("layer a is of another shape"));
        }
    }

    #[test]
    fn a_disk_without_room_is_refused_with_the_figures() {
        let dir = tempfile::tempdir().expect("folder");
        let plan = planned(dir.path());
        // 100 queries of channels with 2 + 4 * 17 bytes in units and 1 + 17 in the results, three units of sums, the matrices,
        // and of the survey two means and three triangles.
        let needed = 100 * (70 + 18) + 16 * 4 * 3 + 48 * 4 + 32 * 2 + 3 * 8 * 3;
        assert_eq!(disk_bytes(&plan), needed);
        let folder = dir.path();
        assert!(check_room(&plan, folder, Some(needed)).is_ok());
        assert!(check_room(&plan, folder, None).is_ok());
        let free = needed - 1;
        let problem = OutputProblem::NoRoom { needed, free };
        let refused = check_room(&plan, folder, Some(free));
        assert_eq!(refused, Err(Error::output(folder, problem)));
    }
}
