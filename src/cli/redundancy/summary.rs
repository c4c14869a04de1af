//! What a redundancy run prints at its end.

use super::super::error::Result;
use super::super::output::skipped;
use super::super::table::Column::{self, Left, Name, Right};
use super::super::table::Table;
use super::super::{Common, output};
use chanscope::report::results::Results;
use std::fmt::Write as _;
use std::path::Path;

/// Name, seven figures, and a note.
const COLUMNS: [Column; 9] = [Name, Right, Right, Right, Right, Right, Right, Right, Left];

/// Prints what a run found.
pub fn finished(results: &Results, folder: &Path, common: &Common, notes: &[String]) -> Result<()> {
    if common.json {
        return output::json(results);
    }
    let mut text = summary(results);
    for note in notes {
        let _ = writeln!(text, "{note}");
    }
    text += &skipped(results);
    let _ = writeln!(text, "\nReport: {}", folder.join("report.html").display());
    output::print(&text)
}

/// A few lines per layer.
pub fn summary(results: &Results) -> String {
    let number = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.3}"));
    let mean = |xs: &[Option<f64>]| {
        let live: Vec<f64> = xs.iter().copied().flatten().collect();
        (!live.is_empty()).then(|| live.iter().sum::<f64>() / live.len() as f64)
    };
    let mut table = Table::new(&COLUMNS);
    table.row([
        "layer",
        "channels",
        "dead",
        "neighbours",
        "overlap",
        "Jaccard",
        "redundancy",
        "LOO error",
    ]);
    for layer in results.redundancy.iter().flat_map(|r| &r.layers) {
        table.row([
            layer.name.clone(),
            layer.neighbors_mean.len().to_string(),
            layer.dead_channels.len().to_string(),
            number(mean(&layer.neighbors_mean)),
            number(layer.overlap_mean),
            number(layer.jaccard_mean),
            number(layer.redundancy),
            number(layer.loo_error.as_deref().and_then(mean)),
        ]);
        if let Some(a) = &layer.aggregate {
            table.row([
                "  aggregate",
                "1",
                "",
                &number(a.neighbors_mean),
                "",
                "",
                "",
                &number(a.loo_error),
                &format!("recall {}", number(a.recall)),
            ]);
        }
    }
    table.to_string()
}
