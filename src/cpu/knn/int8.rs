//! Rows in bytes, for a filter that multiplies four pairs where `f32` multiplies one.
//!
//! A row is `Y = (x - centre) * scale`, rounded to integers `B`, `|B_i| <= 127`; `e = Y - B`. A squared
//! distance of such rows is `|Yq|^2 - 2 s`, `s = <Yq, Yp> - |Yp|^2 / 2`, and since
//! `<Yq, Yp> = <Bq, Bp> + <eq, Bp> + <Yq, ep>`, by Cauchy and Schwarz
//!
//! `s <= <Bq, Bp> + start(p) + |Yq| E + max(0, |eq| - E) max |B|`, `start(p) = E |Bp| - |Yp|^2 / 2`,
//!
//! with `E` at least `|ep|`. Products and sums of integers are exact, the errors `e` are measured: nothing
//! that may be nearer than the k-th neighbour is lost, however coarse the bytes. Rows that the bytes cannot
//! hold (outliers, beyond [`OUTLIERS`] of a sample) pass unseen.

use super::points::{Packed, Points, sample};
use super::tree::{Rule, Tree};
use crate::cpu::gemm::{COLS, ROWS};
use rayon::prelude::*;

/// Numbers multiplied by one instruction.
pub(super) const QUAD: usize = 4;

/// Beyond it sums of products might leave [`PRODUCTS`].
const MAX_DIM: usize = 1 << 14;
/// What is added to the bytes of a query, which the instruction wants without a sign.
const BIAS: i32 = 128;
/// More than any sum of biased products, `MAX_DIM * 255 * 127`, and than any [`bound`](Int8::mark) that a
/// row within the bytes' range reaches.
const PRODUCTS: i32 = 1 << 29;
/// Start of a row that cannot be a neighbour: stays below [`LOWEST_MARK`].
pub(super) const EXCLUDED: i32 = i32::MIN + PRODUCTS;
/// Start of an outlier: reaches every mark but [`DONE`].
const OUTLIER: i32 = 2 * PRODUCTS;
/// Mark that every row reaches which is not excluded.
pub(super) const LOWEST_MARK: i32 = 1 - 2 * PRODUCTS;
/// Mark that nothing reaches.
pub(super) const DONE: i32 = i32::MAX;

/// One row in so many may be an outlier of the sample that the scale is chosen by.
const OUTLIERS: usize = 512;

/// The byte filter's copy of a group's rows.
pub(super) struct Int8 {
    /// Quadruples of a row, the last one padded with zeros.
    pub(super) quads: usize,
    /// Of `x - centre`.
    scale: f64,
    /// `[panels, quads, COLS]`, four bytes each.
    pub(super) panels: Vec<i32>,
    /// `[panels * COLS]` what sums of products start from: `start(p)`, less what the bias adds.
    pub(super) starts: Vec<i32>,
    /// Places of rows that pass unseen.
    pub(super) outliers: Vec<u32>,
    /// What orders the rows, where that spares a search some of them.
    pub(super) tree: Option<Tree>,
    /// `E`.
    error: f64,
    /// The largest `|B|`.
    largest: f64,
}

/// A row in bytes.
struct Row {
    /// `|Y|^2`.
    sq_norm: f64,
    /// `|e|`.
    error: f64,
    /// `|B|^2`.
    sq_bytes: f64,
    /// Sum of `B`.
    sum: i32,
}

/// What a query's marks are made of.
#[derive(Clone, Copy, Default)]
pub(super) struct Query {
    sq_norm: f64,
    /// `|Yq| E + max(0, |eq| - E) max |B|`.
    slack: f64,
}

impl Query {
    /// How far apart the score of a point and the mark that it must reach may be, more or less.
    pub(super) fn margin(&self) -> f64 {
        2.0 * self.slack
    }
}

impl Int8 {
    /// `None` where the dimension is too large for 32-bit sums.
    pub(super) fn new(points: &Points, group: usize, packed: &Packed, rule: Rule) -> Option<Self> {
        let &Points { rows, dim, .. } = points;
        if dim > MAX_DIM {
            return None;
        }
        let quads = dim.div_ceil(QUAD);
        let (scale, error) = frame(points, group, packed);
        let count = rows.div_ceil(COLS);
        let mut int8 = Self {
            quads,
            scale,
            panels: Vec::new(),
            starts: Vec::new(),
            outliers: Vec::new(),
            tree: Tree::new(points, group, packed, rule),
            error,
            largest: 0.0,
        };
        let mut panels = vec![0i32; count * quads * COLS];
        let mut starts = vec![EXCLUDED; count * COLS];
        let largest = panels
            .par_chunks_mut(quads * COLS)
            .zip(starts.par_chunks_mut(COLS))
            .enumerate()
            .map(|(p, (panel, starts))| {
                let mut largest = 0f64;
                for (lane, start) in starts.iter_mut().enumerate() {
                    let place = p * COLS + lane;
                    if place >= rows {
                        break;
                    }
                    let row = int8.row(place);
                    let to = panel[lane..].iter_mut().step_by(COLS);
                    if let Some(row) = int8.pack(points, group, row, packed, 0, to) {
                        largest = largest.max(row.sq_bytes);
                        *start = int8.start(&row);
                    }
                }
                largest
            })
            .reduce(|| 0.0, f64::max);
        int8.panels = panels;
        let rows = starts.iter().zip(0..);
        int8.outliers = rows
            .filter(|row| *row.0 == OUTLIER)
            .map(|row| row.1)
            .collect();
        int8.starts = starts;
        int8.largest = largest.sqrt();
        Some(int8)
    }

