//! Which elements of an axis make an element of a resized one, and how much of each. Coordinates are computed in
//! float32, as onnxruntime does, so that ties are broken alike.

use crate::ops::net::Resampling;

/// How a place in the result corresponds to a place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coordinates {
    /// Centres of elements correspond.
    HalfPixel,
    /// The same, the centres of both axes kept in the middle.
    HalfPixelSymmetric,
    /// Centres of elements correspond, but a single one is the first.
    TorchHalfPixel,
    /// The first and last elements correspond.
    AlignCorners,
    /// The first elements correspond.
    Asymmetric,
    /// Centres of elements in the result, starts of elements in the source.
    HalfPixelForNearest,
    /// The first and last elements correspond to the ends of a region.
    Crop,
}

/// Which element is the nearest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Halves are rounded down.
    PreferFloor,
    /// Halves are rounded up.
    PreferCeil,
    /// Always down.
    Floor,
    /// Always up.
    Ceil,
    /// Up where the axis becomes shorter, else down.
    Simple,
}

/// Sizes of an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Size of the result over that of the source, before rounding.
    pub(super) scale: f32,
    /// Of [`Coordinates::Crop`]: start and end as parts of the source.
    pub(super) region: [f32; 2],
}

/// How to interpolate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    pub(super) coordinates: Coordinates,
    /// Where there is one term.
    pub(super) rounding: Rounding,
    /// 1: nearest, 2: linear, 4: cubic.
    pub(super) terms: usize,
    /// Parameter of the cubic polynomials.
    pub(super) cubic: f32,
    /// Whether elements outside weigh nothing, rather than being those at the edge.
    pub(super) exclude_outside: bool,
    /// Whether an axis that becomes shorter is averaged over all its elements.
    pub(super) antialias: bool,
}

impl Method {
    /// Whether the result differs from the source along an axis.
    pub(super) fn changes(&self, axis: &Axis) -> bool {
        let whole = axis.from == axis.to && axis.scale == 1.0;
        !whole || self.coordinates == Coordinates::Crop && axis.region != [0.0, 1.0]
    }

    /// Elements and weights along an axis.
    pub(super) fn table(&self, axis: &Axis) -> Resampling {
        let rows: Vec<Vec<(i64, f32)>> = (0..axis.to)
            .map(|i| {
                let at = self.source(i, axis);
                let last = (axis.from - 1) as f32;
                if self.coordinates == Coordinates::Crop && !(at >= 0.0 && at <= last) {
                    return vec![];
                }
                match self.terms {
                    1 => vec![(self.nearest(at, axis), 1.0)],
                    _ if self.antialias => self.averaged(at, axis),
                    2 => linear(at.clamp(0.0, last)),
                    _ => self.cubic(at, axis),
                }
            })
            .collect();
        let terms = rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let mut table = Resampling {
            terms,
            index: vec![0; terms * axis.to],
            weight: vec![0.0; terms * axis.to],
        };
        let last = axis.from as i64 - 1;
        for (i, row) in rows.iter().enumerate() {
            for (t, &(at, weight)) in row.iter().enumerate() {
                table.index[i * terms + t] = at.clamp(0, last) as u32;
                table.weight[i * terms + t] = weight;
            }
        }
        table
    }

    /// The place in the source of element `i` of the result.
    fn source(&self, i: usize, axis: &Axis) -> f32 {
        let (x, from, to, scale) = (i as f32, axis.from as f32, axis.to as f32, axis.scale);
        if scale == 1.0 && axis.from == axis.to && self.coordinates != Coordinates::Crop {
            return x;
        }
        match self.coordinates {
            Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = to / (scale * from);
                from / 2.0 * (1.0 - adjustment) + (x + 0.5) / scale - 0.5
            }
            Coordinates::TorchHalfPixel if axis.to > 1 => (x + 0.5) / scale - 0.5,
            Coordinates::TorchHalfPixel => 0.0,
            Coordinates::AlignCorners if axis.to > 1 => x * (from - 1.0) / (to - 1.0),
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => x / scale,
            Coordinates::HalfPixelForNearest => (x + 0.5) / scale,
            Coordinates::Crop => {
                let [start, end] = axis.region;
                if axis.to > 1 {
                    start * (from - 1.0) + x * (end - start) * (from - 1.0) / (to - 1.0)
                } else {
                    0.5 * (start + end) * (from - 1.0)
                }
            }
        }
    }

    fn nearest(&self, at: f32, axis: &Axis) -> i64 {
        let rounded = match self.rounding {
            Rounding::PreferFloor if at == at.floor() + 0.5 => at.floor(),
            Rounding::PreferFloor | Rounding::PreferCeil => at.round(),
            Rounding::Floor => at.floor(),
            Rounding::Ceil => at.ceil(),
            Rounding::Simple if axis.scale < 1.0 => at.ceil(),
            Rounding::Simple => at.trunc(),
        };
        rounded as i64
    }

    /// Four elements around a place.
    fn cubic(&self, at: f32, axis: &Axis) -> Vec<(i64, f32)> {
        let first = at.floor();
        let part = at - first;
        let terms = (-1..3).map(|t| (first as i64 + t, self.filter(t as f32 - part)));
        self.inside(terms.collect(), axis)
    }

    /// The triangle or cubic polynomial at a distance.
    fn filter(&self, distance: f32) -> f32 {
        let (d, a) = (distance.abs(), self.cubic);
        match self.terms {
            2 => (1.0 - d).max(0.0),
            _ if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            _ if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            _ => 0.0,
        }
    }

    /// All elements within reach of a place, the filter stretched where the axis becomes shorter.
    fn averaged(&self, at: f32, axis: &Axis) -> Vec<(i64, f32)> {
        let stretch = (1.0 / axis.scale).max(1.0);
        let reach = stretch * (self.terms / 2) as f32;
        let centre = at + 0.5;
        let first = (centre - reach + 0.5).floor() as i64;
        let end = (centre + reach + 0.5).floor() as i64;
        let mut terms: Vec<(i64, f32)> = (first..end)
            .map(|i| (i, self.filter((i as f32 - centre + 0.5) / stretch)))
            .collect();
        let inside = |i: i64| i >= 0 && i < axis.from as i64;
        if self.exclude_outside {
            terms.retain(|&(i, _)| inside(i));
        }
        normalised(terms)
    }

    fn inside(&self, mut terms: Vec<(i64, f32)>, axis: &Axis) -> Vec<(i64, f32)> {
        if !self.exclude_outside {
            return terms;
        }
        terms.retain(|&(i, _)| i >= 0 && i < axis.from as i64);
        normalised(terms)
    }
}

/// The two elements around a place.
fn linear(at: f32) -> Vec<(i64, f32)> {
    let first = at.floor();
    let part = at - first;
    vec![(first as i64, 1.0 - part), (first as i64 + 1, part)]
}

/// Weights that add up to 1.
fn normalised(mut terms: Vec<(i64, f32)>) -> Vec<(i64, f32)> {
    let total: f32 = terms.iter().map(|t| t.1).sum();
    for term in &mut terms {
        term.1 /= total;
    }
    terms
}
