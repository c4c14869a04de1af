//! Pointers to the vectors that a query's problem is built from.

use crate::tensor::Values;

/// The vectors of one query and its candidates.
#[derive(Clone, Default)]
pub(crate) struct Source<'a> {
    /// The query's vector, `[dim]`. Where several queries are solved together, it is empty in a place without a query.
    pub(crate) query: Values<'a>,
    /// The candidates' vectors, `[dim]` each.
    pub(crate) vectors: Vec<Values<'a>>,
    /// `gamma = 1 / (2 s^2)` of the Gaussian kernel `exp(-gamma |x - y|^2)`.
    pub(crate) gamma: f64,
}
