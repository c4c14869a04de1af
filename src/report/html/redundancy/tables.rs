//! Tables: the layers of a run, and the channels of a layer.

use super::super::super::results::{RedundancyLayer, Results};
use super::super::super::words::{self, mean, number, percent, percent_with_error, with_error};
use super::super::across::Matches;
use super::dead;

/// One channel in the table of numbers.
pub struct Row {
    pub channel: String,
    pub cells: Vec<String>,
}

/// One layer in the table at the top.
pub struct Glance {
    pub name: String,
    pub index: usize,
    pub cells: Vec<String>,
}

/// A row per channel; with its match in another layer, where there are `matches`.
pub fn rows(layer: &RedundancyLayer, matches: Option<&Matches>) -> Vec<Row> {
    let at = |values: &[Option<f64>], c: usize| values.get(c).copied().flatten();
    let cell = |values: &[Option<f64>],
                errors: &Option<Vec<Option<f64>>>,
                c: usize,
                show: fn(Option<f64>, Option<f64>) -> String| {
        let error = errors.as_ref().and_then(|errors| at(errors, c));
        show(at(values, c), error)
    };
    let all_dead = dead(layer);
    let row = |c: usize| {
        let mut cells = vec![
            cell(
                &layer.neighbors_mean,
                &layer.neighbors_mean_se,
                c,
                with_error,
            ),
            cell(
                &layer.pca_dimension_mean,
                &layer.pca_dimension_mean_se,
                c,
                with_error,
            ),
            words::count(layer.degenerate_queries.get(c).copied().unwrap_or(0)),
        ];
        for (values, errors) in [
            (&layer.loo_error, &layer.loo_error_se),
            (&layer.loo_soft_error, &layer.loo_soft_error_se),
        ] {
            if let Some(values) = values {
                cells.push(cell(values, errors, c, percent_with_error));
            }
        }
        let name = layer.channel(c);
        if let Some(matches) = matches {
            cells.extend(matches.cells(&layer.name, name));
        }
        let dead = all_dead.contains(&name);
        Row {
            channel: format!("{name}{}", if dead { " (dead)" } else { "" }),
            cells,
        }
    };
    (0..layer.neighbors_mean.len()).map(row).collect()
}

/// The table of all layers, when there are several.
pub fn glance(results: &Results) -> Vec<Glance> {
    let layers = results.redundancy.iter().flat_map(|r| &r.layers);
    let glance = layers.enumerate().map(|(index, layer)| Glance {
        name: layer.name.clone(),
        index,
        cells: cells(layer),
    });
    let glance: Vec<Glance> = glance.collect();
    if glance.len() > 1 { glance } else { Vec::new() }
}

/// Columns of the table, in the order of the template's head.
pub fn cells(layer: &RedundancyLayer) -> Vec<String> {
    let aggregate = layer.aggregate.as_ref();
    let channels = layer.neighbors_mean.len();
    let dead = layer.dead_channels.len();
    vec![
        match dead {
            0 => channels.to_string(),
            dead => format!("{channels} ({dead} dead)"),
        },
        with_error(layer.redundancy, layer.redundancy_se),
        with_error(layer.jaccard_mean, layer.jaccard_mean_se),
        number(mean(&layer.neighbors_mean)),
        number(mean(&layer.pca_dimension_mean)),
        percent(layer.loo_error.as_ref().and_then(|e| mean(e))),
        percent_with_error(
            aggregate.and_then(|a| a.loo_error),
            aggregate.and_then(|a| a.loo_error_se),
        ),
        percent_with_error(
            aggregate.and_then(|a| a.recall),
            aggregate.and_then(|a| a.recall_se),
        ),
    ]
}
