//! Notes on the input that the results repeat.

use crate::io::layer::Layer;

/// Says which layers hold how many samples; `None` where all hold as many.
pub fn unequal(layers: &[&dyn Layer]) -> Option<String> {
    let mut counts: Vec<(usize, Vec<&str>)> = Vec::new();
    for layer in layers {
        let samples = layer.shape().samples;
        match counts.iter_mut().find(|(count, _)| *count == samples) {
            Some((_, names)) => names.push(layer.name()),
            None => counts.push((samples, vec![layer.name()])),
        }
    }
    if counts.len() < 2 {
        return None;
    }
    let parts: Vec<String> = (counts.iter())
        .map(|(samples, names)| match names.len() {
            0..=2 => format!("{samples} in {}", names.join(" and ")),
            n => format!("{samples} in {} and {} more", names[0], n - 1),
        })
        .collect();
    let least = counts.iter().map(|(samples, _)| *samples).min();
    let multiple = counts
        .iter()
        .any(|(samples, _)| least.is_some_and(|l| l > 0 && *samples > l && samples % l == 0));
    let sign = match multiple {
        true => {
            ". A multiple is the sign of a module that the network calls more than once: record every call into a file of \
             its own"
        }
        false => "",
    };
    Some(format!(
        "the layers hold different numbers of samples: {}{sign}",
        parts.join(", ")
    ))
}