    /// The row at a place of the panels.
    #[inline(always)]
    pub(super) fn row(&self, place: usize) -> usize {
        let order = self.tree.as_ref().map(|tree| &tree.order);
        order.map_or(place, |order| order[place] as usize)
    }

    /// Packs a query into column `lane` of a panel `[quads, ROWS]`; `None` where it has no direction.
    pub(super) fn pack_query(
        &self,
        queries: &Points,
        group: usize,
        row: usize,
        packed: &Packed,
        panel: &mut [i32],
        lane: usize,
    ) -> Option<Query> {
        let to = panel[lane..].iter_mut().step_by(ROWS);
        let row = self.pack(queries, group, row, packed, BIAS, to)?;
        let beyond = (row.error - self.error).max(0.0);
        Some(Query {
            sq_norm: row.sq_norm,
            slack: row.sq_norm.sqrt() * self.error + beyond * self.largest,
        })
    }

    /// Sums of products, [`Int8::starts`] included, that every point reaches whose squared distance, of
    /// rows as read, is below `sq_distance`.
    pub(super) fn mark(&self, query: Query, sq_distance: f64) -> i32 {
        let sq_distance = sq_distance * self.scale * self.scale;
        // Less what float64 rounds, much of it for queries far from all points only.
        let rounding = 1.0 + 1e-14 * (query.sq_norm + sq_distance);
        let mark = (0.5 * (query.sq_norm - sq_distance) - query.slack - rounding).floor();
        // Beyond 2^29 only outliers, which reach it too. A NaN becomes 0, so test for it.
        if mark.is_nan() {
            LOWEST_MARK
        } else {
            (mark as i32).clamp(LOWEST_MARK, PRODUCTS)
        }
    }

    fn start(&self, row: &Row) -> i32 {
        if row.error > self.error {
            return OUTLIER;
        }
        let start = self.error * row.sq_bytes.sqrt() - 0.5 * row.sq_norm;
        start.ceil() as i32 + 1 - BIAS * row.sum
    }

    /// Writes the bytes of a row, `bias` added, to `to`, four at a time.
    fn pack<'a>(
        &self,
        points: &Points,
        group: usize,
        row: usize,
        packed: &Packed,
        bias: i32,
        to: impl Iterator<Item = &'a mut i32>,
    ) -> Option<Row> {
        let factor = points.factor(group, row)?;
        let mut out = Row {
            sq_norm: 0.0,
            error: 0.0,
            sq_bytes: 0.0,
            sum: 0,
        };
        let values = points.row(group, row).chunks(QUAD);
        for ((to, values), centre) in to.zip(values).zip(packed.centre.chunks(QUAD)) {
            let mut bytes = [bias as u8; QUAD];
            for ((byte, &x), c) in bytes.iter_mut().zip(values).zip(centre) {
                let y = (f64::from(x) * factor - c) * self.scale;
                let b = nearest(y.clamp(-127.0, 127.0));
                *byte = (b as i32 + bias) as u8;
                out.sq_norm += y * y;
                out.error += (y - b) * (y - b);
                out.sq_bytes += b * b;
                out.sum += b as i32;
            }
            *to = i32::from_le_bytes(bytes);
        }
        out.error = out.error.sqrt() * (1.0 + 1e-9);
        Some(out)
    }
}

/// The nearest integer, of numbers below 2^51: a call into the mathematical library elsewhere.
#[inline(always)]
fn nearest(y: f64) -> f64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    (y + SHIFT) - SHIFT
}

/// The scale that brings all but outliers of a sample of rows into the range of a byte, and what rounding
/// then does to most of them.
fn frame(points: &Points, group: usize, packed: &Packed) -> (f64, f64) {
    let deviations = |row: &[f32], factor: f64| -> Vec<f64> {
        let centre = &packed.centre;
        let each = row.iter().zip(centre);
        each.map(|(&x, c)| f64::from(x) * factor - c).collect()
    };
    let rows: Vec<(f64, Vec<f64>)> = sample(points, group)
        .map(|(row, factor)| {
            let row = deviations(row, factor);
            (row.iter().fold(0.0, |m: f64, y| m.max(y.abs())), row)
        })
        .collect();
    let mut largest: Vec<f64> = rows.iter().map(|row| row.0).collect();
    largest.sort_unstable_by(f64::total_cmp);
    let kept = largest.len() - largest.len() / OUTLIERS;
    let most = largest.last().copied().unwrap_or(0.0);
    let usual = largest[..kept].last().copied().unwrap_or(0.0);
    // Outliers pass for every query: only much finer steps are worth some.
    let range = if 2.0 * usual < most { usual } else { most };
    let scale = 127.0 / range;
    if !(scale.is_finite() && range.is_finite()) {
        return (1.0, 0.0);
    }
    let error = rows
        .iter()
        .filter(|row| row.0 <= range)
        .map(|(_, row)| {
            let rounded = |y: f64| y * scale - nearest(y * scale);
            row.iter().map(|&y| rounded(y).powi(2)).sum::<f64>().sqrt()
        })
        .fold(0.0, f64::max);
    // Rows outside of the sample may be rounded by a little more, and are no outliers for that.
    (scale, 1.05 * error)
}
