//! What `chanscope filters` writes and says.

use chanscope::Result;
use chanscope::io::sink::Output;
use chanscope::measure::filters::{Filters, Minimized, Similarity};
use chanscope::report::results::{FilterLayer, Results, finite, finite_all};
use std::fmt::Write as _;

/// Filters up to which the matrices are written without being asked for.
pub const WRITTEN_UP_TO: usize = 1024;
/// Weights up to which a layer is kept for the report's pictures.
const PICTURED_UP_TO: usize = 1 << 20;

/// Whether the report shows a layer's filters: as pictures they need more than one pixel.
fn pictured(filters: &Filters<'_>) -> bool {
    filters.shape.area() > 1 && filters.weights.len() <= PICTURED_UP_TO
}

/// Writes the arrays of one layer and returns its entry in the results.
pub fn save(
    folder: &Output,
    filters: &Filters<'_>,
    found: &Similarity,
    minimized: Option<&Minimized>,
) -> Result<FilterLayer> {
    let s = filters.shape;
    let (m, shape) = (s.filters, [s.filters, s.channels, s.height, s.width]);
    let file = |array: &str| format!("filters/{}/{array}.npy", filters.name);
    for (name, matrix) in [("pairs", &found.pairs), ("cosine", &found.cosine)] {
        if let Some(matrix) = matrix.as_ref().and_then(|m| m.as_slice()) {
            folder.array(&file(name), &[m, m], matrix)?;
        }
    }
    if let Some(gradient) = &found.gradient {
        folder.array(&file("gradient"), &shape, gradient)?;
    }
    if pictured(filters) {
        folder.array(&file("weights"), &shape, filters.weights)?;
    }
    Ok(FilterLayer {
        name: filters.name.to_string(),
        shape: shape.map(|d| d as u64).to_vec(),
        value: finite(found.value),
        value_adjacent: finite(found.value_adjacent),
        normalized_mean: found.normalized_mean,
        filter_cosine_mean: found.cosine_mean,
        zero_filters: found.zero_filters.iter().map(|&i| i as u64).collect(),
        history: minimized.map(|m| finite_all(&m.history)),
    })
}

/// A line per layer.
pub fn summary(results: &Results) -> String {
    let mut text = String::new();
    let Some(filters) = &results.filters else {
        return text;
    };
    let minimized = filters.layers.iter().any(|l| l.history.is_some());
    let _ = writeln!(
        text,
        "{:<32} {:>18} {:>11} {:>11} {:>10} {:>8}{}",
        "layer",
        "filters",
        "similarity",
        "adjacent",
        "normalised",
        "cosine",
        if minimized { "   minimised" } else { "" }
    );
    let short = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.4}"));
    let long = |v: Option<f64>| v.map_or("-".into(), five_digits);
    for l in &filters.layers {
        let shape: Vec<String> = l.shape.iter().map(u64::to_string).collect();
        let _ = write!(
            text,
            "{:<32} {:>18} {:>11} {:>11} {:>10} {:>8}",
            l.name,
            shape.join("x"),
            long(l.value),
            long(l.value_adjacent),
            short(l.normalized_mean),
            short(l.filter_cosine_mean)
        );
        if let Some(history) = &l.history {
            let last = history.last().copied().flatten();
            let _ = write!(text, " {:>11}", last.map_or("diverged".into(), five_digits));
        }
        text.push('\n');
    }
    text
}

/// Five digits that say something; powers of ten only where plain figures would be long.
fn five_digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if (1e-3..1e6).contains(&size) => {
            let decimals = (4 - size.log10().floor() as i32).max(0) as usize;
            format!("{value:.decimals$}")
        }
        _ => format!("{value:.4e}"),
    }
}
