//! What a search knows of its group, and the nearest so far of a tile of queries.

use super::exact::Query;
use super::points::Points;
use super::select::{Candidate, keep_nearest, order_ties, ordered};
use crate::cpu::f64x8::{F64x8, LANES, Pack};
use crate::cpu::simd::prefetch;
use crate::ops::{GraphParams, Identical};

/// Most candidates that are ordered by counting: a square of their number, but without a branch on a distance.
const FEW: usize = 128;
/// Rows measured before the bound is lowered.
const BATCH: usize = 128;
/// Steps towards the k-th distance: it need not be met, only approached from above.
const HALVINGS: usize = 12;

/// Search of one group of points.
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

/// The nearest so far of some queries of a group: every point seen that is not nearer than a query's bound
/// has at least `k` before it. Lists are ordered and cut to `k` at the end only.
pub(super) struct Lists<'a> {
    job: &'a Job<'a>,
    /// Rows of the queries.
    rows: Vec<u32>,
    /// Points come in ascending order, so that of equal distances the first may stay.
    ascending: bool,
    /// `[queries, k]`.
    entries: &'a mut [Candidate],
    lens: &'a mut [u32],
    /// `[queries, room]`.
    distances: Vec<Pack>,
    /// `[queries, room]` sample indices.
    indices: Vec<u32>,
    room: usize,
    counts: Vec<usize>,
    bounds: Vec<f64>,
    /// The query that is being measured.
    query: Query,
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
        let room = (2 * k + BATCH + 1).next_multiple_of(LANES);
        let mut lists = Self {
            job,
            rows,
            ascending,
            entries,
            lens,
            distances: vec![Pack::ZERO; count * room / LANES],
            indices: vec![0; count * room],
            room,
            counts: vec![0; count],
            bounds: vec![f64::INFINITY; count],
            query: Query::new(job.points.dim),
            sorted: Vec::with_capacity(room),
        };
        for query in 0..count {
            lists.reset(query);
        }
        lists
    }

    /// Forgets what was measured for a query.
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

    /// Queries.
    pub(super) fn count(&self) -> usize {
        self.lens.len()
    }

    /// Row of a query in its block.
    pub(super) fn query_row(&self, query: usize) -> usize {
        self.rows[query] as usize
    }

    /// Whether a row of the points is the query itself.
    #[inline(always)]
    pub(super) fn is_own(&self, query: usize, row: usize) -> bool {
        self.job.queries.first + self.query_row(query) == self.job.points.first + row
    }

    /// Squared distance from which on a point cannot be among the nearest: infinite while there are not
    /// `k`. One that ties may be where points come in no order.
    pub(super) fn bound(&self, query: usize) -> f64 {
        self.bounds[query]
    }

    /// Whether nothing can be improved: where points come in order, later ones can only tie at distance 0,
    /// and ties go to the lower index.
    pub(super) fn is_final(&self, query: usize) -> bool {
        self.ascending && self.bounds[query] == 0.0
    }

    /// Measures `count` rows exactly (`row(i)` is the `i`-th, in order over all calls if `ascending`) and takes
    /// note of those that may be among the nearest, the query itself left out.
    #[inline(always)]
    pub(super) fn measure<D: F64x8>(
        &mut self,
        query: usize,
        count: usize,
        row: impl Fn(usize) -> usize,
    ) {
        if count == 0 {
            return;
        }
        let Job {
            queries,
            points,
            group,
            identical,
            ..
        } = *self.job;
        let query_row = self.query_row(query);
        let own = (queries.first + query_row).wrapping_sub(points.first);
        self.query.set(queries, group, query_row);
        let all = points.rows_of(group);
        for batch in (0..count).step_by(BATCH) {
            let bound = match self.ascending {
                true => self.bounds[query],
                false => self.bounds[query].next_up(),
            };
            let bound = D::splat(bound);
            let distances = distances_mut(&mut self.distances, query, self.room);
            let indices = &mut self.indices[query * self.room..][..self.room];
            let mut len = self.counts[query];
            let end = (batch + BATCH).min(count);
            let mut next = rows_at(all, points.dim, batch, end, &row);
            for first in (batch..end).step_by(LANES) {
                let (rows, values) = next;
                if first + LANES < end {
                    next = rows_at(all, points.dim, first + LANES, end, &row);
                }
                let measured = self.query.sq_distances::<D>(points, group, rows, values);
                let mut nearer = measured.lt(bound) & (0xff >> (LANES - LANES.min(end - first)));
                if identical == Identical::Replace {
                    nearer &= D::splat(0.0).lt(measured);
                }
                let mut pack = Pack::ZERO;
                measured.store(&mut pack);
                // Without a branch: which of them stay is anyone's guess.
                for (l, (row, distance)) in rows.into_iter().zip(pack.0).enumerate() {
                    distances[len] = distance;
                    indices[len] = (points.first + row) as u32;
                    len += usize::from(nearer >> l & 1 == 1) & usize::from(row != own);
                }
            }
            self.counts[query] = len;
            if len >= self.job.k {
                self.lower::<D>(query);
            }
        }
    }

    /// Lowers the bound of a query with `k` or more distances, and drops what is beyond it.
    #[inline(always)]
    fn lower<D: F64x8>(&mut self, query: usize) {
        let k = self.job.k;
        let packs = self.room / LANES;
        let len = self.counts[query];
        let distances = distances_mut(&mut self.distances, query, self.room);
        distances[len..len.next_multiple_of(LANES)].fill(f64::INFINITY);
        let packs = &self.distances[query * packs..][..len.div_ceil(LANES)];
        let bound = at_least_kth_smallest::<D>(packs, k);
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
            // Many at the same distance.
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

    /// Orders the nearest `k` of a query by (distance, index).
    #[inline(always)]
    fn sort<D: F64x8>(&mut self, query: usize) {
        let len = self.counts[query];
        let distances = distances_mut(&mut self.distances, query, self.room);
        distances[len..len.next_multiple_of(LANES)].fill(f64::INFINITY);
        let packs = &self.distances[query * (self.room / LANES)..][..len.div_ceil(LANES)];
        let indices = &self.indices[query * self.room..][..len];
        if len <= FEW {
            ordered::<D>(packs, indices, &mut self.sorted);
            if !self.ascending {
                order_ties(&mut self.sorted);
            }
            self.sorted.truncate(self.job.k);
            return;
        }
        let both = bytemuck::cast_slice::<_, f64>(packs).iter().zip(indices);
        self.sorted.clear();
        self.sorted
            .extend(both.map(|(&sq_distance, &index)| Candidate { sq_distance, index }));
        keep_nearest(&mut self.sorted, self.job.k);
    }

    /// Writes the lists.
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

/// The rows `first..` of at most `end`, and their values, which are asked for: they lie far apart.
#[inline(always)]
fn rows_at<'a>(
    all: &'a [f32],
    dim: usize,
    first: usize,
    end: usize,
    row: &impl Fn(usize) -> usize,
) -> ([usize; LANES], [&'a [f32]; LANES]) {
    let mut rows = [0; LANES];
    let mut values = [&[][..]; LANES];
    for (l, (to, values)) in rows.iter_mut().zip(&mut values).enumerate() {
        *to = row((first + l).min(end - 1));
        *values = &all[*to * dim..][..dim];
        prefetch(values);
    }
    (rows, values)
}

/// A query's distances.
#[inline(always)]
fn distances_mut(distances: &mut [Pack], query: usize, room: usize) -> &mut [f64] {
    let packs = room / LANES;
    bytemuck::cast_slice_mut(&mut distances[query * packs..][..packs])
}

/// One of the distances, near the `k`-th smallest of them and not below it; infinite ones do not count,
/// and there are `k` others.
#[inline(always)]
fn at_least_kth_smallest<D: F64x8>(distances: &[Pack], k: usize) -> f64 {
    let mut smallest = D::splat(f64::INFINITY);
    for d in distances {
        smallest = smallest.min(D::load(d));
    }
    let mut pack = Pack::ZERO;
    smallest.store(&mut pack);
    let mut low = pack.0.into_iter().fold(f64::INFINITY, f64::min);
    let mut high = f64::INFINITY;
    let mut top = largest_below::<D>(distances, high);
    // Halving takes a few sweeps of vectors; selecting would take as many mispredicted branches as there
    // are distances.
    for _ in 0..HALVINGS {
        let middle = low + 0.5 * (top - low);
        let within = count_below::<D>(distances, middle);
        if within >= k {
            (high, top) = (middle, middle);
            if within <= k + k / 8 {
                break;
            }
        } else {
            low = middle;
        }
    }
    largest_below::<D>(distances, high)
}

#[inline(always)]
fn count_below<D: F64x8>(distances: &[Pack], bound: f64) -> usize {
    let bound = D::splat(bound);
    let mut count = 0;
    for d in distances {
        count += D::load(d).lt(bound).count_ones();
    }
    count as usize
}

#[inline(always)]
fn largest_below<D: F64x8>(distances: &[Pack], bound: f64) -> f64 {
    let (bound, mut largest) = (D::splat(bound), D::splat(0.0));
    for d in distances {
        let d = D::load(d);
        largest = largest.max(D::select(d.lt(bound), d, largest));
    }
    let mut pack = Pack::ZERO;
    largest.store(&mut pack);
    pack.0.into_iter().fold(0.0, f64::max)
}
