//! What the page's script draws: configurations in JSON, data in base64.

use super::super::figure::{Matrix, Tiles, base64, matrix};
use super::super::order::Clustering;
use super::super::results::Results;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;
use serde_json::{Value, json};

/// Base64 bytes that all matrices of a page together may take.
const BUDGET: usize = 24 << 20;
/// Cells on a side above which block means are shown.
const MAX_CELLS: usize = 1024;
/// The same for a matrix that is not symmetric: a network has many of them.
const MAX_CELLS_FULL: usize = 256;
/// Never coarser than this.
const MIN_CELLS: usize = 128;

/// Figures of one page, in the order they were made.
pub struct Figures {
    list: Vec<Value>,
    /// Base64, one element each.
    pub blobs: Vec<String>,
    /// What could not be shown.
    pub notes: Vec<String>,
    limit: usize,
}

/// One of the matrices a heat map can switch between.
pub struct View<'a> {
    /// Name of the measure.
    pub name: &'static str,
    /// What a value counts, after the number; may be empty.
    pub unit: &'static str,
    /// Values.
    pub values: ArrayView2<'a, f64>,
    /// Ends of the colour scale; `None` takes the extremes off the diagonal.
    pub range: [Option<f64>; 2],
}

/// A heat map of pairs.
pub struct HeatMap<'a> {
    /// What it shows, for readers who cannot see it.
    pub label: String,
    /// What a row is: `channel`.
    pub row: &'static str,
    /// What a column is.
    pub col: &'static str,
    /// Whether rows and columns are the same things and `(i, j)` equals `(j, i)`.
    pub symmetric: bool,
    /// Names of the rows, when they are not 0, 1, 2, ...: numbers or texts.
    pub names: Option<Value>,
    /// Names of the columns, where they are not those of the rows.
    pub columns: Option<Value>,
    /// Clusters of the rows, and the name of the similarity by which they were made.
    pub clusters: Option<(&'static str, Clustering)>,
    /// Matrices of one shape.
    pub views: Vec<View<'a>>,
}

/// One line, set of bars or set of dots in a chart.
#[derive(Serialize)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// `bar`, `dot` or `line`.
    pub style: &'static str,
    /// One value per position, `null` where there is none.
    pub values: Vec<Option<f64>>,
    /// Half the length of the error bar at each position; empty where values have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Option<f64>>,
}

/// A chart over channels or steps.
#[derive(Serialize)]
pub struct Chart {
    /// What it shows, for readers who cannot see it.
    pub label: String,
    /// What a position is: `channel`, `step`.
    pub x: &'static str,
    /// Names of the positions, when they are not 0, 1, 2, ...: numbers or texts.
    pub names: Option<Value>,
    /// Values are shares, shown as percentages.
    pub percent: bool,
    /// Offer a logarithmic scale.
    pub log: bool,
    /// Offer to sort the positions by the first series.
    pub sortable: bool,
    /// Ends of the scale; `null` takes the data's, with 0 as the lower one.
    pub range: [Option<f64>; 2],
    /// What is drawn.
    pub series: Vec<Series>,
    /// Horizontal lines to compare with.
    pub references: Vec<(String, f64)>,
}

/// Small pictures of samples, which all cards of a page share.
#[derive(Clone, Debug, Serialize)]
pub struct Pictures {
    /// The blob: a byte per place, `[samples, planes, height, width]`.
    pub blob: usize,
    /// Colours: 1 or 3.
    pub planes: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Samples, ascending.
    pub samples: Vec<u64>,
}

/// Cards of a layer's channels. Lists have an entry per channel.
#[derive(Serialize)]
pub struct Cards {
    /// What it shows, for readers who cannot see it.
    pub label: String,
    /// Names of the channels, when they are not 0, 1, 2, ...
    pub names: Option<Vec<u64>>,
    /// Samples, the strongest first.
    pub samples: Vec<Vec<u64>>,
    /// Means of the channel's map on these.
    pub means: Vec<Vec<f64>>,
    /// The nearest channels of the layer, with their Jaccard index.
    pub nearest: Vec<Vec<(u64, f64)>>,
    /// The layers that `others` names.
    pub layers: Vec<String>,
    /// The nearest channels of other layers: layer, channel and Jaccard index. Empty where none were looked for.
    pub others: Vec<Vec<(usize, u64, f64)>>,
    /// Pictures of samples.
    pub pictures: Option<Pictures>,
}

impl Figures {
    /// Nothing yet; knows how many matrices are to come.
    pub fn new(results: &Results) -> Self {
        let redundancy = results.redundancy.iter().flat_map(|r| &r.layers);
        let mut sides: Vec<usize> = Vec::new();
        // Two views in one order, and two more in the other once blocks are averaged.
        sides.extend(redundancy.flat_map(|l| [l.neighbors_mean.len(); 2]));
        let filters = results.filters.iter().flat_map(|f| &f.layers);
        sides.extend(
            filters
                .filter_map(|l| l.shape.first())
                .flat_map(|&m| [m as usize; 2]),
        );
        let impulse = results.impulse.iter().flat_map(|i| &i.layers);
        sides.extend(impulse.flat_map(|l| [l.channels as usize; 2]));
        Self {
            list: Vec::new(),
            blobs: Vec::new(),
            notes: Vec::new(),
            limit: cells(&sides),
        }
    }

