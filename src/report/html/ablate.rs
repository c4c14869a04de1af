//! The section on accuracy without some of the channels.

use super::super::results::{AblatedLayer, Ablation, AblationCurve, Results};
use super::super::words::{self, percent_with_error};
use super::figures::{Chart, Figures, Series};
use super::{Captioned, Fact, fact};

/// The section.
pub struct Section {
    pub sentences: Vec<String>,
    pub facts: Vec<Fact>,
    pub parts: Vec<Part>,
}

/// All layers at once, or one by itself.
pub struct Part {
    pub name: String,
    pub note: String,
    pub sentences: Vec<String>,
    pub charts: Vec<Captioned>,
    /// Heads of the table's columns.
    pub shares: Vec<String>,
    pub rows: Vec<Row>,
}

/// A ranking, with an accuracy per share.
pub struct Row {
    pub ranking: String,
    pub cells: Vec<String>,
}

/// Rankings of one chart: each of its lines has a colour of its own.
const CHARTS: [(&str, &[&str]); 2] = [
    (
        "Rankings by similarity",
        &[
            "jaccard", "filters", "impulse", "pearson", "given", "random",
        ],
    ),
    (
        "Published rankings",
        &["l1", "fpgm", "mean", "apoz", "given", "random"],
    ),
];

pub fn section(results: &Results, figures: &mut Figures) -> Option<Section> {
    let ablation = results.ablation.as_ref()?;
    let mut parts = Vec::new();
    if let Some(curves) = &ablation.together {
        let note = "each keeps the same share".to_string();
        parts.push(part("All layers at once", note, curves, ablation, figures));
    }
    for layer in &ablation.layers {
        let note = words::plural(layer.channels, "channel", "channels");
        parts.push(part(&layer.name, note, &layer.curves, ablation, figures));
    }
    let accuracy = percent_with_error(ablation.accuracy, ablation.standard_error);
    Some(Section {
        sentences: words::ablation(ablation, network(results, ablation)),
        facts: vec![
            fact("Accuracy, intact", accuracy, ""),
            fact(
                "Samples",
                words::count(ablation.samples),
                "that accuracy is measured on",
            ),
            fact(
                "Calibration",
                words::count(ablation.calibration_samples),
                "other samples",
            ),
        ],
        parts,
    })
}

/// The one of several networks whose layers were ablated.
fn network<'a>(results: &'a Results, ablation: &Ablation) -> Option<&'a str> {
    let mut names = results.networks.iter().map(|n| n.name.as_str());
    let within = |layer: &AblatedLayer, name: &str| {
        let rest = layer.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    names.find(|name| ablation.layers.iter().all(|layer| within(layer, name)))
}

fn part(
    name: &str,
    note: String,
    curves: &[AblationCurve],
    ablation: &Ablation,
    figures: &mut Figures,
) -> Part {
    let points = curves.first().map_or(&[][..], |c| &c.points);
    let row = |curve: &AblationCurve| {
        let cells = curve.points.iter();
        Row {
            ranking: curve.ranking.clone(),
            cells: cells
                .map(|p| percent_with_error(p.accuracy, p.standard_error))
                .collect(),
        }
    };
    Part {
        name: name.into(),
        note,
        sentences: words::ablated(curves),
        charts: charts(name, curves, ablation, figures),
        shares: points.iter().map(|p| words::share(p.share)).collect(),
        rows: curves.iter().map(row).collect(),
    }
}

fn charts(
    name: &str,
    curves: &[AblationCurve],
    ablation: &Ablation,
    figures: &mut Figures,
) -> Vec<Captioned> {
    let mut charts = Vec::new();
    for (title, rankings) in CHARTS {
        let shown = curves
            .iter()
            .filter(|c| rankings.contains(&c.ranking.as_str()));
        let series: Vec<Series> = shown.clone().map(series).collect();
        let others = ["given", "random"];
        let own = shown.clone().any(|c| !others.contains(&c.ranking.as_str()));
        // Rankings that both charts show have one of their own only where there are no others.
        let first = charts.is_empty() && title == CHARTS[CHARTS.len() - 1].0;
        let Some(longest) = shown.max_by_key(|c| c.points.len()) else {
            continue;
        };
        if longest.points.len() < 2 || !(own || first) {
            continue;
        }
        let chart = Chart {
            label: format!("Accuracy against the share of channels kept of {name}: {title}"),
            x: "percent of channels kept",
            names: Some(
                (longest.points.iter())
                    .map(|p| (p.share * 100.0).round() as u64)
                    .collect(),
            ),
            percent: true,
            log: false,
            sortable: false,
            range: [None, None],
            series,
            references: ablation
                .accuracy
                .map(|a| ("intact".to_string(), a))
                .into_iter()
                .collect(),
        };
        charts.push(Captioned {
            figure: figures.chart(&chart),
            title: title.into(),
            caption: "Accuracy against the percentage of channels kept, with standard errors."
                .into(),
        });
    }
    charts
}

fn series(curve: &AblationCurve) -> Series {
    Series {
        name: curve.ranking.clone(),
        style: "line",
        values: curve.points.iter().map(|p| p.accuracy).collect(),
        errors: curve.points.iter().map(|p| p.standard_error).collect(),
    }
}
