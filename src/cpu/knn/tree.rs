//! A k-d tree that orders the points, so that a search can skip tiles.
//!
//! The tiles of points are the leaves of the tree. Its axes are the few directions in which the points differ most.
//! A tile has a bounding box along these axes. The distance of a query from the box is a lower bound on its
//! distances from the points inside; where it exceeds the query's current radius (the k-th distance found so far),
//! the tile is skipped.
//!
//! Activations of one channel mostly vary along a few directions. The more points there are, the smaller is the
//! share of tiles within the radius, so that a search takes less than quadratic time. Where a trial shows that most
//! tiles would be scanned anyway, or where there are too few queries, no tree is built.
//!
//! Lower bounds are computed in float32 and lowered by the largest error that rounding can have caused.

mod boxes;
mod directions;

pub(super) use boxes::Balls;

use super::exact::{Query, RowsOf};
use super::packed::Packed;
use super::rows::Rows;
use crate::cpu::gemm::{COLS, ROWS};
use crate::simd::{F64_LANES, F64x8, LineF64};
use boxes::{BOXES, BoxSearch, Boxes, COORDINATES};
use rayon::prelude::*;
use std::ops::Range;

/// Most directions. More hardly make the bounds tighter, and each costs the same.
const AXES: usize = 6;
/// Tiles around a query's own that are scanned first.
const SURROUNDINGS: usize = 8;
/// Points for which a trial search is made before a tree is kept.
const TRIALS: usize = 16;
/// Number of neighbours in a trial search.
const TRIAL_NEIGHBORS: usize = 25;
/// A tree is built where scanning all points for all queries takes so many times as long as building it. A tree saves only a
/// part of that time, which is the smaller the fewer queries there are: eight that are searched together lie further apart then.
const WORTH_BUILDING: f64 = 3.0;

/// When a tree is built.
#[derive(Clone, Copy)]
pub(super) struct TreePolicy {
    /// Fewest tiles for which there is a tree. It takes less time to scan fewer than to select among them.
    min_tiles: usize,
    /// Largest share of the tiles that a trial search may scan.
    max_share: f64,
    /// Queries that will be searched for in all.
    queries: usize,
}

impl TreePolicy {
    /// Where a tree makes the searches for so many queries faster.
    pub(super) fn of(queries: usize) -> Self {
        Self {
            min_tiles: 512,
            max_share: 0.3,
            queries,
        }
    }

    /// Whether building a tree of so many tiles may pay, for rows of `dim` numbers.
    fn pays(&self, tiles: usize, dim: usize) -> bool {
        // In cycles for each point: coordinates and partitions; and its scores by all queries.
        let build = 60.0 * (tiles as f64).log2() + 4.0 * (AXES.min(dim) * dim) as f64;
        let scan = self.queries as f64 * (dim + 6) as f64 / 64.0;
        tiles >= self.min_tiles && scan > WORTH_BUILDING * build
    }
}

/// The order of a group's points, and the boxes of their tiles.
pub(super) struct Tree {
    /// `[axes, dim]`, orthonormal.
    directions: Vec<f64>,
    dim: usize,
    /// `[tiles * COLS]` the row at each place, as far as there are rows.
    pub(super) order: Vec<u32>,
    /// The number of tiles.
    tiles: usize,
    /// Splits of ranges of tiles in half, in preorder.
    splits: Vec<Split>,
    /// The boxes of the tiles.
    boxes: Boxes,
    /// The boxes of groups of [`BOXES`] tiles each.
    groups: Boxes,
    /// The largest coordinate, by magnitude.
    largest: f32,
}

/// Points whose coordinate is below `at` go left; points with ties lie on both sides.
#[derive(Clone, Copy)]
struct Split {
    axis: usize,
    at: f32,
}

/// Queries in the tree's order, and where they lie.
pub(super) struct Sorted {
    /// Their rows.
    pub(super) rows: Vec<u32>,
    /// The tile that each falls into.
    pub(super) leaves: Vec<u32>,
    /// `[queries, axes]`.
    pub(super) coordinates: Vec<f32>,
}

/// Bytes of a [`Tree`], and of the scratch that building it, or sorting as many queries, takes.
pub(super) fn bytes(rows: usize, dim: usize) -> u64 {
    let tiles = rows.div_ceil(COLS).next_multiple_of(BOXES) as u64;
    let (axes, rows, dim) = (AXES as u64, rows as u64, dim as u64);
    // Order; coordinates; keys, rows and leaves of queries, and their coordinates in order.
    8 * axes * dim + rows * (4 + 4 * axes + 16 + 4 * axes) + tiles * (9 * axes + 16)
}

