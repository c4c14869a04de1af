//! Two networks side by side, in sentences.

use super::{count, number, percent};
use crate::report::results::RedundancyLayer;

/// Relative difference below which two means are called about equal.
const ABOUT_EQUAL: f64 = 0.1;

/// Compares the layers of the same name in two networks. `None` when there is nothing to compare.
pub fn compare(
    stem: &str,
    a: (&str, &RedundancyLayer),
    b: (&str, &RedundancyLayer),
) -> Option<String> {
    let live =
        |l: &RedundancyLayer| (l.neighbors_mean.len().saturating_sub(l.dead_channels.len())) as f64;
    let (live_a, live_b) = (live(a.1), live(b.1));
    let (r_a, r_b) = (a.1.redundancy?, b.1.redundancy?);
    if live_a < 1.0 || live_b < 1.0 {
        return None;
    }
    let mut text = format!(
        "In {stem}, a neighbour is found by {} of {} live channels on average ({}) in {}, and by {} of {} ({}) in {}.",
        number(Some(r_a)),
        count(live_a as u64),
        percent(Some(r_a / live_a)),
        a.0,
        number(Some(r_b)),
        count(live_b as u64),
        percent(Some(r_b / live_b)),
        b.0,
    );
    if let (Some(j_a), Some(j_b)) = (a.1.jaccard_mean, b.1.jaccard_mean) {
        let (low, high) = (j_a.min(j_b), j_a.max(j_b));
        let figures = format!(
            "(mean Jaccard {} and {})",
            number(Some(j_a)),
            number(Some(j_b))
        );
        text += &if high <= 0.0 || (high - low) / high < ABOUT_EQUAL {
            format!(" Two channels are about equally alike in both {figures}.")
        } else {
            let more = if j_a > j_b { a.0 } else { b.0 };
            format!(" Two channels are more alike in {more} {figures}.")
        };
    }
    Some(text)
}
