//! The section on channel-wise NNK graphs.

mod tables;

use super::super::arrays::{self, Arrays};
use super::super::order::cluster;
use super::super::results::{RedundancyLayer, Results};
use super::super::words::{self, Alike, mean, number, percent, percent_with_error, with_error};
use super::across::Matches;
use super::cards::{Beside, cards};
use super::figures::{Chart, Figures, HeatMap, Series, View};
use super::header::dimensions;
use super::{Captioned, Fact, fact};
use crate::Result;
use ndarray::{Array2, Axis};
use serde_json::json;
use std::collections::HashSet;
pub use tables::{Glance, Row, cells, glance};

/// One layer.
pub struct Layer {
    pub name: String,
    pub shape: String,
    pub sentences: Vec<String>,
    pub facts: Vec<Fact>,
    pub heatmap: Option<usize>,
    pub dead: bool,
    pub missing: Vec<String>,
    pub charts: Vec<Captioned>,
    pub rows: Vec<Row>,
    pub labels: bool,
    pub matched: bool,
    /// Cards of the channels.
    pub cards: Option<usize>,
}

/// The layers, with what there is `beside` them.
pub fn layers(
    results: &Results,
    arrays: &dyn Arrays,
    beside: &Beside<'_>,
    figures: &mut Figures,
) -> Result<Vec<Layer>> {
    let layers = results.redundancy.iter().flat_map(|r| &r.layers);
    let layers = layers.map(|layer| view(layer, arrays, beside, figures));
    layers.collect()
}

fn view(
    layer: &RedundancyLayer,
    arrays: &dyn Arrays,
    beside: &Beside<'_>,
    figures: &mut Figures,
) -> Result<Layer> {
    let matches = beside.matches;
    let (overlap, jaccard, mut missing) = match live(layer) {
        0 | 1 => (None, None, Vec::new()),
        _ => matrices(layer, arrays, figures)?,
    };
    let alike = jaccard.as_ref().and_then(|j| alike(layer, j));
    let cards = cards(layer, arrays, jaccard.as_ref(), beside)?;
    let cards = match cards {
        Some(Ok(cards)) => Some(cards),
        Some(Err(why)) => {
            missing.push(figures.missing(why));
            None
        }
        None => None,
    };
    Ok(Layer {
        name: layer.name.clone(),
        shape: dimensions(&layer.shape),
        sentences: words::redundancy(layer, alike),
        facts: facts(layer),
        heatmap: heatmap(layer, overlap, jaccard, figures),
        dead: !layer.dead_channels.is_empty(),
        missing,
        charts: charts(layer, matches, figures),
        cards: cards.map(|cards| figures.cards(&cards)),
        rows: tables::rows(layer, matches),
        matched: matches.is_some(),
        labels: layer.loo_error.is_some(),
    })
}

type Matrices = (Option<Array2<f64>>, Option<Array2<f64>>, Vec<String>);

fn matrices(
    layer: &RedundancyLayer,
    arrays: &dyn Arrays,
    figures: &mut Figures,
) -> Result<Matrices> {
    let n = layer.neighbors_mean.len();
    let mut missing = Vec::new();
    let mut get = |file: &str| -> Result<Option<Array2<f64>>> {
        let path = format!("layers/{}/{file}", layer.name);
        let found = arrays::symmetric(arrays, &path, n)?;
        Ok(found.map_err(|why| missing.push(figures.missing(why))).ok())
    };
    let (overlap, jaccard) = (get("overlap.npy")?, get("jaccard.npy")?);
    Ok((overlap, jaccard, missing))
}

