//! The vectors that the problems of several queries are built from.

pub(super) use crate::ops::Source;
use crate::simd::{F64_LANES, prefetch};
use crate::tensor::Values;

/// The queries of eight lanes.
pub(super) type Sources<'a> = [Source<'a>; F64_LANES];

/// The largest number of vectors that any query has.
pub(super) fn most_vectors(sources: &[Source<'_>]) -> usize {
    sources.iter().map(|s| s.vectors.len()).max().unwrap_or(0)
}

/// Asks for values to be brought into the first-level cache.
#[inline(always)]
pub(super) fn prefetch_values(values: Values<'_>) {
    match values {
        Values::F16(values) => prefetch(values),
        Values::F32(values) => prefetch(values),
    }
}
