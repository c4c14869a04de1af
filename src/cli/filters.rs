//! `chanscope filters`: Convolutional Similarity of every convolution, and minimising it.

mod options;
mod save;
mod study;
mod weights;

use super::progress::Reporter;
use super::save::Record;
use super::{Common, network::on_device, output};
use chanscope::io::safetensors::Replacement;
use chanscope::io::sink::Output;
use chanscope::measure::filters::{self as measure, Minimized};
use chanscope::report::results::Filters;
use chanscope::{Error, Result};
pub use options::Args;
pub use save::{save, summary};
use std::fmt::Write as _;
use std::path::Path;
use weights::Weights;

/// Measures every layer.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let options = args.parse()?;
    let Some(path) = &args.weights else {
        return study::run(common);
    };
    let memory = common.memory()?;
    let weights = Weights::open(path)?;
    args.check_target(&weights, common.force)?;
    let folder = Output::create(&common.out, common.force)?;
    let device = common.open_device()?;
    let mut record = Record::new("filters", device.info());
    options.describe(args, &mut record);
    record.parameter("memory", memory);
    record.parameter("threads", common.threads());
    record.results.input.push(weights.input()?);
    record.results.skipped.extend(weights.skipped().cloned());
    let reporter = Reporter::new(common.quiet);
    let mut layers = Vec::new();
    let mut minimized = Vec::new();
    for at in 0..weights.len() {
        let layer = weights.read(at)?;
        let filters = layer.filters();
        let job = measure::Job {
            params: options.params,
            gradient: args.gradient,
            matrices: args.pair_matrix || filters.shape.filters <= save::WRITTEN_UP_TO,
            memory,
        };
        let measured = reporter.run(|control| {
            on_device!(&device, |backend| {
                let scratch = &mut Default::default();
                let found = measure::similarity(backend, &filters, &job, scratch, control)?;
                let after = (options.minimization.as_ref())
                    .map(|job| measure::minimize(backend, &filters, job, scratch, control));
                Ok((found, after.transpose()?))
            })
        });
        let (found, after) = measured.map_err(|e| in_file(path, e))?;
        layers.push(save(&folder, &filters, &found, after.as_ref())?);
        record.stage(layer.name.clone());
        if let (Some(after), Some(_)) = (after, &args.write) {
            minimized.push((
                layer.key,
                finished(after, &layer.name).map_err(|e| in_file(path, e))?,
            ));
        }
    }
    record.results.filters = Some(Filters { layers });
    if let Some(target) = &args.write {
        let replacements: Vec<Replacement<'_>> = (minimized.iter())
            .map(|(key, values)| Replacement { key, values })
            .collect();
        weights.write(target, common.force, &replacements)?;
    }
    let report = folder.folder().join("report.html");
    let results = record.finish(folder)?;
    if common.json {
        return output::json(&results);
    }
    let mut text = summary(&results);
    for s in &results.skipped {
        let _ = writeln!(text, "skipped {}: {}", s.name, s.reason);
    }
    if let Some(target) = &args.write {
        let _ = writeln!(text, "\nMinimised weights: {}", target.display());
    }
    let _ = writeln!(text, "\nReport: {}", report.display());
    output::print(&text)
}

/// What is wrong with a layer is wrong with its file.
fn in_file(path: &Path, e: Error) -> Error {
    match e {
        Error::Model(what) => Error::data(path, what),
        e => e,
    }
}

/// The weights a minimisation ended with.
fn finished(minimized: Minimized, layer: &str) -> Result<Vec<f32>> {
    minimized.weights.ok_or_else(|| {
        Error::Model(format!(
            "layer '{layer}' diverged after {} steps, so nothing was written; choose a smaller --lr, or \
             --keep-norm",
            minimized.history.len() - 1
        ))
    })
}