    /// The configurations as JSON that is safe inside a script element.
    pub fn configs(&self) -> String {
        script_json(&Value::from(self.list.clone()))
    }

    /// Records why something is not shown; returns the text for the page.
    pub fn missing(&mut self, why: String) -> String {
        self.notes.push(why.clone());
        why
    }

    /// Adds a heat map; returns the index of the figure.
    pub fn heatmap(&mut self, map: HeatMap<'_>) -> usize {
        let views: Vec<Value> = map.views.iter().map(|v| self.view(v, &map)).collect();
        self.push(json!({
            "kind": "heatmap",
            "label": map.label,
            "row": map.row,
            "col": map.col,
            "names": map.names,
            "columns": map.columns,
            "clusters": map.clusters.as_ref().map(|(by, found)| json!({
                "by": by,
                "order": found.order,
                "joins": found.joins,
            })),
            "views": views,
        }))
    }

    fn view(&mut self, view: &View<'_>, map: &HeatMap<'_>) -> Value {
        let limit = if map.symmetric {
            self.limit
        } else {
            self.limit.min(MAX_CELLS_FULL)
        };
        let encoded = matrix(view.values, map.symmetric, limit);
        let ordered = match &map.clusters {
            Some((_, Clustering { order, .. })) if encoded.block > 1 => {
                let shuffled = Array2::from_shape_fn((order.len(), order.len()), |(i, j)| {
                    view.values[[order[i], order[j]]]
                });
                Some(self.matrix(matrix(shuffled.view(), map.symmetric, limit)))
            }
            _ => None,
        };
        json!({
            "name": view.name,
            "unit": view.unit,
            "range": view.range,
            "matrix": self.matrix(encoded),
            "ordered": ordered,
        })
    }

    fn matrix(&mut self, mut matrix: Matrix) -> Value {
        let blob = self.blob(std::mem::take(&mut matrix.data));
        with_blob(&matrix, blob)
    }

    /// Adds a chart; returns the index of the figure.
    pub fn chart(&mut self, chart: &Chart) -> usize {
        let mut config = json!(chart);
        config["kind"] = "chart".into();
        self.push(config)
    }

    /// Adds small pictures `[count, height, width]`; `tile` names one of them, `columns` fixes how many
    /// stand in a row.
    pub fn tiles(
        &mut self,
        label: String,
        tile: &'static str,
        mut tiles: Tiles,
        columns: Option<usize>,
    ) -> usize {
        let blob = self.blob(std::mem::take(&mut tiles.data));
        let mut config = with_blob(&tiles, blob);
        config["kind"] = "tiles".into();
        config["label"] = label.into();
        config["tile"] = tile.into();
        config["columns"] = json!(columns);
        self.push(config)
    }

    /// Adds cards of channels, whose pictures lie in the blob `pictures`.
    pub fn cards(&mut self, cards: &Cards) -> usize {
        let mut config = json!(cards);
        config["kind"] = "cards".into();
        self.push(config)
    }

    /// Lets cards show the impulse responses that other figures show.
    pub fn respond(&mut self, cards: usize, tap: &str, responses: &[usize]) {
        self.list[cards]["tap"] = tap.into();
        self.list[cards]["responses"] = json!(responses);
    }

    /// Adds bytes that several figures share.
    pub fn bytes(&mut self, bytes: &[u8]) -> usize {
        self.blob(base64(bytes))
    }

    fn push(&mut self, config: Value) -> usize {
        self.list.push(config);
        self.list.len() - 1
    }

    fn blob(&mut self, data: String) -> usize {
        self.blobs.push(data);
        self.blobs.len() - 1
    }
}

fn with_blob(header: &impl Serialize, blob: usize) -> Value {
    let mut config = json!(header);
    config["blob"] = blob.into();
    config
}

/// Largest number of cells on a side that keeps all matrices together inside the budget.
fn cells(sides: &[usize]) -> usize {
    // Half a matrix, two bytes a cell, four thirds for base64; twice when both orders are stored.
    let bytes = |limit: usize| -> usize {
        let one = |&n: &usize| {
            let block = n.div_ceil(limit).max(1);
            let cells = n.div_ceil(block);
            cells * (cells + 1) / 2 * 8 / 3 * if block > 1 { 2 } else { 1 }
        };
        sides.iter().map(one).sum()
    };
    let mut limit = MAX_CELLS;
    while limit > MIN_CELLS && bytes(limit) > BUDGET {
        limit /= 2;
    }
    limit
}

/// JSON that cannot end the script element it stands in, nor a line of script.
fn script_json(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out
}
