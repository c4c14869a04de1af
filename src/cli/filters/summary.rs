//! What `chanscope filters` says.

use chanscope::report::results::Results;
use std::fmt::Write as _;

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
