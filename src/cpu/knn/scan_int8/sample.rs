//! The sample of points whose scores give an estimate of a query's threshold.

use crate::cpu::gemm::COLS;

/// Candidates for the sampling step: one tile in so many is in the sample.
const SAMPLE_STEPS: [usize; 6] = [4, 8, 16, 32, 64, 128];
/// Highest usable rank among the [`COLS`] lane maxima of a sample. Above it the estimate no longer discriminates.
const MAX_RANK: usize = COLS * 3 / 4;
/// Fewest points per neighbour wanted for which a sample is worth its time.
const MIN_POINTS_PER_NEIGHBOUR: usize = 64;

/// The tiles whose scores give an estimate of a threshold.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    /// One tile in so many.
    pub(super) step: usize,
    /// Rank of the estimate among the lane maxima.
    pub(super) rank: usize,
}

impl Sample {
    /// The sample with which a search should take the least time, by a model of its cost.
    pub(super) fn new(rows: usize, dim: usize, k: usize, outliers: &[u32]) -> Option<Self> {
        let seen = |step: usize| k as f64 / step as f64;
        // Neighbours expected in the sample, plus three standard deviations, plus the query itself.
        let wanted = |step: usize| seen(step) + 3.0 * seen(step).sqrt() + 2.0;
        // In cycles: the products of the sample, and exact distances of what the estimate lets pass.
        let cost = |step: usize| {
            let pairs = rows as f64 / step as f64 * (dim + 6) as f64 / 64.0;
            pairs + wanted(step) * step as f64 * (25 + dim / 2) as f64
        };
        let rank = |step: usize| {
            // That many scores are expected to fall into this many different lanes.
            let lanes = COLS as f64;
            let rank = lanes * (1.0 - (-wanted(step) / lanes).exp());
            // Outliers are among the lane maxima too.
            let in_sample = |place: &&u32| (**place as usize / COLS).is_multiple_of(step);
            rank.round() as usize + outliers.iter().filter(in_sample).count()
        };
        let steps = SAMPLE_STEPS
            .into_iter()
            .filter(|&step| rank(step) <= MAX_RANK);
        let step = steps.min_by(|a, b| cost(*a).total_cmp(&cost(*b)))?;
        let rank = rank(step);
        (rows >= MIN_POINTS_PER_NEIGHBOUR * k).then_some(Self { step, rank })
    }
}
