//! Clusters channels by similarity, and orders them so that similar ones stand together.
//!
//! Average-linkage clustering by the nearest-neighbour chain (Murtagh 1983), `O(C^2)` in time and
//! memory; the leaves of two joined clusters are laid end to end the way round that puts their most
//! similar ends together. Deterministic: ties go to the lower index.

use ndarray::ArrayView2;

/// A hierarchical clustering of `C` channels, as a list of its leaves from left to right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clustering {
    /// `[C]`: the channels, clusters in one piece.
    pub order: Vec<usize>,
    /// `[C - 1]`: the similarity at which the clusters of a leaf and of the next one were joined; `None` where they never
    /// were. The clusters at any cut are the pieces of `order` that are left if it is divided wherever this is below the cut.
    pub joins: Vec<Option<f32>>,
}

/// Clusters by the similarities `s [C, C]`, which should be symmetric: of each pair the mean counts, and 0 where it is not
/// finite. Rows without any finite value off the diagonal (dead channels) come last, in their own order, and are not joined.
pub fn cluster(s: ArrayView2<'_, f64>) -> Clustering {
    let n = s.nrows().min(s.ncols());
    let (live, dead): (Vec<usize>, Vec<usize>) =
        (0..n).partition(|&i| (0..n).any(|j| j != i && s[[i, j]].is_finite()));
    let mut clusters = Clusters::new(&s, &live);
    clusters.join_all();
    let Piece { mut leaves, joins } = clusters.pieces.swap_remove(0);
    leaves.extend(dead);
    let mut joins: Vec<Option<f32>> = joins.into_iter().map(Some).collect();
    joins.resize(n.saturating_sub(1), None);
    Clustering {
        order: leaves,
        joins,
    }
}

/// A cluster: its leaves, and the similarities at which neighbouring ones were joined.
#[derive(Clone, Debug, Default)]
struct Piece {
    leaves: Vec<usize>,
    joins: Vec<f32>,
}

impl Piece {
    fn reverse(&mut self) {
        self.leaves.reverse();
        self.joins.reverse();
    }
}

/// Magnitude above which similarities are taken as equal, so that weighted sums of them are finite in f32.
const LARGEST: f64 = 1e30;

struct Clusters<'a> {
    s: &'a ArrayView2<'a, f64>,
    n: usize,
    /// `[n, n]` distances between clusters, by slot.
    distance: Vec<f32>,
    /// The cluster of each slot, empty once it is joined to another.
    pieces: Vec<Piece>,
}

impl<'a> Clusters<'a> {
    fn new(s: &'a ArrayView2<'a, f64>, live: &[usize]) -> Self {
        let n = live.len();
        // Symmetric and finite whatever the similarities are: else a chain of nearest neighbours need not end.
        let mut distance = vec![0.0; n * n];
        for (a, &i) in live.iter().enumerate() {
            for (b, &j) in live.iter().enumerate().take(a) {
                let similarity = (s[[i, j]] + s[[j, i]]) / 2.0;
                let d = match similarity.is_finite() {
                    true => (-similarity).clamp(-LARGEST, LARGEST) as f32,
                    false => 0.0,
                };
                distance[a * n + b] = d;
                distance[b * n + a] = d;
            }
        }
        let leaf = |&i: &usize| Piece {
            leaves: vec![i],
            joins: Vec::new(),
        };
        let mut pieces: Vec<Piece> = live.iter().map(leaf).collect();
        if pieces.is_empty() {
            pieces.push(Piece::default());
        }
        Self {
            s,
            n,
            distance,
            pieces,
        }
    }

    fn join_all(&mut self) {
        let mut chain: Vec<usize> = Vec::new();
        for _ in 1..self.n {
            if chain.is_empty() {
                chain.push(0);
            }
            // Each link is strictly shorter than the one before, so the chain ends.
            loop {
                let top = chain[chain.len() - 1];
                let before = chain.len().checked_sub(2).map(|i| chain[i]);
                let near = self.nearest(top, before);
                if Some(near) != before {
                    chain.push(near);
                    continue;
                }
                chain.truncate(chain.len() - 2);
                let (a, b) = (top.min(near), top.max(near));
                self.join(a, b);
                // Only rounding can leave a joined cluster on the chain; then begin a new one.
                if chain.contains(&a) || chain.contains(&b) {
                    chain.clear();
                }
                break;
            }
        }
    }

    /// The slot closest to `a`; `prefer` wins ties, which is what ends a chain.
    fn nearest(&self, a: usize, prefer: Option<usize>) -> usize {
        let row = &self.distance[a * self.n..(a + 1) * self.n];
        let mut best = prefer;
        for (b, &d) in row.iter().enumerate() {
            let live = b != a && !self.pieces[b].leaves.is_empty();
            if live && best.is_none_or(|best| d < row[best]) {
                best = Some(b);
            }
        }
        best.unwrap_or(a)
    }

    /// Joins `b` into `a`. Slot 0 is never emptied, since `a < b`.
    fn join(&mut self, a: usize, b: usize) {
        let n = self.n;
        let similarity = -self.distance[a * n + b];
        let second = std::mem::take(&mut self.pieces[b]);
        let first = std::mem::take(&mut self.pieces[a]);
        let (size_a, size_b) = (first.leaves.len() as f32, second.leaves.len() as f32);
        for c in 0..n {
            let (to_a, to_b) = (self.distance[a * n + c], self.distance[b * n + c]);
            let mean = (to_a * size_a + to_b * size_b) / (size_a + size_b);
            self.distance[a * n + c] = mean;
            self.distance[c * n + a] = mean;
        }
        self.pieces[a] = self.lay(first, second, similarity);
    }

    fn lay(&self, mut first: Piece, mut second: Piece, similarity: f32) -> Piece {
        let ends = |v: &[usize]| (v[0], v[v.len() - 1]);
        let ((f0, f1), (s0, s1)) = (ends(&first.leaves), ends(&second.leaves));
        let at = |i: usize, j: usize| {
            let s = self.s[[i, j]];
            if s.is_finite() { s } else { f64::NEG_INFINITY }
        };
        let options = [at(f1, s0), at(f1, s1), at(f0, s0), at(f0, s1)];
        let best = (0..4).fold(
            0,
            |best, i| if options[i] > options[best] { i } else { best },
        );
        if best >= 2 {
            first.reverse();
        }
        if best % 2 == 1 {
            second.reverse();
        }
        // Clusters are joined at a lower similarity than their parts were, but for rounding.
        let parts = first.joins.iter().chain(&second.joins);
        let join = parts.fold(similarity, |low, &j| low.min(j));
        first.leaves.extend(second.leaves);
        first.joins.push(join);
        first.joins.extend(second.joins);
        first
    }
}
