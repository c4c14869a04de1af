//! What is found of a layer, put together from the sums of its parts.

use super::across::Across;
use super::input::Prepared;
use super::overlap::OverlapPart;
use super::stats::SpaceSums;
use super::{SpaceSummary, Strong};
use crate::measure::baselines::{ChannelSimilarity, Cka};
use crate::tensor::LayerShape;
use ndarray::Array2;

/// Channel redundancy of layers.
#[derive(Clone, Debug)]
pub struct Redundancy {
    /// In the order of the input.
    pub layers: Vec<LayerRedundancy>,
    /// Linear CKA between the layers, on the samples that none of them left out. `None` for a single layer,
    /// for layers of different numbers of samples, and unless
    /// [`super::RedundancyOptions::baselines`] asks for it.
    pub cka: Option<Cka>,
    /// What channels of different layers have in common, if [`super::RedundancyOptions::across`] asks for it.
    pub across: Option<Across>,
}

/// What is found between layers: the fields of [`Redundancy`] beside the layers.
#[derive(Clone, Debug)]
pub struct Compared {
    /// As [`Redundancy::cka`].
    pub cka: Option<Cka>,
    /// As [`Redundancy::across`].
    pub across: Option<Across>,
}

/// Channel redundancy of one layer. Matrices are `[C, C]` over the selected channels in their order,
/// NaN in the rows and columns of dead channels.
#[derive(Clone, Debug)]
pub struct LayerRedundancy {
    /// Layer name.
    pub name: String,
    /// Shape as read.
    pub shape: LayerShape,
    /// Selected channels, the order of everything below.
    pub channels: Vec<usize>,
    /// Samples left out because they, or the same samples of another layer, are not finite. Everything below is of
    /// the others.
    pub samples_skipped: Vec<usize>,
    /// Which of the selected channels are zero on every sample.
    pub dead: Vec<bool>,
    /// Figures per channel; all means `None` where dead.
    pub per_channel: Vec<SpaceSummary>,
    /// Mean `|S_c ∩ S_e|` over the queries degenerate in neither.
    pub overlap: Array2<f64>,
    /// Mean `|S_c ∩ S_e| / |S_c ∪ S_e|`, empty unions left out; 1 on the diagonal.
    pub jaccard: Array2<f64>,
    /// Queries behind each pair.
    pub pair_queries: Array2<u64>,
    /// Mean of `overlap` off the diagonal over live channels.
    pub overlap_mean: Option<f64>,
    /// Mean of `jaccard` off the diagonal over live channels.
    pub jaccard_mean: Option<f64>,
    /// Mean of `sum_c |S_c(i)| / |union_c S_c(i)|`: 1 if disjoint, C if identical.
    pub redundancy: Option<f64>,
    /// Figures of the aggregate, if asked for.
    pub aggregate: Option<SpaceSummary>,
    /// Mean share of the aggregate's support found in some channel's support.
    pub recall: Option<f64>,
    /// Error of always answering the most frequent label.
    pub majority_error: Option<f64>,
    /// Cosine and Pearson correlation of the channels, on the same samples, if asked for.
    pub similarity: Option<ChannelSimilarity>,
    /// Per channel, the samples that excite it most, the strongest first, if asked for.
    pub strongest: Option<Vec<Vec<Strong>>>,
    /// The queries and what standard errors there are, where [`super::RedundancyOptions::queries`] drew some of the samples.
    /// Those per channel are in [`SpaceSummary::errors`].
    pub sampled: Option<Sampled>,
}

/// Queries that were drawn, and standard errors of what they add up to (docs/definitions.md#sampled-queries). Where fewer
/// than two queries have a value, there is none.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// Indices of the queries in the layer as read, ascending.
    pub queries: Vec<usize>,
    /// `[C, C]` of [`LayerRedundancy::overlap`], NaN where there is none.
    pub overlap: Array2<f64>,
    /// `[C, C]` of [`LayerRedundancy::jaccard`], NaN where there is none.
    pub jaccard: Array2<f64>,
    /// Of [`LayerRedundancy::overlap_mean`].
    pub overlap_mean: Option<f64>,
    /// Of [`LayerRedundancy::jaccard_mean`].
    pub jaccard_mean: Option<f64>,
    /// Of [`LayerRedundancy::redundancy`].
    pub redundancy: Option<f64>,
    /// Of [`LayerRedundancy::recall`].
    pub recall: Option<f64>,
}

impl LayerRedundancy {
    /// The figures of a layer whose file has this shape and these samples that were left out, from the sums over all
    /// queries: of every channel, of the aggregate, and of the overlaps.
    pub fn assemble(
        prepared: &Prepared<'_>,
        shape: LayerShape,
        samples_skipped: Vec<usize>,
        channels: &[SpaceSums],
        aggregate: Option<&SpaceSums>,
        overlap: &OverlapPart,
    ) -> Self {
        let sampling = prepared.sampling();
        let found = overlap.finish(prepared.channels.len(), sampling);
        Self {
            name: prepared.layer.name().to_string(),
            shape,
            channels: prepared.channels.to_vec(),
            samples_skipped,
            dead: prepared.dead.to_vec(),
            overlap_mean: off_diagonal_mean(&found.overlap),
            jaccard_mean: off_diagonal_mean(&found.jaccard),
            per_channel: channels.iter().map(|sums| sums.summary(sampling)).collect(),
            overlap: found.overlap,
            jaccard: found.jaccard,
            pair_queries: found.pair_queries,
            redundancy: found.redundancy,
            aggregate: aggregate.map(|sums| sums.summary(sampling)),
            recall: found.recall,
            majority_error: prepared.labels.map(majority_error),
            similarity: None,
            strongest: None,
            sampled: prepared.queries.zip(found.errors).map(|(queries, errors)| {
                let (pairs, redundancy, recall) = errors;
                Sampled {
                    queries: queries
                        .iter()
                        .map(|&at| prepared.kept.map_or(at, |kept| kept[at]))
                        .collect(),
                    overlap: pairs.overlap,
                    jaccard: pairs.jaccard,
                    overlap_mean: pairs.overlap_mean,
                    jaccard_mean: pairs.jaccard_mean,
                    redundancy,
                    recall,
                }
            }),
        }
    }

    /// Largest KKT violation over all solutions.
    pub fn kkt_residual_max(&self) -> f32 {
        self.per_channel
            .iter()
            .chain(&self.aggregate)
            .fold(0.0, |worst, space| worst.max(space.kkt_residual_max))
    }
}

fn off_diagonal_mean(m: &Array2<f64>) -> Option<f64> {
    let values: Vec<f64> = m
        .indexed_iter()
        .filter(|((i, j), v)| i != j && v.is_finite())
        .map(|(_, &v)| v)
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn majority_error(labels: &[u32]) -> f64 {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let most = sorted
        .chunk_by(|a, b| a == b)
        .map(<[u32]>::len)
        .max()
        .unwrap_or(0);
    1.0 - most as f64 / labels.len().max(1) as f64
}
