//! `chanscope filters`: Convolutional Similarity of every convolution, and minimising it.

mod options;
mod study;
mod summary;
pub mod weights;

use super::error::{Error, Result, in_file};
use super::progress::Reporter;
use super::{Common, output};
use chanscope::io::safetensors::Replacement;
use chanscope::measure::{Context, Minimized, filters, minimize};
use chanscope::report::folder::{MATRICES_UP_TO, ResultsFolder};
pub use options::Args;
use std::fmt::Write as _;
use std::path::Path;
pub use summary::summary;
use weights::Weights;

/// Measures every layer.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let options = args.parse()?;
    let Some(path) = &args.weights else {
        return study::run(common);
    };
    let memory = common.memory()?;
    let weights = Weights::open(path)?;
    args.check_memory(&weights, memory)?;
    args.check_target(&weights, path, common)?;
    let output = common.output(&[Some(path)])?;
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "filters");
    let ctx = Context::new(&device)
        .with_memory(memory)
        .with_scratch(folder.scratch());
    options.describe(args, &folder, &ctx);
    weights.describe(&folder)?;
    let reporter = Reporter::new(common.quiet);
    let (mut minimized, mut measured_layers, mut first_failure) = (Vec::new(), 0, None);
    for at in 0..weights.len() {
        let layer = match weights.read(at) {
            Err(e) if args.skip_unreadable && !matches!(e, chanscope::Error::Cancelled) => {
                folder.skip(weights.unreadable(at, &e));
                first_failure.get_or_insert(e);
                continue;
            }
            layer => layer?,
        };
        let bank = layer.filters();
        let small = bank.shape.filters <= MATRICES_UP_TO;
        let measured = options.filters.with_matrices(args.pair_matrix || small);
        let measured = reporter.run(|control| {
            let ctx = ctx.clone().with_control(*control);
            let found = filters(&ctx, &bank, &measured)?;
            let after = options.minimization.as_ref();
            let after = after.map(|options| minimize(&ctx, &bank, options));
            Ok((found, after.transpose()?))
        });
        let (found, after) = measured.map_err(|e| in_file(path, e))?;
        folder.filters(&bank, &found, after.as_ref())?;
        folder.stage(layer.name.clone());
        measured_layers += 1;
        if let (Some(after), Some(_)) = (after, &args.write) {
            minimized.push((layer.key, finished(after, &layer.name, path)?));
        }
    }
    if let (0, Some(error)) = (measured_layers, first_failure) {
        return Err(error.into());
    }
    if let Some(target) = &args.write {
        let replacements: Vec<Replacement<'_>> = (minimized.iter())
            .map(|(key, values)| Replacement { key, values })
            .collect();
        weights.write(target, common.force, &replacements)?;
    }
    let report = folder.path().join("report.html");
    let results = folder.finish()?;
    if common.json {
        return output::json(&results);
    }
    let mut text = summary(&results);
    text += &output::skipped(&results);
    if let Some(target) = &args.write {
        let _ = writeln!(text, "\nMinimised weights: {}", target.display());
    }
    let _ = writeln!(text, "\nReport: {}", report.display());
    output::print(&text)
}

/// The weights a minimisation ended with.
fn finished(minimized: Minimized, layer: &str, path: &Path) -> Result<Vec<f32>> {
    minimized.weights.ok_or_else(|| {
        Error::Failed(format!(
            "{}: layer '{layer}' diverged after {} steps, so nothing was written; choose a smaller --lr, or \
             --keep-norm",
            path.display(),
            minimized.history.len() - 1
        ))
    })
}
