//! The figures of a report in plain sentences.
//!
//! Each function returns finished sentences, unescaped. They say what was measured on these samples
//! and stop there: no sentence calls a channel useless or a layer prunable, because none of the
//! measures shows that. Different situations get different sentences.

mod ablate;
mod filters;
mod impulse;
mod networks;
mod rank;
mod redundancy;
mod shuffle;

pub use ablate::{ablated, ablation};
pub use filters::filters;
pub use impulse::impulse;
pub use networks::compare;
pub use rank::rank;
pub use redundancy::{Alike, redundancy};
pub use shuffle::shuffle;

/// A number with three significant digits and no exponent between 0.001 and 10 million; – for none.
pub fn number(x: Option<f64>) -> String {
    let Some(x) = x.filter(|x| x.is_finite()) else {
        return "–".into();
    };
    if x == 0.0 {
        return "0".into();
    }
    // The exponent after rounding, so that 9.999 is 10.0 and not 10.00.
    let scientific = format!("{x:.2e}");
    let exponent = scientific.rsplit('e').next().and_then(|e| e.parse().ok());
    let decimals = match exponent.unwrap_or(0i32) {
        e if !(-3..7).contains(&e) => return scientific,
        e => (2 - e).clamp(0, 6) as usize,
    };
    let rounded = format!("{x:.decimals$}");
    if decimals == 0 {
        return thousands(&rounded);
    }
    rounded
}

/// A value with its standard error: the error with two significant digits, the value with as many decimals, `5.431 ± 0.021`. As
/// [`number`] where there is no error.
pub fn with_error(value: Option<f64>, error: Option<f64>) -> String {
    match (value, error) {
        (Some(value), Some(error)) if value.is_finite() && error.is_finite() => {
            let decimals = decimals(error).unwrap_or(2);
            format!("{value:.decimals$} ± {error:.decimals$}")
        }
        _ => number(value),
    }
}

/// The same of shares, as percentages with one decimal, or more if the error needs them: `71.3 ± 2.6 %`. As [`percent`] where
/// there is no error.
pub fn percent_with_error(value: Option<f64>, error: Option<f64>) -> String {
    match (value, error) {
        (Some(value), Some(error)) if value.is_finite() && error.is_finite() => {
            let (value, error) = (100.0 * value, 100.0 * error);
            let decimals = decimals(error).map_or(1, |d| if error < 0.1 { d } else { 1 });
            format!("{value:.decimals$} ± {error:.decimals$}\u{a0}%")
        }
        _ => percent(value),
    }
}

/// Decimals that show two significant digits of an error, at most 6; `None` of 0.
fn decimals(error: f64) -> Option<usize> {
    // The exponent after rounding, so that 0.0996 is 0.10.
    let scientific = format!("{error:.1e}");
    let exponent: i32 = scientific.rsplit('e').next()?.parse().ok()?;
    (error != 0.0).then(|| (1 - exponent).clamp(0, 6) as usize)
}

/// A share as a percentage, one decimal below 10 %; – for none.
pub fn percent(x: Option<f64>) -> String {
    match x.filter(|x| x.is_finite()) {
        None => "–".into(),
        Some(0.0) => "0\u{a0}%".into(),
        Some(x) if x.abs() < 0.0005 => "under 0.1\u{a0}%".into(),
        Some(x) if x.abs() < 0.0995 || (0.9..1.0).contains(&x) => {
            format!("{:.1}\u{a0}%", x * 100.0)
        }
        Some(x) => format!("{:.0}\u{a0}%", x * 100.0),
    }
}

/// A share that was chosen, as a percentage without zeros at the end: `90 %`, `12.5 %`.
pub fn share(x: f64) -> String {
    let rounded = format!("{:.2}", 100.0 * x);
    let short = rounded.trim_end_matches('0').trim_end_matches('.');
    format!("{short}\u{a0}%")
}

/// A count with thin spaces between groups of three digits.
pub fn count(n: u64) -> String {
    thousands(&n.to_string())
}

/// `1 channel`, `2 channels`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    let noun = if n == 1 { one } else { many };
    format!("{} {noun}", count(n))
}

/// `0`, `0 and 3`, `0, 3 and 9`, and `and N more` after a dozen.
pub fn list(indices: &[u64]) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = indices.iter().take(SHOWN).map(u64::to_string).collect();
    let more = indices.len().saturating_sub(SHOWN);
    match names.split_last() {
        _ if more > 0 => format!("{} and {more} more", names.join(", ")),
        None => "none".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Mean of the values that exist.
pub fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// Position and value of the smallest and the largest value that exist; ties go to the first.
pub fn extremes(values: &[Option<f64>]) -> Option<((usize, f64), (usize, f64))> {
    let mut known = values
        .iter()
        .enumerate()
        .filter_map(|(i, v)| Some((i, (*v)?)));
    let first = known.next()?;
    Some(known.fold((first, first), |(low, high), v| {
        (
            if v.1 < low.1 { v } else { low },
            if v.1 > high.1 { v } else { high },
        )
    }))
}

fn thousands(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let mut out = String::from(sign);
    for (i, c) in digits.chars().enumerate() {
        // Four digits read well without a gap.
        if i > 0 && digits.len() > 4 && (digits.len() - i) % 3 == 0 {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}
