//! Channels of two runs over the same samples that pick the same neighbours (docs/definitions.md#between-runs).

use super::across::{AcrossStage, SideLayer};
use super::matches::{Match, Place};
use crate::device::on_backend;
use crate::measure::Context;
use crate::ops::MAX_K;
use crate::{Error, Result};
use ndarray::{Array2, s};

/// The layers of one of the two runs.
pub type Side<'a> = &'a [SideLayer<'a>];

/// What [`compare`] is given: two runs with the same queries and options.
#[derive(Clone, Copy)]
pub struct CompareInput<'a> {
    /// The layers of both runs.
    pub runs: [Side<'a>; 2],
    /// Queries of every layer.
    pub queries: usize,
    /// Samples, among which the members of supports are.
    pub samples: usize,
    /// Most members of a support.
    pub k: usize,
}

/// What the channels of two runs, `a` and `b`, have in common. `[A]` and `[B]` count their layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Between {
    /// Layers of each run.
    pub layers: [Vec<String>; 2],
    /// The live channels of each run, layer by layer.
    pub channels: [Vec<Place>; 2],
    /// `[A, B]`: mean Jaccard index over the pairs of channels of two layers; NaN where no pair has one.
    pub mean: Array2<f64>,
    /// `[A, B]` of the channels of `a` in the layers of `b`, and `[B, A]` the other way round: mean over the channels of the
    /// row's layer of the largest Jaccard index with a channel of the column's layer; NaN where there is none.
    pub best_match: [Array2<f64>; 2],
    /// Of each live channel of each run, the most similar channel of the other run, of equal ones that of the first layer and
    /// channel.
    pub matches: [Vec<Option<Match>>; 2],
    /// Jaccard index of the live channels of `a` with those of `b`, up to [`super::TOGETHER`] of both together, if the memory
    /// cap allows it.
    pub jaccard: Option<Array2<f64>>,
}

/// Compares the channels of two runs over the same samples: which of them pick the same neighbours.
///
/// # Errors
/// [`Error::Argument`] for runs without layers, and for sizes out of range; [`Error::WrongLength`] where lists of a layer do not
/// fit; [`Error::Memory`], [`Error::Cancelled`], and what the supports and the device report.
pub fn compare(ctx: &Context<'_>, input: &CompareInput<'_>) -> Result<Between> {
    check(input)?;
    let [a, b] = input.runs;
    let layers: Vec<SideLayer<'_>> = a.iter().chain(b).copied().collect();
    let (found, matrix) = ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            let stage = AcrossStage {
                backend,
                layers: &layers,
                split: Some(a.len()),
                queries: input.queries,
                samples: input.samples,
                k: input.k,
                memory: ctx.memory(),
                control: ctx.control(),
            };
            stage.run()
        })
    })?;
    let (split, all) = (a.len(), layers.len());
    let best = found.best_match();
    // The first channel of `b` among those of both.
    let first =
        (found.places().iter().position(|p| p.layer >= split)).unwrap_or(found.places().len());
    let names = |run: Side<'_>| run.iter().map(|l| l.name.to_string()).collect();
    let side = |places: &[Place], from: usize| {
        let of = |p: &Place| Place {
            layer: p.layer - from,
            ..*p
        };
        places.iter().map(of).collect::<Vec<_>>()
    };
    let matches = |channels: std::ops::Range<usize>, others: std::ops::Range<usize>| {
        let of = |c| {
            let found = found.best_among(c, others.clone())?;
            let layer = found.place.layer - others.start;
            let place = Place {
                layer,
                ..found.place
            };
            Some(Match { place, ..found })
        };
        channels.map(of).collect::<Vec<_>>()
    };
    let (a_channels, b_channels) = found.places().split_at(first);
    Ok(Between {
        layers: [names(a), names(b)],
        channels: [side(a_channels, 0), side(b_channels, split)],
        mean: found.mean().slice(s![..split, split..]).to_owned(),
        best_match: [
            best.slice(s![..split, split..]).to_owned(),
            best.slice(s![split.., ..split]).to_owned(),
        ],
        matches: [
            matches(0..first, split..all),
            matches(first..found.places().len(), 0..split),
        ],
        jaccard: matrix.map(|matrix| matrix.slice(s![..first, first..]).to_owned()),
    })
}

fn check(input: &CompareInput<'_>) -> Result<()> {
    if input.k == 0 || input.k > MAX_K {
        return Err(Error::argument("k", input.k, format!("1 to {MAX_K}")));
    }
    if input.samples > i32::MAX as usize || input.queries > input.samples {
        let got = format!("{} of {} samples", input.queries, input.samples);
        let expected = format!(
            "at most as many queries as samples, of which there are at most {}",
            i32::MAX
        );
        return Err(Error::argument("queries", got, expected));
    }
    for run in input.runs {
        if run.is_empty() {
            return Err(Error::argument(
                "runs",
                "a run without layers",
                "at least one layer in each",
            ));
        }
        for layer in run {
            if layer.channels.len() != layer.dead.len() {
                return Err(Error::WrongLength {
                    name: "dead",
                    expected: layer.channels.len(),
                    got: layer.dead.len(),
                });
            }
        }
    }
    Ok(())
}
