//! What shuffling a channel does to the rest of the network, in sentences.

use super::{extremes, mean, number, percent};
use crate::report::results::ShuffleTensor;

/// Sentences about one shuffled tensor.
pub fn shuffle(tensor: &ShuffleTensor) -> Vec<String> {
    let mut out = Vec::new();
    let how = match tensor.mode.as_str() {
        "pixel" => "the pixels inside one channel",
        _ => "one channel across samples",
    };
    if let (Some(accuracy), Some(baseline)) = (&tensor.accuracy, tensor.baseline_accuracy)
        && let Some(((worst, low), _)) = extremes(accuracy)
    {
        out.push(format!(
            "Shuffling {how} leaves an accuracy of {} on average; unshuffled, it is {}. Channel {worst} costs most and leaves {}.",
            percent(mean(accuracy)),
            percent(Some(baseline)),
            percent(Some(low)),
        ));
    }
    // The next tap and the last; the page's table has those between.
    let ends = tensor.observed.iter().enumerate();
    let last = tensor.observed.len().saturating_sub(1);
    for (_, observed) in ends.filter(|(i, _)| *i == 0 || *i == last) {
        let Some(((worst, low), _)) = extremes(&observed.cosine_mean) else {
            continue;
        };
        out.push(format!(
            "The maps of {} keep a cosine similarity of {} on average, and of {} for the channel that matters most ({worst}).",
            observed.name,
            number(mean(&observed.cosine_mean)),
            number(Some(low)),
        ));
    }
    if let Some(short) = tensor.short_batch {
        out.push(format!(
            "The last mini-batch has only {short} samples to shuffle among."
        ));
    }
    out
}