/// Bytes of a [`Tree`] where its policy wants one, and of the coordinates that it is built from.
pub(super) fn usual_bytes(rows: usize, dim: usize, policy: TreePolicy) -> (u64, u64) {
    match policy.pays(rows.div_ceil(COLS), dim) {
        true => (4 * rows as u64, 4 * (AXES.min(dim) * rows) as u64),
        false => (0, 0),
    }
}

impl Tree {
    /// `None` where a tree would not make searches faster.
    pub(super) fn new(
        points: &Rows,
        group: usize,
        packed: &Packed,
        policy: TreePolicy,
    ) -> Option<Self> {
        let (rows, dim) = (points.rows, points.dim);
        let tiles = rows.div_ceil(COLS);
        if !policy.pays(tiles, dim) {
            return None;
        }
        let directions = directions::directions(points, group, packed);
        let axes = directions.len() / dim;
        let mut tree = Self {
            directions,
            dim,
            order: (0..rows as u32).collect(),
            tiles,
            splits: Vec::new(),
            boxes: Boxes::default(),
            groups: Boxes::default(),
            largest: 0.0,
        };
        let coordinates = tree.coordinates(points, group, packed, 0..rows);
        tree.largest = coordinates.iter().fold(0.0, |m: f32, c| m.max(c.abs()));
        // A NaN or infinity is in no range.
        if axes == 0 || !COORDINATES.contains(&tree.largest) {
            return None;
        }
        let mut order = std::mem::take(&mut tree.order);
        tree.splits = split(&mut order, &coordinates, axes);
        tree.order = order;
        tree.bound(&coordinates, axes);
        let share = tree.trial_share(points, group, &coordinates);
        (share < policy.max_share).then_some(tree)
    }

    fn axes(&self) -> usize {
        self.directions.len() / self.dim
    }

    /// `[rows, axes]` coordinates of rows; 0 for a row without direction.
    fn coordinates(
        &self,
        points: &Rows,
        group: usize,
        packed: &Packed,
        rows: Range<usize>,
    ) -> Vec<f32> {
        let axes = self.axes().max(1);
        let mut out = vec![0f32; rows.len() * axes];
        out.par_chunks_mut(axes * 64)
            .enumerate()
            .for_each(|(chunk, out)| {
                let mut scratch = points.scratch();
                for (row, out) in (rows.start + chunk * 64..).zip(out.chunks_exact_mut(axes)) {
                    let Some(factor) = points.factor(group, row) else {
                        continue;
                    };
                    let row = points.row(group, row).widen(&mut scratch);
                    for (out, direction) in
                        out.iter_mut().zip(self.directions.chunks_exact(self.dim))
                    {
                        let terms = row.iter().zip(packed.centre()).zip(direction);
                        *out = terms
                            .map(|((&x, c), d)| (f64::from(x) * factor - c) * d)
                            .sum::<f64>() as f32;
                    }
                }
            });
        out
    }

    /// Sets the boxes of the tiles and of their groups.
    fn bound(&mut self, coordinates: &[f32], axes: usize) {
        let groups = self.tiles.div_ceil(BOXES);
        self.boxes = Boxes::empty(self.tiles, axes);
        self.groups = Boxes::empty(groups, axes);
        for (t, tile) in self.order.chunks(COLS).enumerate() {
            for &row in tile {
                let coordinates = &coordinates[row as usize * axes..][..axes];
                self.boxes.hold(t, coordinates);
                self.groups.hold(t / BOXES, coordinates);
            }
        }
    }

    /// The share of the tiles that searches for the neighbours of some points would scan, with the radii that the
    /// surroundings of these points give.
    fn trial_share(&self, points: &Rows, group: usize, coordinates: &[f32]) -> f64 {
        let axes = self.axes();
        let (mut scanned, mut query) = (0, Query::new(self.dim));
        let mut near = Vec::new();
        for trial in 0..TRIALS {
            let leaf = (2 * trial + 1) * self.tiles / (2 * TRIALS);
            let row = self.order[leaf * COLS] as usize;
            query.set::<LineF64>(points, group, row);
            let home = self.surroundings(leaf as u32);
            let end = (home.end * COLS).min(self.order.len());
            let mut distances = Vec::new();
            for rows in self.order[home.start * COLS..end].chunks_exact(F64_LANES) {
                let rows: [usize; F64_LANES] = std::array::from_fn(|l| rows[l] as usize);
                let values = rows.map(|row| points.row(group, row).wide());
                let values = values.each_ref().map(|values| &**values);
                let mut found = LineF64::ZERO;
                let measured = query.sq_distances::<LineF64, f32>(
                    points,
                    group,
                    RowsOf { rows, values },
                    None,
                );
                measured.store(&mut found);
                distances.extend(found.0);
            }
            // The point itself is among them.
            distances.select_nth_unstable_by(TRIAL_NEIGHBORS, f64::total_cmp);
            let own = &coordinates[row * axes..][..axes];
            let mut radii = [-1.0; ROWS];
            radii[0] = distances[TRIAL_NEIGHBORS];
            let ball = Balls {
                coordinates: &own.repeat(ROWS),
                radii,
            };
            near.clear();
            self.near(&ball, 0..0, &mut near);
            scanned += near.len();
        }
        scanned as f64 / (TRIALS * self.tiles) as f64
    }

