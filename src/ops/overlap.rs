//! Input and result of the overlap between channels.

/// Supports of the same queries in every channel, for [`super::Backend::overlap`].
#[derive(Clone, Copy, Debug)]
pub struct Supports<'a> {
    /// `[channels, queries, k]` sample indices, -1 where a candidate is not in the support
    /// (any order, no index twice).
    pub indices: &'a [i32],
    /// `[channels, queries]` queries left out of every mean of that channel.
    pub degenerate: &'a [bool],
    /// Channels.
    pub channels: usize,
    /// Queries.
    pub queries: usize,
    /// Slots per query.
    pub k: usize,
}

/// Sums over queries of the overlap of all pairs of channels. Integers, so that the order of
/// blocks does not matter and both backends agree to the bit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlapSums {
    /// `[C, C]` sum of `|S_c ∩ S_e|` over queries degenerate in neither.
    pub intersection: Vec<u64>,
    /// `[C, C]` sum of `floor(2^40 |∩| / |∪|)` over queries degenerate in neither and with a non-empty union.
    pub jaccard_q40: Vec<u64>,
    /// `[C, C]` queries degenerate in neither.
    pub queries: Vec<u64>,
    /// `[C, C]` of those, queries with a non-empty union.
    pub unions: Vec<u64>,
}
