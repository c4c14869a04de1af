//! What one space (a channel, or the aggregate) adds up to over its queries.

use super::draw::Sampling;
use crate::measure::baselines::{log_ratio, two_nn};
use crate::ops::{GraphBlock, SUPPORT_THRESHOLD};
use crate::stream::sum::{FixedMoments, FixedSum};
use serde::{Deserialize, Serialize};

/// Sums over queries of one space. They do not depend on the order of the queries, so blocks may arrive in any order,
/// and parts that were computed elsewhere are added by [`SpaceSums::merge`]. Serialised and read again, they are the
/// same to the bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpaceSums {
    neighbors: FixedMoments,
    pca_dimension: FixedMoments,
    reconstruction: FixedMoments,
    soft_error: FixedMoments,
    nearest_ratio: FixedSum,
    wrong: u64,
    degenerate: u64,
    not_unique: u64,
    #[serde(with = "bits")]
    kkt_residual: f32,
}

/// A float32 as the integer of the same bits: exact in any format, infinities too.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
        u32::deserialize(from).map(f32::from_bits)
    }
}

/// Figures of one space: a channel, or the aggregate. Means run over its queries that are not
/// degenerate and are `None` where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceSummary {
    /// Mean support size: the local intrinsic-dimension proxy (arXiv 2110.11400, section 3).
    pub neighbors_mean: Option<f64>,
    /// Mean number of principal components that hold 95 % of the NNK polytope's squared norm.
    pub pca_dimension_mean: Option<f64>,
    /// TwoNN intrinsic dimension ([`crate::measure::baselines::two_nn`]); `None` under the cosine kernel.
    pub two_nn: Option<f64>,
    /// Mean reconstruction error `K_ii + 2 J`.
    pub reconstruction_error_mean: Option<f64>,
    /// Share of queries whose interpolated label is wrong, leave one out. `None` without labels.
    pub loo_error: Option<f64>,
    /// Mean of `1 - p_i[y_i]`. `None` without labels.
    pub loo_soft_error: Option<f64>,
    /// Standard errors of the means, where not all samples are queries.
    pub errors: Option<SpaceErrors>,
    /// Queries left out of every mean.
    pub degenerate_queries: u64,
    /// Queries whose support is not unique, because a neighbour is equal to another candidate in the kernel's eyes
    /// (docs/definitions.md#equal-candidates).
    pub not_unique_queries: u64,
    /// Largest KKT violation among the solutions.
    pub kkt_residual_max: f32,
}

/// Standard errors of a space's means over sampled queries (docs/definitions.md#sampled-queries). `None` where fewer than two
/// queries have a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpaceErrors {
    /// Of [`SpaceSummary::neighbors_mean`].
    pub neighbors_mean: Option<f64>,
    /// Of [`SpaceSummary::pca_dimension_mean`].
    pub pca_dimension_mean: Option<f64>,
    /// Of [`SpaceSummary::reconstruction_error_mean`].
    pub reconstruction_error_mean: Option<f64>,
    /// Of [`SpaceSummary::loo_error`].
    pub loo_error: Option<f64>,
    /// Of [`SpaceSummary::loo_soft_error`].
    pub loo_soft_error: Option<f64>,
}

/// One query's share of a [`GraphBlock`].
pub(super) struct QueryGraph<'a> {
    pub neighbors: &'a [i32],
    pub sq_distances: &'a [f64],
    pub weights: &'a [f32],
    pub objective: f64,
    pub kkt_residual: f32,
    pub pca_dimension: u16,
    pub degenerate: bool,
    pub not_unique: bool,
}

impl<'a> QueryGraph<'a> {
    /// Query `at` (group-major position) of a block with `k` slots a query.
    pub fn of(block: &'a GraphBlock, at: usize, k: usize) -> Self {
        Self {
            neighbors: &block.neighbors[at * k..(at + 1) * k],
            sq_distances: &block.sq_distances[at * k..(at + 1) * k],
            weights: &block.weights[at * k..(at + 1) * k],
            objective: block.objective[at],
            kkt_residual: block.kkt_residual[at],
            pca_dimension: block.pca_dimension[at],
            degenerate: block.degenerate[at],
            not_unique: block.not_unique[at],
        }
    }

    /// Writes the support into `out`: the sample indices whose weights count, then -1. Returns its size.
    pub fn support(&self, out: &mut [i32]) -> usize {
        let mut size = 0;
        // What does not count is written over: a branch would be guessed wrong a third of the time.
        for (&index, &weight) in self.neighbors.iter().zip(self.weights) {
            out[size] = index;
            size += usize::from(weight > SUPPORT_THRESHOLD && !self.degenerate);
        }
        out[size..].fill(-1);
        size
    }
}

