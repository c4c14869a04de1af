//! The search among panels that a tree has put in order: those around the queries first, then whichever
//! may hold a neighbour.

use super::{BUFFER, CHUNK, DONE, EXPECTED, Int8Tile, PAIRS};
use crate::cpu::f64x8::F64x8;
use crate::cpu::gemm::{COLS, ROWS};
use crate::cpu::knn::tree::{Near, Sorted, Tree};
use std::ops::Range;

/// Panels looked at together around the queries: their own, which gives a first bound, then others.
const STEPS: [usize; 3] = [1, 3, CHUNK];

/// Where the queries of a tile are.
#[derive(Clone, Copy)]
pub(in crate::cpu::knn) struct Places<'a> {
    /// Panels.
    leaves: &'a [u32],
    /// `[queries, axes]`.
    coordinates: &'a [f32],
}

impl Sorted {
    /// Where some of them are.
    pub(in crate::cpu::knn) fn places(&self, queries: Range<usize>) -> Places<'_> {
        let axes = self.coordinates.len() / self.rows.len().max(1);
        Places {
            leaves: &self.leaves[queries.clone()],
            coordinates: &self.coordinates[queries.start * axes..queries.end * axes],
        }
    }
}

impl Int8Tile<'_> {
    /// Looks at the panels that may hold neighbours; false if too many points pass.
    #[inline(always)]
    pub(super) fn near<D: F64x8>(&mut self, places: Places<'_>, tree: &Tree) -> bool {
        let count = self.lists.count();
        let axes = places.coordinates.len() / count;
        let mut budget = count * EXPECTED * self.job.job.k.max(BUFFER);
        let mut spent = 0;
        let mut which = Vec::new();
        let mut coordinates = Vec::with_capacity(ROWS * axes);
        for first in (0..count).step_by(ROWS) {
            let queries = first..(first + ROWS).min(count);
            let leaf = places.leaves[queries.start.midpoint(queries.end)];
            let home = tree.home(leaf);
            which.clear();
            which.extend(home.clone().map(|panel| panel as u32));
            // The own one first, then by distance along the order.
            which.sort_unstable_by_key(|&panel| panel.abs_diff(leaf));
            let mut rest = &which[..];
            for step in STEPS {
                let (chunk, others) = rest.split_at(step.min(rest.len()));
                spent += self.look::<D>(queries.clone(), chunk);
                for query in queries.clone() {
                    spent += self.counts[query] as usize;
                    self.measure_live::<D>(query);
                }
                rest = others;
            }
            let mut bounds = [-1.0; ROWS];
            for (bound, query) in bounds.iter_mut().zip(queries.clone()) {
                if self.marks[query] != DONE {
                    *bound = self.reach(query);
                }
            }
            coordinates.clear();
            coordinates
                .extend_from_slice(&places.coordinates[queries.start * axes..queries.end * axes]);
            coordinates.resize(ROWS * axes, 0.0);
            let near = Near {
                coordinates: &coordinates,
                bounds,
            };
            which.clear();
            tree.near(&near, home, &mut which);
            for chunk in which.chunks(CHUNK) {
                spent += self.look::<D>(queries.clone(), chunk);
            }
            for query in queries {
                self.measure_live::<D>(query);
            }
            // The other filter looks at all pairs.
            budget += ROWS * self.panels() * COLS / PAIRS;
            if spent > budget {
                return false;
            }
        }
        true
    }

    /// At most [`CHUNK`] panels past eight queries; returns how many points it measured.
    #[inline(always)]
    fn look<D: F64x8>(&mut self, queries: Range<usize>, which: &[u32]) -> usize {
        let mut measured = 0;
        if which.is_empty() {
            return measured;
        }
        self.filter::<false>(queries.start..queries.start + ROWS, which);
        for query in queries {
            measured += self.take::<D>(query, which);
        }
        measured
    }

    /// Measures what is buffered, of a query that wants anything.
    #[inline(always)]
    fn measure_live<D: F64x8>(&mut self, query: usize) {
        if self.marks[query] != DONE {
            self.measure::<D>(query);
        }
    }
}
