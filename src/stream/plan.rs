//! From a job and a memory cap to block sizes. Pure and deterministic; results never depend on it.
//!
//! One NNK graph needs every point of its channel beside a block of queries. Channels are taken in
//! groups as large as memory allows, whole (`points == samples`), so that each value is read and
//! uploaded once. A channel that does not fit by itself is streamed in blocks of points past each
//! block of queries: once to find the candidates, once to fetch their vectors.

use crate::{Error, Result};

/// What is to be done: one graph over `samples` vectors of `dim` numbers in each of `spaces` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphJob {
    /// Channels, or 1 for the aggregate.
    pub spaces: usize,
    /// Samples `N`.
    pub samples: usize,
    /// Numbers per vector.
    pub dim: usize,
    /// Candidates per query.
    pub k: usize,
}

/// What blocks cost on the device, as the backend states it.
pub trait Costs {
    /// Bytes of a prepared block of points.
    fn points_bytes(&self, groups: usize, rows: usize, dim: usize) -> u64;
    /// Bytes of candidate lists and scratch for a block of queries.
    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64;
    /// Largest single allocation, bytes.
    fn max_block_bytes(&self) -> u64;
    /// Whether one cap bounds host and device together.
    fn shares_host_memory(&self) -> bool;
}

/// Block sizes for one [`GraphJob`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphPlan {
    /// Channels at a time.
    pub groups: usize,
    /// Points at a time; all samples if they fit.
    pub points: usize,
    /// Queries at a time.
    pub queries: usize,
}

/// Queries that keep every core or compute unit busy; more only cost memory.
const ENOUGH_QUERIES: usize = 1 << 16;
/// Queries at a time below which whole channels are not worth having.
const FEW_QUERIES: usize = 64;
/// Most bytes that a backend keeps per candidate or per row beside its values, in one allocation.
const ENTRY: u64 = 16;
/// Fewest points per block; queries may go down to one.
const MIN_POINTS: usize = 32;

/// Chooses block sizes so that host and device working sets stay below three quarters of `cap` bytes;
/// the supports of channels and aggregate have the rest.
///
/// # Errors
/// [`Error::Memory`] names the least cap that would do.
pub fn plan_graph(job: &GraphJob, costs: &dyn Costs, cap: u64) -> Result<GraphPlan> {
    let memory = cap / 4 * 3;
    let n = job.samples;
    let few = FEW_QUERIES.min(n);
    let fits = |p: &GraphPlan| {
        p.bytes(job, costs) <= memory && p.block_bytes(job) <= costs.max_block_bytes()
    };
    let whole = |groups| GraphPlan {
        groups,
        points: n,
        queries: few,
    };
    let mut plan = if fits(&whole(1)) {
        let most = largest(1, job.spaces, |g| fits(&whole(g)));
        // Equal groups: 160 channels of which 100 fit go as 80 and 80.
        whole(job.spaces.div_ceil(job.spaces.div_ceil(most)))
    } else {
        let blocks = |points, queries| GraphPlan {
            groups: 1,
            points,
            queries,
        };
        let least = blocks(MIN_POINTS.min(n), 1);
        if !fits(&least) {
            return Err(Error::Memory {
                what: format!("vectors of {} numbers with k = {}", job.dim, job.k),
                needed: least.bytes(job, costs).div_ceil(3).saturating_mul(4),
                cap,
            });
        }
        // Every block of queries costs two readings of the channel, so queries get half of the memory.
        let half = |q| {
            let block = blocks(least.points, q);
            fits(&block) && block.bytes(job, costs) <= memory / 2
        };
        let queries = if half(1) { largest(1, n, half) } else { 1 };
        let points = largest(least.points, n, |p| fits(&blocks(p, queries)));
        return Ok(blocks(points, queries));
    };
    while plan.queries < n && plan.groups * plan.queries < ENOUGH_QUERIES {
        let more = GraphPlan {
            queries: (plan.queries * 2).min(n),
            ..plan
        };
        if !fits(&more) {
            break;
        }
        plan = more;
    }
    Ok(plan)
}

impl GraphPlan {
    /// Whether every channel's points are on the device at once.
    pub fn whole(&self, job: &GraphJob) -> bool {
        self.points >= job.samples
    }

    /// Largest single allocation on the device: rows, gathered vectors, or the `ENTRY` bytes that a row's
    /// norm or a listed candidate takes.
    fn block_bytes(&self, job: &GraphJob) -> u64 {
        let listed = self.queries.saturating_mul(job.k);
        let gathered = if self.whole(job) { 0 } else { listed };
        let vectors = 4 * product(&[self.groups, self.points.max(gathered), job.dim]);
        vectors.max(ENTRY * product(&[self.groups, self.points.max(listed)]))
    }

    /// Bytes in use at the worst moment, on the side that `memory` bounds.
    pub fn bytes(&self, job: &GraphJob, costs: &dyn Costs) -> u64 {
        let (g, q, k, d) = (self.groups, self.queries, job.k, job.dim);
        let values = |rows: usize| 4 * product(&[g, rows, d]);
        // The block being used and the one being read; results being made and being added up.
        let mut host = 2 * values(self.points) + 2 * product(&[g, q, 16 * k + 32]);
        let mut device = costs.points_bytes(g, self.points, d) + costs.graph_bytes(g, q, k, d);
        if !self.whole(job) {
            host += values(q);
            device += costs.points_bytes(g, q, d) + values(q.saturating_mul(k));
        }
        if costs.shares_host_memory() {
            host.saturating_add(device)
        } else {
            host.max(device)
        }
    }
}

fn product(factors: &[usize]) -> u64 {
    factors
        .iter()
        .fold(1u64, |acc, &f| acc.saturating_mul(f as u64))
}

/// Largest `x` in `lo..=hi` with `ok(x)`, given that `ok` holds at `lo` and never again once it fails.
fn largest(lo: usize, hi: usize, ok: impl Fn(usize) -> bool) -> usize {
    let (mut lo, mut hi) = (lo, hi.max(lo));
    while lo < hi {
        let mid = lo + (hi - lo).div_ceil(2);
        if ok(mid) { lo = mid } else { hi = mid - 1 }
    }
    lo
}
