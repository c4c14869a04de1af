//! What Convolutional Similarity says about a layer's filters, in sentences.

use super::{count, list, number, percent};
use crate::report::results::FilterLayer;

/// Sentences about one convolution.
pub fn filters(layer: &FilterLayer) -> Vec<String> {
    let filters = layer.shape.first().copied().unwrap_or(0);
    let zero = layer.zero_filters.len() as u64;
    if filters < 2 {
        return vec!["One filter: there is no other to compare it with.".into()];
    }
    if zero >= filters {
        return vec![format!("All {} filters are zero.", count(filters))];
    }
    let mut out = Vec::new();
    if let Some(normalized) = layer.normalized_mean {
        out.push(format!(
            "Two different filters have a normalised Convolutional Similarity of {} on average (0: orthogonal at every shift; 1: the same autocorrelation, such as the same filter up to scale and sign).",
            number(Some(normalized))
        ));
    }
    if let Some(cosine) = layer.filter_cosine_mean {
        out.push(format!(
            "The cosine between their weights has a mean magnitude of {}. It looks at one shift only, so a small value does not make feature maps different.",
            number(Some(cosine))
        ));
    }
    if let (Some(all), Some(adjacent)) = (layer.value.filter(|&v| v > 0.0), layer.value_adjacent) {
        out.push(format!(
            "Adjacent filters are {} of the pairs and carry {} of the value.",
            percent(Some(2.0 / filters as f64)),
            percent(Some(adjacent / all))
        ));
    }
    if zero > 0 {
        let verb = if zero == 1 {
            "filter is"
        } else {
            "filters are"
        };
        out.push(format!(
            "{zero} {verb} zero and left out of the normalised values: {}.",
            list(&layer.zero_filters)
        ));
    }
    out.extend(layer.history.as_deref().and_then(minimisation));
    out
}

fn minimisation(history: &[Option<f64>]) -> Option<String> {
    let (first, last) = (history.first().copied()??, history.last()?);
    let steps = history.len() as u64 - 1;
    let text = match *last {
        _ if steps == 0 => return None,
        None => format!(
            "The minimisation diverged within {steps} steps: a smaller learning rate may help."
        ),
        Some(last) if last > first => format!(
            "The value rose from {} to {} in {steps} steps: a smaller learning rate may help.",
            number(Some(first)),
            number(Some(last))
        ),
        Some(last) => format!(
            "{} steps lowered the value from {} to {}. Shrinking weights lower it too, unless their norms are kept.",
            count(steps),
            number(Some(first)),
            number(Some(last))
        ),
    };
    Some(text)
}
