//! The section `ablation`.

use serde::{Deserialize, Serialize};

/// Accuracy without the channels that come last in rankings (docs/definitions.md#ablation).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ablation {
    /// What stands in the place of dropped channels: `zero`, `mean` or `merge`.
    pub dropped: String,
    /// Samples that accuracy is measured on.
    pub samples: u64,
    /// Samples of the calibration part; their indices lie in `ablate/calibration.npy`.
    pub calibration_samples: u64,
    /// Accuracy of the intact network.
    pub accuracy: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// Layers, each ablated by itself.
    pub layers: Vec<AblatedLayer>,
    /// All layers at once, at equal shares: one entry per ranking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Vec<AblationCurve>>,
}

/// A layer ablated by itself; the orders of its channels lie in `ablate/NAME/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AblatedLayer {
    /// Layer.
    pub name: String,
    /// Channels of the layer.
    pub channels: u64,
    /// One entry per ranking.
    pub curves: Vec<AblationCurve>,
}

/// Accuracy against the share of channels kept, for one ranking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AblationCurve {
    /// Ranking: `jaccard`, `filters`, `impulse`, `pearson`, `l1`, `fpgm`, `mean`, `apoz`, `random` or `given`.
    pub ranking: String,
    /// One entry per share.
    pub points: Vec<AblationPoint>,
}

/// One share of channels kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AblationPoint {
    /// Share asked for.
    pub share: f64,
    /// Channels kept, in all layers that are ablated.
    pub kept: u64,
    /// Accuracy; of random rankings the mean.
    pub accuracy: Option<f64>,
    /// Its standard error over samples.
    pub standard_error: Option<f64>,
    /// Accuracy less that of the intact network.
    pub change: Option<f64>,
    /// Standard error of the change, sample by sample.
    pub change_error: Option<f64>,
    /// Accuracy of each random ranking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accuracies: Vec<f64>,
}
