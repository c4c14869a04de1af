//! The section on impulse responses.

use super::super::arrays::{self, Arrays};
use super::super::figure::tiles;
use super::super::order::cluster;
use super::super::results::{ChannelRef, ImpulseLayer, ImpulseMatch, Results};
use super::super::words::{self, number};
use super::figures::{Figures, HeatMap, View};
use super::{Captioned, Fact, fact};
use crate::Result;
use std::collections::HashMap;
use std::ops::Range;

/// Pixels of all response pictures of a layer.
const MAX_PIXELS: usize = 160_000;
/// Side of a picture; larger responses keep the strongest value of each block.
const MAX_SIDE: usize = 48;
/// Input channels whose responses are shown.
const MAX_INPUTS: usize = 3;
/// Groups of alike channels listed.
const MAX_GROUPS: usize = 20;
/// Cross-depth matches listed.
const MAX_MATCHES: usize = 50;

/// The section.
pub struct Section {
    pub layers: Vec<Layer>,
    pub matches: Vec<Match>,
    pub matches_note: String,
    pub groups: Vec<String>,
    pub groups_note: String,
}

/// One tap.
pub struct Layer {
    pub name: String,
    pub tap: String,
    pub channels: u64,
    pub sentences: Vec<String>,
    pub facts: Vec<Fact>,
    pub heatmap: Option<usize>,
    pub missing: Vec<String>,
    pub pictures: Vec<Captioned>,
}

/// Two channels at different depth.
pub struct Match {
    pub a: String,
    pub b: String,
    pub ncc: String,
    pub lag: String,
}

pub fn layers(
    results: &Results,
    arrays: &dyn Arrays,
    figures: &mut Figures,
) -> Result<Option<Section>> {
    let Some(impulse) = &results.impulse else {
        return Ok(None);
    };
    let layers: Result<Vec<Layer>> = impulse
        .layers
        .iter()
        .map(|l| view(l, arrays, figures))
        .collect();
    let threshold = impulse.match_threshold.map_or(String::new(), |t| {
        format!(" of at least {}", number(Some(t)))
    });
    let shown = impulse.matches.len().min(MAX_MATCHES);
    let groups = impulse.groups.len().min(MAX_GROUPS);
    Ok(Some(Section {
        layers: layers?,
        matches: impulse.matches.iter().take(shown).map(listed).collect(),
        groups: impulse
            .groups
            .iter()
            .take(groups)
            .map(|g| group(g))
            .collect(),
        groups_note: match groups < impulse.groups.len() {
            true => format!("The {groups} largest of {} groups.", impulse.groups.len()),
            false => String::new(),
        },
        matches_note: match shown < impulse.matches.len() {
            true => format!(
                "The {shown} best of {} pairs of channels at different depth with an NCC{threshold}.",
                impulse.matches.len()
            ),
            false => {
                format!("Pairs of channels at different depth with an NCC{threshold}, best first.")
            }
        },
    }))
}

