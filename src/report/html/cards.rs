//! Cards of channels: the samples that excite a channel most, its impulse response, and the channels that are nearest to it.

use super::super::arrays::{self, Arrays};
use super::super::results::{Across, RedundancyLayer, Results};
use super::across::Matches;
use super::figures::{Cards, Figures, Pictures};
use super::impulse;
use crate::Result;
use ndarray::{Array2, ArrayView1};
use std::collections::HashMap;

/// Channels that a card lists as nearest, of the layer and of other ones.
const NEAREST: usize = 5;
/// Samples that a card can list: a damaged file may promise any number.
const MAX_SAMPLES: u64 = 64;

/// What a page shows of layers beside what is found in themselves.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// Their channels' matches in other layers.
    pub matches: Option<&'a Matches>,
    /// Their channels' nearest ones in other layers.
    pub nearest: Option<&'a Others>,
    /// Pictures of their samples.
    pub pictures: Option<&'a Pictures>,
}

/// The Jaccard indices of the channels of all layers.
pub struct Others {
    layers: Vec<String>,
    /// `[C]`: layer and channel.
    places: Vec<(usize, u64)>,
    rows: HashMap<(usize, u64), usize>,
    jaccard: Array2<f64>,
}

impl Others {
    /// Reads what a run across layers left; `None` where there is no matrix of all channels, or no card to show it.
    ///
    /// # Errors
    /// Those of [`Arrays::array`].
    pub fn read(results: &Results, arrays: &dyn Arrays) -> Result<Option<Self>> {
        let Some(redundancy) = &results.redundancy else {
            return Ok(None);
        };
        let carded = redundancy.layers.iter().any(|l| l.strongest.is_some());
        let Some(across) = redundancy.across.as_ref().filter(|_| carded) else {
            return Ok(None);
        };
        let count = channels(across);
        let places = arrays::matrix(arrays, "across/channels.npy", (count, 2))?;
        // Above some thousands of channels there is no matrix, and the page says nothing of it.
        let jaccard = arrays::matrix(arrays, "across/jaccard.npy", (count, count))?;
        let (Ok(places), Ok(jaccard)) = (places, jaccard) else {
            return Ok(None);
        };
        let places: Vec<(usize, u64)> = (places.rows().into_iter())
            .map(|row| (row[0] as usize, row[1] as u64))
            .collect();
        Ok(Some(Self {
            layers: across.layers.clone(),
            rows: places.iter().enumerate().map(|(at, &p)| (p, at)).collect(),
            places,
            jaccard,
        }))
    }

    /// The nearest channels of other layers.
    fn of(&self, layer: &str, channel: u64) -> Vec<(usize, u64, f64)> {
        let layer = self.layers.iter().position(|name| name == layer);
        let row = layer.and_then(|layer| self.rows.get(&(layer, channel)));
        let Some(&row) = row else { return Vec::new() };
        let other = |at: usize| {
            let known = self.places[at].0 < self.layers.len();
            known && Some(self.places[at].0) != layer
        };
        let found = nearest(self.jaccard.row(row), other);
        let place = |(at, value): (usize, f64)| (self.places[at].0, self.places[at].1, value);
        found.into_iter().map(place).collect()
    }
}

/// Live channels of all layers.
fn channels(across: &Across) -> usize {
    let counts = across.channels.iter();
    counts.fold(0u64, |n, &c| n.saturating_add(c)) as usize
}

/// The places of the largest values of a row, of equal ones the first; NaN is none.
fn nearest(row: ArrayView1<'_, f64>, counts: impl Fn(usize) -> bool) -> Vec<(usize, f64)> {
    let mut best: Vec<(usize, f64)> = Vec::with_capacity(NEAREST + 1);
    for (at, &value) in row.iter().enumerate() {
        if value.is_nan() || !counts(at) {
            continue;
        }
        let place = best.partition_point(|&(_, other)| other >= value);
        if place < NEAREST {
            best.insert(place, (at, value));
            best.truncate(NEAREST);
        }
    }
    best
}

