//! The section on Convolutional Similarity.

use super::super::arrays::{self, Arrays};
use super::super::figure::tiles;
use super::super::order::cluster;
use super::super::results::{FilterLayer, Results};
use super::super::words::{self, number};
use super::figures::{Chart, Figures, HeatMap, Series, View};
use super::header::dimensions;
use super::{Captioned, Fact, fact};
use crate::Result;
use ndarray::Array2;

/// Filters for which the pair matrix is written without being asked for.
const WRITTEN_UP_TO: usize = 1024;
/// Pictures that help; more are only a texture.
const MAX_TILES: usize = 1024;
/// Filters shown when each takes a row of pictures.
const MAX_ROWS: usize = 24;

/// One convolution.
pub struct Layer {
    pub name: String,
    pub shape: String,
    pub sentences: Vec<String>,
    pub facts: Vec<Fact>,
    pub heatmap: Option<usize>,
    pub missing: Vec<String>,
    pub pictures: Vec<Captioned>,
    pub charts: Vec<Captioned>,
}

pub fn layers(results: &Results, arrays: &dyn Arrays, figures: &mut Figures) -> Result<Vec<Layer>> {
    let layers = results.filters.iter().flat_map(|f| &f.layers);
    layers.map(|layer| view(layer, arrays, figures)).collect()
}

fn view(layer: &FilterLayer, arrays: &dyn Arrays, figures: &mut Figures) -> Result<Layer> {
    let filters = layer.shape.first().copied().unwrap_or(0) as usize;
    let path = format!("filters/{}/pairs.npy", layer.name);
    let mut missing = Vec::new();
    let heatmap = match filters {
        0 | 1 => None,
        _ => match arrays::symmetric(arrays, &path, filters)? {
            Ok(pairs) => Some(heatmap(layer, &pairs, figures)),
            Err(_) if filters > WRITTEN_UP_TO && arrays.shape(&path)?.is_none() => {
                missing.push(format!(
                    "The pair matrix of {filters} filters was not written; ask for matrices to have it."
                ));
                None
            }
            Err(why) => {
                missing.push(figures.missing(why));
                None
            }
        },
    };
    Ok(Layer {
        name: layer.name.clone(),
        shape: dimensions(&layer.shape),
        sentences: words::filters(layer),
        facts: vec![
            fact(
                "Value, all pairs",
                number(layer.value),
                "grows with the weights' scale",
            ),
            fact(
                "Value, adjacent",
                number(layer.value_adjacent),
                "filters i and i + 1",
            ),
            fact("Normalised, mean", number(layer.normalized_mean), "0 to 1"),
            fact(
                "Filter cosine, mean",
                number(layer.filter_cosine_mean),
                "of magnitudes",
            ),
        ],
        heatmap,
        missing,
        pictures: pictures(layer, arrays, figures)?,
        charts: charts(layer, figures),
    })
}

fn heatmap(layer: &FilterLayer, pairs: &Array2<f64>, figures: &mut Figures) -> usize {
    let normalised = Array2::from_shape_fn(pairs.dim(), |(i, j)| {
        // Roots first: the product may be too small for f64.
        let scale = pairs[[i, i]].sqrt() * pairs[[j, j]].sqrt();
        if scale > 0.0 {
            pairs[[i, j]] / scale
        } else {
            f64::NAN
        }
    });
    let view = |values, name| View {
        name,
        unit: "",
        values,
        range: [Some(0.0), None],
    };
    let views = vec![
        view(normalised.view(), "Normalised"),
        view(pairs.view(), "Raw"),
    ];
    let clusters = Some(("normalised similarity", cluster(normalised.view())));
    figures.heatmap(HeatMap {
        label: format!(
            "Convolutional Similarity of all pairs of filters of {}",
            layer.name
        ),
        row: "filter",
        col: "filter",
        symmetric: true,
        names: None,
        columns: None,
        clusters,
        views,
    })
}

/// The filters themselves, where the run left them beside the results. A filter with few input channels is
/// shown channel by channel, others by their first ones.
fn pictures(
    layer: &FilterLayer,
    arrays: &dyn Arrays,
    figures: &mut Figures,
) -> Result<Vec<Captioned>> {
    let path = format!("filters/{}/weights.npy", layer.name);
    let Some(found) = arrays.shape(&path)? else {
        return Ok(Vec::new());
    };
    let promised: Vec<usize> = layer.shape.iter().map(|&d| d as usize).collect();
    if found != promised {
        figures.missing(format!(
            "{path} has shape {found:?} where results.json promises {promised:?}, so the filters are not shown"
        ));
        return Ok(Vec::new());
    }
    if let Some(why) = arrays::too_large(arrays, &path, &found) {
        figures.missing(why);
        return Ok(Vec::new());
    }
    let Some(weights) = arrays.array(&path)? else {
        return Ok(Vec::new());
    };
    let &[filters, channels, height, width] = weights.shape() else {
        return Ok(Vec::new());
    };
    if height * width <= 1 || filters == 0 || channels == 0 {
        return Ok(Vec::new());
    }
    let shown_channels = channels.min(16);
    let shown = match shown_channels {
        1 => filters.min(MAX_TILES),
        _ => filters.min(MAX_ROWS),
    };
    let mut values = Vec::new();
    for filter in weights.outer_iter().take(shown) {
        for map in filter.outer_iter().take(shown_channels) {
            values.extend(map.iter());
        }
    }
    let columns = (shown_channels > 1).then_some(shown_channels);
    let label = format!("Weights of the filters of {}", layer.name);
    let figure = figures.tiles(label, "filter", tiles(&values, height, width), columns);
    let first = |shown: usize, all: usize, what: &str| match shown < all {
        true => format!("the first {shown} of {all} {what}"),
        false => format!("{all} {what}"),
    };
    let caption = match channels {
        1 => format!(
            "Weights of {}, each on its own scale.",
            first(shown, filters, "filters")
        ),
        _ => format!(
            "A row is a filter ({}), a column an input channel ({}); each picture on its own scale.",
            first(shown, filters, "filters"),
            first(shown_channels, channels, "channels"),
        ),
    };
    Ok(vec![Captioned {
        figure,
        title: "Filters".into(),
        caption,
    }])
}

fn charts(layer: &FilterLayer, figures: &mut Figures) -> Vec<Captioned> {
    let Some(history) = layer.history.as_ref().filter(|h| h.len() > 1) else {
        return Vec::new();
    };
    let figure = figures.chart(&Chart {
        label: format!(
            "Convolutional Similarity during the minimisation of {}",
            layer.name
        ),
        x: "step",
        names: None,
        percent: false,
        log: true,
        sortable: false,
        range: [Some(0.0), None],
        series: vec![Series {
            name: "value".into(),
            style: "line",
            values: history.clone(),
            errors: Vec::new(),
        }],
        references: Vec::new(),
    });
    vec![Captioned {
        figure,
        title: "Minimisation".into(),
        caption: "Value before the first and after every step.".into(),
    }]
}
