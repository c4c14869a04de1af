//! Jobs that cannot be done.

use super::{Job, Mode, permute};
use crate::{Error, Result};

/// Batch, mode and permutation fit together.
pub(super) fn check_job(job: &Job<'_>, samples: usize) -> Result<()> {
    let least = if job.mode == Mode::Channel { 2 } else { 1 };
    if job.batch < least {
        return Err(Error::Usage(format!(
            "--batch {} is too small: {least} samples at least",
            job.batch
        )));
    }
    match (job.permutation, job.mode) {
        (Some(_), Mode::Pixel) => Err(Error::Usage(
            "a permutation of samples needs --mode channel".into(),
        )),
        (Some(p), Mode::Channel) => permute::check(p, samples, job.batch),
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