/// `conv1: 0 and 4; conv2: 3`.
fn group(channels: &[ChannelRef]) -> String {
    let mut layers: Vec<(&str, Vec<u64>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for found in channels {
        let place = *places.entry(&found.layer).or_insert(layers.len());
        match layers.get_mut(place) {
            Some((_, indices)) => indices.push(found.channel),
            None => layers.push((&found.layer, vec![found.channel])),
        }
    }
    let parts = layers
        .iter()
        .map(|(layer, c)| format!("{layer}: {}", words::list(c)));
    parts.collect::<Vec<_>>().join("; ")
}

fn listed(found: &ImpulseMatch) -> Match {
    Match {
        a: format!("{} channel {}", found.a.layer, found.a.channel),
        b: format!("{} channel {}", found.b.layer, found.b.channel),
        ncc: number(Some(found.ncc)),
        lag: format!("{}, {}", found.lag[0], found.lag[1]),
    }
}

fn view(layer: &ImpulseLayer, arrays: &dyn Arrays, figures: &mut Figures) -> Result<Layer> {
    let n = layer.channels as usize;
    let mut missing = Vec::new();
    let mut get = |file: &str| {
        let found = arrays::symmetric(arrays, &format!("impulse/{}/{file}", layer.name), n)?;
        crate::Result::Ok(found.map_err(|why| missing.push(figures.missing(why))).ok())
    };
    let (ncc, absolute) = (get("ncc.npy")?, get("ncc_abs.npy")?);
    let mut views = Vec::new();
    views.extend(ncc.as_ref().map(|m| View {
        name: "NCC",
        unit: "",
        values: m.view(),
        range: [None, Some(1.0)],
    }));
    views.extend(absolute.as_ref().map(|m| View {
        name: "Absolute",
        unit: "",
        values: m.view(),
        range: [Some(0.0), Some(1.0)],
    }));
    let heatmap = match ncc.as_ref().or(absolute.as_ref()) {
        Some(matrix) if n > 1 => {
            let by = if ncc.is_some() { "NCC" } else { "absolute NCC" };
            Some(figures.heatmap(HeatMap {
                label: format!(
                    "Normalised cross-correlation of all pairs of responses of {}",
                    layer.name
                ),
                row: "channel",
                col: "channel",
                symmetric: true,
                names: None,
                columns: None,
                clusters: Some((by, cluster(matrix.view()))),
                views,
            }))
        }
        _ => None,
    };
    let mut facts = vec![
        fact(
            "Mean NCC",
            number(layer.ncc_mean),
            "at the best shift, at most 1",
        ),
        fact("Channels", words::count(layer.channels), ""),
    ];
    if !layer.zero_channels.is_empty() {
        facts.push(fact(
            "Without response",
            words::count(layer.zero_channels.len() as u64),
            "",
        ));
    }
    Ok(Layer {
        name: layer.name.clone(),
        tap: layer.tap.clone(),
        channels: layer.channels,
        sentences: words::impulse(layer, ncc.as_ref()),
        facts,
        heatmap,
        missing,
        pictures: pictures(layer, arrays, figures)?,
    })
}

fn pictures(
    layer: &ImpulseLayer,
    arrays: &dyn Arrays,
    figures: &mut Figures,
) -> Result<Vec<Captioned>> {
    let path = format!("impulse/{}/response.npy", layer.name);
    let why = match arrays.shape(&path)? {
        None => "is missing beside results.json".into(),
        // [C, H, W], or [I, C, H, W] with an impulse in each input channel in turn.
        Some(shape) => match *shape.as_slice() {
            [c, h, w] | [_, c, h, w] if c as u64 == layer.channels && h > 0 && w > 0 => {
                String::new()
            }
            _ => format!(
                "has shape {shape:?}, and results.json promises {} channels",
                layer.channels
            ),
        },
    };
    let response = match why.is_empty() {
        true => arrays.array(&path)?,
        false => None,
    };
    let Some(response) = response else {
        figures.missing(format!("{path} {why}, so the responses are not shown"));
        return Ok(Vec::new());
    };
    let (inputs, channels, height, width) = match *response.shape() {
        [c, h, w] => (1, c, h, w),
        [i, c, h, w] => (i, c, h, w),
        _ => return Ok(Vec::new()),
    };
    if height * width <= 1 {
        return Ok(Vec::new());
    }
    let all: Vec<f64> = response.iter().copied().collect();
    let (rows, cols) = responding(&all, height, width);
    let cropped = rows.len() < height || cols.len() < width;
    let values: Vec<f64> = all
        .chunks_exact(height * width)
        .flat_map(|map| {
            rows.clone()
                .flat_map(move |y| map[y * width..][..width].to_vec())
        })
        .enumerate()
        .filter(|(i, _)| cols.contains(&(i % width)))
        .map(|(_, v)| v)
        .collect();
    let (values, height, width) = reduce(&values, rows.len(), cols.len());
    let shown = channels.min((MAX_PIXELS / (height * width)).max(1));
    let crop = if cropped {
        ", cropped to the part that responds"
    } else {
        ""
    };
    let mut pictures = Vec::new();
    for input in 0..inputs.min(MAX_INPUTS) {
        let from = input * channels * height * width;
        let part = &values[from..from + shown * height * width];
        let label = format!("Impulse responses of {}", layer.name);
        let of_input = if inputs > 1 {
            format!(" to an impulse in input channel {input}")
        } else {
            String::new()
        };
        let which = if shown < channels {
            format!("The first {shown} of {channels} responses")
        } else {
            "Responses".into()
        };
        pictures.push(Captioned {
            figure: figures.tiles(label, "channel", tiles(part, height, width), None),
            title: match inputs {
                1 => "Responses".into(),
                _ => format!("Responses, input channel {input}"),
            },
            caption: format!("{which}{of_input}, each on its own scale{crop}."),
        });
    }
    Ok(pictures)
}

/// Rows and columns that hold every value above a thousandth of the largest, with a margin of one.
fn responding(values: &[f64], height: usize, width: usize) -> (Range<usize>, Range<usize>) {
    let peak = values.iter().fold(
        0.0f64,
        |m, v| if v.is_finite() { m.max(v.abs()) } else { m },
    );
    let (mut top, mut bottom, mut left, mut right) = (height, 0, width, 0);
    for (i, v) in values.iter().enumerate() {
        if v.abs() > peak * 1e-3 {
            let (y, x) = (i / width % height, i % width);
            (top, bottom) = (top.min(y), bottom.max(y + 1));
            (left, right) = (left.min(x), right.max(x + 1));
        }
    }
    if top >= bottom {
        return (0..height, 0..width);
    }
    let grow = |from: usize, to: usize, end: usize| from.saturating_sub(1)..(to + 1).min(end);
    (grow(top, bottom, height), grow(left, right, width))
}

/// Maps `[.., height, width]` with the value of largest magnitude of each block where a side is too long.
fn reduce(values: &[f64], height: usize, width: usize) -> (Vec<f64>, usize, usize) {
    let block = height.max(width).div_ceil(MAX_SIDE);
    if block <= 1 {
        return (values.to_vec(), height, width);
    }
    let (rows, cols) = (height.div_ceil(block), width.div_ceil(block));
    let mut out = Vec::new();
    for map in values.chunks_exact(height * width) {
        let mut small = vec![0.0f64; rows * cols];
        for (i, &v) in map.iter().enumerate() {
            let cell = &mut small[i / width / block * cols + i % width / block];
            if v.abs() > cell.abs() {
                *cell = v;
            }
        }
        out.extend(small);
    }
    (out, rows, cols)
}
