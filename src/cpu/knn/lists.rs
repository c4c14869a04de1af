//! The neighbours found so far of a batch of queries, and the exact distances that decide about them.

use super::coarse::{LONG, keep_near};
use super::exact::{Query, RowsOf};
use super::points::Points;
use super::select::{Candidate, at_least_kth_smallest, keep_nearest, order_ties, ordered};
use crate::ops::{GraphParams, Identical, Kernel};
use crate::simd::{F64_LANES, F64x8, LineF64, Number, Simd, SimdKernel};
use crate::tensor::Values;

/// Most candidates that are ordered by counting, which takes time quadratic in their number but does not branch on
/// distances.
const MAX_COUNTED: usize = 128;
/// Rows measured between two updates of the bound.
const BATCH: usize = 128;

/// The search of one group: its queries, its points and the parameters.
pub(super) struct Job<'a> {
    pub(super) queries: &'a Points,
    pub(super) points: &'a Points,
    pub(super) group: usize,
    pub(super) k: usize,
    pub(super) identical: Identical,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        queries: &'a Points,
        points: &'a Points,
        group: usize,
        params: &GraphParams,
    ) -> Self {
        Self {
            queries,
            points,
            group,
            k: params.k,
            identical: params.identical,
        }
    }
}

/// The neighbours found so far of some queries of a group.
///
/// Each query has a bound on its k-th distance. Points beyond the bound are dropped: at least `k` points are
/// nearer. Lists are ordered and cut to `k` only at the end.
pub(super) struct Lists<'a> {
    job: &'a Job<'a>,
    /// Rows of the queries.
    rows: Vec<u32>,
    /// Whether points come in ascending order of their indices, so that of equal distances the first one wins.
    ascending: bool,
    /// `[queries, k]`.
    entries: &'a mut [Candidate],
    lens: &'a mut [u32],
    /// `[queries, room]` distances of the points kept.
    distances: Vec<LineF64>,
    /// `[queries, room]` their sample indices.
    indices: Vec<u32>,
    /// Points that can be kept for a query.
    room: usize,
    /// Points kept for each query.
    counts: Vec<usize>,
    /// Upper bounds on the k-th distances.
    bounds: Vec<f64>,
    /// The query that is being measured.
    query: Query,
    /// Whether rows are so long that points are dropped by lower bounds before they are measured.
    is_long: bool,
    /// Room for a query in float32, `[dim]`; empty where it is stored so.
    singles: Vec<f32>,
    /// Scratch of [`Lists::sort`].
    sorted: Vec<Candidate>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(
        job: &'a Job<'a>,
        rows: Vec<u32>,
        ascending: bool,
        entries: &'a mut [Candidate],
        lens: &'a mut [u32],
    ) -> Self {
        let (count, k) = (lens.len(), job.k);
        let room = (2 * k + BATCH + 1).next_multiple_of(F64_LANES);
        let mut lists = Self {
            job,
            rows,
            ascending,
            entries,
            lens,
            distances: vec![LineF64::ZERO; count * room / F64_LANES],
            indices: vec![0; count * room],
            room,
            counts: vec![0; count],
            bounds: vec![f64::INFINITY; count],
            query: Query::new(job.points.dim),
            is_long: job.points.dim >= LONG && job.points.kernel == Kernel::Gaussian,
            singles: job.queries.scratch(),
            sorted: Vec::with_capacity(room),
        };
        for query in 0..count {
            lists.reset(query);
        }
        lists
    }

    /// Returns a query's list to the state from before the search.
    pub(super) fn reset(&mut self, query: usize) {
        let (k, len) = (self.job.k, self.lens[query] as usize);
        let entries = &self.entries[query * k..][..len];
        let distances = distances_mut(&mut self.distances, query, self.room);
        let indices = &mut self.indices[query * self.room..][..self.room];
        for (i, entry) in entries.iter().enumerate() {
            distances[i] = entry.sq_distance;
            indices[i] = entry.index;
        }
        self.counts[query] = len;
        self.bounds[query] = if len == k {
            entries[k - 1].sq_distance
        } else {
            f64::INFINITY
        };
    }

    /// The number of queries.
    pub(super) fn count(&self) -> usize {
        self.lens.len()
    }

    /// The row of a query in its block.
    pub(super) fn query_row(&self, query: usize) -> usize {
        self.rows[query] as usize
    }

    /// Whether a row of the points is the query itself.
    #[inline(always)]
    pub(super) fn is_own(&self, query: usize, row: usize) -> bool {
        self.job.queries.sample(self.query_row(query)) == self.job.points.first + row
    }

    /// Upper bound on the k-th squared distance, infinite while fewer than `k` points are kept. A point beyond it is
    /// not among the nearest. One that ties with it may be, unless points come in ascending order.
    pub(super) fn bound(&self, query: usize) -> f64 {
        self.bounds[query]
    }

    /// Whether no further point can enter the list: the k-th distance is 0, and where points come in ascending
    /// order, a later point that ties loses to the lower index.
    pub(super) fn is_final(&self, query: usize) -> bool {
        self.ascending && self.bounds[query] == 0.0
    }

    /// Computes the exact distances of `count` rows and keeps those that may be among the nearest, the query itself
    /// left out. `row(i)` is the `i`-th row, in ascending order over all calls if `ascending`.
    pub(super) fn measure<S: Simd>(
        &mut self,
        query: usize,
        count: usize,
        row: impl Fn(usize) -> usize,
    ) {
        if count == 0 {
            return;
        }
        let (job, lists) = (self.job, self);
        match job.points.rows_of(job.group) {
            Values::F16(all) => S::call(Measure {
                lists,
                all,
                query,
                count,
                row,
            }),
            Values::F32(all) => S::call(Measure {
                lists,
                all,
                query,
                count,
                row,
            }),
        }
    }

    /// As [`Lists::measure`], with the rows of the group.
    #[inline(always)]
    fn measure_in<S: Simd, T: Number>(
        &mut self,
        all: &[T],
        query: usize,
        count: usize,
        row: impl Fn(usize) -> usize,
    ) {
        let Job {
            queries,
            points,
            group,
            identical,
            ..
        } = *self.job;
        let query_row = self.query_row(query);
        let own = queries.sample(query_row).wrapping_sub(points.first);
        self.query.set::<S::F64x8>(queries, group, query_row);
        for first in (0..count).step_by(BATCH) {
            let bound = match self.ascending {
                true => self.bounds[query],
                false => self.bounds[query].next_up(),
            };
            let mut rows = [0; BATCH];
            let mut rows = &mut rows[..BATCH.min(count - first)];
            for (i, to) in (first..).zip(&mut *rows) {
                *to = row(i);
            }
            if self.is_long && bound < f64::INFINITY {
                let query = queries.row(group, query_row).widen(&mut self.singles);
                let kept = keep_near::<S, T>(query, all, rows, bound);
                rows = &mut rows[..kept];
            }
            let bound = S::F64x8::splat(bound);
            let distances = distances_mut(&mut self.distances, query, self.room);
            let indices = &mut self.indices[query * self.room..][..self.room];
            let mut len = self.counts[query];
            let mut eights = rows.chunks(F64_LANES);
            let mut next = eights.next().map(|rows| rows_at(all, points.dim, rows));
            while let Some((eight, count)) = next {
                next = eights.next().map(|rows| rows_at(all, points.dim, rows));
                let rows = eight.rows;
                let fetched = next.map(|(rows, _)| rows);
                let measured =
                    (self.query).sq_distances::<S::F64x8, T>(points, group, eight, fetched);
                let in_batch = 0xffu8 >> (F64_LANES - count);
                let mut nearer = measured.lt(bound) & in_batch;
                if identical == Identical::Replace {
                    nearer &= S::F64x8::splat(0.0).lt(measured);
                }
                let mut line = LineF64::ZERO;
                measured.store(&mut line);
                // Without a branch, because which of them stay is unpredictable.
                for (l, (row, distance)) in rows.into_iter().zip(line.0).enumerate() {
                    distances[len] = distance;
                    indices[len] = (points.first + row) as u32;
                    len += usize::from(nearer >> l & 1 == 1) & usize::from(row != own);
                }
            }
            self.counts[query] = len;
            if len >= self.job.k {
                self.lower::<S::F64x8>(query);
            }
        }
    }

    /// Lowers the bound of a query with `k` or more points, and drops the points beyond it.
    #[inline(always)]
    fn lower<D: F64x8>(&mut self, query: usize) {
        let k = self.job.k;
        let lines = self.room / F64_LANES;
        let len = self.counts[query];
        let distances = distances_mut(&mut self.distances, query, self.room);
        distances[len..len.next_multiple_of(F64_LANES)].fill(f64::INFINITY);
        let lines = &self.distances[query * lines..][..len.div_ceil(F64_LANES)];
        let bound = at_least_kth_smallest::<D>(lines, k);
        let distances = distances_mut(&mut self.distances, query, self.room);
        let indices = &mut self.indices[query * self.room..][..self.room];
        let mut kept = 0;
        for i in 0..len {
            let (distance, index) = (distances[i], indices[i]);
            distances[kept] = distance;
            indices[kept] = index;
            kept += usize::from(distance <= bound);
        }
        self.counts[query] = kept;
        self.bounds[query] = bound;
        if kept > 2 * k {
            // Many points are at the same distance.
            self.sort::<D>(query);
            self.counts[query] = k;
            self.bounds[query] = self.sorted[k - 1].sq_distance;
            let distances = distances_mut(&mut self.distances, query, self.room);
            let indices = &mut self.indices[query * self.room..][..self.room];
            for (i, one) in self.sorted.iter().enumerate() {
                distances[i] = one.sq_distance;
                indices[i] = one.index;
            }
        }
    }

    /// Leaves the nearest `k` of a query in `sorted`, by (distance, index).
    #[inline(always)]
    fn sort<D: F64x8>(&mut self, query: usize) {
        let len = self.counts[query];
        let distances = distances_mut(&mut self.distances, query, self.room);
        distances[len..len.next_multiple_of(F64_LANES)].fill(f64::INFINITY);
        let lines = &self.distances[query * (self.room / F64_LANES)..][..len.div_ceil(F64_LANES)];
        let indices = &self.indices[query * self.room..][..len];
        if len <= MAX_COUNTED {
            ordered::<D>(lines, indices, &mut self.sorted);
            if !self.ascending {
                order_ties(&mut self.sorted);
            }
            self.sorted.truncate(self.job.k);
            return;
        }
        let both = bytemuck::cast_slice::<_, f64>(lines).iter().zip(indices);
        self.sorted.clear();
        self.sorted
            .extend(both.map(|(&sq_distance, &index)| Candidate { sq_distance, index }));
        keep_nearest(&mut self.sorted, self.job.k);
    }

    /// Writes the lists back.
    #[inline(always)]
    pub(super) fn finish<D: F64x8>(mut self) {
        for query in 0..self.count() {
            self.sort::<D>(query);
            let len = self.sorted.len();
            self.lens[query] = len as u32;
            self.entries[query * self.job.k..][..len].copy_from_slice(&self.sorted);
        }
    }
}

