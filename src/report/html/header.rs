//! What was run, on what, with what.

use super::super::results::{Results, Timing};
use super::super::words::{count, list, number, percent, plural};
use serde_json::Value;

/// The page's head.
pub struct Header {
    pub title: String,
    pub facts: Vec<String>,
    pub parameters: Vec<(String, String)>,
    pub inputs: Vec<Input>,
    pub stages: Vec<(String, String)>,
    pub sections: Vec<(&'static str, &'static str)>,
    pub networks: Vec<String>,
}

/// A file that was read.
pub struct Input {
    pub path: String,
    pub shape: String,
    pub dtype: String,
    pub fingerprint: String,
}

pub fn header(results: &Results) -> Header {
    let parameters = results.parameters.iter();
    let stages = results.timing.stages.iter();
    Header {
        title: title(&results.command),
        facts: facts(results),
        parameters: parameters.map(parameter).collect(),
        inputs: results
            .input
            .iter()
            .map(|i| Input {
                path: i.path.clone(),
                shape: dimensions(&i.shape),
                dtype: i.dtype.clone(),
                fingerprint: i.fingerprint.clone(),
            })
            .collect(),
        stages: stages
            .map(|s| (s.name.clone(), duration(s.seconds)))
            .collect(),
        sections: sections(results),
        networks: results.networks.iter().map(network).collect(),
    }
}

fn title(command: &str) -> String {
    match command {
        "demo" | "redundancy" => "Channel redundancy".into(),
        "filters" => "Similarity of convolution filters".into(),
        "shuffle" => "Channel shuffling".into(),
        "compare" => "Channels of different runs".into(),
        "rank" => "Which channels to keep".into(),
        "ablate" => "Accuracy without some channels".into(),
        "impulse" => "Impulse responses".into(),
        other => format!("chanscope {other}"),
    }
}

fn facts(results: &Results) -> Vec<String> {
    let mut facts = vec![format!("chanscope {}", results.command)];
    if let Some(redundancy) = &results.redundancy {
        facts.push(plural(redundancy.layers.len() as u64, "layer", "layers"));
        let samples = redundancy.layers.iter().filter_map(|l| l.shape.first());
        if let (Some(low), Some(high)) = (samples.clone().min(), samples.max()) {
            facts.push(match low == high {
                true => plural(*low, "sample", "samples"),
                false => format!("{} to {} samples", count(*low), count(*high)),
            });
        }
    }
    let device = &results.device;
    if !device.name.is_empty() {
        facts.push(format!("{} ({})", device.name, device.backend));
    }
    if results.timing.total_seconds > 0.0 {
        facts.push(duration(results.timing.total_seconds));
    }
    facts.extend(date(&results.timing));
    facts
}

fn sections(results: &Results) -> Vec<(&'static str, &'static str)> {
    let mut sections = Vec::new();
    let mut add = |present: bool, id, name| {
        if present {
            sections.push((id, name));
        }
    };
    add(results.rank.is_some(), "rank", "Which to keep");
    add(results.ablation.is_some(), "ablation", "Accuracy");
    add(results.compare.is_some(), "compare", "Between runs");
    add(results.redundancy.is_some(), "redundancy", "Channels");
    add(results.filters.is_some(), "filters", "Filters");
    add(results.shuffle.is_some(), "shuffle", "Shuffling");
    add(results.impulse.is_some(), "impulse", "Impulse responses");
    add(!results.skipped.is_empty(), "skipped", "Left out");
    add(true, "definitions", "Definitions");
    sections
}

fn network(network: &super::super::results::Network) -> String {
    let mut text = network.name.clone();
    let mut parts = Vec::new();
    if let Some(n) = network.parameters {
        parts.push(plural(n, "weight", "weights"));
    }
    if network.accuracy.is_some() {
        parts.push(format!("{} accuracy", percent(network.accuracy)));
    }
    if !parts.is_empty() {
        text += &format!(" ({})", parts.join(", "));
    }
    text
}

/// `10 000 × 16 × 8 × 8`.
pub fn dimensions(shape: &[u64]) -> String {
    let parts: Vec<String> = shape.iter().map(|&d| count(d)).collect();
    parts.join(" × ")
}

fn parameter((name, v): (&String, &Value)) -> (String, String) {
    let text = match (name.as_str(), v.as_u64()) {
        ("memory", Some(bytes)) => crate::io::size::format_size(bytes),
        _ => value(v),
    };
    (name.clone(), text)
}

fn value(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "not set".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(items) => match items.iter().map(Value::as_u64).collect::<Option<Vec<_>>>() {
            Some(indices) => list(&indices),
            None => items.iter().map(self::value).collect::<Vec<_>>().join(", "),
        },
        other => other.to_string(),
    }
}

/// `812 ms`, `2.31 s`, `4 min 10 s`, `3 h 05 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if !s.is_finite() => "–".into(),
        s if s < 1.0 => format!("{}\u{a0}ms", number(Some((s * 1000.0).max(0.0)))),
        s if s < 120.0 => format!("{}\u{a0}s", number(Some(s))),
        s if s < 7200.0 => format!("{}\u{a0}min {:02}\u{a0}s", whole / 60, whole % 60),
        _ => format!("{}\u{a0}h {:02}\u{a0}min", whole / 3600, whole / 60 % 60),
    }
}

/// `2026-03-02 14:11 UTC`.
fn date(timing: &Timing) -> Option<String> {
    let seconds = timing.started_unix?;
    // Days to civil date, with years that begin in March so that the leap day comes last.
    let days = i64::try_from(seconds / 86_400).ok()? + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    Some(format!(
        "{year}-{month:02}-{date:02} {hour:02}:{minute:02} UTC"
    ))
}
