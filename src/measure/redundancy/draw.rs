//! Which samples are queries, where not all of them are (docs/definitions.md#sampled-queries).

use crate::measure::random::SplitMix;

/// Draws `count` of the samples, ascending, without replacement. What is drawn of a sample depends on its index, the seed
/// and the indices of the others only, so the queries of a smaller `count` are among those of a larger one. `kept` are the
/// samples to draw from, where these are not all of `0..samples`; the result counts positions among them.
pub(super) fn draw(samples: usize, kept: Option<&[usize]>, count: usize, seed: u64) -> Vec<usize> {
    if count >= samples {
        return (0..samples).collect();
    }
    let start = SplitMix(seed).next();
    let index = |at: usize| kept.map_or(at, |kept| kept[at]) as u64;
    let key = |at: usize| SplitMix(start ^ index(at)).next();
    let mut keys: Vec<(u64, usize)> = (0..samples).map(|at| (key(at), at)).collect();
    if count > 0 {
        keys.select_nth_unstable(count - 1);
    }
    let mut drawn: Vec<usize> = keys[..count].iter().map(|&(_, at)| at).collect();
    drawn.sort_unstable();
    drawn
}

/// How many queries were drawn from how many samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sampling {
    pub queries: usize,
    pub samples: usize,
}

impl Sampling {
    /// Standard error of a mean over `count` queries with this sum of squared deviations from their mean. `None` where all
    /// samples are queries, and for fewer than two queries, which do not show how far they scatter.
    pub fn standard_error(self, count: u64, squared_deviations: f64) -> Option<f64> {
        if self.queries >= self.samples || count < 2 {
            return None;
        }
        let variance = squared_deviations / (count - 1) as f64 / count as f64;
        let left = 1.0 - self.queries as f64 / self.samples as f64;
        Some((variance * left).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_draw_is_part_of_a_larger_one() {
        let large = draw(1000, None, 300, 7);
        let small = draw(1000, None, 30, 7);
        assert_eq!((large.len(), small.len()), (300, 30));
        assert!(large.windows(2).all(|w| w[0] < w[1]));
        assert!(small.iter().all(|i| large.binary_search(i).is_ok()));
        assert_ne!(small, draw(1000, None, 30, 8));
    }

    #[test]
    fn a_sample_that_is_left_out_changes_no_other() {
        let all = draw(100, None, 40, 3);
        let kept: Vec<usize> = (0..100).filter(|&i| i != all[5]).collect();
        let drawn = draw(99, Some(&kept), 40, 3);
        let drawn: Vec<usize> = drawn.into_iter().map(|at| kept[at]).collect();
        let same = all.iter().filter(|i| drawn.contains(i)).count();
        assert_eq!(same, 39);
    }

    #[test]
    fn every_sample_is_drawn_as_often_as_any_other() {
        let mut times = [0u32; 50];
        for seed in 0..4000 {
            for i in draw(50, None, 10, seed) {
                times[i] += 1;
            }
        }
        // 800 expected, with a standard deviation of 25.
        assert!(times.iter().all(|t| (670..930).contains(t)), "{times:?}");
    }
}
