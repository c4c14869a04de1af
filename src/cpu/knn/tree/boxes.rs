//! Bounding boxes of tiles, and which of them meet the balls in which queries look for neighbours.

use crate::cpu::gemm::ROWS;

/// Boxes tested together.
pub(super) const BOXES: usize = 16;
/// Coordinates whose squares neither overflow nor underflow.
pub(super) const COORDINATES: std::ops::Range<f32> = 1e-12..1e15;

/// The sides of boxes, `[boxes / BOXES, axes, BOXES]`, infinite where there is no box.
#[derive(Default)]
pub(super) struct Boxes {
    low: Vec<[f32; BOXES]>,
    high: Vec<[f32; BOXES]>,
}

/// Eight balls around queries, in which their neighbours lie.
pub(in crate::cpu::knn) struct Balls<'a> {
    /// `[ROWS, axes]` centres.
    pub(in crate::cpu::knn) coordinates: &'a [f32],
    /// Squared radii; negative for a query whose list cannot improve.
    pub(in crate::cpu::knn) radii: [f64; ROWS],
}

impl Boxes {
    pub(super) fn empty(count: usize, axes: usize) -> Self {
        let len = count.div_ceil(BOXES) * axes;
        Self {
            low: vec![[f32::INFINITY; BOXES]; len],
            high: vec![[f32::NEG_INFINITY; BOXES]; len],
        }
    }

    /// The number of groups of [`BOXES`] boxes.
    pub(super) fn count(&self, axes: usize) -> usize {
        self.low.len() / axes
    }

    /// Extends a box so that it holds a point.
    pub(super) fn hold(&mut self, at: usize, coordinates: &[f32]) {
        let axes = coordinates.len();
        for (axis, &c) in coordinates.iter().enumerate() {
            let low = &mut self.low[at / BOXES * axes + axis][at % BOXES];
            *low = low.min(c);
            let high = &mut self.high[at / BOXES * axes + axis][at % BOXES];
            *high = high.max(c);
        }
    }
}

/// Eight balls, prepared for tests of many boxes.
pub(super) struct BoxSearch<'a> {
    /// `[ROWS, axes]`.
    coordinates: &'a [f32],
    axes: usize,
    /// One over the squared radii.
    inverse_radii: [f32; ROWS],
    /// What rounding may have added to a coordinate difference.
    rounding: [f32; ROWS],
}

impl<'a> BoxSearch<'a> {
    /// Prepares balls for boxes around points whose coordinates are at most `largest_of_points` by magnitude.
    #[inline(always)]
    pub(super) fn new(balls: &Balls<'a>, axes: usize, largest_of_points: f32) -> Self {
        let mut inverse_radii = [0f32; ROWS];
        let mut rounding = [0f32; ROWS];
        let coordinates = balls.coordinates.chunks_exact(axes);
        for (i, (own, radius)) in coordinates.zip(balls.radii).enumerate() {
            // Sums of squares are off by a few roundings, and coordinates by three roundings of the largest.
            inverse_radii[i] = match radius < 0.0 {
                true => f32::INFINITY,
                false => 1.0 / ((radius * (1.0 + 1e-5)) as f32).max(f32::MIN_POSITIVE),
            };
            let largest = own.iter().fold(largest_of_points, |m, c| m.max(c.abs()));
            rounding[i] = largest * (1.0 / (1 << 21) as f32);
            // A query that is far away, or has a NaN coordinate, scans all tiles.
            let usual = own.iter().all(|c| c.abs() < COORDINATES.end);
            if radius >= 0.0 && !usual {
                inverse_radii[i] = 0.0;
                rounding[i] = f32::INFINITY;
            }
        }
        Self {
            coordinates: balls.coordinates,
            axes,
            inverse_radii,
            rounding,
        }
    }

    /// For each of [`BOXES`] boxes the smallest squared distance from a query, as a share of the query's squared
    /// radius. A box meets a ball where it is at most 1.
    #[inline(always)]
    pub(super) fn nearest(&self, boxes: &Boxes, group: usize) -> [f32; BOXES] {
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
                let share = sum * self.inverse_radii[i];
                // A NaN, where there is no box or no query, is left out.
                *nearest = if share < *nearest { share } else { *nearest };
            }
        }
        nearest
    }
}

/// The larger number in one instruction. (`f32::max` takes more, because it treats NaN.)
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}
