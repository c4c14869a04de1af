//! Inputs and options that do not go together.

use super::{Mode, ShuffleInput, ShuffleOptions, permute};
use crate::{Error, Result};

/// Batch, mode and permutation fit together.
pub(super) fn check_options(
    input: &ShuffleInput<'_>,
    options: &ShuffleOptions,
    samples: usize,
) -> Result<()> {
    let least = if options.mode == Mode::Channel { 2 } else { 1 };
    if options.batch < least {
        return Err(Error::Usage(format!(
            "--batch {} is too small: {least} samples at least",
            options.batch
        )));
    }
    match (input.permutation, options.mode) {
        (Some(_), Mode::Pixel) => Err(Error::Usage(
            "a permutation of samples needs --mode channel".into(),
        )),
        (Some(p), Mode::Channel) => permute::check(p, samples, options.batch),
        (None, _) => Ok(()),
    }
}

/// Checks that there is one label a sample, each a class of the network's `output` (its shape per sample).
///
/// # Errors
/// [`Error::Usage`] names the first label that is none.
pub fn check_labels(labels: &[u32], samples: usize, output: &[usize]) -> Result<()> {
    let &[classes] = output else {
        return Err(Error::Usage(format!(
            "labels need a network whose output is [N, classes], not {output:?} per sample"
        )));
    };
    if labels.len() != samples {
        return Err(Error::Usage(format!(
            "{} labels for {samples} samples",
            labels.len()
        )));
    }
    match labels.iter().position(|&l| l as usize >= classes) {
        Some(i) => Err(Error::Usage(format!(
            "label {} of sample {i} is outside the network's {classes} classes",
            labels[i]
        ))),
        None => Ok(()),
    }
}
