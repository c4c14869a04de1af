//! What `chanscope filters` says.

use super::super::table::{Column, Table};
use chanscope::report::results::Results;

/// A line per layer.
pub fn summary(results: &Results) -> String {
    let Some(filters) = &results.filters else {
        return String::new();
    };
    let minimized = filters.layers.iter().any(|l| l.history.is_some());
    let mut table = Table::new(&[Column::Name, Column::Right]);
    table.row([
        "layer",
        "filters",
        "similarity",
        "adjacent",
        "normalised",
        "cosine",
        if minimized { "minimised" } else { "" },
    ]);
    let short = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.4}"));
    let long = |v: Option<f64>| v.map_or("-".into(), five_digits);
    for l in &filters.layers {
        let shape: Vec<String> = l.shape.iter().map(u64::to_string).collect();
        let minimized = l.history.as_ref().map(|history| {
            let last = history.last().copied().flatten();
            last.map_or("diverged".into(), five_digits)
        });
        table.row([
            l.name.clone(),
            shape.join("x"),
            long(l.value),
            long(l.value_adjacent),
            short(l.normalized_mean),
            short(l.filter_cosine_mean),
            minimized.unwrap_or_default(),
        ]);
    }
    table.to_string()
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
