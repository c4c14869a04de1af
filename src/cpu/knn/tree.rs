//! Points in an order that keeps near ones in the same panel, and which panels a query need not look at.
//!
//! Panels are the leaves of a k-d tree over the few directions in which the points differ most. A panel's
//! box in these directions bounds the distances to its points from below: where that is beyond the k-th
//! nearest so far, none of them is wanted. Activations of one channel mostly vary along a few directions,
//! and the more there are the fewer panels are near: a search takes less than the square of their number.
//! Where a trial shows that most panels would be looked at anyway, there is no tree.
//!
//! Bounds are float32, less what rounding can have done to them.

mod directions;

use super::exact::Query;
use super::points::{Packed, Points};
use crate::cpu::f64x8::{F64x8, LANES, Pack};
use crate::cpu::gemm::{COLS, ROWS};
use rayon::prelude::*;
use std::ops::Range;

/// Directions at most: more make bounds hardly tighter, and cost as much each.
const AXES: usize = 6;
/// Panels around a query's own that are looked at first.
const HOME: usize = 8;
/// Points whose neighbourhoods are tried out, and what is taken for the number of neighbours.
const TRIALS: usize = 16;
const NEIGHBORS: usize = 25;
/// Boxes tested together.
const BOXES: usize = 16;
/// Coordinates whose squares neither overflow nor vanish.
const COORDINATES: std::ops::Range<f32> = 1e-12..1e15;

/// When there is a tree.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Panels at least: fewer are faster looked at than chosen from.
    panels: usize,
    /// Share of the panels that may be near in a trial.
    near: f64,
}

impl Rule {
    /// Where it is faster.
    pub(super) const USUAL: Self = Self {
        panels: 512,
        near: 0.3,
    };
}

/// Order and boxes of a group's points.
pub(super) struct Tree {
    /// `[axes, dim]`, orthonormal.
    directions: Vec<f64>,
    dim: usize,
    /// `[panels * COLS]` the row at each place, as far as there are rows.
    pub(super) order: Vec<u32>,
    panels: usize,
    /// Splits of panel ranges in half, a range before its halves.
    splits: Vec<Split>,
    /// Of the panels.
    boxes: Boxes,
    /// Of [`BOXES`] panels each, which lie together too.
    groups: Boxes,
    /// Largest coordinate.
    largest: f32,
}

/// Sides of boxes, `[boxes / BOXES, axes, BOXES]`, infinite where there is no box.
#[derive(Default)]
struct Boxes {
    low: Vec<[f32; BOXES]>,
    high: Vec<[f32; BOXES]>,
}

/// Points below `at` go left; ties lie on both sides.
#[derive(Clone, Copy)]
struct Split {
    axis: usize,
    at: f32,
}

/// Queries in the tree's order, and where they are.
pub(super) struct Sorted {
    /// Rows.
    pub(super) rows: Vec<u32>,
    /// Panel that each lies in.
    pub(super) leaves: Vec<u32>,
    /// `[queries, axes]`.
    pub(super) coordinates: Vec<f32>,
}

/// Where eight queries look for neighbours.
pub(super) struct Near<'a> {
    /// `[ROWS, axes]`.
    pub(super) coordinates: &'a [f32],
    /// Squared distances beyond which nothing is wanted; negative for a query that wants nothing.
    pub(super) bounds: [f64; ROWS],
}

/// Bytes of a [`Tree`], and of what makes it or sorts as many queries.
pub(super) fn bytes(rows: usize, dim: usize) -> u64 {
    let panels = rows.div_ceil(COLS).next_multiple_of(BOXES) as u64;
    let (axes, rows, dim) = (AXES as u64, rows as u64, dim as u64);
    // Order; coordinates; keys, rows and leaves of queries, and their coordinates in order.
    8 * axes * dim + rows * (4 + 4 * axes + 16 + 4 * axes) + panels * (9 * axes + 16)
}

