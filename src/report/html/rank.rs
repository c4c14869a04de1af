//! The section on which channels to keep.

use super::super::results::{RankLayer, Results};
use super::super::words::{self, number};
use super::figures::{Chart, Figures, Series};
use super::{Captioned, Fact, fact};

/// Rows of the table of representatives; more are in `rank.json`.
const MAX_ROWS: usize = 512;

/// The section.
pub struct Section {
    pub layers: Vec<Layer>,
}

/// One layer.
pub struct Layer {
    pub name: String,
    pub sentences: Vec<String>,
    pub facts: Vec<Fact>,
    pub chart: Option<Captioned>,
    pub rows: Vec<Row>,
    pub note: String,
}

/// A channel and the one that stands for it.
pub struct Row {
    pub place: usize,
    pub channel: u64,
    pub representative: String,
    pub similarity: String,
}

pub fn section(results: &Results, figures: &mut Figures) -> Option<Section> {
    let rank = results.rank.as_ref()?;
    let layers = rank.layers.iter().map(|l| view(l, &rank.by, figures));
    Some(Section {
        layers: layers.collect(),
    })
}

fn view(layer: &RankLayer, by: &str, figures: &mut Figures) -> Layer {
    let shown = layer.order.len().min(MAX_ROWS);
    let rows = (layer.order.iter().enumerate().take(shown)).map(|(place, &channel)| {
        let value = layer.representatives.get(place).copied().flatten();
        Row {
            place: place + 1,
            channel,
            representative: value.map_or("–".into(), |c| c.to_string()),
            similarity: number(layer.similarities.get(place).copied().flatten()),
        }
    });
    Layer {
        name: layer.name.clone(),
        sentences: words::rank(layer, by),
        facts: vec![
            fact("Channels", words::count(layer.order.len() as u64), ""),
            fact("Live", words::count(layer.live), ""),
        ],
        chart: (layer.coverage.len() > 1).then(|| Captioned {
            figure: figures.chart(&chart(layer)),
            title: "Coverage".into(),
            caption: "Mean similarity of a live channel to the most similar one kept, against the number of channels kept."
                .into(),
        }),
        note: match shown < layer.order.len() {
            true => format!("The first {shown} of {} channels.", layer.order.len()),
            false => String::new(),
        },
        rows: rows.collect(),
    }
}

fn chart(layer: &RankLayer) -> Chart {
    Chart {
        label: format!(
            "Coverage against the number of channels kept of {}",
            layer.name
        ),
        x: "channels kept",
        names: Some((1..=layer.coverage.len() as u64).collect()),
        percent: false,
        log: false,
        sortable: false,
        range: [Some(0.0), Some(1.0)],
        series: vec![Series {
            name: "coverage".into(),
            style: "line",
            values: layer.coverage.iter().copied().map(Some).collect(),
            errors: Vec::new(),
        }],
        references: Vec::new(),
    }
}