/// The pictures of samples, of a run that had images.
///
/// # Errors
/// Those of [`Arrays::array`].
pub fn pictures(
    results: &Results,
    arrays: &dyn Arrays,
    figures: &mut Figures,
) -> Result<Option<Pictures>> {
    let Some(images) = (results.redundancy.as_ref()).and_then(|r| r.images.as_ref()) else {
        return Ok(None);
    };
    let count = images.pictures as usize;
    let [height, width] = images.size.map(|side| side as usize);
    let planes = match images.shape.get(1) {
        Some(3) => 3,
        _ => 1,
    };
    let samples = arrays::array(arrays, "images/samples.npy", &[count])?;
    let shape = [count, planes, height, width];
    let values = arrays::array(arrays, "images/pictures.npy", &shape)?;
    match (samples, values) {
        (Ok(samples), Ok(values)) => {
            let bytes: Vec<u8> = values.iter().map(|&v| v as u8).collect();
            Ok(Some(Pictures {
                blob: figures.bytes(&bytes),
                planes,
                height,
                width,
                samples: samples.iter().map(|&i| i as u64).collect(),
            }))
        }
        (Err(why), _) | (_, Err(why)) => {
            figures.missing(why);
            Ok(None)
        }
    }
}

/// The cards of a layer's channels, or why they are not shown; `None` where no strongest samples were looked for.
///
/// # Errors
/// Those of [`Arrays::array`].
pub fn cards(
    layer: &RedundancyLayer,
    arrays: &dyn Arrays,
    jaccard: Option<&Array2<f64>>,
    beside: &Beside<'_>,
) -> Result<Option<std::result::Result<Cards, String>>> {
    let Some(each) = layer.strongest.filter(|&each| each <= MAX_SAMPLES) else {
        return Ok(None);
    };
    let (count, each) = (layer.neighbors_mean.len(), each as usize);
    let read = |name: &str| {
        let path = format!("layers/{}/{name}.npy", layer.name);
        arrays::matrix(arrays, &path, (count, each))
    };
    let (samples, means) = match (read("strongest")?, read("strongest_mean")?) {
        (Ok(samples), Ok(means)) => (samples, means),
        (Err(why), _) | (_, Err(why)) => return Ok(Some(Err(why))),
    };
    let listed = |c: usize| {
        samples
            .row(c)
            .into_iter()
            .take_while(|&&i| i >= 0.0)
            .count()
    };
    let near = |c: usize| {
        let row = jaccard.map(|jaccard| nearest(jaccard.row(c), |e| e != c));
        let named = |(at, value)| (layer.channel(at), short(value));
        row.unwrap_or_default().into_iter().map(named).collect()
    };
    let of = |c: usize| {
        let found = beside.nearest.map(|n| n.of(&layer.name, layer.channel(c)));
        let found = found.unwrap_or_default().into_iter();
        found.map(|(l, e, value)| (l, e, short(value))).collect()
    };
    Ok(Some(Ok(Cards {
        label: format!("Channels of {} one by one", layer.name),
        names: layer.channels.clone(),
        samples: (0..count)
            .map(|c| {
                samples
                    .row(c)
                    .iter()
                    .take(listed(c))
                    .map(|&i| i as u64)
                    .collect()
            })
            .collect(),
        means: (0..count)
            .map(|c| {
                means
                    .row(c)
                    .iter()
                    .take(listed(c))
                    .map(|&m| short(m))
                    .collect()
            })
            .collect(),
        nearest: (0..count).map(near).collect(),
        layers: beside.nearest.map_or(Vec::new(), |n| n.layers.clone()),
        others: match beside.nearest {
            Some(_) => (0..count).map(of).collect(),
            None => Vec::new(),
        },
        pictures: beside.pictures.cloned(),
    })))
}

/// Five digits, which are more than a card shows: pages hold thousands of these numbers.
fn short(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// Lets the cards of each layer, figures by their index, show the impulse responses of the layer of the same name.
pub fn respond(
    cards: &[Option<usize>],
    results: &Results,
    impulses: Option<&impulse::Section>,
    figures: &mut Figures,
) {
    let measured = results.redundancy.iter().flat_map(|r| &r.layers);
    for (&cards, measured) in cards.iter().zip(measured) {
        let mut responses = impulses.iter().flat_map(|section| &section.layers);
        let own = responses.find(|r| r.name == measured.name);
        if let (Some(cards), Some(own)) = (cards, own)
            && measured.shape.get(1) == Some(&own.channels)
        {
            let pictures: Vec<usize> = own.pictures.iter().map(|p| p.figure).collect();
            figures.respond(cards, &own.tap, &pictures);
        }
    }
}
