//! `chanscope compare`: which channels of finished runs over the same samples pick the same neighbours.

use super::error::Result;
use super::progress::Reporter;
use super::table::{Column, Table};
use super::{Common, output};
use chanscope::measure::Context;
use chanscope::report::finished::ComparedRuns;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::results::{Compare, ComparedPair, Results};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Compare the channels of finished redundancy runs over the same samples: epochs, seeds, architectures
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope compare epoch-10 epoch-20 epoch-30 --out compared\n\nThe first run is compared with \
                  each of the others."
)]
pub struct Args {
    /// Folders of finished runs of redundancy, which kept their supports
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
}

/// Compares the first run with each of the others.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let memory = common.memory()?;
    let runs = ComparedRuns::open(&args.runs, memory)?;
    let inputs: Vec<Option<&Path>> = args.runs.iter().map(|p| Some(p.as_path())).collect();
    let output = common.output(&inputs)?;
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "compare");
    let ctx = Context::new(&device)
        .with_memory(memory)
        .with_scratch(folder.scratch());
    Reporter::new(common.quiet).run(|control| {
        let ctx = ctx.clone().with_control(*control);
        folder.compare(&ctx, &runs)
    })?;
    let path = folder.path().to_path_buf();
    let results = folder.finish()?;
    if common.json {
        return output::json(&results);
    }
    let mut text = summary(&results);
    let _ = writeln!(text, "\nReport: {}", path.join("report.html").display());
    output::print(&text)
}

/// Every layer of the first run and its best match in each other run.
fn summary(results: &Results) -> String {
    let mut text = String::new();
    let Some(found) = &results.compare else {
        return text;
    };
    for pair in &found.pairs {
        let [a, b] = [pair.a, pair.b].map(|run| &found.runs[run as usize]);
        let _ = writeln!(
            text,
            "Channels of {} found again in {} (mean Jaccard index with the most similar channel, and with all):",
            output::plain(&a.path),
            output::plain(&b.path)
        );
        let mut table = Table::new(&[Column::Name, Column::Name, Column::Right]);
        table.row(["layer", "most similar layer", "best", "mean"]);
        for (l, layer) in a.layers.iter().enumerate() {
            let (name, best, mean) = best_layer(found, pair, l);
            table.row([layer.name.clone(), name, best, mean]);
        }
        text += &table.to_string();
    }
    text
}

/// The layer of the second run in which the channels of a layer of the first one are found again best, and the two figures.
fn best_layer(found: &Compare, pair: &ComparedPair, l: usize) -> (String, String, String) {
    let row = pair.best_match[l].iter().enumerate();
    let values = row.filter_map(|(m, v)| v.map(|v| (m, v)));
    let Some((m, best)) = values.reduce(|x, y| if y.1 > x.1 { y } else { x }) else {
        return ("-".into(), "-".into(), "-".into());
    };
    let mean = pair.mean[l][m].map_or("-".into(), |v| format!("{v:.4}"));
    let name = found.runs[pair.b as usize].layers[m].name.clone();
    (name, format!("{best:.4}"), mean)
}
