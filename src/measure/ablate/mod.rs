//! Accuracy of a network that keeps the first channels of a ranking only (docs/definitions.md#ablation).
//!
//! The samples are split: rankings by activations, means and lines that merge channels come from a drawn calibration part,
//! accuracy is measured on the others. [`ablate`] goes through three steps:
//!
//! 1. `calibrate`: for every layer its activations on the calibration part (`maps`), the orders of all rankings
//!    (`criteria`, and [`crate::measure::rank()`] for those by similarity), and what becomes of its maps for each share
//!    (`replace`): a source channel, a factor and a summand per channel, which serves all of
//!    [`Dropped`]. Equal replacements are evaluated once.
//! 2. `evaluate`: the intact network; every layer by itself, where the part of the network up to the layer is computed once
//!    for a batch and the part behind it for every replacement; all layers at once, in one pass that replaces each layer's
//!    maps as they are computed, so that what merges there are the maps of the pruned network.
//! 3. `outcome`: from which samples are right, accuracies and standard errors. They are sums of integers, so batches and
//!    threads do not change them.

mod calibrate;
mod criteria;
mod evaluate;
mod maps;
mod options;
mod outcome;
mod replace;

pub use options::{
    AblateInput, AblateOptions, Criterion, Dropped, GivenRanking, RANDOM_DRAWS, kept,
};
pub use outcome::{AblatedLayer, Ablation, Curve, Point};

use super::Context;
use super::impulse::{ImpulseOptions, responses};
use super::rank::Similarity;
use super::shuffle::seeded_permutation;
use crate::Result;
use crate::device::on_backend;
use crate::io::kept::Kept;
use crate::ops::net::NetOps;
use calibrate::{Calibration, Prepared};
use evaluate::Evaluation;
use replace::Replacement;
use std::collections::HashMap;

/// Measures what dropping the last channels of rankings costs in accuracy, layer by layer and in all layers at once.
///
/// # Errors
/// [`crate::Error::Item`] and [`crate::Error::WrongLength`] on labels and rankings that do not fit,
/// [`crate::Error::Argument`] on options out of range, among them a calibration part that is too small; what the measures
/// behind the rankings return; [`crate::Error::Memory`], [`crate::Error::Cancelled`], I/O and device errors.
pub fn ablate(
    ctx: &Context<'_>,
    input: &AblateInput<'_>,
    options: &AblateOptions,
) -> Result<Ablation> {
    let count = options::check(input, options)?;
    let (calibration, evaluation) = split(input.data.shape().samples, count, options.seed);
    let part = Kept::new(input.data, calibration.clone())?;
    let impulse = Criterion::Similar(Similarity::Impulse);
    let calibrate = Calibration {
        ctx,
        input,
        options,
        data: &part,
        responses: match options.rankings.contains(&impulse) {
            true => responses(ctx, input.graph, &ImpulseOptions::default())?,
            false => vec![],
        },
    };
    let prepared = (input.layers.iter())
        .map(|layer| calibrate.layer(layer))
        .collect::<Result<Vec<_>>>()?;
    let labels: Vec<u32> = evaluation.iter().map(|&i| input.labels[i]).collect();
    let data = Kept::new(input.data, evaluation)?;
    let scores = input.scores()?;
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| {
            let evaluate = Evaluation {
                backend,
                input,
                data: &data,
                labels: &labels,
                scores,
                memory: ctx.memory(),
                control: ctx.control(),
            };
            measure(&evaluate, options, prepared, calibration)
        })
    })
}

/// The samples of the calibration part, and the others, ascending.
fn split(samples: usize, calibration: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let order = seeded_permutation(seed, u64::MAX, samples);
    let (first, rest) = order.split_at(calibration);
    let sorted = |part: &[u32]| {
        let mut part: Vec<usize> = part.iter().map(|&i| i as usize).collect();
        part.sort_unstable();
        part
    };
    (sorted(first), sorted(rest))
}