/// Overlap and Jaccard index of the live channels. Dead ones would only cut the picture into strips.
fn heatmap(
    layer: &RedundancyLayer,
    overlap: Option<Array2<f64>>,
    jaccard: Option<Array2<f64>>,
    figures: &mut Figures,
) -> Option<usize> {
    let channels = layer.neighbors_mean.len();
    let dead = dead(layer);
    let alive = |&c: &usize| !dead.contains(&layer.channel(c));
    let shown: Vec<usize> = (0..channels).filter(alive).collect();
    let live = |m: Array2<f64>| m.select(Axis(0), &shown).select(Axis(1), &shown);
    let (overlap, jaccard) = (overlap.map(live), jaccard.map(live));
    let by = if jaccard.is_some() {
        "mean Jaccard index"
    } else {
        "mean overlap"
    };
    let clusters = cluster(jaccard.as_ref().or(overlap.as_ref())?.view());
    let names: Vec<u64> = shown.iter().map(|&c| layer.channel(c)).collect();
    let numbered = names.iter().enumerate().all(|(i, &n)| n == i as u64);
    let view = |values, name, unit| View {
        name,
        unit,
        values,
        range: [Some(0.0), None],
    };
    let mut views = Vec::new();
    views.extend(
        overlap
            .iter()
            .map(|m| view(m.view(), "Overlap", "neighbours shared")),
    );
    views.extend(jaccard.iter().map(|m| view(m.view(), "Jaccard", "")));
    Some(figures.heatmap(HeatMap {
        label: format!(
            "Overlap and Jaccard index of all pairs of channels of {}",
            layer.name
        ),
        row: "channel",
        col: "channel",
        symmetric: true,
        names: (!numbered).then(|| json!(names)),
        columns: None,
        clusters: Some((by, clusters)),
        views,
    }))
}

/// The pair with the largest Jaccard index; the first of equals.
fn alike(layer: &RedundancyLayer, jaccard: &Array2<f64>) -> Option<Alike> {
    let mut best: Option<(usize, usize, f64)> = None;
    for i in 0..jaccard.nrows() {
        for j in i + 1..jaccard.ncols() {
            let v = jaccard[[i, j]];
            if v.is_finite() && best.is_none_or(|b| v > b.2) {
                best = Some((i, j, v));
            }
        }
    }
    let (i, j, jaccard) = best?;
    Some(Alike {
        channels: (layer.channel(i), layer.channel(j)),
        jaccard,
    })
}

fn facts(layer: &RedundancyLayer) -> Vec<Fact> {
    let live = live(layer);
    let aggregate = layer.aggregate.as_ref();
    let whole = |value: Option<f64>,
                 error: Option<f64>,
                 show: fn(Option<f64>, Option<f64>) -> String| match value {
        Some(_) => format!("whole layer {}", show(value, error)),
        None => String::new(),
    };
    let mut facts = Vec::new();
    if live == 0 {
        return facts;
    }
    if live > 1 {
        facts.push(fact(
            "Redundancy",
            with_error(layer.redundancy, layer.redundancy_se),
            format!("1 to {live}"),
        ));
        facts.push(fact(
            "Mean Jaccard",
            with_error(layer.jaccard_mean, layer.jaccard_mean_se),
            "0 to 1",
        ));
        facts.push(fact(
            "Mean overlap",
            with_error(layer.overlap_mean, layer.overlap_mean_se),
            "neighbours shared",
        ));
    }
    facts.push(fact(
        "Neighbours",
        number(mean(&layer.neighbors_mean)),
        whole(
            aggregate.and_then(|a| a.neighbors_mean),
            aggregate.and_then(|a| a.neighbors_mean_se),
            with_error,
        ),
    ));
    facts.push(fact(
        "Dimension, PCA",
        number(mean(&layer.pca_dimension_mean)),
        whole(
            aggregate.and_then(|a| a.pca_dimension_mean),
            aggregate.and_then(|a| a.pca_dimension_mean_se),
            with_error,
        ),
    ));
    if let Some(baselines) = &layer.baselines {
        if let Some(two_nn) = &baselines.two_nn {
            facts.push(fact("Dimension, TwoNN", number(mean(two_nn)), ""));
        }
        if live > 1 {
            let pearson = format!("Pearson {}", number(baselines.pearson_mean));
            facts.push(fact(
                "Channel cosine",
                number(baselines.cosine_mean),
                pearson,
            ));
        }
    }
    if let Some(errors) = &layer.loo_error {
        facts.push(fact(
            "Label error",
            percent(mean(errors)),
            whole(
                aggregate.and_then(|a| a.loo_error),
                aggregate.and_then(|a| a.loo_error_se),
                percent_with_error,
            ),
        ));
    }
    if let Some(recall) = aggregate.and_then(|a| a.recall) {
        facts.push(fact(
            "Aggregate recall",
            percent_with_error(Some(recall), aggregate.and_then(|a| a.recall_se)),
            "of its neighbours",
        ));
    }
    facts
}

