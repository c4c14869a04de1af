//! What a layer's channel-wise NNK graphs say, in sentences.

use super::{count, extremes, list, mean, number, percent, plural};
use crate::report::results::{Aggregate, RedundancyLayer};

/// Share of degenerate queries above which a channel's means deserve a warning.
const MANY_DEGENERATE: f64 = 0.1;
/// KKT residual above which the weights should not be called exact.
const KKT_LOOSE: f64 = 1e-4;

/// The two live channels whose neighbourhoods agree most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alike {
    /// Their indices in the dump.
    pub channels: (u64, u64),
    /// Their Jaccard index.
    pub jaccard: f64,
}

/// Sentences about one layer, most important first. `alike` comes from the Jaccard matrix, if it is there.
pub fn redundancy(layer: &RedundancyLayer, alike: Option<Alike>) -> Vec<String> {
    let channels = layer.neighbors_mean.len() as u64;
    let live = channels.saturating_sub(layer.dead_channels.len() as u64);
    let mut out = Vec::new();
    if live == 0 {
        out.push(match channels {
            0 => "No channel was analysed.".to_string(),
            1 => {
                "The only channel is zero on every sample: there is nothing to measure.".to_string()
            }
            n => format!("All {n} channels are zero on every sample: there is nothing to measure."),
        });
        return out;
    }
    out.extend(sharing(layer, live, channels));
    out.extend(pair(alike, live));
    out.extend(dimension(layer, live));
    out.extend(labels(layer, live));
    out.extend(recall(layer.aggregate.as_ref(), live));
    out.extend(caveats(layer, channels));
    out
}

fn sharing(layer: &RedundancyLayer, live: u64, channels: u64) -> Vec<String> {
    if live == 1 {
        let why = match channels {
            1 => "The layer has one channel".to_string(),
            _ => "Only one channel is live".to_string(),
        };
        return vec![format!("{why}: there is no other to compare it with.")];
    }
    let mut out = Vec::new();
    if let (Some(j), Some(overlap)) = (layer.jaccard_mean, layer.overlap_mean) {
        out.push(format!(
            "Two channels {} neighbours for the same sample: of the {} a channel has on average, {} are shared with another channel (mean Jaccard {}).",
            degree(j),
            number(mean(&layer.neighbors_mean)),
            number(Some(overlap)),
            number(Some(j)),
        ));
    }
    if let Some(r) = layer.redundancy {
        out.push(format!(
            "On average a neighbour is found by {} of the {} live channels (1 if all chose differently, {} if all chose the same).",
            number(Some(r)),
            count(live),
            count(live),
        ));
    }
    out
}

fn degree(jaccard: f64) -> &'static str {
    match jaccard {
        j if j < 0.05 => "choose almost entirely different",
        j if j < 0.2 => "mostly choose different",
        j if j < 0.5 => "partly choose the same",
        j if j < 0.8 => "mostly choose the same",
        _ => "choose nearly the same",
    }
}

fn pair(alike: Option<Alike>, live: u64) -> Option<String> {
    let alike = alike.filter(|_| live > 2)?;
    let (a, b) = alike.channels;
    let j = number(Some(alike.jaccard));
    Some(if alike.jaccard >= 0.8 {
        format!(
            "Most alike are channels {a} and {b} (Jaccard {j}): on these samples their neighbourhoods nearly coincide, which alone does not show that the network could do without one of them."
        )
    } else {
        format!("Most alike are channels {a} and {b} (Jaccard {j}).")
    })
}

fn dimension(layer: &RedundancyLayer, live: u64) -> Option<String> {
    let values = &layer.neighbors_mean;
    let ((low_at, low), (high_at, high)) = extremes(values)?;
    let mut text = if live == 1 {
        format!(
            "Its neighbourhoods have {} neighbours on average",
            number(Some(low))
        )
    } else {
        format!(
            "Neighbourhoods have from {} (channel {}) to {} (channel {}) neighbours on average, a proxy of local intrinsic dimension",
            number(Some(low)),
            channel(layer, low_at),
            number(Some(high)),
            channel(layer, high_at),
        )
    };
    if let Some(pca) = mean(&layer.pca_dimension_mean) {
        text += &format!(
            ". Principal components give a dimension of {}",
            number(Some(pca))
        );
    }
    if let Some(n) = layer.aggregate.as_ref().and_then(|a| a.neighbors_mean) {
        text += &format!(
            ". The whole layer as one vector has {} neighbours",
            number(Some(n))
        );
    }
    Some(text + ".")
}

