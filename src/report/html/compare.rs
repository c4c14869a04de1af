//! The section on what runs have in common: layers of one run and of another, and figures of all runs side by side.

use super::super::results::{Compare, ComparedLayer, ComparedPair, ComparedRun, Results};
use super::super::words::{number, percent};
use super::figures::{Chart, Figures, HeatMap, Series, View};
use super::{Captioned, across};
use ndarray::Array2;
use serde_json::json;
use std::collections::HashSet;

/// Layers that the chart of all runs shows; the table has all.
const MAX_LINES: usize = 12;

/// The section.
pub struct Section {
    pub pairs: Vec<Pair>,
    pub trends: Option<Trends>,
}

/// Two runs.
pub struct Pair {
    pub title: String,
    pub sentence: String,
    pub heatmap: Option<usize>,
    pub tables: Vec<Table>,
    pub matches: Vec<across::Match>,
}

/// A table with a name for each row and column.
pub struct Table {
    pub title: String,
    pub columns: Vec<String>,
    pub rows: Vec<(String, Vec<String>)>,
}

/// Figures of all runs side by side.
pub struct Trends {
    pub charts: Vec<Captioned>,
    pub tables: Vec<Table>,
}

pub fn section(results: &Results, figures: &mut Figures) -> Option<Section> {
    let found = results.compare.as_ref()?;
    let pairs = found.pairs.iter().filter_map(|p| pair(found, p, figures));
    Some(Section {
        pairs: pairs.collect(),
        trends: (found.runs.len() > 2).then(|| trends(found, figures)),
    })
}

fn pair(found: &Compare, pair: &ComparedPair, figures: &mut Figures) -> Option<Pair> {
    let run = |at: u64| found.runs.get(usize::try_from(at).ok()?);
    let (a, b) = (run(pair.a)?, run(pair.b)?);
    let table =
        |title: &str, from: &ComparedRun, to: &ComparedRun, values: &[Vec<Option<f64>>]| Table {
            title: title
                .replace("ROWS", &from.path)
                .replace("COLUMNS", &to.path),
            columns: names(to),
            rows: names(from)
                .into_iter()
                .zip(values)
                .map(|(name, row)| (name, row.iter().map(|&v| number(v)).collect()))
                .collect(),
        };
    Some(Pair {
        title: format!("{} and {}", a.path, b.path),
        sentence: sentence(a, b, &pair.best_match),
        heatmap: heatmap(a, b, pair, figures),
        tables: vec![
            table(
                "Best match: mean, over the channels of a row's layer in ROWS, of the largest Jaccard index with a channel of \
                 the column's layer in COLUMNS",
                a,
                b,
                &pair.best_match,
            ),
            table(
                "The other way round: channels of ROWS in the layers of COLUMNS",
                b,
                a,
                &pair.best_match_back,
            ),
            table(
                "Mean Jaccard index over the pairs of a channel of the row's layer in ROWS and one of the column's layer in COLUMNS",
                a,
                b,
                &pair.mean,
            ),
        ],
        matches: pair.matches.iter().map(across::listed).collect(),
    })
}

fn names(run: &ComparedRun) -> Vec<String> {
    run.layers.iter().map(|l| l.name.clone()).collect()
}

/// In which layer of the other run each layer is found again best, if it is the same one everywhere.
fn sentence(a: &ComparedRun, b: &ComparedRun, best: &[Vec<Option<f64>>]) -> String {
    let most = best.iter().enumerate().flat_map(|(l, row)| {
        let row = row.iter().enumerate();
        row.filter_map(move |(m, v)| v.map(|v| (v, l, m)))
    });
    let most = most.reduce(|x, y| if y.0 > x.0 { y } else { x });
    match most.and_then(|(v, l, m)| Some((v, a.layers.get(l)?, b.layers.get(m)?))) {
        Some((value, l, m)) => format!(
            "The channels of {} are found again best: a channel shares {} of the neighbours with the most similar one of {} in the \
             other run, on average.",
            l.name,
            percent(Some(value)),
            m.name
        ),
        None => "No two channels of the two runs can be compared.".into(),
    }
}

