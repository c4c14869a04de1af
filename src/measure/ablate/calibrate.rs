//! What is found of a layer on the calibration part: its rankings, and what stands in the place of dropped channels.

use super::criteria::{fpgm, l1, not_zero, order, random};
use super::maps::Maps;
use super::options::{AblateInput, AblateOptions, Criterion, Dropped, RANDOM_DRAWS, kept};
use super::replace::{Line, Replacement, fit};
use crate::io::layer::Layer;
use crate::measure::filters::{FilterBank, FiltersOptions, filters};
use crate::measure::impulse::{ImpulseOptions, Response, compare};
use crate::measure::rank::{
    RankInput, RankOptions, Representative, Similarity, rank, representatives,
};
use crate::measure::redundancy::{RedundancyInput, RedundancyOptions, redundancy_each};
use crate::measure::{ChannelSimilarityOptions, Context, channel_similarity};
use crate::model::data::Data;
use crate::model::graph::Graph;
use crate::model::layers::ConvLayer;
use crate::ops::filters::FilterShape;
use crate::{Error, Result};
use ndarray::Array2;
use std::borrow::Cow;

/// Queries of the graphs behind the ranking by Jaccard index.
const QUERIES: usize = 1024;

/// A layer with the orders of its rankings, and the replacements of its maps.
pub(super) struct Prepared {
    /// Per ranking its orders `[C]`: [`RANDOM_DRAWS`] of a random one, else one.
    pub(super) orders: Vec<Vec<Vec<usize>>>,
    /// Per ranking, order and share.
    pub(super) replacements: Vec<Vec<Vec<Replacement>>>,
}

/// A similarity between all channels, with those that have none.
struct Matrix {
    similarity: Similarity,
    values: Array2<f64>,
    dead: Vec<bool>,
}

impl Matrix {
    fn input(&self) -> RankInput<'_> {
        RankInput {
            matrix: self.values.view(),
            dead: &self.dead,
        }
    }

    fn options(&self) -> RankOptions {
        RankOptions::default().with_similarity(self.similarity)
    }
}

/// What the layers of a network are calibrated by.
pub(super) struct Calibration<'a> {
    pub(super) ctx: &'a Context<'a>,
    pub(super) input: &'a AblateInput<'a>,
    pub(super) options: &'a AblateOptions,
    /// The calibration part.
    pub(super) data: &'a dyn Layer,
    /// Impulse responses of all layers, if they rank.
    pub(super) responses: Vec<Response>,
}

