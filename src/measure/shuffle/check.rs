//! Inputs and options that do not go together.

use super::{Mode, ShuffleInput, ShuffleOptions, permute};
use crate::error::dims;
use crate::{Error, Result};

/// Batch, mode and permutation fit together.
pub(super) fn check_options(
    input: &ShuffleInput<'_>,
    options: &ShuffleOptions,
    samples: usize,
) -> Result<()> {
    let least = if options.mode == Mode::Channel { 2 } else { 1 };
    if options.batch < least {
        let expected = format!("at least {least} samples");
        return Err(Error::argument("batch", options.batch, expected));
    }
    match (input.permutation, options.mode) {
        (Some(_), Mode::Pixel) => Err(Error::argument(
            "mode",
            "pixel with a permutation of samples",
            "mode channel",
        )),
        (Some(p), Mode::Channel) => permute::check(p, samples, options.batch),
        (None, _) => Ok(()),
    }
}

/// Checks that there is one label a sample, each a class of the network's `output` (its shape per sample).
///
/// # Errors
/// [`Error::Item`] names the first label that is none.
pub fn check_labels(labels: &[u32], samples: usize, output: &[usize]) -> Result<()> {
    let &[classes] = output else {
        let name = "a sample of the network's output";
        return Err(Error::wrong_shape(name, dims!["classes"], output));
    };
    if labels.len() != samples {
        return Err(Error::WrongLength {
            name: "labels",
            expected: samples,
            got: labels.len(),
        });
    }
    match labels.iter().position(|&l| l as usize >= classes) {
        Some(i) => {
            let expected = format!("one of the network's {classes} classes");
            Err(Error::item("labels", i, labels[i], expected))
        }
        None => Ok(()),
    }
}
