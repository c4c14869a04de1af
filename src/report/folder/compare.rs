//! What runs have in common: arrays of every pair of runs, and the section `compare`.

use super::ResultsFolder;
use super::across::{match_arrays, place_array, rows};
use crate::Result;
use crate::measure::redundancy::{Between, Match, Place, SideLayer};
use crate::measure::{CompareInput, Context, compare};
use crate::report::finished::{ComparedRuns, KeptLayer, KeptRun};
use crate::report::results::{
    AcrossMatch, ChannelRef, Compare, ComparedLayer, ComparedPair, ComparedRun, RESULTS_FILE,
    Redundancy, RedundancyLayer,
};
use ndarray::Array2;
use std::path::Path;

/// Pairs of channels that `results.json` lists.
const LISTED: usize = 100;

impl ResultsFolder {
    /// Compares the first of these runs with each of the others: writes what is found by [`ResultsFolder::compared_run`] and
    /// [`ResultsFolder::compared_pair`], and records context and input.
    ///
    /// # Errors
    /// As [`compare`]; as [`ResultsFolder::input_file`] and [`ResultsFolder::compared_pair`].
    pub fn compare(&self, ctx: &Context<'_>, runs: &ComparedRuns) -> Result<()> {
        self.compare_parameters(ctx);
        for (run, kept) in runs.finished.iter().zip(&runs.kept) {
            self.compared_run(&kept.folder, run.results.redundancy.as_ref());
            self.input_file(&run.path(RESULTS_FILE), &[], "results")?;
            for file in kept.layers.iter().flat_map(|layer| &layer.files) {
                self.input_file(file, &[], "supports")?;
            }
        }
        let Some((first, others)) = runs.kept.split_first() else {
            return Ok(());
        };
        let (own, pairs) = (sides(first), others.len() as f64);
        for (at, other) in others.iter().enumerate() {
            let control = ctx
                .control()
                .part(at as f64 / pairs, (at + 1) as f64 / pairs);
            let input = CompareInput {
                runs: [&own, &sides(other)],
                queries: first.queries,
                samples: first.samples,
                k: first.k,
            };
            let found = compare(&ctx.clone().with_control(control), &input)?;
            self.compared_pair(at + 1, &found)?;
            let [a, b] = [first, other].map(|run| run.folder.display());
            self.stage(format!("{a} and {b}"));
        }
        Ok(())
    }

    /// Adds a run to the section `compare`: its folder, and what it found in itself.
    pub fn compared_run(&self, folder: &Path, found: Option<&Redundancy>) {
        let layers = found.iter().flat_map(|found| &found.layers);
        let run = ComparedRun {
            path: folder.display().to_string(),
            layers: layers.map(figures).collect(),
        };
        self.record()
            .results
            .compare
            .get_or_insert_with(Compare::default)
            .runs
            .push(run);
    }

    /// Writes what the first run and another one, the `b`-th from 0, have in common under `compare/b/`: `layers.npy` and
    /// `best_match.npy` f64 `[A, B]`, and `best_match_back.npy` f64 `[B, A]`; of the live channels of each run, with the suffix
    /// `_a` or `_b`, `channels.npy` and `matches.npy` i64 `[C, 2]` and `match_jaccard.npy` f64 `[C]`; and `jaccard.npy` f64
    /// `[Ca, Cb]`, where it was kept. Adds the pair to the section `compare`.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn compared_pair(&self, b: usize, found: &Between) -> Result<()> {
        let folder = format!("compare/{b}");
        let matrix = |name: &str, matrix: &Array2<f64>| {
            let values: Vec<f64> = matrix.iter().copied().collect();
            let shape = [matrix.nrows(), matrix.ncols()];
            self.output
                .array(&format!("{folder}/{name}.npy"), &shape, &values)
        };
        matrix("layers", &found.mean)?;
        matrix("best_match", &found.best_match[0])?;
        matrix("best_match_back", &found.best_match[1])?;
        if let Some(jaccard) = &found.jaccard {
            matrix("jaccard", jaccard)?;
        }
        for (side, suffix) in ["a", "b"].into_iter().enumerate() {
            let channels = &found.channels[side];
            let (places, values) = match_arrays(&found.matches[side]);
            let name = |array: &str| format!("{folder}/{array}_{suffix}.npy");
            let count = channels.len();
            self.output
                .array(&name("channels"), &[count, 2], &place_array(channels))?;
            self.output.array(&name("matches"), &[count, 2], &places)?;
            self.output
                .array(&name("match_jaccard"), &[count], &values)?;
        }
        let pair = ComparedPair {
            a: 0,
            b: b as u64,
            mean: rows(&found.mean),
            best_match: rows(&found.best_match[0]),
            best_match_back: rows(&found.best_match[1]),
            matches: listed(found),
        };
        self.record()
            .results
            .compare
            .get_or_insert_with(Compare::default)
            .pairs
            .push(pair);
        Ok(())
    }
}

/// The layers of a run, to be compared.
fn sides(run: &KeptRun) -> Vec<SideLayer<'_>> {
    run.layers.iter().map(KeptLayer::side).collect()
}

/// What `compare` repeats of a layer.
fn figures(layer: &RedundancyLayer) -> ComparedLayer {
    let measured = match &layer.channels {
        Some(chosen) => chosen.len() as u64,
        None => layer.shape.get(1).copied().unwrap_or(0),
    };
    let mean = |values: &[Option<f64>]| {
        let (sum, count) = values
            .iter()
            .flatten()
            .fold((0.0, 0u64), |(sum, n), v| (sum + v, n + 1));
        (count > 0).then(|| sum / count as f64)
    };
    ComparedLayer {
        name: layer.name.clone(),
        live: measured.saturating_sub(layer.dead_channels.len() as u64),
        redundancy: layer.redundancy,
        jaccard_mean: layer.jaccard_mean,
        neighbors_mean: mean(&layer.neighbors_mean),
        loo_error: layer.loo_error.as_deref().and_then(mean),
    }
}

/// The most similar pairs of a channel of the first run and its match in the other.
fn listed(found: &Between) -> Vec<AcrossMatch> {
    let mut pairs: Vec<(Place, Match)> = (found.channels[0].iter().zip(&found.matches[0]))
        .filter_map(|(&place, found)| Some((place, (*found)?)))
        .collect();
    // Stable: of equal ones the first channel.
    pairs.sort_by(|x, y| y.1.jaccard.total_cmp(&x.1.jaccard));
    let name = |run: usize, place: Place| ChannelRef {
        layer: found.layers[run][place.layer].clone(),
        channel: place.channel as u64,
    };
    let pairs = pairs.into_iter().take(LISTED);
    pairs
        .map(|(place, found)| AcrossMatch {
            a: name(0, place),
            b: name(1, found.place),
            jaccard: found.jaccard,
        })
        .collect()
}