/// [`Lists::measure`], with all rows of the group.
struct Measure<'l, 'a, 'v, T, F> {
    lists: &'l mut Lists<'a>,
    all: &'v [T],
    query: usize,
    count: usize,
    row: F,
}

impl<T: Number, F: Fn(usize) -> usize> SimdKernel for Measure<'_, '_, '_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        (self.lists).measure_in::<S, T>(self.all, self.query, self.count, self.row);
    }
}

/// Up to eight rows (the last one is repeated), the first values of which are fetched, and their number.
#[inline(always)]
fn rows_at<'a, T>(all: &'a [T], dim: usize, rows: &[usize]) -> (RowsOf<'a, T>, usize) {
    let mut eight = RowsOf {
        rows: [0; F64_LANES],
        values: [&[][..]; F64_LANES],
    };
    for (l, (to, values)) in eight.rows.iter_mut().zip(&mut eight.values).enumerate() {
        *to = rows[l.min(rows.len() - 1)];
        *values = &all[*to * dim..][..dim];
    }
    eight.prefetch(0);
    (eight, rows.len())
}

/// A query's distances.
#[inline(always)]
fn distances_mut(distances: &mut [LineF64], query: usize, room: usize) -> &mut [f64] {
    let lines = room / F64_LANES;
    bytemuck::cast_slice_mut(&mut distances[query * lines..][..lines])
}
