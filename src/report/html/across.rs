//! What channels of different layers have in common: a heat map and tables in the section on channels, and the match of
//! each channel in its layer's card.

use super::super::arrays::{self, Arrays};
use super::super::results::{Across, AcrossMatch, ChannelRef, Results};
use super::super::words::{number, percent};
use super::figures::{Figures, HeatMap, View};
use crate::Result;
use ndarray::Array2;
use serde_json::json;
use std::collections::HashMap;

/// The part of the section.
pub struct Tables {
    /// Layer by layer; `None` of a single layer.
    pub heatmap: Option<usize>,
    /// Why the match of each channel is not shown.
    pub missing: Vec<String>,
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

/// The tables and the heat map; `missing` says why the match of each channel is not shown.
pub fn tables(results: &Results, missing: Vec<String>, figures: &mut Figures) -> Option<Tables> {
    let across = results.redundancy.as_ref()?.across.as_ref()?;
    let rows = |values: &[Vec<Option<f64>>]| -> Vec<(String, Vec<String>)> {
        let rows = values.iter();
        let rows = rows.map(|row| row.iter().map(|&v| number(v)).collect());
        across.layers.iter().cloned().zip(rows).collect()
    };
    Some(Tables {
        heatmap: heatmap(across, figures),
        missing,
        sentence: sentence(&across.layers, &across.best_match),
        best: rows(&across.best_match),
        mean: rows(&across.mean),
        matches: across.matches.iter().map(listed).collect(),
    })
}

/// Both measures in one figure. The best match is not symmetric, so neither is stored as half a matrix.
fn heatmap(across: &Across, figures: &mut Figures) -> Option<usize> {
    let layers = across.layers.len();
    let square = |rows: &[Vec<Option<f64>>]| {
        let values = rows.iter().flatten().map(|v| v.unwrap_or(f64::NAN));
        Array2::from_shape_vec((layers, layers), values.collect()).ok()
    };
    let (best, mean) = (square(&across.best_match)?, square(&across.mean)?);
    let view = |values, name| View {
        name,
        unit: "",
        values,
        range: [Some(0.0), None],
    };
    (layers > 1).then(|| {
        figures.heatmap(HeatMap {
            label: "Best match and mean Jaccard index of every layer in every other one".into(),
            row: "layer",
            col: "layer",
            symmetric: false,
            names: Some(json!(across.layers)),
            columns: None,
            clusters: None,
            views: vec![
                view(best.view(), "Best match"),
                view(mean.view(), "Mean Jaccard"),
            ],
        })
    })
}

/// For each channel the most similar one of another layer.
pub struct Matches(HashMap<(String, u64), (String, f64)>);

impl Matches {
    /// Reads the arrays that a run across layers left, or says why there are none; `None` where no run looked for matches.
    ///
    /// # Errors
    /// Those of [`Arrays::array`].
    pub fn read(
        results: &Results,
        arrays: &dyn Arrays,
    ) -> Result<Option<std::result::Result<Self, String>>> {
        let Some(across) = results.redundancy.as_ref().and_then(|r| r.across.as_ref()) else {
            return Ok(None);
        };
        let count = across
            .channels
            .iter()
            .fold(0u64, |n, &c| n.saturating_add(c)) as usize;
        let pairs = (count, 2);
        let channels = arrays::matrix(arrays, "across/channels.npy", pairs)?;
        let matches = arrays::matrix(arrays, "across/matches.npy", pairs)?;
        let jaccard = arrays::array(arrays, "across/match_jaccard.npy", &[count])?;
        let (channels, matches, jaccard) = match (channels, matches, jaccard) {
            (Ok(channels), Ok(matches), Ok(jaccard)) => (channels, matches, jaccard),
            (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => return Ok(Some(Err(why))),
        };
        // An index that no layer has stands for no match.
        let layer = |index: f64| {
            let index = (index >= 0.0).then_some(index as usize)?;
            across.layers.get(index)
        };
        let places = channels.rows().into_iter().zip(matches.rows());
        let found = places.zip(&jaccard).filter_map(|((from, to), &value)| {
            let other = format!("{} channel {}", layer(to[0])?, to[1] as u64);
            Some(((layer(from[0])?.clone(), from[1] as u64), (other, value)))
        });
        Ok(Some(Ok(Self(found.collect()))))
    }

    /// The table's cells of a channel: its match, and the Jaccard index with it.
    pub fn cells(&self, layer: &str, channel: u64) -> [String; 2] {
        match self.0.get(&(layer.to_string(), channel)) {
            Some((name, value)) => [name.clone(), number(Some(*value))],
            None => [number(None), number(None)],
        }
    }

    /// The Jaccard index of a channel with its match.
    pub fn jaccard(&self, layer: &str, channel: u64) -> Option<f64> {
        let found = self.0.get(&(layer.to_string(), channel));
        found.map(|(_, value)| *value)
    }
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

pub(super) fn listed(found: &AcrossMatch) -> Match {
    let name = |c: &ChannelRef| format!("{} channel {}", c.layer, c.channel);
    Match {
        a: name(&found.a),
        b: name(&found.b),
        jaccard: number(Some(found.jaccard)),
    }
}