impl Calibration<'_> {
    /// Ranks a layer and finds its replacements.
    pub(super) fn layer(&self, layer: &ConvLayer) -> Result<Prepared> {
        let graph = self.input.graph;
        let channels = graph.value(layer.activation).shape[0];
        let maps = Maps::find(self.ctx, graph, self.data, layer, self.looks_at_maps())?;
        let mut matrices: Vec<Option<Matrix>> = vec![];
        let mut orders = vec![];
        for &criterion in &self.options.rankings {
            self.ctx.control().check()?;
            let mut matrix = None;
            orders.push(match criterion {
                Criterion::Similar(similarity) => {
                    let found = self.matrix(layer, similarity, &maps)?;
                    let order = rank(self.ctx, &found.input(), &found.options())?.order;
                    matrix = Some(found);
                    vec![order]
                }
                Criterion::L1 | Criterion::Fpgm => {
                    let (shape, weights) = self.weights(layer)?;
                    let len = shape.channels * shape.area();
                    vec![order(&match criterion {
                        Criterion::L1 => l1(&weights, len),
                        _ => fpgm(&weights, len),
                    })]
                }
                Criterion::Mean => vec![order(&maps.means)],
                Criterion::Apoz => vec![order(&not_zero(&maps.values, channels, maps.shape.dim()))],
                Criterion::Random => {
                    let layers = graph.layers();
                    let place = layers.iter().position(|l| l.conv == layer.conv);
                    (0..RANDOM_DRAWS)
                        .map(|draw| random(self.options.seed, place.unwrap_or(0), draw, channels))
                        .collect()
                }
                Criterion::Given => {
                    let given = &self.input.given(&layer.name)?.order;
                    vec![given.iter().map(|&c| c as usize).collect()]
                }
            });
            matrices.push(matrix);
        }
        let replacements = self.replacements(&maps, &orders, &matrices)?;
        Ok(Prepared {
            orders,
            replacements,
        })
    }

    /// The similarities between the channels of a layer.
    fn matrix(&self, layer: &ConvLayer, by: Similarity, maps: &Maps) -> Result<Matrix> {
        let ctx = self.ctx.clone().with_memory(maps.memory);
        let (values, dead) = match by {
            Similarity::Jaccard => {
                let mut options = RedundancyOptions::default()
                    .with_baselines(false)
                    .with_queries(Some(QUERIES))
                    .with_seed(self.options.seed);
                options.graph.k = self.options.k;
                let layer = maps.layer()?;
                let layers: [&dyn Layer; 1] = [&layer];
                let mut found = None;
                redundancy_each(&ctx, &RedundancyInput::new(&layers), &options, |layer| {
                    found = Some((layer.jaccard, layer.dead));
                    Ok(())
                })?;
                found.ok_or_else(|| Error::network("ablation: a layer was not measured"))?
            }
            Similarity::Pearson => (self.pearson(maps)?, maps.dead.clone()),
            Similarity::Filters => {
                let (shape, weights) = self.weights(layer)?;
                let bank = FilterBank {
                    name: &layer.name,
                    shape,
                    weights: &weights,
                };
                let options = FiltersOptions::default().with_matrices(true);
                let found = filters(&ctx, &bank, &options)?;
                let mut dead = vec![false; shape.filters];
                found.zero_filters.iter().for_each(|&f| dead[f] = true);
                let pairs = found.pairs;
                let pairs = pairs.ok_or_else(|| Error::network("ablation: no pairs of filters"))?;
                (pairs, dead)
            }
            Similarity::Impulse => {
                let response = self.responses.iter().find(|r| r.name == layer.name);
                let response = response.ok_or_else(|| {
                    Error::network(format!("layer '{}' has no impulse response", layer.name))
                })?;
                let dead = response.norms.iter().map(|&n| n == 0.0).collect();
                let found = compare(&ctx, vec![response.clone()], &ImpulseOptions::default())?;
                let ncc = found.within.into_iter().next().map(|n| n.ncc_abs);
                let c = response.shape[0];
                let square = Array2::from_shape_vec((c, c), ncc.unwrap_or_default());
                (square.map_err(|e| Error::network(e.to_string()))?, dead)
            }
        };
        Ok(Matrix {
            similarity: by,
            values,
            dead,
        })
    }

    fn pearson(&self, maps: &Maps) -> Result<Array2<f64>> {
        let ctx = self.ctx.clone().with_memory(maps.memory);
        let found = channel_similarity(&ctx, &maps.layer()?, &ChannelSimilarityOptions::default())?;
        Ok(found.pearson)
    }

    /// The weights of a layer's convolution.
    fn weights(&self, layer: &ConvLayer) -> Result<(FilterShape, Cow<'_, [f32]>)> {
        let graph: &Graph = self.input.graph;
        let node = graph.nodes().iter().find(|n| n.output == layer.conv);
        let weight = node.map(|n| graph.value(n.inputs[1]));
        let Some((weight, Some(data))) = weight.map(|w| (w, w.data.as_ref())) else {
            let what = format!("the weights of layer '{}' are not constant", layer.name);
            return Err(Error::network(what));
        };
        let shape = FilterShape::new(&weight.shape)?;
        let weights = Data::read(data)?;
        let bank = FilterBank {
            name: &layer.name,
            shape,
            weights: &weights,
        };
        bank.check()?;
        Ok((shape, weights))
    }

    /// Whether the layers' activations are looked at.
    pub(super) fn looks_at_maps(&self) -> bool {
        let by_maps = |criterion: &Criterion| {
            let similar = matches!(
                criterion,
                Criterion::Similar(Similarity::Jaccard | Similarity::Pearson)
            );
            similar || matches!(criterion, Criterion::Mean | Criterion::Apoz)
        };
        self.options.dropped != Dropped::Zero || self.options.rankings.iter().any(by_maps)
    }

    /// What becomes of a layer's maps, for every ranking, order and share.
    fn replacements(
        &self,
        maps: &Maps,
        orders: &[Vec<Vec<usize>>],
        matrices: &[Option<Matrix>],
    ) -> Result<Vec<Vec<Vec<Replacement>>>> {
        let merge = self.options.dropped == Dropped::Merge;
        let own = matrices.iter().any(Option::is_none);
        let pearson = match merge && own {
            true => Some(Matrix {
                similarity: Similarity::Pearson,
                values: self.pearson(maps)?,
                dead: maps.dead.clone(),
            }),
            false => None,
        };
        let channels = maps.means.len();
        // Who stands for whom: `[ranking][order][share][C]`.
        let mut chosen = vec![];
        let mut pairs = vec![];
        for (orders, matrix) in orders.iter().zip(matrices) {
            let matrix = matrix.as_ref().or(pearson.as_ref()).filter(|_| merge);
            let mut of_orders = vec![];
            for order in orders {
                let mut of_shares = vec![];
                for &share in &self.options.keep {
                    let kept = &order[..kept(share, channels)];
                    let stands: Vec<Option<Representative>> = match matrix {
                        Some(m) => representatives(&m.input(), &m.options(), kept)?,
                        None => vec![None; channels],
                    };
                    for &c in &order[kept.len()..] {
                        pairs.extend(stands[c].map(|r| (r.channel, c)));
                    }
                    of_shares.push(stands);
                }
                of_orders.push(of_shares);
            }
            chosen.push(of_orders);
        }
        let lines = fit(&maps.values, maps.shape.dim(), &maps.means, pairs);
        let replacement = |order: &[usize], share: f64, stands: &[Option<Representative>]| {
            let mut found = Replacement::identity(channels);
            for &c in &order[kept(share, channels)..] {
                let fitted =
                    stands[c].and_then(|r| Some((r.channel, *lines.get(&(r.channel, c))?)));
                match (self.options.dropped, fitted) {
                    (Dropped::Zero, _) => found.set(c, c, Line::constant(0.0)),
                    (Dropped::Merge, Some((source, line))) => found.set(c, source, line),
                    _ => found.set(c, c, Line::constant(maps.means[c])),
                }
            }
            found
        };
        let of_order = |(order, stands): (&Vec<usize>, &Vec<Vec<_>>)| {
            (self.options.keep.iter().zip(stands))
                .map(|(&share, stands)| replacement(order, share, stands))
                .collect()
        };
        Ok((orders.iter().zip(&chosen))
            .map(|(orders, chosen)| orders.iter().zip(chosen).map(of_order).collect())
            .collect())
    }
}
