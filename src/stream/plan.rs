//! From a job and a memory cap to block sizes. Pure and deterministic; results never depend on it.
//!
//! One NNK graph needs every point of its channel beside a block of queries. There are three ways, of which the first
//! that fits is taken:
//!
//! 1. **Whole channels**, as many as memory allows. Each value is read and uploaded once.
//! 2. **Rows in memory**: a channel whose rows fit, but not the copies that a search among them needs. All rows are queries
//!    at once. The points are read again, in blocks that are prepared, searched among and dropped. Not where queries are
//!    drawn, whose rows alone take little.
//! 3. **Blocks of queries**: a channel larger than memory. The points are streamed past a block of queries to find the
//!    candidates. Their vectors take `k` times the memory of the queries, so that they are fetched, and the graphs solved, for
//!    a part of the block at a time. A fetch reads those samples alone that are candidates ([`picks`], `queries`), and all where they are
//!    many. The memory is divided between the queries and the vectors so that both together cost least.
//!
//! With `b` bytes of memory for a channel of `B` bytes, of which a share `x` holds queries, the third way reads the channel
//! `B / (b x)` times to search, and at most `k` times as much as all queries to fetch. Fetches would not be needed if the products
//! of all pairs of candidates, `k^2 / 2` numbers a query, were kept in place of their vectors; but problems that are nearly
//! degenerate are solved once more, from the vectors themselves.
//!
//! Where the backend can analyse the next block of points while the device works on this one ([`Costs::analysis_bytes`]), block
//! sizes are chosen so that there is room for the analysis too. The GPU's takes about 24 bytes of the host's memory for a row.
//! Where even the smallest blocks leave no room for it, sizes are chosen without, and blocks are analysed in turn. The device
//! holds one block of points at a time either way.

mod queries;

use crate::Result;
use crate::tensor::ValueType;
use queries::blocks_of_queries;
pub use queries::picks;

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
    /// Queries in each channel, `samples` at most.
    pub queries: usize,
    /// Whether the queries lie scattered among the samples, so that they take room of their own.
    pub drawn: bool,
    /// Type of the values of blocks.
    pub values: ValueType,
}

/// What blocks cost on the device, as the backend states it.
pub trait Costs {
    /// Bytes of a prepared block of points, made of `values`.
    fn points_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64;
    /// Bytes of rows that are not searched among.
    fn rows_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
        self.points_bytes(groups, rows, dim, values)
    }
    /// Bytes of a candidate's vector that was fetched from rows made of `values`.
    fn fetched_bytes(&self, dim: usize, _values: ValueType) -> u64 {
        4 * dim as u64
    }
    /// Bytes of candidate lists and scratch for a block of queries.
    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64;
    /// Largest single allocation, bytes.
    fn max_block_bytes(&self) -> u64;
    /// Bytes of a row in the largest allocation that a search makes for the rows of one channel.
    fn row_bytes(&self, dim: usize) -> u64 {
        4 * dim as u64
    }
    /// Bytes of the host's memory for analysing a block of points ahead of its turn; `None` where the backend does not.
    fn analysis_bytes(&self, _groups: usize, _rows: usize, _dim: usize) -> Option<u64> {
        None
    }
    /// Whether one cap bounds host and device together.
    fn shares_host_memory(&self) -> bool;
}

/// Block sizes for one [`GraphJob`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphPlan {
    /// Channels at a time.
    pub groups: usize,
    /// Points that are prepared for a search at a time; all samples if they fit.
    pub points: usize,
    /// Queries that are searched for at a time; all samples where rows are in memory.
    pub queries: usize,
    /// Points that are read at a time to fetch vectors of candidates. Used by blocks of queries only.
    pub fetched: usize,
    /// Queries that are solved at a time. Used by blocks of queries only.
    pub solved: usize,
    /// Whether the next block of points is analysed while the device works on this one.
    pub ahead: bool,
}