impl Tree {
    /// `None` where it would not be worth its while.
    pub(super) fn new(points: &Points, group: usize, packed: &Packed, rule: Rule) -> Option<Self> {
        let (rows, dim) = (points.rows, points.dim);
        let panels = rows.div_ceil(COLS);
        if panels < rule.panels {
            return None;
        }
        let directions = directions::directions(points, group, packed);
        let axes = directions.len() / dim;
        let mut tree = Self {
            directions,
            dim,
            order: (0..rows as u32).collect(),
            panels,
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
        let near = tree.share_near(points, group, &coordinates);
        (near < rule.near).then_some(tree)
    }

    fn axes(&self) -> usize {
        self.directions.len() / self.dim
    }

    /// `[rows, axes]` coordinates of rows, 0 where there is no direction.
    fn coordinates(
        &self,
        points: &Points,
        group: usize,
        packed: &Packed,
        rows: Range<usize>,
    ) -> Vec<f32> {
        let axes = self.axes().max(1);
        let mut out = vec![0f32; rows.len() * axes];
        out.par_chunks_mut(axes * 64)
            .enumerate()
            .for_each(|(chunk, out)| {
                for (row, out) in (rows.start + chunk * 64..).zip(out.chunks_exact_mut(axes)) {
                    let Some(factor) = points.factor(group, row) else {
                        continue;
                    };
                    let row = points.row(group, row);
                    for (out, direction) in
                        out.iter_mut().zip(self.directions.chunks_exact(self.dim))
                    {
                        let terms = row.iter().zip(&packed.centre).zip(direction);
                        *out = terms
                            .map(|((&x, c), d)| (f64::from(x) * factor - c) * d)
                            .sum::<f64>() as f32;
                    }
                }
            });
        out
    }

    /// Boxes of the panels, and of groups of them.
    fn bound(&mut self, coordinates: &[f32], axes: usize) {
        let groups = self.panels.div_ceil(BOXES);
        self.boxes = Boxes::empty(self.panels, axes);
        self.groups = Boxes::empty(groups, axes);
        for (p, panel) in self.order.chunks(COLS).enumerate() {
            for &row in panel {
                let coordinates = &coordinates[row as usize * axes..][..axes];
                self.boxes.hold(p, coordinates);
                self.groups.hold(p / BOXES, coordinates);
            }
        }
    }

    /// Share of the panels that may hold neighbours of some points, as far as their surroundings tell.
    fn share_near(&self, points: &Points, group: usize, coordinates: &[f32]) -> f64 {
        let axes = self.axes();
        let (mut looked, mut query) = (0, Query::new(self.dim));
        let mut near = Vec::new();
        for trial in 0..TRIALS {
            let leaf = (2 * trial + 1) * self.panels / (2 * TRIALS);
            let row = self.order[leaf * COLS] as usize;
            query.set(points, group, row);
            let home = self.home(leaf as u32);
            let end = (home.end * COLS).min(self.order.len());
            let mut distances = Vec::new();
            for rows in self.order[home.start * COLS..end].chunks_exact(LANES) {
                let rows: [usize; LANES] = std::array::from_fn(|l| rows[l] as usize);
                let values = rows.map(|row| points.row(group, row));
                let mut found = Pack::ZERO;
                let measured = query.sq_distances::<Pack>(points, group, rows, values);
                measured.store(&mut found);
                distances.extend(found.0);
            }
            // The point itself is among them.
            distances.select_nth_unstable_by(NEIGHBORS, f64::total_cmp);
            let own = &coordinates[row * axes..][..axes];
            let mut bounds = [-1.0; ROWS];
            bounds[0] = distances[NEIGHBORS];
            let one = Near {
                coordinates: &own.repeat(ROWS),
                bounds,
            };
            near.clear();
            self.near(&one, 0..0, &mut near);
            looked += near.len();
        }
        looked as f64 / (TRIALS * self.panels) as f64
    }

    /// Rows of queries in the order of the panels they fall into.
    pub(super) fn sorted(
        &self,
        queries: &Points,
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

    /// The panel where a point with these coordinates would be.
    fn leaf(&self, coordinates: &[f32]) -> u32 {
        let (mut range, mut at) = (0..self.panels, 0);
        while range.len() > 1 {
            let (split, middle) = (self.splits[at], middle(&range));
            // Preorder: the left half has a split less than panels.
            if coordinates[split.axis] < split.at {
                (range, at) = (range.start..middle, at + 1);
            } else {
                (range, at) = (middle..range.end, at + middle - range.start);
            }
        }
        range.start as u32
    }

    /// Panels about one.
    pub(super) fn home(&self, leaf: u32) -> Range<usize> {
        let start = (leaf as usize).saturating_sub(HOME / 2);
        start..(start + HOME).min(self.panels)
    }

    /// Panels that may hold a point that one of the queries wants, those of `home` left out.
    #[inline(always)]
    pub(super) fn near(&self, queries: &Near<'_>, home: Range<usize>, out: &mut Vec<u32>) {
        let axes = self.axes();
        let mut shares = [0f32; ROWS];
        let mut rounding = [0f32; ROWS];
        let coordinates = queries.coordinates.chunks_exact(axes);
        for (i, (own, bound)) in coordinates.zip(queries.bounds).enumerate() {
            // Sums of squares are off by a few roundings, coordinates by three of the largest.
            shares[i] = match bound < 0.0 {
                true => f32::INFINITY,
                false => 1.0 / ((bound * (1.0 + 1e-5)) as f32).max(f32::MIN_POSITIVE),
            };
            let largest = own.iter().fold(self.largest, |m, c| m.max(c.abs()));
            rounding[i] = largest * (1.0 / (1 << 21) as f32);
            // Queries far away, or of no number, look everywhere.
            let usual = own.iter().all(|c| c.abs() < COORDINATES.end);
            if bound >= 0.0 && !usual {
                shares[i] = 0.0;
                rounding[i] = f32::INFINITY;
            }
        }
        let reach = Reach {
            coordinates: queries.coordinates,
            axes,
            shares,
            rounding,
        };
        for all in 0..self.groups.low.len() / axes {
            let groups = reach.boxes(&self.groups, all);
            for (lane, _) in groups.into_iter().enumerate().filter(|near| near.1 <= 1.0) {
                let group = all * BOXES + lane;
                if group * BOXES >= self.panels {
                    break;
                }
                for (lane, near) in reach.boxes(&self.boxes, group).into_iter().enumerate() {
                    let panel = group * BOXES + lane;
                    if near <= 1.0 && panel < self.panels && !home.contains(&panel) {
                        out.push(panel as u32);
                    }
                }
            }
        }
    }
}

impl Boxes {
    fn empty(count: usize, axes: usize) -> Self {
        let len = count.div_ceil(BOXES) * axes;
        Self {
            low: vec![[f32::INFINITY; BOXES]; len],
            high: vec![[f32::NEG_INFINITY; BOXES]; len],
        }
    }

    /// Widens a box for a point.
    fn hold(&mut self, at: usize, coordinates: &[f32]) {
        let axes = coordinates.len();
        for (axis, &c) in coordinates.iter().enumerate() {
            let low = &mut self.low[at / BOXES * axes + axis][at % BOXES];
            *low = low.min(c);
            let high = &mut self.high[at / BOXES * axes + axis][at % BOXES];
            *high = high.max(c);
        }
    }
}

/// How far eight queries look.
struct Reach<'a> {
    /// `[ROWS, axes]`.
    coordinates: &'a [f32],
    axes: usize,
    /// One over the bounds.
    shares: [f32; ROWS],
    rounding: [f32; ROWS],
}

impl Reach<'_> {
    /// The least squared distances of a group of boxes, in parts of what the queries want.
    #[inline(always)]
    fn boxes(&self, boxes: &Boxes, group: usize) -> [f32; BOXES] {
        let low = &boxes.low[group * self.axes..][..self.axes];
        let high = &boxes.high[group * self.axes..][..self.axes];
        let mut nearest = [f32::INFINITY; BOXES];
        for (i, own) in self.coordinates.chunks_exact(self.axes).enumerate() {
            let mut sum = [0f32; BOXES];
            for ((low, high), &c) in low.iter().zip(high).zip(own) {
                for lane in 0..BOXES {
                    let outside = larger(low[lane] - c, c - high[lane]);
                    let gap = larger(outside - self.rounding[i], 0.0);
                    sum[lane] += gap * gap;
                }
            }
            for (nearest, sum) in nearest.iter_mut().zip(sum) {
                let part = sum * self.shares[i];
                // Not of a NaN, from where there is no box or no query.
                *nearest = if part < *nearest { part } else { *nearest };
            }
        }
        nearest
    }
}

/// One instruction, unlike `max`, which minds NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// First panel of the right half.
fn middle(range: &Range<usize>) -> usize {
    range.start + range.len() / 2
}

/// Puts rows in order: of every range of panels the half with the lower coordinates first, along the axis
/// on which it is widest.
fn split(order: &mut [u32], coordinates: &[f32], axes: usize) -> Vec<Split> {
    let panels = order.len().div_ceil(COLS);
    if panels <= 1 {
        order.sort_unstable();
        return Vec::new();
    }
    let spread = |axis: usize| {
        // A few rows tell.
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
    let at = panels / 2 * COLS;
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

#[cfg(test)]
mod tests;
