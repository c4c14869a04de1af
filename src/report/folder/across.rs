//! What channels of different layers have in common: arrays, and the section in the results.

use super::ResultsFolder;
use crate::Result;
use crate::measure::baselines::Cka;
use crate::measure::redundancy::{self as measure, Match, Place};
use crate::report::results::{Across, AcrossMatch, ChannelRef, Redundancy, finite};
use ndarray::Array2;

/// Pairs of channels that `results.json` lists.
const LISTED: usize = 100;

impl ResultsFolder {
    /// Writes what [`crate::measure::redundancy_each`] found between layers: [`ResultsFolder::cka`] and
    /// [`ResultsFolder::across`], where they were computed.
    ///
    /// # Errors
    /// As [`ResultsFolder::across`].
    pub fn compared(&self, found: &measure::Compared) -> Result<()> {
        self.between(found.cka.as_ref(), found.across.as_ref())
    }

    pub(super) fn between(
        &self,
        cka: Option<&Cka>,
        across: Option<&measure::Across>,
    ) -> Result<()> {
        if let Some(cka) = cka {
            self.cka(cka);
        }
        across.map_or(Ok(()), |across| self.across(across))
    }

    /// Writes what [`crate::measure::redundancy()`] found between layers under `across/`: `layers.npy` and
    /// `best_match.npy` f64 `[L, L]`; of all live channels `channels.npy` and `matches.npy` i64 `[C, 2]` and
    /// `match_jaccard.npy` f64 `[C]`; and `jaccard.npy` f64 `[C, C]`, where it was kept. Adds `redundancy.across`.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn across(&self, found: &measure::Across) -> Result<()> {
        let (layers, count) = (found.layers.len(), found.channels.len());
        let matrix = |name: &str, matrix: &Array2<f64>| {
            let values: Vec<f64> = matrix.iter().copied().collect();
            let [rows, columns] = [matrix.nrows(), matrix.ncols()];
            self.output
                .array(&format!("across/{name}.npy"), &[rows, columns], &values)
        };
        matrix("layers", &found.mean)?;
        matrix("best_match", &found.best_match)?;
        if let Some(jaccard) = &found.jaccard {
            matrix("jaccard", jaccard)?;
        }
        let (places, values) = match_arrays(&found.matches);
        let channels = place_array(&found.channels);
        self.output
            .array("across/channels.npy", &[count, 2], &channels)?;
        self.output
            .array("across/matches.npy", &[count, 2], &places)?;
        self.output
            .array("across/match_jaccard.npy", &[count], &values)?;

        let of_layer = |l: usize| {
            found
                .channels
                .iter()
                .filter(|place| place.layer == l)
                .count() as u64
        };
        let mut record = self.record();
        let section = &mut record.results.redundancy;
        section.get_or_insert_with(Redundancy::default).across = Some(Across {
            layers: found.layers.clone(),
            channels: (0..layers).map(of_layer).collect(),
            mean: rows(&found.mean),
            best_match: rows(&found.best_match),
            matches: listed(found),
        });
        Ok(())
    }
}

/// A matrix as `results.json` holds it.
pub(super) fn rows(matrix: &Array2<f64>) -> Vec<Vec<Option<f64>>> {
    let rows = matrix.rows().into_iter();
    rows.map(|row| row.iter().copied().map(finite).collect())
        .collect()
}

/// `[C, 2]`: layer and channel of each place.
pub(super) fn place_array(places: &[Place]) -> Vec<i64> {
    places.iter().flat_map(|&p| pair(p)).collect()
}

/// `[C, 2]` and `[C]`: where each channel's match is, -1 where there is none, and its Jaccard index, NaN where there is none.
pub(super) fn match_arrays(matches: &[Option<Match>]) -> (Vec<i64>, Vec<f64>) {
    let places = matches
        .iter()
        .flat_map(|m| m.map_or([-1, -1], |m| pair(m.place)));
    let values = matches.iter().map(|m| m.map_or(f64::NAN, |m| m.jaccard));
    (places.collect(), values.collect())
}

fn pair(place: Place) -> [i64; 2] {
    [place.layer as i64, place.channel as i64]
}

/// The most similar pairs of channels of different layers. A pair of two that are each other's best match is listed once.
fn listed(found: &measure::Across) -> Vec<AcrossMatch> {
    let place = |place: Place| ChannelRef {
        layer: found.layers[place.layer].clone(),
        channel: place.channel as u64,
    };
    let key = |place: Place| (place.layer, place.channel);
    let mut pairs: Vec<(f64, Place, Place)> = (found.channels.iter().zip(&found.matches))
        .filter_map(|(&c, m)| m.map(|m| (m.jaccard, c, m.place)))
        .map(|(value, a, b)| match key(a) < key(b) {
            true => (value, a, b),
            false => (value, b, a),
        })
        .collect();
    pairs.sort_by(|x, y| {
        let order = y.0.total_cmp(&x.0);
        order.then_with(|| (key(x.1), key(x.2)).cmp(&(key(y.1), key(y.2))))
    });
    pairs.dedup_by_key(|(_, a, b)| (key(*a), key(*b)));
    let pairs = pairs.into_iter().take(LISTED);
    pairs
        .map(|(jaccard, a, b)| AcrossMatch {
            a: place(a),
            b: place(b),
            jaccard,
        })
        .collect()
}