/// Queries that keep every core or compute unit busy; more only cost memory.
const ENOUGH_QUERIES: usize = 1 << 16;
/// Queries at a time below which whole channels are not worth having.
const FEW_QUERIES: usize = 64;
/// Most bytes that a backend keeps per candidate or per row beside its values, in one allocation.
const ENTRY: u64 = 16;
/// Fewest points per block; queries may go down to one.
const MIN_POINTS: usize = 32;
/// Fewest points per block beside rows that are in memory. A block is searched for all queries, which takes long enough.
const FEW_POINTS: usize = 32;
/// Chooses block sizes so that host and device working sets stay below three quarters of `cap` bytes;
/// the supports of channels and aggregate have the rest.
///
/// # Errors
/// [`crate::Error::Memory`] names the least cap that would do.
pub fn plan_graph(job: &GraphJob, costs: &dyn Costs, cap: u64) -> Result<GraphPlan> {
    let memory = cap / 4 * 3;
    let n = job.samples;
    let few = FEW_QUERIES.min(job.queries);
    let fits = |p: &GraphPlan| {
        p.bytes(job, costs) <= memory && p.block_bytes(job, costs) <= costs.max_block_bytes()
    };
    let whole = |groups, ahead| GraphPlan {
        groups,
        points: n,
        queries: few,
        fetched: n,
        solved: few,
        ahead,
    };
    if !fits(&whole(1, false)) {
        let rows = match job.drawn {
            true => None,
            false => rows_in_memory(n, costs, job.dim, &fits),
        };
        return rows.map_or_else(|| blocks_of_queries(job, costs, memory, cap, &fits), Ok);
    }
    // All channels at once need no second block to read ahead into.
    let mut plan = whole(job.spaces, false);
    if !fits(&plan) {
        let ahead = can_analyse(costs, n, job.dim) && fits(&whole(1, true));
        let most = largest(1, job.spaces, |g| fits(&whole(g, ahead)));
        // Equal groups: 160 channels of which 100 fit go as 80 and 80.
        plan = whole(job.spaces.div_ceil(job.spaces.div_ceil(most)), ahead);
    }
    while plan.queries < job.queries && plan.groups * plan.queries < ENOUGH_QUERIES {
        let more = GraphPlan {
            queries: (plan.queries * 2).min(job.queries),
            ..plan
        };
        if !fits(&more) {
            break;
        }
        plan = more;
    }
    Ok(plan)
}

/// Whether the backend analyses blocks of `rows` points ahead.
fn can_analyse(costs: &dyn Costs, rows: usize, dim: usize) -> bool {
    costs.analysis_bytes(1, rows, dim).is_some()
}

/// The rows of one channel in memory, and as many of its points beside them as fit.
fn rows_in_memory(
    n: usize,
    costs: &dyn Costs,
    dim: usize,
    fits: &impl Fn(&GraphPlan) -> bool,
) -> Option<GraphPlan> {
    let rows = |points, ahead| GraphPlan {
        groups: 1,
        points,
        queries: n,
        fetched: points,
        solved: n,
        ahead,
    };
    // All points would be whole channels, which did not fit.
    let few = FEW_POINTS.min(n.saturating_sub(1));
    if few == 0 || !fits(&rows(few, false)) {
        return None;
    }
    let ahead = can_analyse(costs, few, dim) && fits(&rows(few, true));
    let most = largest(few, n - 1, |points| fits(&rows(points, ahead)));
    Some(rows(most, ahead))
}

impl GraphPlan {
    /// Whether every channel's points are on the device at once, prepared for a search.
    pub fn whole(&self, job: &GraphJob) -> bool {
        self.points >= job.samples
    }

    /// Whether the rows of a channel are in memory, but not prepared for a search.
    pub fn has_rows(&self, job: &GraphJob) -> bool {
        !job.drawn && !self.whole(job) && self.queries >= job.samples
    }

    /// How often every value of a channel is read, at the most.
    pub fn readings(&self, job: &GraphJob) -> u64 {
        let fetched = self.rows_fetched(job).div_ceil(job.samples.max(1) as u64);
        self.searching(job) + fetched
    }

    /// How often all samples are read for searches: once where they fit, twice where only rows do, and else as queries, and once
    /// past every block of queries. Of drawn queries, no more than these are read as such.
    fn searching(&self, job: &GraphJob) -> u64 {
        if self.whole(job) {
            return 1;
        }
        if self.has_rows(job) {
            return 2;
        }
        u64::from(!job.drawn) + self.searches(job)
    }

    /// Samples of a space that are read, each as often as it is, at the most: candidates of several queries are fetched once.
    pub fn rows_read(&self, job: &GraphJob) -> u64 {
        // Drawn queries are picked from the points where these are all in memory, and else read by themselves.
        let drawn = if job.drawn && !self.whole(job) {
            job.queries
        } else {
            0
        };
        self.searching(job) * job.samples as u64 + self.rows_fetched(job) + drawn as u64
    }

