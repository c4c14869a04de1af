//! What people should know of the samples of a dump: layers that hold different numbers of them, and layers of
//! three dimensions.

use chanscope::io::layer::Layer;
use chanscope::io::open::Unreadable;

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

/// How a layer of three dimensions is read, and what to do where another reading is meant; `None` for others.
pub fn lines(layer: &dyn Layer) -> Option<String> {
    let s = layer.shape();
    (layer.rank() == 3).then(|| {
        format!(
            "read as [N, C, L]: {c} channels, each a line of {l} values. If it is [N, T, D], {c} tokens of {l} features, \
             save a.transpose(0, 2, 1) to make channels of the features, or a.reshape(-1, {l}) to make samples of the \
             tokens",
            c = s.channels,
            l = s.width
        )
    })
}

/// Axes of a layer's array as it is stored.
pub fn axes(layer: &dyn Layer) -> &'static str {
    match layer.rank() {
        2 => "[N, D]",
        3 => "[N, C, L]",
        _ => "[N, C, H, W]",
    }
}

/// What becomes of files that cannot be read.
pub const fn unreadable(skip: bool) -> Unreadable {
    match skip {
        true => Unreadable::Skip,
        false => Unreadable::Refuse,
    }
}
