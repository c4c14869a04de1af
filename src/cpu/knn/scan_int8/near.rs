//! The scan of tiles that a k-d tree has put in order: first the tiles around the queries, then all others whose
//! boxes lie within a query's radius.

use super::{BUDGET, BUFFER, CHUNK, Int8Batch, PAIRS_PER_DISTANCE, PASS_NONE};
use crate::cpu::gemm::{COLS, ROWS};
use crate::cpu::knn::tree::{Balls, Sorted, Tree};
use crate::simd::Simd;
use std::ops::Range;

/// Tiles scanned together around the queries: first their own, which gives a first bound, then others.
const STEPS: [usize; 3] = [1, 3, CHUNK];

/// Where the queries of a batch are in the tree.
#[derive(Clone, Copy)]
pub(in crate::cpu::knn) struct TreePlaces<'a> {
    /// `[queries]` the tile that each falls into.
    leaves: &'a [u32],
    /// `[queries, axes]` coordinates along the tree's directions.
    coordinates: &'a [f32],
}

impl Sorted {
    /// Where some of the queries are.
    pub(in crate::cpu::knn) fn places(&self, queries: Range<usize>) -> TreePlaces<'_> {
        let axes = self.coordinates.len() / self.rows.len().max(1);
        TreePlaces {
            leaves: &self.leaves[queries.clone()],
            coordinates: &self.coordinates[queries.start * axes..queries.end * axes],
        }
    }
}

impl Int8Batch<'_> {
    /// Scans the tiles that may hold neighbours; `false` if too many points pass.
    #[inline(always)]
    pub(super) fn scan_near<S: Simd>(&mut self, places: TreePlaces<'_>, tree: &Tree) -> bool {
        let count = self.lists.count();
        let axes = places.coordinates.len() / count;
        let mut budget = count * BUDGET * self.job.job.k.max(BUFFER);
        let mut spent = 0;
        let mut which = Vec::new();
        let mut coordinates = Vec::with_capacity(ROWS * axes);
        for first in (0..count).step_by(ROWS) {
            let queries = first..(first + ROWS).min(count);
            let leaf = places.leaves[queries.start.midpoint(queries.end)];
            let home = tree.surroundings(leaf);
            which.clear();
            which.extend(home.clone().map(|tile| tile as u32));
            // The queries' own tile first, then by distance along the tree's order.
            which.sort_unstable_by_key(|&tile| tile.abs_diff(leaf));
            let mut rest = &which[..];
            for step in STEPS {
                let (chunk, others) = rest.split_at(step.min(rest.len()));
                spent += self.scan_tiles::<S>(queries.clone(), chunk);
                for query in queries.clone() {
                    spent += self.counts[query] as usize;
                    self.measure_open::<S>(query);
                }
                rest = others;
            }
            let mut radii = [-1.0; ROWS];
            for (radius, query) in radii.iter_mut().zip(queries.clone()) {
                if self.thresholds[query] != PASS_NONE {
                    *radius = self.radius(query);
                }
            }
            coordinates.clear();
            coordinates
                .extend_from_slice(&places.coordinates[queries.start * axes..queries.end * axes]);
            coordinates.resize(ROWS * axes, 0.0);
            let balls = Balls {
                coordinates: &coordinates,
                radii,
            };
            which.clear();
            tree.near(&balls, home, &mut which);
            for chunk in which.chunks(CHUNK) {
                spent += self.scan_tiles::<S>(queries.clone(), chunk);
            }
            for query in queries {
                self.measure_open::<S>(query);
            }
            // The float32 filter would scan all pairs.
            budget += ROWS * self.tiles() * COLS / PAIRS_PER_DISTANCE;
            if spent > budget {
                return false;
            }
        }
        true
    }

    /// Scans at most [`CHUNK`] tiles for eight queries; returns how many points it measured.
    #[inline(always)]
    fn scan_tiles<S: Simd>(&mut self, queries: Range<usize>, which: &[u32]) -> usize {
        let mut measured = 0;
        if which.is_empty() {
            return measured;
        }
        self.filter(queries.start..queries.start + ROWS, which);
        for query in queries {
            measured += self.take::<S>(query, which);
        }
        measured
    }

    /// Measures the buffered points of a query whose list may still improve.
    #[inline(always)]
    fn measure_open<S: Simd>(&mut self, query: usize) {
        if self.thresholds[query] != PASS_NONE {
            self.measure::<S>(query);
        }
    }
}