    /// How often the file is gone through for all channels.
    pub fn passes(&self, job: &GraphJob) -> u64 {
        job.spaces.div_ceil(self.groups) as u64 * self.readings(job)
    }

    /// Largest single allocation on the device: rows, those of a channel as a search reads them, gathered vectors, or
    /// the `ENTRY` bytes that a row's norm or a listed candidate takes.
    fn block_bytes(&self, job: &GraphJob, costs: &dyn Costs) -> u64 {
        let listed = self.queries.saturating_mul(job.k);
        let whole = self.whole(job);
        let rows = self.points.max(if whole { 0 } else { self.queries });
        let gathered = match whole || self.has_rows(job) {
            true => 0,
            false => self.solved.saturating_mul(job.k),
        };
        let vectors = 4 * product(&[self.groups, rows.max(gathered), job.dim]);
        let searched = costs.row_bytes(job.dim).saturating_mul(rows as u64);
        let listed = ENTRY * product(&[self.groups, rows.max(listed)]);
        vectors.max(searched).max(listed)
    }

    /// Bytes in use at the worst moment, on the side that `memory` bounds.
    pub fn bytes(&self, job: &GraphJob, costs: &dyn Costs) -> u64 {
        let (g, q, k, d, v) = (self.groups, self.queries, job.k, job.dim, job.values);
        let shared = costs.shares_host_memory();
        let values = |rows: usize| product(&[v.size(), g, rows, d]);
        let both = |host: u64, device: u64| match shared {
            true => host.saturating_add(device),
            false => host.max(device),
        };
        // Results being made and being added up.
        let results = |queries| 2 * product(&[g, queries, 16 * k + 32]);
        let lists = costs.graph_bytes(g, q, k, d);
        let analysis = match self.ahead {
            true => costs.analysis_bytes(g, self.points, d).unwrap_or(0),
            false => 0,
        };
        if self.whole(job) {
            // The block being used, and the one being read where there is another. Where blocks are analysed ahead, the device
            // has a copy of the one being used, and the two are the one being analysed and the one being read.
            let blocks = if g >= job.spaces { 1 } else { 2 };
            let host = blocks * values(self.points) + results(q) + analysis;
            let points = costs.points_bytes(g, self.points, d, v);
            // Drawn queries are picked from the points.
            let (picked, queries) = match job.drawn {
                true => (values(q), costs.rows_bytes(g, q, d, v)),
                false => (0, 0),
            };
            return both(
                host.saturating_add(picked),
                points.saturating_add(queries).saturating_add(lists),
            );
        }
        // A device of its own gets the queries from the host's copy.
        let copy = if shared { 0 } else { values(q) };
        let queries = costs.rows_bytes(g, q, d, v).saturating_add(lists);
        let find = both(
            (2 * values(self.points) + analysis).max(copy),
            queries.saturating_add(costs.points_bytes(g, self.points, d, v)),
        );
        let solve = match self.has_rows(job) {
            true => both(results(q), queries),
            false => {
                // The lists of a part, a copy that names candidates by their places among those, and these.
                let listed = ENTRY * product(&[self.solved, k]);
                let vectors = costs
                    .fetched_bytes(d, v)
                    .saturating_mul(product(&[g, self.solved, k]))
                    .saturating_add(2 * listed);
                let fetched = costs.rows_bytes(g, self.fetched, d, v);
                both(
                    2 * values(self.fetched) + results(self.solved) + 2 * listed,
                    queries.saturating_add(vectors).saturating_add(fetched),
                )
            }
        };
        find.max(solve)
    }
}

/// Passes over a file in small parts that are cheaper than a copy, which takes a reading, a writing and a reading.
const MOST_PASSES: u64 = 3;
/// Bytes that a disk reads at about its full rate wherever they lie.
const LARGE_READ: u64 = 256 << 10;

/// Whether `passes` over a file, which read `part` bytes in one piece, take longer than a copy by channels, whose pieces have
/// `piece` bytes when it is written.
pub fn worth_repacking(passes: u64, part: u64, piece: u64) -> bool {
    passes > MOST_PASSES && part < LARGE_READ && piece >= 2 * part
}

/// Samples of `row` bytes that are copied at a time. Half of the memory holds the samples being copied and those being read;
/// 0 where not even one fits.
pub fn repacked_rows(samples: usize, row: usize, memory: u64) -> usize {
    let fit = memory / 4 / row.max(1) as u64;
    usize::try_from(fit).unwrap_or(usize::MAX).min(samples)
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
