//! The section `redundancy` of `results.json`.

use super::ChannelRef;
use serde::{Deserialize, Serialize};

/// Channel-wise NNK graphs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Redundancy {
    /// One entry per layer, in the order of the input.
    pub layers: Vec<RedundancyLayer>,
    /// What identifies the samples, where labels or ids were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
    /// Linear CKA between these layers, where there are several of as many samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cka: Option<Cka>,
    /// What channels of these layers have in common, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub across: Option<Across>,
    /// The images behind the samples, where they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Images>,
}

/// Pictures of the strongest samples (docs/definitions.md#strongest-samples); they lie in `images/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Images {
    /// `[N, C, H, W]` of the images.
    pub shape: Vec<u64>,
    /// Images of which there is a picture.
    pub pictures: u64,
    /// Rows and columns of a picture.
    pub size: [u64; 2],
    /// The values that are black and white in the pictures; `null` where no value is finite.
    pub range: [Option<f64>; 2],
}

/// What identifies the samples of a run: runs are compared on the same ones only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Samples {
    /// blake3 over the classes of all samples, as 32-bit little-endian integers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// blake3 over `ids.txt` in the folder of activations, which names a sample a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
}

/// Channels of different layers (docs/definitions.md#across-layers); its arrays lie in `across/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Across {
    /// Layers, the order of rows and columns.
    pub layers: Vec<String>,
    /// Live channels of each layer.
    pub channels: Vec<u64>,
    /// `[L, L]`: mean Jaccard index over pairs of different channels; `null` where no pair has one.
    pub mean: Vec<Vec<Option<f64>>>,
    /// `[L, L]`: mean over the channels of the row's layer of their largest Jaccard index in the column's layer.
    pub best_match: Vec<Vec<Option<f64>>>,
    /// The most similar pairs of channels of different layers, best first, at most 100.
    pub matches: Vec<AcrossMatch>,
}

/// Two channels of different layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AcrossMatch {
    /// A channel.
    pub a: ChannelRef,
    /// The channel of another layer that is most similar to it.
    pub b: ChannelRef,
    /// Mean Jaccard index of their neighbours.
    pub jaccard: f64,
}

/// Similarity of whole layers (docs/definitions.md#baselines).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cka {
    /// Layers, the order of rows and columns.
    pub layers: Vec<String>,
    /// `[L, L]`, unbiased, from mini-batches of 256; `null` where a layer does not vary.
    pub values: Vec<Vec<Option<f64>>>,
}

