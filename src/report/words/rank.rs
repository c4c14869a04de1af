//! What a ranking says about a layer, in sentences.

use super::{count, percent, plural};
use crate::report::results::RankLayer;

/// Shares of channels kept that the sentences tell of.
const SHARES: [f64; 3] = [0.75, 0.5, 0.25];

/// Sentences about one layer; `by` names the similarity.
pub fn rank(layer: &RankLayer, by: &str) -> Vec<String> {
    let all = layer.order.len() as u64;
    if layer.live == 0 {
        return vec!["No channel of this layer can be ranked: all are dead.".into()];
    }
    let mut out = vec![format!(
        "{} in the order in which they represent the others best, by {}.",
        plural(layer.live, "channel", "channels"),
        what(by)
    )];
    for share in SHARES {
        if let Some(coverage) = layer.coverage_of(share) {
            out.push(format!(
                "With {} of the channels kept, a live channel has a similarity of {} on average to the most similar one kept.",
                percent(Some(share)),
                super::number(Some(coverage)),
            ));
        }
    }
    if layer.live < all {
        out.push(format!(
            "{} of {} channels are dead and come last.",
            count(all - layer.live),
            count(all)
        ));
    }
    out
}

/// A similarity in words.
pub fn what(by: &str) -> &'static str {
    match by {
        "jaccard" => "the Jaccard index of their neighbours",
        "filters" => "the normalised Convolutional Similarity of their filters",
        "impulse" => "the correlation of their impulse responses",
        "pearson" => "the absolute Pearson correlation of their activations",
        _ => "a similarity that this version does not know",
    }
}
