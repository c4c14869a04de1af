//! The k nearest neighbours found so far, and ways to order them.

use crate::Result;
use crate::cpu::pages;
use crate::ops::{ListsShape, check_lists, check_part, number};
use crate::simd::{F64_LANES, F64x8, LineF64};
use std::ops::Range;

/// Bisection steps towards the k-th distance, which need not be met but approached from above.
const BISECTIONS: usize = 12;

/// A neighbour found so far. Candidates are ordered by exact (float64) squared distance, then by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Zeroable)]
pub struct Candidate {
    /// Squared distance, `2 - 2 cos` under cosine; never negative.
    pub sq_distance: f64,
    /// Sample index.
    pub index: u32,
}

impl Candidate {
    /// A key that sorts by (distance, index). Distances are never negative, so their bits sort as they do.
    fn key(&self) -> (u64, u32) {
        (self.sq_distance.to_bits(), self.index)
    }
}

/// The k nearest neighbours found so far of a block of queries.
pub struct Candidates {
    groups: usize,
    queries: usize,
    k: usize,
    /// `[groups, queries, k]`, each list in order; only its first `lens` entries are in use.
    entries: Vec<Candidate>,
    /// `[groups, queries]`.
    lens: Vec<u32>,
}

impl Candidates {
    pub(in crate::cpu) fn new(groups: usize, queries: usize, k: usize) -> Result<Self> {
        let entries = check_lists(groups, queries, k)?;
        Ok(Self {
            groups,
            queries,
            k,
            entries: pages::zeros(entries),
            lens: vec![0; groups * queries],
        })
    }

    /// Candidates of one query in one group, in order; fewer than `k` where there are no more.
    ///
    /// # Panics
    /// If `group` or `query` is out of range.
    pub fn list(&self, group: usize, query: usize) -> &[Candidate] {
        let i = group * self.queries + query;
        &self.entries[i * self.k..][..self.lens[i] as usize]
    }

    /// Sample indices, -1 past the end of a list, and squared distances, `[groups, queries, k]`.
    pub(in crate::cpu) fn flat(&self) -> (Vec<i32>, Vec<f64>) {
        let mut indices = vec![-1; self.entries.len()];
        let mut sq_distances = vec![0.0; self.entries.len()];
        for (i, &len) in self.lens.iter().enumerate() {
            for at in i * self.k..i * self.k + len as usize {
                indices[at] = self.entries[at].index as i32;
                sq_distances[at] = self.entries[at].sq_distance;
            }
        }
        (indices, sq_distances)
    }

    /// A copy of the lists of some queries.
    ///
    /// # Errors
    /// Those of [`check_part`].
    pub(in crate::cpu) fn part(&self, queries: Range<usize>) -> Result<Self> {
        check_part(self.lists(), &queries)?;
        let k = self.k;
        Ok(Self {
            groups: 1,
            queries: queries.len(),
            k,
            entries: self.entries[queries.start * k..queries.end * k].to_vec(),
            lens: self.lens[queries].to_vec(),
        })
    }

    /// The samples in the lists, ascending, each once, and the lists with their places there.
    ///
    /// # Errors
    /// Those of [`check_part`].
    pub(in crate::cpu) fn numbered(&self) -> Result<(Vec<usize>, Self)> {
        let mut copy = self.part(0..self.queries)?;
        let lists = copy.entries.chunks_mut(self.k.max(1)).zip(&self.lens);
        let mut listed: Vec<&mut u32> = lists
            .flat_map(|(list, &len)| &mut list[..len as usize])
            .map(|candidate| &mut candidate.index)
            .collect();
        let samples = number(&mut listed);
        Ok((samples, copy))
    }

    /// Groups, queries, k.
    pub(super) fn shape(&self) -> (usize, usize, usize) {
        (self.groups, self.queries, self.k)
    }

    /// All entries and list lengths.
    pub(super) fn parts_mut(&mut self) -> (&mut [Candidate], &mut [u32]) {
        (&mut self.entries, &mut self.lens)
    }

    /// The same, for checks of arguments.
    pub(in crate::cpu) fn lists(&self) -> ListsShape {
        ListsShape {
            groups: self.groups,
            queries: self.queries,
            k: self.k,
        }
    }
}

/// Orders candidates by distance, equal distances as they come. `distances` are infinite past the last of `indices`.
/// A candidate's place is the number of candidates before it, which is counted without a branch on a distance.
#[inline(always)]
pub(super) fn ordered<D: F64x8>(distances: &[LineF64], indices: &[u32], out: &mut Vec<Candidate>) {
    out.clear();
    out.resize(indices.len(), Candidate::default());
    for (i, &index) in indices.iter().enumerate() {
        let (own, lane) = (i / F64_LANES, i % F64_LANES);
        let sq_distance = distances[own].0[lane];
        let this = D::splat(sq_distance);
        let mut place = 0;
        for other in &distances[..own] {
            place += (!this.lt(D::load(other))).count_ones();
        }
        let other = D::load(&distances[own]);
        let earlier = (1u8 << lane) - 1;
        place += (other.lt(this) | (!this.lt(other) & earlier)).count_ones();
        for other in &distances[own + 1..] {
            place += D::load(other).lt(this).count_ones();
        }
        out[place as usize] = Candidate { sq_distance, index };
    }
}

/// Orders candidates with equal distances, which are in order of distance, by index too.
pub(super) fn order_ties(list: &mut [Candidate]) {
    let tie = |pair: &[Candidate]| pair[0].key() > pair[1].key();
    if list.windows(2).any(tie) {
        list.sort_unstable_by_key(Candidate::key);
    }
}

/// Keeps the nearest `k`, in order.
pub(super) fn keep_nearest(list: &mut Vec<Candidate>, k: usize) {
    if list.len() > k {
        list.select_nth_unstable_by_key(k - 1, Candidate::key);
        list.truncate(k);
    }
    list.sort_unstable_by_key(Candidate::key);
}

/// One of the distances: near the `k`-th smallest of them and not below it. At least `k` of them must be finite.
#[inline(always)]
pub(super) fn at_least_kth_smallest<D: F64x8>(distances: &[LineF64], k: usize) -> f64 {
    let mut smallest = D::splat(f64::INFINITY);
    for d in distances {
        smallest = smallest.min(D::load(d));
    }
    let mut line = LineF64::ZERO;
    smallest.store(&mut line);
    let mut low = line.0.into_iter().fold(f64::INFINITY, f64::min);
    let mut high = f64::INFINITY;
    let mut top = largest_below::<D>(distances, high);
    // Bisection takes a few sweeps of vectors. A selection would mispredict a branch for every distance.
    for _ in 0..BISECTIONS {
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
fn count_below<D: F64x8>(distances: &[LineF64], bound: f64) -> usize {
    let bound = D::splat(bound);
    let mut count = 0;
    for d in distances {
        count += D::load(d).lt(bound).count_ones();
    }
    count as usize
}

#[inline(always)]
fn largest_below<D: F64x8>(distances: &[LineF64], bound: f64) -> f64 {
    let (bound, mut largest) = (D::splat(bound), D::splat(0.0));
    for d in distances {
        let d = D::load(d);
        largest = largest.max(D::select(d.lt(bound), d, largest));
    }
    let mut line = LineF64::ZERO;
    largest.store(&mut line);
    line.0.into_iter().fold(0.0, f64::max)
}

/// Bytes of a [`Candidates`].
pub(in crate::cpu) fn state_bytes(groups: usize, queries: usize, k: usize) -> u64 {
    groups as u64 * queries as u64 * (k as u64 * size_of::<Candidate>() as u64 + 4)
}
