//! Which channels of a layer are measured.

use crate::{Error, Result};

/// The channels asked for, in that order; all of the layer's `channels` where none are named.
///
/// # Errors
/// [`Error::Usage`] for an empty list, and for channels that the layer does not have or that are named twice.
pub(super) fn select(
    asked: &Option<Vec<usize>>,
    channels: usize,
    name: &str,
) -> Result<Vec<usize>> {
    let Some(asked) = asked else {
        return Ok((0..channels).collect());
    };
    if asked.is_empty() {
        return Err(Error::Usage("no channel selected".into()));
    }
    let mut seen = vec![false; channels];
    for &c in asked {
        match seen.get_mut(c) {
            None => {
                return Err(Error::Usage(format!(
                    "{name}: channel {c} does not exist; the layer has {channels}, counted from 0"
                )));
            }
            Some(true) => return Err(Error::Usage(format!("channel {c} is asked for twice"))),
            Some(slot) => *slot = true,
        }
    }
    Ok(asked.clone())
}
