//! Channels of two runs, from the definition: plain loops over sets of samples.

use std::collections::BTreeSet;

/// The support of each query in a channel; `None` for a degenerate query.
pub type Channel = Vec<Option<BTreeSet<i64>>>;

/// Mean of `|A n B| / |A u B|` over the queries that are degenerate in neither channel and whose union is not empty; NaN where
/// there is none.
pub fn jaccard(a: &Channel, b: &Channel) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for (a, b) in a.iter().zip(b) {
        if let (Some(a), Some(b)) = (a, b) {
            let either = a.union(b).count();
            if either > 0 {
                sum += a.intersection(b).count() as f64 / either as f64;
                count += 1;
            }
        }
    }
    sum / f64::from(count)
}

/// A channel by its layer and its place in the list of all live channels, with the Jaccard index.
pub type Best = Option<(f64, usize)>;

/// The largest of a row's values in `columns`, and the first place where it is.
pub fn best(row: &[f64], columns: impl Iterator<Item = usize>) -> Best {
    let mut most: Best = None;
    for c in columns {
        if !row[c].is_nan() && most.is_none_or(|(value, _)| row[c] > value) {
            most = Some((row[c], c));
        }
    }
    most
}

/// Mean of what there is; NaN where there is nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.filter(|v| !v.is_nan()).collect();
    values.iter().sum::<f64>() / values.len() as f64
}
