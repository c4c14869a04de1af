//! The section `compare`.

use super::AcrossMatch;
use serde::{Deserialize, Serialize};

/// Runs over the same samples, compared by their supports (docs/definitions.md#between-runs).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Compare {
    /// The runs, in the order in which they were given.
    pub runs: Vec<ComparedRun>,
    /// The first run with each other one; the arrays of the second entry, which compares the runs 0 and 2, lie in
    /// `compare/2/`.
    pub pairs: Vec<ComparedPair>,
}

/// A run, and what it found in itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ComparedRun {
    /// Folder, as it was given.
    pub path: String,
    /// Its layers.
    pub layers: Vec<ComparedLayer>,
}

/// A layer of a run: some of the figures that `redundancy` has of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ComparedLayer {
    /// Layer.
    pub name: String,
    /// Channels that are not dead.
    pub live: u64,
    /// `redundancy.layers[].redundancy`.
    pub redundancy: Option<f64>,
    /// `redundancy.layers[].jaccard_mean`.
    pub jaccard_mean: Option<f64>,
    /// Mean over its live channels of `redundancy.layers[].neighbors_mean`.
    pub neighbors_mean: Option<f64>,
    /// Mean over its live channels of `redundancy.layers[].loo_error`.
    pub loo_error: Option<f64>,
}

/// Two runs. The first one's layers are the rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ComparedPair {
    /// The first run, by its place in `runs`.
    pub a: u64,
    /// The second run.
    pub b: u64,
    /// `[A, B]`: mean Jaccard index over the pairs of channels of two layers; `null` where no pair has one.
    pub mean: Vec<Vec<Option<f64>>>,
    /// `[A, B]`: mean over the channels of the row's layer, in the first run, of their largest Jaccard index in the column's
    /// layer, in the second run.
    pub best_match: Vec<Vec<Option<f64>>>,
    /// `[B, A]`: the same for the channels of the second run.
    pub best_match_back: Vec<Vec<Option<f64>>>,
    /// Channels of the first run and their most similar ones in the second run, most similar pairs first, at most 100.
    pub matches: Vec<AcrossMatch>,
}
