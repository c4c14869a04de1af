//! What channels of different layers have in common: tables in the section on channels.

use super::super::results::{AcrossMatch, ChannelRef, Results};
use super::super::words::{number, percent};

/// The tables.
pub struct Tables {
    /// A sentence about the closest pair of layers.
    pub sentence: String,
    /// Layers and rows of the best matches.
    pub best: Vec<(String, Vec<String>)>,
    /// Layers and rows of the means.
    pub mean: Vec<(String, Vec<String>)>,
    /// Pairs of channels of different layers, best first.
    pub matches: Vec<Match>,
}

/// A pair of channels.
pub struct Match {
    pub a: String,
    pub b: String,
    pub jaccard: String,
}

pub fn tables(results: &Results) -> Option<Tables> {
    let across = results.redundancy.as_ref()?.across.as_ref()?;
    let rows = |values: &[Vec<Option<f64>>]| -> Vec<(String, Vec<String>)> {
        let rows = values.iter();
        let rows = rows.map(|row| row.iter().map(|&v| number(v)).collect());
        across.layers.iter().cloned().zip(rows).collect()
    };
    Some(Tables {
        sentence: sentence(&across.layers, &across.best_match),
        best: rows(&across.best_match),
        mean: rows(&across.mean),
        matches: across.matches.iter().map(listed).collect(),
    })
}

/// Which layer finds most of itself in another one.
fn sentence(layers: &[String], best: &[Vec<Option<f64>>]) -> String {
    let pairs = best.iter().enumerate().flat_map(|(l, row)| {
        let row = row.iter().enumerate();
        row.filter_map(move |(m, v)| v.filter(|_| l != m).map(|v| (v, l, m)))
    });
    let most = pairs.reduce(|a, b| if b.0 > a.0 { b } else { a });
    match most.and_then(|(v, l, m)| Some((v, layers.get(l)?, layers.get(m)?))) {
        Some((value, l, m)) => format!(
            "The channels of {l} are found again best in {m}: a channel shares {} of the neighbours with the most similar one \
             there, on average.",
            percent(Some(value))
        ),
        None => "No two channels of different layers can be compared.".into(),
    }
}

fn listed(found: &AcrossMatch) -> Match {
    let name = |c: &ChannelRef| format!("{} channel {}", c.layer, c.channel);
    Match {
        a: name(&found.a),
        b: name(&found.b),
        jaccard: number(Some(found.jaccard)),
    }
}