fn measure<B: NetOps>(
    evaluate: &Evaluation<'_, B>,
    options: &AblateOptions,
    prepared: Vec<Prepared>,
    calibration: Vec<usize>,
) -> Result<Ablation> {
    let input = evaluate.input;
    let channels = |l: &crate::model::layers::ConvLayer| input.graph.value(l.activation).shape[0];
    let intact = evaluate.intact()?;
    let (accuracy, standard_error) = outcome::intact(&intact);
    let mut layers = vec![];
    for (layer, prepared) in input.layers.iter().zip(&prepared) {
        let mut variants = Variants::new(&intact);
        let places = (prepared.replacements.iter())
            .map(|orders| {
                places(orders, |r| {
                    variants.place(r.key(), r.is_identity(), r.clone())
                })
            })
            .collect();
        let variants = variants.evaluated(|new| evaluate.one(layer, new))?;
        let channels = channels(layer);
        let kept = |share| kept(share, channels);
        layers.push(AblatedLayer {
            name: layer.name.clone(),
            channels,
            curves: curves(options, places, &prepared.orders, &intact, &variants, kept),
        });
    }
    let mut together = None;
    if options.together && input.layers.len() > 1 {
        let mut variants = Variants::new(&intact);
        let places = (0..options.rankings.len())
            .map(|ranking| {
                let orders = prepared[0].replacements[ranking].len();
                let of = |order: usize, share: usize| {
                    let all = prepared
                        .iter()
                        .map(|p| &p.replacements[ranking][order][share]);
                    let all: Vec<&Replacement> = all.collect();
                    let key = all.iter().flat_map(|r| r.key()).collect();
                    variants.place(key, all.iter().all(|r| r.is_identity()), all)
                };
                let mut of = of;
                (0..orders)
                    .map(|order| {
                        (0..options.keep.len())
                            .map(|share| of(order, share))
                            .collect()
                    })
                    .collect()
            })
            .collect();
        let variants = variants.evaluated(|new| evaluate.all(new))?;
        let kept = |share| input.layers.iter().map(|l| kept(share, channels(l))).sum();
        let orders = vec![vec![]; options.rankings.len()];
        together = Some(curves(options, places, &orders, &intact, &variants, kept));
    }
    Ok(Ablation {
        samples: intact.len(),
        calibration,
        accuracy,
        standard_error,
        layers,
        together,
    })
}

/// Per order and share of a ranking, the place of its variant.
type Places = Vec<Vec<usize>>;

fn places(orders: &[Vec<Replacement>], mut place: impl FnMut(&Replacement) -> usize) -> Places {
    (orders.iter())
        .map(|shares| shares.iter().map(&mut place).collect())
        .collect()
}

/// Different variants of a network, each evaluated once. The first is the intact network.
struct Variants<'a, T> {
    intact: &'a [bool],
    places: HashMap<Vec<u32>, usize>,
    new: Vec<T>,
}

impl<'a, T> Variants<'a, T> {
    fn new(intact: &'a [bool]) -> Self {
        Self {
            intact,
            places: HashMap::new(),
            new: vec![],
        }
    }

    /// The place of a variant among those that are evaluated.
    fn place(&mut self, key: Vec<u32>, is_intact: bool, variant: T) -> usize {
        if is_intact {
            return 0;
        }
        let next = self.new.len() + 1;
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.new.push(variant);
        }
        place
    }

    /// Which samples are right, by place.
    fn evaluated(
        self,
        evaluate: impl FnOnce(&[T]) -> Result<Vec<Vec<bool>>>,
    ) -> Result<Vec<Vec<bool>>> {
        let mut found = vec![self.intact.to_vec()];
        if !self.new.is_empty() {
            found.extend(evaluate(&self.new)?);
        }
        Ok(found)
    }
}

/// A curve per ranking.
fn curves(
    options: &AblateOptions,
    places: Vec<Places>,
    orders: &[Vec<Vec<usize>>],
    intact: &[bool],
    variants: &[Vec<bool>],
    kept: impl Fn(f64) -> usize,
) -> Vec<Curve> {
    let rankings = options.rankings.iter().zip(places).zip(orders);
    rankings
        .map(|((&ranking, places), orders)| Curve {
            ranking,
            orders: orders.clone(),
            points: (options.keep.iter().enumerate())
                .map(|(at, &share)| {
                    let right = places.iter().map(|shares| variants[shares[at]].as_slice());
                    Point::new(share, kept(share), intact, &right.collect::<Vec<_>>())
                })
                .collect(),
        })
        .collect()
}
