//! Inner products of all pairs of a query's vectors, for eight queries at once.
//!
//! There are two methods, and the length of the vectors decides between them:
//! - [`short`] transposes the vectors of the eight queries, so that each SIMD lane holds one query. No sums
//!   across lanes are needed, but all transposed vectors must fit the L1 cache.
//! - [`long`] multiplies one query after the other, with eight numbers of a vector in a register and a sum
//!   across the lanes at the end. The vectors of one query stay in the cache where those of eight would not.
//!
//! Either way the terms of each pair are summed in a fixed order, which is the same for a vector with itself.
//! So equal vectors have a squared distance of exactly 0, and a result depends on no other lane.

mod long;
mod short;

use super::layout::packed;
use super::source::Sources;
use crate::simd::{LineF64, Simd};
use long::Long;
use short::Short;

/// Longest vectors that are transposed: with 25 candidates they take 50 KiB.
const SHORT: usize = 32;

/// Working memory of both methods.
#[derive(Default)]
pub(super) struct Products {
    short: Short,
    long: Long,
}

/// Bytes of [`Products`] for `rows` vectors of `dim` numbers.
pub(super) fn bytes(rows: usize, dim: usize) -> u64 {
    let long = match dim > SHORT {
        true => long::bytes(rows, dim),
        false => 0,
    };
    short::bytes(rows) + long
}

impl Products {
    /// Computes the lower triangle of `Y Y'` for each query and packs it into `out`, a query in each lane. `Y`
    /// has `rows` rows of `dim` numbers:
    /// - `centred`: the candidates' vectors minus the query's vector, then rows of zeros;
    /// - not `centred`: the candidates' vectors, then rows of zeros; the last row is the query's vector.
    #[inline(always)]
    pub(super) fn compute<I: Simd>(
        &mut self,
        sources: &Sources<'_>,
        rows: usize,
        centred: bool,
        dim: usize,
        out: &mut Vec<LineF64>,
    ) {
        out.resize(packed(rows, 0), LineF64::ZERO);
        match dim > SHORT {
            true => self.long.compute::<I>(sources, rows, centred, dim, out),
            false => self.short.compute::<I>(sources, rows, centred, dim, out),
        }
    }
}
