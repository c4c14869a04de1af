//! Networks side by side.

use super::super::results::{RedundancyLayer, Results};
use super::super::words::compare;
use super::redundancy::cells;
use std::collections::HashMap;

/// Networks side by side.
pub struct Comparison {
    pub networks: Vec<String>,
    pub groups: Vec<Group>,
}

/// One layer that several networks have.
pub struct Group {
    pub stem: String,
    pub sentence: String,
    pub rows: Vec<(&'static str, Vec<String>)>,
}

/// Compares layers of the same name in the results' networks, when at least two share one.
pub fn comparison(results: &Results) -> Option<Comparison> {
    let layers = &results.redundancy.as_ref()?.layers;
    let networks: Vec<&str> = results.networks.iter().map(|n| n.name.as_str()).collect();
    // Names of layers without their networks' in the order in which they occur, with each network's layer.
    let mut stems: Vec<&str> = Vec::new();
    let mut layer_of: HashMap<(&str, usize), &RedundancyLayer> = HashMap::new();
    for layer in layers {
        for (place, network) in networks.iter().enumerate() {
            let rest = layer.name.strip_prefix(network);
            let Some(stem) = rest.and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            if (0..networks.len()).all(|other| !layer_of.contains_key(&(stem, other))) {
                stems.push(stem);
            }
            layer_of.entry((stem, place)).or_insert(layer);
        }
    }
    let mut comparison = Comparison {
        networks: networks.iter().map(|n| n.to_string()).collect(),
        groups: Vec::new(),
    };
    for shared in stems {
        let of = |place: usize| layer_of.get(&(shared, place)).copied();
        let found: Vec<Option<&RedundancyLayer>> = (0..networks.len()).map(of).collect();
        if found.iter().flatten().count() < 2 {
            continue;
        }
        let pair = (
            found.first().copied().flatten(),
            found.get(1).copied().flatten(),
        );
        let sentence = match pair {
            (Some(a), Some(b)) => compare(shared, (networks[0], a), (networks[1], b)),
            _ => None,
        };
        comparison.groups.push(Group {
            rows: compared(&found),
            sentence: sentence.unwrap_or_default(),
            stem: shared.to_string(),
        });
    }
    (!comparison.groups.is_empty()).then_some(comparison)
}

fn compared(layers: &[Option<&RedundancyLayer>]) -> Vec<(&'static str, Vec<String>)> {
    let names = [
        "Channels",
        "Redundancy",
        "Mean Jaccard",
        "Neighbours per channel",
        "Dimension, PCA",
        "Label error, mean channel",
        "Label error, whole layer",
        "Aggregate recall",
    ];
    let columns: Vec<Option<Vec<String>>> = layers.iter().map(|l| l.map(cells)).collect();
    let row = |i: usize| -> Vec<String> {
        columns
            .iter()
            .map(|c| c.as_ref().map_or("–".into(), |c| c[i].clone()))
            .collect()
    };
    let rows = names.iter().enumerate().map(|(i, &name)| (name, row(i)));
    rows.filter(|(_, cells)| cells.iter().any(|c| c != "–"))
        .collect()
}
