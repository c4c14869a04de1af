//! Pointers to the vectors that a query's problem is built from.

use crate::simd::F64_LANES;

/// The vectors of one query and its candidates.
#[derive(Clone, Default)]
pub(super) struct Source<'a> {
    /// The query's vector, `[dim]`. It is empty in a lane without a query.
    pub(super) query: &'a [f32],
    /// The candidates' vectors, `[dim]` each.
    pub(super) vectors: Vec<&'a [f32]>,
    /// `gamma = 1 / (2 s^2)` of the Gaussian kernel `exp(-gamma |x - y|^2)`.
    pub(super) gamma: f64,
}

/// The queries of eight lanes.
pub(super) type Sources<'a> = [Source<'a>; F64_LANES];

/// The largest number of vectors that any query has.
pub(super) fn most_vectors(sources: &[Source<'_>]) -> usize {
    sources.iter().map(|s| s.vectors.len()).max().unwrap_or(0)
}