    /// The rows of queries in the order of the tiles that they fall into.
    pub(super) fn sorted(
        &self,
        queries: &Rows,
        group: usize,
        packed: &Packed,
        rows: Range<usize>,
    ) -> Sorted {
        let axes = self.axes();
        let coordinates = self.coordinates(queries, group, packed, rows.clone());
        let mut keys: Vec<(u32, u32)> = coordinates
            .par_chunks(axes)
            .zip(0..rows.len() as u32)
            .map(|(coordinates, query)| (self.leaf(coordinates), query))
            .collect();
        keys.par_sort_unstable();
        let mut sorted = Sorted {
            rows: Vec::with_capacity(keys.len()),
            leaves: Vec::with_capacity(keys.len()),
            coordinates: Vec::with_capacity(keys.len() * axes),
        };
        for (leaf, query) in keys {
            sorted.rows.push(rows.start as u32 + query);
            sorted.leaves.push(leaf);
            let own = &coordinates[query as usize * axes..][..axes];
            sorted.coordinates.extend_from_slice(own);
        }
        sorted
    }

    /// The tile that a point with these coordinates falls into.
    fn leaf(&self, coordinates: &[f32]) -> u32 {
        let (mut range, mut at) = (0..self.tiles, 0);
        while range.len() > 1 {
            let (split, middle) = (self.splits[at], middle(&range));
            // In preorder; the left half has one split less than it has tiles.
            if coordinates[split.axis] < split.at {
                (range, at) = (range.start..middle, at + 1);
            } else {
                (range, at) = (middle..range.end, at + middle - range.start);
            }
        }
        range.start as u32
    }

    /// The tiles around one.
    pub(super) fn surroundings(&self, leaf: u32) -> Range<usize> {
        let start = (leaf as usize).saturating_sub(SURROUNDINGS / 2);
        start..(start + SURROUNDINGS).min(self.tiles)
    }

    /// Adds to `out` the tiles whose boxes meet one of the balls, without those in `home`.
    #[inline(always)]
    pub(super) fn near(&self, balls: &Balls<'_>, home: Range<usize>, out: &mut Vec<u32>) {
        let search = BoxSearch::new(balls, self.axes(), self.largest);
        for all in 0..self.groups.count(self.axes()) {
            let groups = search.nearest(&self.groups, all);
            for (lane, _) in groups.into_iter().enumerate().filter(|near| near.1 <= 1.0) {
                let group = all * BOXES + lane;
                if group * BOXES >= self.tiles {
                    break;
                }
                for (lane, near) in search.nearest(&self.boxes, group).into_iter().enumerate() {
                    let tile = group * BOXES + lane;
                    if near <= 1.0 && tile < self.tiles && !home.contains(&tile) {
                        out.push(tile as u32);
                    }
                }
            }
        }
    }
}

/// The first tile of the right half.
fn middle(range: &Range<usize>) -> usize {
    range.start + range.len() / 2
}

/// Orders rows so that of every range of tiles the half with the lower coordinates comes first, along the axis on
/// which the range varies most; returns the splits in preorder.
fn split(order: &mut [u32], coordinates: &[f32], axes: usize) -> Vec<Split> {
    let tiles = order.len().div_ceil(COLS);
    if tiles <= 1 {
        order.sort_unstable();
        return Vec::new();
    }
    let spread = |axis: usize| {
        // The variance of a sample will do.
        let step = order.len().div_ceil(1024);
        let values = order.iter().step_by(step);
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for &row in values {
            let c = f64::from(coordinates[row as usize * axes + axis]);
            (n, sum, squares) = (n + 1.0, sum + c, squares + c * c);
        }
        squares - sum * sum / n
    };
    let widest = (0..axes).max_by(|&a, &b| spread(a).total_cmp(&spread(b)));
    let axis = widest.unwrap_or(0);
    let at = tiles / 2 * COLS;
    let coordinate = |row: u32| coordinates[row as usize * axes + axis];
    order.select_nth_unstable_by(at, |&a, &b| {
        (coordinate(a).total_cmp(&coordinate(b))).then(a.cmp(&b))
    });
    let here = Split {
        axis,
        at: coordinate(order[at]),
    };
    let (left, right) = order.split_at_mut(at);
    let (left, right) = rayon::join(
        || split(left, coordinates, axes),
        || split(right, coordinates, axes),
    );
    std::iter::once(here).chain(left).chain(right).collect()
}

#[cfg(feature = "internals")]
pub(in crate::cpu) mod tests;
