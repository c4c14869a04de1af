//! Groups of channels at a cut, by average linkage.

use ndarray::Array2;

/// The groups that are left where two are joined only at a mean similarity of at least `cut`: always the two with the
/// largest one. Pairs without a value count as 0. Groups and their members are in ascending order. Also returns how far the
/// nearest similarity at which groups were joined, or not, is from the cut.
pub fn groups(s: &Array2<f64>, cut: f64) -> (Vec<Vec<usize>>, f64) {
    let mut groups: Vec<Vec<usize>> = (0..s.nrows()).map(|i| vec![i]).collect();
    let mut margin = f64::INFINITY;
    while groups.len() > 1 {
        let mut best = (f64::NEG_INFINITY, 0, 0);
        for b in 1..groups.len() {
            for a in 0..b {
                let mean = mean(s, &groups[a], &groups[b]);
                if mean > best.0 {
                    best = (mean, a, b);
                }
            }
        }
        let (similarity, a, b) = best;
        margin = margin.min((similarity - cut).abs());
        if similarity < cut {
            break;
        }
        let second = groups.remove(b);
        groups[a].extend(second);
    }
    for group in &mut groups {
        group.sort();
    }
    groups.sort();
    (groups, margin)
}

fn mean(s: &Array2<f64>, a: &[usize], b: &[usize]) -> f64 {
    let mut sum = 0.0;
    for &i in a {
        for &j in b {
            let similarity = s[[i, j]];
            sum += if similarity.is_finite() {
                similarity
            } else {
                0.0
            };
        }
    }
    sum / (a.len() * b.len()) as f64
}
