//! Overlaps of supports from their definition.

use chanscope::ops::{OverlapSums, Supports};
use std::collections::BTreeSet;

/// The sums for these queries.
pub fn overlap(s: Supports<'_>) -> OverlapSums {
    let c = s.channels;
    let mut sums = OverlapSums {
        intersection: vec![0; c * c],
        jaccard_q40: vec![0; c * c],
        queries: vec![0; c * c],
        unions: vec![0; c * c],
    };
    let support = |channel: usize, q: usize| -> BTreeSet<i32> {
        let at = (channel * s.queries + q) * s.k;
        let slots = s.indices[at..at + s.k].iter();
        slots.copied().filter(|&i| i != -1).collect()
    };
    for a in 0..c {
        for b in 0..c {
            for q in 0..s.queries {
                if s.degenerate[a * s.queries + q] || s.degenerate[b * s.queries + q] {
                    continue;
                }
                let (x, y) = (support(a, q), support(b, q));
                let both = x.intersection(&y).count() as u128;
                let either = x.union(&y).count() as u128;
                sums.intersection[a * c + b] += both as u64;
                sums.queries[a * c + b] += 1;
                if let Some(jaccard) = (both << 40).checked_div(either) {
                    sums.jaccard_q40[a * c + b] += jaccard as u64;
                    sums.unions[a * c + b] += 1;
                }
            }
        }
    }
    sums
}