fn labels(layer: &RedundancyLayer, live: u64) -> Option<String> {
    let errors = layer.loo_error.as_ref()?;
    let ((best_at, best), _) = extremes(errors)?;
    let best_name = channel(layer, best_at);
    let samples = samples(layer);
    let mut text = if live == 1 {
        format!(
            "Guessing a sample's label from its neighbours fails for {} of the samples",
            percent(Some(best))
        )
    } else {
        format!(
            "Guessing a sample's label from its neighbours fails for {} of the samples in the mean channel and for {} in the best one (channel {best_name})",
            percent(mean(errors)),
            percent(Some(best)),
        )
    };
    if let Some(majority) = layer.majority_error {
        text += &format!(
            ". Always answering the most frequent label fails for {}",
            percent(Some(majority))
        );
        if best > majority - noise(best, majority, samples) {
            text += ", so no channel does better than that beyond sampling noise";
        }
    }
    text += ".";
    let whole = layer.aggregate.as_ref().and_then(|a| a.loo_error);
    if let Some(whole) = whole.filter(|_| live > 1) {
        text += &format!(" The whole layer fails for {}", percent(Some(whole)));
        let noise = noise(best, whole, samples);
        text += if best - whole > noise {
            ": no single channel separates the labels as well as the layer does."
        } else if whole - best > noise {
            ": its best channel alone does better on these samples."
        } else {
            ", which is not distinguishable from its best channel with this many samples."
        };
    }
    Some(text)
}

/// Two standard errors of the difference of two error rates measured on `n` samples each.
fn noise(p: f64, q: f64, n: u64) -> f64 {
    let variance = |p: f64| (p * (1.0 - p)).max(0.0) / n.max(1) as f64;
    2.0 * (variance(p) + variance(q)).sqrt()
}

fn recall(aggregate: Option<&Aggregate>, live: u64) -> Option<String> {
    let recall = aggregate?.recall.filter(|_| live > 1)?;
    Some(if recall >= 0.9995 {
        "Every neighbour of the whole layer is also one in some channel.".to_string()
    } else {
        format!(
            "{} of the whole layer's neighbours are also neighbours in some channel. The others appear only when the channels are taken together.",
            percent(Some(recall))
        )
    })
}

fn caveats(layer: &RedundancyLayer, channels: u64) -> Vec<String> {
    let mut out = Vec::new();
    let dead = &layer.dead_channels;
    if !dead.is_empty() {
        out.push(match dead.as_slice() {
            [only] => {
                format!("Channel {only} is dead: zero on every sample, and left out of all means.")
            }
            _ => format!(
                "{} of {} are dead (zero on every sample) and left out of all means: {}.",
                count(dead.len() as u64),
                plural(channels, "channel", "channels"),
                list(dead),
            ),
        });
    }
    let samples = samples(layer);
    if layer.queries.is_some() {
        out.push(format!(
            "Queries were {} of {}, drawn at random, with candidates among all. What stands behind ±, and the length of an error bar on either side, is one standard error.",
            count(samples),
            plural(measured(layer), "sample", "samples"),
        ));
    }
    let degenerate: Vec<u64> = (0..layer.degenerate_queries.len())
        .filter(|&c| !dead.contains(&channel(layer, c)))
        .filter(|&c| layer.degenerate_queries[c] as f64 > MANY_DEGENERATE * samples as f64)
        .map(|c| channel(layer, c))
        .collect();
    if !degenerate.is_empty() {
        let noun = if degenerate.len() == 1 {
            "channel"
        } else {
            "channels"
        };
        out.push(format!(
            "More than {} of the samples have no usable neighbourhood (a zero map, or only copies around them) in {noun} {}. The means there rest on the other samples.",
            percent(Some(MANY_DEGENERATE)),
            list(&degenerate),
        ));
    }
    let not_unique: u64 = layer.not_unique_queries.iter().sum();
    if not_unique > 0 {
        out.push(format!(
            "{} of {}, over all channels, have neighbours that are not unique: another candidate is equal to one of them in the kernel's eyes. Which of them counts as the neighbour is a choice, on which overlaps depend; sums of weights over equal candidates do not.",
            plural(not_unique, "query", "queries"),
            count(samples * layer.not_unique_queries.len() as u64),
        ));
    }
    if layer.samples_skipped > 0 {
        out.push(format!(
            "{} with NaN or infinite values {} left out.",
            plural(layer.samples_skipped, "sample", "samples"),
            if layer.samples_skipped == 1 {
                "was"
            } else {
                "were"
            },
        ));
    }
    if let Some(kkt) = layer.kkt_residual_max.filter(|&r| r > KKT_LOOSE) {
        out.push(format!(
            "Caution: some neighbour weights miss the optimality conditions by {}; figures that rest on them are approximate.",
            number(Some(kkt))
        ));
    }
    out
}

/// Index in the dump of the channel at `position` of the arrays.
fn channel(layer: &RedundancyLayer, position: usize) -> u64 {
    match &layer.channels {
        Some(names) => names.get(position).copied().unwrap_or(position as u64),
        None => position as u64,
    }
}

/// Samples that were queries.
fn samples(layer: &RedundancyLayer) -> u64 {
    layer.queries.unwrap_or_else(|| measured(layer))
}

/// Samples that were not left out.
fn measured(layer: &RedundancyLayer) -> u64 {
    let all = layer.shape.first().copied().unwrap_or(0);
    all.saturating_sub(layer.samples_skipped)
}