impl SpaceSums {
    /// Adds one query; `scratch` is reused for class weights.
    pub(super) fn add(
        &mut self,
        query: usize,
        graph: &QueryGraph<'_>,
        support_size: usize,
        labels: Option<&[u32]>,
        scratch: &mut Vec<(u32, f64)>,
    ) {
        if graph.degenerate {
            self.degenerate += 1;
            return;
        }
        self.not_unique += u64::from(graph.not_unique);
        self.neighbors.add(support_size as f64);
        self.pca_dimension.add(f64::from(graph.pca_dimension));
        // K_ii is 1 for both kernels.
        self.reconstruction.add(1.0 + 2.0 * graph.objective);
        self.kkt_residual = self.kkt_residual.max(graph.kkt_residual);
        if let Some(labels) = labels
            && let Some((class, share)) = interpolate(graph, labels, labels[query], scratch)
        {
            self.wrong += u64::from(class != labels[query]);
            self.soft_error.add(1.0 - share);
        }
    }

    /// Adds what TwoNN needs of one query: squared Euclidean distances in ascending order.
    pub(super) fn add_nearest(&mut self, graph: &QueryGraph<'_>) {
        if graph.degenerate {
            return;
        }
        let listed = graph.neighbors.iter().zip(graph.sq_distances);
        let ratio = log_ratio(listed.filter(|(i, _)| **i >= 0).map(|(_, &d)| d));
        if let Some(ratio) = ratio {
            self.nearest_ratio.add(ratio);
        }
    }

    /// Adds the sums over other queries of the same space.
    pub fn merge(&mut self, other: &Self) {
        self.neighbors.merge(&other.neighbors);
        self.pca_dimension.merge(&other.pca_dimension);
        self.reconstruction.merge(&other.reconstruction);
        self.soft_error.merge(&other.soft_error);
        self.nearest_ratio.merge(&other.nearest_ratio);
        self.wrong += other.wrong;
        self.degenerate += other.degenerate;
        self.not_unique += other.not_unique;
        self.kkt_residual = self.kkt_residual.max(other.kkt_residual);
    }

    /// Whether these can be sums over at most so many queries. Those of another process may be anything.
    pub fn is_of(&self, queries: u64) -> bool {
        let moments = [
            &self.neighbors,
            &self.pca_dimension,
            &self.reconstruction,
            &self.soft_error,
        ];
        let counts = [self.wrong, self.degenerate, self.not_unique];
        moments.iter().all(|m| m.is_of(queries))
            && self.nearest_ratio.is_of(queries)
            && counts.iter().all(|&count| count <= queries)
    }

    /// The means, and their standard errors where the queries were drawn.
    pub(super) fn summary(&self, sampling: Option<Sampling>) -> SpaceSummary {
        let interpolated = self.soft_error.count();
        SpaceSummary {
            neighbors_mean: self.neighbors.mean(),
            pca_dimension_mean: self.pca_dimension.mean(),
            two_nn: two_nn(&self.nearest_ratio),
            reconstruction_error_mean: self.reconstruction.mean(),
            loo_error: (interpolated > 0).then(|| self.wrong as f64 / interpolated as f64),
            loo_soft_error: self.soft_error.mean(),
            errors: sampling.map(|sampling| self.errors(sampling)),
            degenerate_queries: self.degenerate,
            not_unique_queries: self.not_unique,
            kkt_residual_max: self.kkt_residual,
        }
    }

    fn errors(&self, sampling: Sampling) -> SpaceErrors {
        let of = |moments: &FixedMoments| {
            sampling.standard_error(moments.count(), moments.squared_deviations())
        };
        // The squared deviations of zeros and ones from their mean.
        let (n, wrong) = (self.soft_error.count(), self.wrong as f64);
        let deviations = wrong * (n as f64 - wrong) / n.max(1) as f64;
        SpaceErrors {
            neighbors_mean: of(&self.neighbors),
            pca_dimension_mean: of(&self.pca_dimension),
            reconstruction_error_mean: of(&self.reconstruction),
            loo_error: sampling.standard_error(n, deviations),
            loo_soft_error: of(&self.soft_error),
        }
    }
}

/// Label interpolation (arXiv 2110.11400, section 4): the class with the largest share of the weights
/// (ties to the lowest class) and the share of `own`. `None` where all weights are zero: no prediction,
/// rather than class 0.
fn interpolate(
    graph: &QueryGraph<'_>,
    labels: &[u32],
    own: u32,
    scratch: &mut Vec<(u32, f64)>,
) -> Option<(u32, f64)> {
    scratch.clear();
    let mut total = 0.0;
    for (&index, &weight) in graph.neighbors.iter().zip(graph.weights) {
        let Ok(index) = usize::try_from(index) else {
            continue;
        };
        if weight > 0.0 {
            let (label, weight) = (labels[index], f64::from(weight));
            total += weight;
            match scratch.iter_mut().find(|(class, _)| *class == label) {
                Some((_, sum)) => *sum += weight,
                None => scratch.push((label, weight)),
            }
        }
    }
    let best = scratch.iter().copied().reduce(|a, b| {
        if b.1 > a.1 || (b.1 == a.1 && b.0 < a.0) {
            b
        } else {
            a
        }
    })?;
    let share = scratch
        .iter()
        .find(|(class, _)| *class == own)
        .map_or(0.0, |(_, sum)| sum / total);
    Some((best.0, share))
}