/// A layer's channel redundancy. "Per channel" arrays follow [`RedundancyLayer::channels`] when it is
/// there, else they have one element per channel of the layer; `null` marks dead channels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RedundancyLayer {
    /// Layer; its arrays lie in `layers/NAME/`.
    pub name: String,
    /// `[N, C, H, W]`; `[N, C, L]` is `[N, C, 1, L]`, and `[N, D]` is `[N, 1, 1, D]`.
    pub shape: Vec<u64>,
    /// Channels analysed, in order, when `--channels` chose some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<u64>>,
    /// Samples that were queries, where `--queries` drew some. The figures below are of these, and each mean has a standard
    /// error in the field of its name with the suffix `_se`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<u64>,
    /// Channels that are zero on every sample.
    pub dead_channels: Vec<u64>,
    /// Per channel, queries without a usable neighbourhood (left out of every mean).
    pub degenerate_queries: Vec<u64>,
    /// Per channel, queries whose neighbours are not unique: one of them is equal to another candidate in the kernel's
    /// eyes.
    #[serde(default)]
    pub not_unique_queries: Vec<u64>,
    /// Per channel, mean support size.
    pub neighbors_mean: Vec<Option<f64>>,
    /// Per channel, standard error of `neighbors_mean`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbors_mean_se: Option<Vec<Option<f64>>>,
    /// Per channel, mean number of principal components with 95 % of the polytope's squared norm.
    pub pca_dimension_mean: Vec<Option<f64>>,
    /// Per channel, standard error of `pca_dimension_mean`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pca_dimension_mean_se: Option<Vec<Option<f64>>>,
    /// Per channel, share of samples whose interpolated label is wrong, leave one out; `null` without labels.
    #[serde(default)]
    pub loo_error: Option<Vec<Option<f64>>>,
    /// Per channel, standard error of `loo_error`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loo_error_se: Option<Vec<Option<f64>>>,
    /// Per channel, mean of one minus the interpolated probability of the true label.
    #[serde(default)]
    pub loo_soft_error: Option<Vec<Option<f64>>>,
    /// Per channel, standard error of `loo_soft_error`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loo_soft_error_se: Option<Vec<Option<f64>>>,
    /// Error of always answering the most frequent label: what chance level means here.
    #[serde(default)]
    pub majority_error: Option<f64>,
    /// Mean overlap of two different live channels, in neighbours.
    pub overlap_mean: Option<f64>,
    /// Standard error of `overlap_mean`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_mean_se: Option<f64>,
    /// Mean Jaccard index of two different live channels, 0 to 1.
    pub jaccard_mean: Option<f64>,
    /// Standard error of `jaccard_mean`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jaccard_mean_se: Option<f64>,
    /// `mean_i sum_c |S_c(i)| / |union_c S_c(i)|`, 1 to C.
    pub redundancy: Option<f64>,
    /// Standard error of `redundancy`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redundancy_se: Option<f64>,
    /// The whole layer as one channel, with `--aggregate`.
    #[serde(default)]
    pub aggregate: Option<Aggregate>,
    /// Samples that `--nan skip` left out, of this layer or of any other with as many samples.
    #[serde(default)]
    pub samples_skipped: u64,
    /// Largest violation of the optimality conditions over all queries and channels.
    #[serde(default)]
    pub kkt_residual_max: Option<f64>,
    /// Fewest queries behind any pair of live channels.
    #[serde(default)]
    pub pair_queries_min: Option<u64>,
    /// Other people's measures of the same activations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baselines: Option<Baselines>,
    /// Samples per channel in `layers/NAME/strongest.npy`, with `--strongest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strongest: Option<u64>,
}

impl RedundancyLayer {
    /// The channel that is at a position of the arrays, by its index in the layer.
    pub fn channel(&self, position: usize) -> u64 {
        let chosen = self.channels.as_ref().and_then(|c| c.get(position));
        chosen.copied().unwrap_or(position as u64)
    }
}

/// The layer taken as one vector per sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Aggregate {
    /// Mean support size.
    pub neighbors_mean: Option<f64>,
    /// Standard error of `neighbors_mean`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbors_mean_se: Option<f64>,
    /// Leave-one-out error, with labels.
    pub loo_error: Option<f64>,
    /// Standard error of `loo_error`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loo_error_se: Option<f64>,
    /// Soft leave-one-out error, with labels.
    #[serde(default)]
    pub loo_soft_error: Option<f64>,
    /// Standard error of `loo_soft_error`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loo_soft_error_se: Option<f64>,
    /// Second estimate of the intrinsic dimension.
    #[serde(default)]
    pub pca_dimension_mean: Option<f64>,
    /// Standard error of `pca_dimension_mean`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pca_dimension_mean_se: Option<f64>,
    /// Queries left out.
    #[serde(default)]
    pub degenerate_queries: u64,
    /// Queries whose neighbours are not unique.
    #[serde(default)]
    pub not_unique_queries: u64,
    /// Share of the aggregate's support that some channel's support holds too.
    pub recall: Option<f64>,
    /// Standard error of `recall`, where `--queries` drew some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall_se: Option<f64>,
}

/// Baselines reported beside (docs/definitions.md#baselines).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Baselines {
    /// Mean of the absolute off-diagonal cosine between channels' maps (`layers/NAME/cosine.npy`).
    #[serde(default)]
    pub cosine_mean: Option<f64>,
    /// Mean of the absolute off-diagonal Pearson correlation (`layers/NAME/pearson.npy`).
    #[serde(default)]
    pub pearson_mean: Option<f64>,
    /// Per channel, TwoNN intrinsic dimension (gaussian kernel only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_nn: Option<Vec<Option<f64>>>,
}
