//! Whether operands fit each other: the same answer on every backend.

use super::net::{Shuffle, StridedCopy};
use crate::{Error, Result};
use std::ops::Range;

/// Samples, channels and elements per channel of `[N, C, ...]`.
fn split(shape: &[usize]) -> Result<[usize; 3]> {
    match shape {
        [n, c, rest @ ..] => Ok([*n, *c, rest.iter().product()]),
        s => Err(Error::Shape(format!("[N, C, ...] is needed, not {s:?}"))),
    }
}

/// `[N, C, d]` of the operand of a shuffle whose permutation fits.
pub(crate) fn check_shuffle(shape: &[usize], how: Shuffle<'_>) -> Result<[usize; 3]> {
    let [n, c, d] = split(shape)?;
    let (index, wanted, limit) = match how {
        Shuffle::Samples(index) => (index, n, n),
        Shuffle::Pixels(index) => (index, n * d, d),
    };
    if index.len() != wanted || index.iter().any(|&i| i as usize >= limit) {
        return Err(Error::Shape(format!(
            "a permutation of {wanted} indices below {limit} is needed for {shape:?}"
        )));
    }
    Ok([n, c, d])
}

/// `[N, C, d]` of two operands of which channels can be exchanged.
pub(crate) fn check_substitute(
    shape: &[usize],
    other: &[usize],
    channels: &Range<usize>,
) -> Result<[usize; 3]> {
    let [n, c, d] = split(shape)?;
    if shape != other || channels.end > c || channels.is_empty() {
        return Err(Error::Shape(format!(
            "cannot take channels {channels:?} of {other:?} into {shape:?}"
        )));
    }
    Ok([n, c, d])
}

/// `[N, M, d]` and the variants per sample of values and their variants.
pub(crate) fn check_variants(shape: &[usize], variants: &[usize]) -> Result<[usize; 4]> {
    let [n, m, d] = split(shape)?;
    let [rows, channels, dim] = split(variants)?;
    if n == 0 || rows % n != 0 || channels != m || dim != d {
        return Err(Error::Shape(format!(
            "{variants:?} are not variants of {shape:?}"
        )));
    }
    Ok([n, m, d, rows / n])
}

/// `[P, I, h, w]` of both operands of a correlation.
pub(crate) fn check_correlate(x: &[usize], y: &[usize]) -> Result<[[usize; 4]; 2]> {
    let maps = |s: &[usize]| match *s {
        [p, i, h, w] if i * h * w > 0 => Ok([p, i, h, w]),
        _ => Err(Error::Shape(format!(
            "correlation takes [P, I, h, w], not {s:?}"
        ))),
    };
    let (x, y) = (maps(x)?, maps(y)?);
    if x[1] != y[1] {
        return Err(Error::Shape(format!(
            "{x:?} and {y:?} differ in input channels"
        )));
    }
    Ok([x, y])
}

impl StridedCopy {
    /// Whether a box with elements stays inside tensors of `src` and `dst` elements.
    pub(crate) fn fits(&self, src: usize, dst: usize) -> bool {
        let (mut low, mut high) = (self.src_offset as isize, self.src_offset as isize);
        for (&n, &s) in self.extents.iter().zip(&self.src_strides) {
            let reach = (n as isize - 1) * s;
            low += reach.min(0);
            high += reach.max(0);
        }
        let ranks = [self.src_strides.len(), self.dst_strides.len()];
        ranks == [self.extents.len(); 2]
            && low >= 0
            && high < src as isize
            && self.dst_offset + self.dst_span() < dst
    }

    /// Distance from the first element written to the last.
    pub(crate) fn dst_span(&self) -> usize {
        let axes = self.extents.iter().zip(&self.dst_strides);
        axes.map(|(n, s)| (n - 1) * s).sum()
    }
}
