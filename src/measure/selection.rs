//! Which channels of a layer are measured.

use crate::error::LayerProblem;
use crate::{Error, Result};
use std::path::Path;

/// The channels asked for, in that order; all of the layer's `channels` where none are named.
///
/// # Errors
/// [`Error::Argument`] for an empty list and for channels that are named twice, [`Error::Layer`] for channels
/// that the layer does not have.
pub(super) fn select(
    asked: &Option<Vec<usize>>,
    channels: usize,
    name: &str,
) -> Result<Vec<usize>> {
    let Some(asked) = asked else {
        return Ok((0..channels).collect());
    };
    if asked.is_empty() {
        return Err(Error::argument("channels", "empty", "at least one channel"));
    }
    let mut seen = vec![false; channels];
    for &c in asked {
        match seen.get_mut(c) {
            None => {
                let problem = LayerProblem::NoChannel {
                    channel: c,
                    channels,
                };
                return Err(Error::layer(name, None::<&Path>, problem));
            }
            Some(true) => {
                let got = format!("channel {c} twice");
                return Err(Error::argument("channels", got, "every channel once"));
            }
            Some(slot) => *slot = true,
        }
    }
    Ok(asked.clone())
}
