//! Parameters and results of neighbour search and non-negative kernel regression.

use super::Backend;
use crate::Error;
use crate::tensor::Values;
use serde::{Deserialize, Serialize};

/// Similarity between two vectors (docs/definitions.md#kernels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// `exp(-||x-y||^2 / (2 s^2))`.
    Gaussian,
    /// `1/2 + 1/2 cos(x, y)`; a zero vector has no direction.
    Cosine,
}

/// Bandwidth of the Gaussian kernel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sigma {
    /// Per query: distance to the last used candidate, divided by 3.
    KthThird,
    /// Shared by all queries; positive and finite.
    Fixed(f64),
}

impl From<Sigma> for String {
    fn from(sigma: Sigma) -> Self {
        match sigma {
            Sigma::KthThird => "kth/3".into(),
            Sigma::Fixed(sigma) => sigma.to_string(),
        }
    }
}

impl TryFrom<String> for Sigma {
    type Error = Error;

    /// `kth/3`, or a number in decimal, which is read as it was before it was written.
    fn try_from(text: String) -> Result<Self, Error> {
        if text == "kth/3" {
            return Ok(Self::KthThird);
        }
        let number = text.parse().map(Self::Fixed);
        number.map_err(|_| Error::argument("sigma", text, "a positive number, or kth/3"))
    }
}

/// What happens to candidates at distance 0 of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identical {
    /// They are candidates like any other.
    Keep,
    /// Find `k`, then give weight 0 to those at distance 0 unless all are.
    Drop,
    /// The `k` nearest with distance above 0.
    Replace,
}

/// Largest `k`.
pub const MAX_K: usize = 1024;
/// A neighbour belongs to the support when its weight exceeds this (docs/definitions.md#nnk).
pub const SUPPORT_THRESHOLD: f32 = 1e-6;

/// Parameters of an NNK graph.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphParams {
    /// Candidates per query, `1..=MAX_K`.
    pub k: usize,
    /// Similarity.
    pub kernel: Kernel,
    /// Gaussian bandwidth.
    pub sigma: Sigma,
    /// Rule for identical points.
    pub identical: Identical,
    /// Whether to count principal components too ([`GraphBlock::pca_dimension`]); a third of the work of
    /// [`Backend::nnk`] on the CPU.
    pub pca_dimension: bool,
}

impl GraphParams {
    /// `gamma = 1 / (2 s^2)` of the Gaussian kernel for a query whose last candidate in use is at the squared distance
    /// `last`, or `None` if the bandwidth is 0. Under cosine there is none, and it is 0.
    #[inline(always)]
    pub(crate) fn gamma(&self, last: f64) -> Option<f64> {
        match (self.kernel, self.sigma) {
            (Kernel::Cosine, _) => Some(0.0),
            // s = sqrt(last) / 3, so 1 / (2 s^2) = 4.5 / last.
            (Kernel::Gaussian, Sigma::KthThird) => (last > 0.0).then(|| 4.5 / last),
            // The bound keeps gamma finite where s^2 underflows; distinct points then still have kernel value 0.
            (Kernel::Gaussian, Sigma::Fixed(s)) => Some((0.5 / (s * s)).min(1e300)),
        }
    }
}

/// Rows of a few channels on their way to a device: `data` is `[groups, rows, dim]`, C order.
#[derive(Clone, Copy, Debug)]
pub struct PointsBlock<'a> {
    /// Values, finite.
    pub data: Values<'a>,
    /// Channels (or 1 for the aggregate).
    pub groups: usize,
    /// Samples in this block.
    pub rows: usize,
    /// Numbers per sample and channel.
    pub dim: usize,
    /// Index of the first sample among all samples.
    pub first: usize,
}

/// NNK graphs of a block of queries, one per group, on the host. `Q` queries, `k` candidates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphBlock {
    /// `[groups, Q, k]` sample indices ordered by (distance, index), -1 where there is none.
    pub neighbors: Vec<i32>,
    /// `[groups, Q, k]` squared distances (`2 - 2 cos` under cosine), 0 where there is none. In float64, because
    /// the square of an `f32` value may lie far outside the range of `f32`.
    pub sq_distances: Vec<f64>,
    /// `[groups, Q, k]` raw theta, 0 where unused.
    pub weights: Vec<f32>,
    /// `[groups, Q]` objective `J = theta' K theta / 2 - b' theta`, 0 where degenerate.
    pub objective: Vec<f64>,
    /// `[groups, Q]` largest KKT violation, `max(|g_j| where theta_j > 0, max(0, -g_j) elsewhere)`.
    pub kkt_residual: Vec<f32>,
    /// `[groups, Q]` principal components that hold 95 % of the squared norm of
    /// `{x_j - x_i : j in support}` (about `x_i`, not centred); 0 where degenerate, and all 0 unless
    /// [`GraphParams::pca_dimension`] asks for them.
    pub pca_dimension: Vec<u16>,
    /// `[groups, Q]` no usable candidate, zero bandwidth, or a zero vector under cosine.
    pub degenerate: Vec<bool>,
    /// `[groups, Q]` a neighbour's weight could go to another candidate that the kernel cannot tell from it.
    pub not_unique: Vec<bool>,
}

impl GraphBlock {
    /// Makes room for `queries` queries of all groups together. What the block held stays where it was, to be overwritten.
    pub fn resize(&mut self, queries: usize, k: usize) {
        self.neighbors.resize(queries * k, 0);
        self.sq_distances.resize(queries * k, 0.0);
        self.weights.resize(queries * k, 0.0);
        self.objective.resize(queries, 0.0);
        self.kkt_residual.resize(queries, 0.0);
        self.pca_dimension.resize(queries, 0);
        self.degenerate.resize(queries, false);
        self.not_unique.resize(queries, false);
    }

    /// Takes all queries out; the memory stays.
    pub fn clear(&mut self) {
        let Self {
            neighbors,
            sq_distances,
            weights,
            objective,
            kkt_residual,
            pca_dimension,
            degenerate,
            not_unique,
        } = self;
        neighbors.clear();
        sq_distances.clear();
        weights.clear();
        objective.clear();
        kkt_residual.clear();
        pca_dimension.clear();
        degenerate.clear();
        not_unique.clear();
    }
}

/// Where [`Backend::nnk`] finds the candidates' vectors.
pub enum Vectors<'a, B: Backend + ?Sized> {
    /// All points are in one block that starts at sample 0.
    Points(&'a B::Points),
    /// Gathered by [`Backend::gather`], `[groups, Q, k, dim]`.
    Gathered(&'a B::Gathered),
}
