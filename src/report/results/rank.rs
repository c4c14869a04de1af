//! The section `rank`.

use serde::{Deserialize, Serialize};

/// The order in which to keep the channels of every layer (docs/definitions.md#representatives).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rank {
    /// What makes two channels alike: `jaccard`, `filters`, `impulse` or `pearson`.
    pub by: String,
    /// One entry per layer; its order lies in `rank/NAME.npy` too.
    pub layers: Vec<RankLayer>,
}

/// The ranking of one layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RankLayer {
    /// Layer.
    pub name: String,
    /// Channels, by their index in the layer: first kept first, dead ones last.
    pub order: Vec<u64>,
    /// Channels that are not dead: the first ones of `order`.
    pub live: u64,
    /// Per channel of `order`, the channel before it that is most similar to it; `null` for the first and for dead ones.
    pub representatives: Vec<Option<u64>>,
    /// Per channel of `order`, its similarity to that one.
    pub similarities: Vec<Option<f64>>,
    /// Per live channel of `order`: mean over live channels of the similarity to the most similar one kept, if the
    /// channels up to this one are kept.
    pub coverage: Vec<f64>,
}

impl RankLayer {
    /// The coverage if this share of all channels is kept, rounded up to whole channels; `None` where no channel lives.
    pub fn coverage_of(&self, share: f64) -> Option<f64> {
        let kept = (share * self.order.len() as f64).ceil() as usize;
        self.coverage
            .get(kept.min(self.coverage.len()).checked_sub(1)?)
            .copied()
    }
}
