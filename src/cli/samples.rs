//! What people should know of the samples of a dump.

use super::error;
use super::network::open_data;
use chanscope::io::layer::Layer;
use chanscope::io::open::Unreadable;
use chanscope::report::folder::check_images;
use std::path::Path;

pub use chanscope::report::notes::unequal;

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

/// Opens the images behind the samples of these layers.
pub fn images(path: Option<&Path>, layers: &[&dyn Layer]) -> error::Result<Option<Box<dyn Layer>>> {
    let Some(path) = path else { return Ok(None) };
    let images = open_data(path)?;
    let layers = layers.iter().map(|l| (l.name(), l.shape().samples));
    check_images(images.as_ref(), layers)?;
    Ok(Some(images))
}