/// Best matches and means as a picture, where all numbers are there.
fn heatmap(
    a: &ComparedRun,
    b: &ComparedRun,
    pair: &ComparedPair,
    figures: &mut Figures,
) -> Option<usize> {
    let shape = (a.layers.len(), b.layers.len());
    let matrix = |rows: &[Vec<Option<f64>>]| {
        let whole = rows.len() == shape.0 && rows.iter().all(|row| row.len() == shape.1);
        let value = |(l, m): (usize, usize)| rows[l][m].unwrap_or(f64::NAN);
        (whole && shape.0 * shape.1 > 1).then(|| Array2::from_shape_fn(shape, value))
    };
    let (best, mean) = (matrix(&pair.best_match)?, matrix(&pair.mean)?);
    let view = |name, values| View {
        name,
        unit: "",
        values,
        range: [Some(0.0), None],
    };
    Some(figures.heatmap(HeatMap {
        label: format!(
            "Best match of each layer of {} in each layer of {}",
            a.path, b.path
        ),
        row: "layer",
        col: "layer",
        symmetric: false,
        names: Some(json!(names(a))),
        columns: Some(json!(names(b))),
        clusters: None,
        views: vec![view("Best match", best.view()), view("Mean", mean.view())],
    }))
}

/// A figure of a layer that runs are compared by.
struct Measure {
    title: &'static str,
    /// Whether it is a share, shown in percent.
    share: bool,
    value: fn(&ComparedLayer) -> Option<f64>,
}

const MEASURES: [Measure; 4] = [
    Measure {
        title: "Redundancy",
        share: false,
        value: |l| l.redundancy,
    },
    Measure {
        title: "Mean Jaccard index of different channels",
        share: false,
        value: |l| l.jaccard_mean,
    },
    Measure {
        title: "Neighbours of a channel, mean",
        share: false,
        value: |l| l.neighbors_mean,
    },
    Measure {
        title: "Label error of a channel, mean",
        share: true,
        value: |l| l.loo_error,
    },
];

/// The runs by the last folders of their paths: as few as tell all of them apart.
fn run_names(runs: &[ComparedRun]) -> Vec<String> {
    let paths: Vec<Vec<&str>> = (runs.iter())
        .map(|run| {
            let folders = run.path.split(['/', '\\']);
            folders.filter(|f| !f.is_empty()).collect()
        })
        .collect();
    let longest = paths.iter().map(Vec::len).max().unwrap_or(0);
    let last = |count: usize| -> Vec<String> {
        let last = |path: &Vec<&str>| path[path.len().saturating_sub(count)..].join("/");
        paths.iter().map(last).collect()
    };
    let distinct = |names: &Vec<String>| names.iter().collect::<HashSet<_>>().len() == names.len();
    let whole = || runs.iter().map(|run| run.path.clone()).collect();
    (1..=longest).map(last).find(distinct).unwrap_or_else(whole)
}

fn trends(found: &Compare, figures: &mut Figures) -> Trends {
    let mut layers: Vec<&str> = Vec::new();
    for layer in found.runs.iter().flat_map(|run| &run.layers) {
        if !layers.contains(&layer.name.as_str()) {
            layers.push(&layer.name);
        }
    }
    let of = |run: &ComparedRun, name: &str, value: fn(&ComparedLayer) -> Option<f64>| {
        value(run.layers.iter().find(|l| l.name == name)?)
    };
    let runs = run_names(&found.runs);
    let (mut charts, mut tables) = (Vec::new(), Vec::new());
    for measure in &MEASURES {
        let values = |name: &str| -> Vec<Option<f64>> {
            let runs = found.runs.iter();
            runs.map(|run| of(run, name, measure.value)).collect()
        };
        if layers
            .iter()
            .all(|name| values(name).iter().all(Option::is_none))
        {
            continue;
        }
        let show = if measure.share { percent } else { number };
        tables.push(Table {
            title: measure.title.into(),
            columns: found.runs.iter().map(|run| run.path.clone()).collect(),
            rows: layers
                .iter()
                .map(|name| {
                    (
                        name.to_string(),
                        values(name).into_iter().map(show).collect(),
                    )
                })
                .collect(),
        });
        let shown = layers.iter().take(MAX_LINES);
        let series = shown.map(|name| Series {
            name: name.to_string(),
            style: "line",
            values: values(name),
            errors: Vec::new(),
        });
        let chart = Chart {
            label: format!("{} of every layer over the runs", measure.title),
            x: "run",
            names: Some(json!(runs)),
            percent: measure.share,
            log: false,
            sortable: false,
            range: [None, None],
            series: series.collect(),
            references: Vec::new(),
        };
        charts.push(Captioned {
            figure: figures.chart(&chart),
            title: measure.title.into(),
            caption: match layers.len() > MAX_LINES {
                true => format!("The first {MAX_LINES} layers, over the runs in the order in which they were given."),
                false => "Every layer, over the runs in the order in which they were given.".into(),
            },
        });
    }
    Trends { charts, tables }
}
