//! Blocks of queries for a channel larger than memory: how they share the memory with the vectors of their candidates, and what
//! is read for them.

use super::{Costs, GraphJob, GraphPlan, MIN_POINTS, can_analyse, largest};
use crate::{Error, Result};

/// A search for the candidates of a block of queries costs about as much as so many readings that fetch vectors: the points
/// are prepared for it.
const SEARCH: u64 = 3;
/// Shares of the free memory that blocks of queries may have: so many parts of it, up to three quarters.
const SHARES: u64 = 16;
/// One of so many samples may be wanted where samples are picked one by one. Reading all in their order takes longer then.
const PICKED: usize = 4;
/// Vectors are fetched from blocks of so many times fewer points than are searched: such a block needs no more than to be
/// read, and the memory is better used for vectors.
const SMALLER: usize = 8;

/// Divides the memory between blocks of queries and the vectors of their candidates.
///
/// # Errors
/// [`Error::Memory`] where not even one query fits beside its candidates.
pub(super) fn blocks_of_queries(
    job: &GraphJob,
    costs: &dyn Costs,
    memory: u64,
    cap: u64,
    fits: &impl Fn(&GraphPlan) -> bool,
) -> Result<GraphPlan> {
    // All points at once would be whole channels, and all queries rows in memory.
    let most = job.samples.saturating_sub(1).max(1);
    let least = GraphPlan {
        groups: 1,
        points: MIN_POINTS.min(most),
        queries: 1,
        fetched: MIN_POINTS.min(most),
        solved: 1,
        ahead: false,
    };
    if !fits(&least) {
        return Err(Error::Memory {
            what: format!("vectors of {} numbers with k = {}", job.dim, job.k),
            needed: least.bytes(job, costs).div_ceil(3).saturating_mul(4),
            cap,
        });
    }
    let analysed = GraphPlan {
        ahead: can_analyse(costs, least.points, job.dim),
        ..least
    };
    let least = if fits(&analysed) { analysed } else { least };
    let fixed = least.bytes(job, costs);
    let with_share = |share: u64| {
        let most_bytes = fixed + (memory - fixed) / SHARES * share;
        let within = |queries| {
            let plan = GraphPlan { queries, ..least };
            fits(&plan) && plan.bytes(job, costs) <= most_bytes
        };
        let mut plan = GraphPlan {
            queries: largest(1, most.min(job.queries), within),
            ..least
        };
        plan.points = largest(least.points, most, |points| {
            fits(&GraphPlan { points, ..plan })
        });
        plan.fetched = (plan.points / SMALLER).max(least.fetched);
        plan.solved = largest(1, plan.queries, |solved| {
            fits(&GraphPlan { solved, ..plan })
        });
        plan
    };
    let plans = (1..=SHARES / 4 * 3).rev().map(with_share);
    let best = plans.min_by_key(|plan| {
        let searched = plan.searches(job).saturating_mul(job.samples as u64);
        SEARCH
            .saturating_mul(searched)
            .saturating_add(plan.rows_fetched(job))
    });
    Ok(best.unwrap_or(least))
}

/// Whether `wanted` of so many samples are picked from the file, rather than found among all of them.
pub fn picks(wanted: usize, samples: usize) -> bool {
    wanted.saturating_mul(PICKED) <= samples
}

impl GraphPlan {
    /// Blocks of queries, past each of which all points are streamed.
    pub(super) fn searches(&self, job: &GraphJob) -> u64 {
        job.queries.div_ceil(self.queries) as u64
    }

    /// Samples of a space that are read to fetch the vectors of candidates, at the most: for every part of a block of queries that
    /// is solved, its candidates or all samples.
    pub fn rows_fetched(&self, job: &GraphJob) -> u64 {
        if self.whole(job) || self.has_rows(job) {
            return 0;
        }
        let of_part = |queries: usize| {
            let most = queries.saturating_mul(job.k);
            match picks(most, job.samples) {
                true => most as u64,
                false => job.samples as u64,
            }
        };
        let of_block = |queries: usize| {
            let whole = (queries / self.solved) as u64;
            let whole = whole.saturating_mul(of_part(self.solved));
            whole.saturating_add(of_part(queries % self.solved))
        };
        let blocks = (job.queries / self.queries) as u64;
        let whole = blocks.saturating_mul(of_block(self.queries));
        whole.saturating_add(of_block(job.queries % self.queries))
    }
}