fn charts(
    layer: &RedundancyLayer,
    matches: Option<&Matches>,
    figures: &mut Figures,
) -> Vec<Captioned> {
    let series =
        |name: &str, style, values: &[Option<f64>], errors: &Option<Vec<Option<f64>>>| Series {
            name: name.into(),
            style,
            values: values.to_vec(),
            errors: errors.clone().unwrap_or_default(),
        };
    let mut charts = Vec::new();
    let mut add = |title: &str,
                   caption: &str,
                   percent,
                   series: Vec<Series>,
                   references: Vec<(String, f64)>| {
        let figure = figures.chart(&Chart {
            label: format!("{title} per channel of {}", layer.name),
            x: "channel",
            names: layer.channels.clone().map(Into::into),
            percent,
            log: false,
            sortable: true,
            range: [Some(0.0), None],
            series,
            references,
        });
        charts.push(Captioned {
            figure,
            title: title.into(),
            caption: caption.into(),
        });
    };
    // A single channel's figures are all in the facts.
    if live(layer) == 0 || layer.neighbors_mean.len() < 2 {
        return charts;
    }
    let aggregate = layer.aggregate.as_ref();
    let reference = |name: &str, value: Option<f64>| value.map(|v| (name.to_string(), v));
    add(
        "Neighbours and dimension",
        "Mean size of a channel's neighbourhoods, and the number of principal components they span.",
        false,
        vec![
            series(
                "neighbours",
                "bar",
                &layer.neighbors_mean,
                &layer.neighbors_mean_se,
            ),
            series(
                "principal components",
                "dot",
                &layer.pca_dimension_mean,
                &layer.pca_dimension_mean_se,
            ),
        ],
        reference(
            "whole layer, neighbours",
            aggregate.and_then(|a| a.neighbors_mean),
        )
        .into_iter()
        .collect(),
    );
    if let Some(errors) = &layer.loo_error {
        let mut lines = vec![series("error", "bar", errors, &layer.loo_error_se)];
        lines.extend(
            layer
                .loo_soft_error
                .as_ref()
                .map(|soft| series("soft error", "dot", soft, &layer.loo_soft_error_se)),
        );
        let mut references = Vec::new();
        references.extend(reference(
            "whole layer",
            aggregate.and_then(|a| a.loo_error),
        ));
        references.extend(reference("most frequent label", layer.majority_error));
        add(
            "Label error",
            "Share of samples whose label is not the one their neighbours suggest, each sample left out in turn.",
            true,
            lines,
            references,
        );
    }
    let degenerate = &layer.degenerate_queries;
    let all = || layer.shape.first().copied().unwrap_or(0);
    let samples = layer.queries.unwrap_or_else(all).max(1) as f64;
    let dead = dead(layer);
    let alive = |c: usize| !dead.contains(&layer.channel(c));
    if (0..degenerate.len()).any(|c| alive(c) && degenerate[c] > 0) {
        let shares: Vec<Option<f64>> = (0..degenerate.len())
            .map(|c| alive(c).then(|| degenerate[c] as f64 / samples))
            .collect();
        add(
            "Samples without a usable neighbourhood",
            "Degenerate queries: the channel's map is zero there, or only copies surround it. They enter no mean.",
            true,
            vec![series("degenerate", "bar", &shares, &None)],
            Vec::new(),
        );
    }
    if let Some(matches) = matches {
        let channels = 0..layer.neighbors_mean.len();
        let values = channels.map(|c| matches.jaccard(&layer.name, layer.channel(c)));
        let values: Vec<Option<f64>> = values.collect();
        add(
            "Best match in another layer",
            "Jaccard index of a channel and the most similar channel of any other layer.",
            false,
            vec![series("best match", "bar", &values, &None)],
            Vec::new(),
        );
    }
    charts
}

/// Dead channels, by their index in the dump.
fn dead(layer: &RedundancyLayer) -> HashSet<u64> {
    layer.dead_channels.iter().copied().collect()
}

/// Channels that are not dead.
fn live(layer: &RedundancyLayer) -> usize {
    let channels = layer.neighbors_mean.len();
    channels.saturating_sub(layer.dead_channels.len())
}

/// Head and rows of the table of CKA between layers.
pub fn cka(results: &Results) -> Vec<(String, Vec<String>)> {
    let Some(cka) = results.redundancy.as_ref().and_then(|r| r.cka.as_ref()) else {
        return Vec::new();
    };
    let row = |values: &Vec<Option<f64>>| values.iter().map(|&v| number(v)).collect();
    let rows = cka.values.iter().map(row);
    cka.layers.iter().cloned().zip(rows).collect()
}
