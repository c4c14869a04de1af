//! The section on channel and pixel shuffling.

use super::super::arrays::{self, Arrays};
use super::super::results::{Observed, Results, ShuffleTensor};
use super::super::words::{self, mean, number, percent};
use super::figures::{Chart, Figures, HeatMap, Series, View};
use super::{Captioned, Fact, fact};
use crate::Result;
use std::collections::HashMap;

/// One shuffled tensor.
pub struct Tensor {
    pub name: String,
    pub mode: String,
    pub sentences: Vec<String>,
    pub facts: Vec<Fact>,
    pub charts: Vec<Captioned>,
    pub maps: Vec<Captioned>,
    pub taps: Vec<[String; 4]>,
}

/// Taps drawn of a tensor: in a deep network the others lie between.
const DRAWN: usize = 3;
/// Channels that a layer may have; more are a damaged file.
const MOST_CHANNELS: usize = 1 << 16;

pub fn tensors(
    results: &Results,
    arrays: &dyn Arrays,
    figures: &mut Figures,
) -> Result<Vec<Tensor>> {
    let mut tensors: Vec<&ShuffleTensor> =
        results.shuffle.iter().flat_map(|s| &s.tensors).collect();
    side_by_side(results, &mut tensors);
    tensors
        .into_iter()
        .map(|t| view(t, arrays, figures))
        .collect()
}

/// Puts tensors of the same name in different networks next to each other.
fn side_by_side(results: &Results, tensors: &mut [&ShuffleTensor]) {
    let stem = |t: &ShuffleTensor| -> String {
        let mut networks = results.networks.iter();
        let rest = networks.find_map(|n| t.name.strip_prefix(&n.name)?.strip_prefix('.'));
        format!("{} {}", t.mode, rest.unwrap_or(&t.name))
    };
    let mut firsts = HashMap::new();
    for (place, tensor) in tensors.iter().enumerate() {
        firsts.entry(stem(tensor)).or_insert(place);
    }
    tensors.sort_by_cached_key(|t| firsts.get(&stem(t)).copied());
}

fn view(tensor: &ShuffleTensor, arrays: &dyn Arrays, figures: &mut Figures) -> Result<Tensor> {
    let mut facts = Vec::new();
    if let Some(accuracy) = &tensor.accuracy {
        let baseline = format!("{} unshuffled", percent(tensor.baseline_accuracy));
        facts.push(fact("Accuracy, mean", percent(mean(accuracy)), baseline));
    }
    let channels = tensor.observed.first().map(|o| o.cosine_mean.len());
    if let Some(n) = channels.or(tensor.accuracy.as_ref().map(Vec::len)) {
        facts.push(fact("Channels", n.to_string(), "shuffled one at a time"));
    }
    if let Some(last) = tensor.observed.last() {
        facts.push(fact(
            "Cosine, last tap",
            number(mean(&last.cosine_mean)),
            last.name.clone(),
        ));
    }
    Ok(Tensor {
        name: tensor.name.clone(),
        mode: tensor.mode.clone(),
        sentences: words::shuffle(tensor),
        facts,
        charts: charts(tensor, figures),
        maps: maps(tensor, arrays, figures)?,
        taps: tensor.observed.iter().map(tap).collect(),
    })
}

/// Name, mean, least and the channel that causes it.
fn tap(observed: &Observed) -> [String; 4] {
    let least = words::extremes(&observed.cosine_mean).map(|(least, _)| least);
    [
        observed.name.clone(),
        number(mean(&observed.cosine_mean)),
        number(least.map(|l| l.1)),
        least.map_or("–".into(), |l| l.0.to_string()),
    ]
}

/// All taps when there are few, else the first, the middle and the last.
fn drawn(tensor: &ShuffleTensor) -> Vec<&Observed> {
    let all: Vec<&Observed> = tensor.observed.iter().collect();
    match all.len() {
        n if n <= DRAWN => all,
        n => vec![all[0], all[n / 2], all[n - 1]],
    }
}

fn charts(tensor: &ShuffleTensor, figures: &mut Figures) -> Vec<Captioned> {
    let mut charts = Vec::new();
    if !tensor.observed.is_empty() {
        let series = drawn(tensor).into_iter().map(|o| Series {
            name: o.name.clone(),
            style: "line",
            values: o.cosine_mean.clone(),
            errors: Vec::new(),
        });
        let figure = figures.chart(&Chart {
            label: format!(
                "Cosine similarity of later taps after shuffling each channel of {}",
                tensor.name
            ),
            x: "channel",
            names: None,
            percent: false,
            log: false,
            sortable: true,
            range: [None, Some(1.0)],
            series: series.collect(),
            references: Vec::new(),
        });
        charts.push(Captioned {
            figure,
            title: "Cosine similarity of later taps".into(),
            caption: format!(
                "Feature maps before and after shuffling this one channel, mean over maps and samples.{}",
                match tensor.observed.len() {
                    n if n > DRAWN => format!(" The first, a middle and the last of {n} taps."),
                    _ => String::new(),
                }
            ),
        });
    }
    if let Some(accuracy) = &tensor.accuracy {
        let baseline = tensor
            .baseline_accuracy
            .map(|v| ("unshuffled".to_string(), v));
        let figure = figures.chart(&Chart {
            label: format!("Accuracy after shuffling each channel of {}", tensor.name),
            x: "channel",
            names: None,
            percent: true,
            log: false,
            sortable: true,
            range: [None, None],
            series: vec![Series {
                name: "accuracy".into(),
                style: "dot",
                values: accuracy.clone(),
                errors: Vec::new(),
            }],
            references: baseline.into_iter().collect(),
        });
        charts.push(Captioned {
            figure,
            title: "Accuracy".into(),
            caption: "Share of samples classified correctly with this one channel shuffled.".into(),
        });
    }
    charts
}

fn maps(
    tensor: &ShuffleTensor,
    arrays: &dyn Arrays,
    figures: &mut Figures,
) -> Result<Vec<Captioned>> {
    let mut maps = Vec::new();
    for observed in drawn(tensor) {
        let path = format!("shuffle/{}/{}.cosine.npy", tensor.name, observed.name);
        // Which channels a tap has is known only from its array.
        let columns = arrays.shape(&path)?.and_then(|shape| shape.get(1).copied());
        let shape = (
            observed.cosine_mean.len(),
            columns.unwrap_or(0).min(MOST_CHANNELS),
        );
        let values = match arrays::matrix(arrays, &path, shape)? {
            Ok(values) => values,
            Err(why) => {
                figures.missing(why);
                continue;
            }
        };
        let figure = figures.heatmap(HeatMap {
            label: format!(
                "Cosine similarity of each channel of {} after shuffling each channel of {}",
                observed.name, tensor.name
            ),
            row: "shuffled channel",
            col: "observed channel",
            symmetric: false,
            names: None,
            columns: None,
            clusters: None,
            views: vec![View {
                name: "Cosine",
                unit: "",
                values: values.view(),
                range: [None, Some(1.0)],
            }],
        });
        maps.push(Captioned {
            figure,
            title: observed.name.clone(),
            caption: String::new(),
        });
    }
    Ok(maps)
}
