//! Rows as bytes, for a filter that multiplies four pairs where `f32` multiplies one; and the bound that keeps
//! this filter exact.
//!
//! # Why no neighbour is lost
//! A row `x` is scaled to `Y = (x - centre) * scale` and rounded to integers `B`, `|B_i| <= 127`, with the
//! rounding error `e = Y - B`. For a query `q` and a point `p`
//!
//! `scale^2 |q - p|^2 = |Yq - Yp|^2 = |Yq|^2 - 2 s`, where `s = <Yq, Yp> - |Yp|^2 / 2`.
//!
//! Only `s` depends on both rows, and `<Yq, Yp> = <Bq, Bp> + <eq, Bp> + <Yq, ep>`. Let `E` be a bound on `|ep|`
//! that all points keep. By the Cauchy-Schwarz inequality the last two terms are at most `|eq| |Bp| + |Yq| E`,
//! and so
//!
//! `s <= <Bq, Bp> + offset(p) + slack(q)`, where
//! - `offset(p) = E |Bp| - |Yp|^2 / 2` and
//! - `slack(q) = |Yq| E + max(0, |eq| - E) max |B|`.
//!
//! The **score** `<Bq, Bp> + offset(p)` is one sum of integers. A point whose squared distance is below `t` has
//! `s > (|Yq|^2 - scale^2 t) / 2`; so its score is at least the **threshold**
//!
//! `(|Yq|^2 - scale^2 t) / 2 - slack(q)`.
//!
//! With `t` the squared distance of the k-th neighbour found so far, a point whose score is below the threshold is not
//! among the k nearest, and needs no exact distance. That holds however coarse the bytes are: coarse bytes make
//! `E` and the slack larger, so that more points pass the filter, and the search is slower but not wrong.
//!
//! What is rounded on the way is rounded to the safe side. Products and sums of bytes are exact in `i32` up to
//! [`MAX_DIM`]; `|e|` is measured in float64 and enlarged by more than its rounding ([`Sums::error`]); offsets
//! are rounded up and raised by 1 ([`Int8::offset`]), and thresholds are lowered by a little more than 1 and rounded
//! down ([`Int8::threshold`]), which is more than float64 rounds in computing them. Points that do not keep `E`
//! (outliers, which the bytes cannot hold) are given an offset that reaches every threshold: they always get an
//! exact distance.
//!
//! # Example
//! With `scale = 1` and `E = 0.5`, `Yq = (10.4, -3.2)` has the bytes `(10, -3)` and the slack `5.4`. `Yp =
//! (9.7, -2.9)` has the same bytes and the offset `-46.03`, which is rounded up and raised to `-45`; its score is
//! `109 - 45 = 64`. For `t = 1` the threshold is `58.7 - 5.4 - 1`, rounded down to 52: the point passes, as it must,
//! since `|q - p|^2 = 0.58`. The score of `(-8.1, 6.2)` is `-98 - 46 = -144`: it is dropped.

use super::pack::{Column, PackBytes, QUAD, Sums};
use super::packed::Packed;
use super::rows::{CENTRE_SAMPLE, Place, Rows, sample};
use super::tree::{self, Tree, TreePolicy};
use crate::cpu::gemm::{COLS, ROWS};
use crate::cpu::pages;
use crate::simd::{ByteProducts, INTEGER_SHIFT};
use rayon::prelude::*;

/// Largest dimension: above it sums of products might leave [`PRODUCTS`].
const MAX_DIM: usize = 1 << 14;
/// Added to the bytes of a query ([`PackBytes::biased`]), because the instruction takes them without a sign. Offsets make up
/// for it.
const BIAS: i32 = 128;
/// More than any sum of biased products, `MAX_DIM * 255 * 127`, and than any threshold that a point which keeps
/// `E` can reach.
const PRODUCTS: i32 = 1 << 29;
/// Offset of a point that cannot be a neighbour: its score stays below [`PASS_ALL`].
pub(super) const EXCLUDED: i32 = i32::MIN + PRODUCTS;
/// Offset of an outlier: its score reaches every threshold but [`PASS_NONE`].
const OUTLIER: i32 = 2 * PRODUCTS;
/// Threshold that every point reaches which is not excluded.
pub(super) const PASS_ALL: i32 = 1 - 2 * PRODUCTS;
/// Threshold that no point reaches.
pub(super) const PASS_NONE: i32 = i32::MAX;

/// At most one sampled row in so many is left out as an outlier when the scale is chosen.
const OUTLIERS: usize = 512;

/// The int8 filter's copy of a group's points.
pub(super) struct Int8 {
    /// Proof that the processor multiplies bytes; runs the kernels that do.
    pub(super) byte_products: ByteProducts,
    /// Groups of four bytes in a row, the last one padded with zeros.
    pub(super) quads: usize,
    /// Scale of `x - centre`.
    scale: f64,
    /// `[tiles, quads, COLS]`, four signed bytes each.
    pub(super) tiles: Vec<i32>,
    /// `[tiles * COLS]` what sums of products start from: `offset(p)`, less what [`BIAS`] adds.
    pub(super) offsets: Vec<i32>,
    /// Places of outliers among the tiles.
    pub(super) outliers: Vec<u32>,
    /// The k-d tree that orders the points, where one lets a search skip enough tiles.
    pub(super) tree: Option<Tree>,
    /// `E`, the bound on `|ep|`.
    error: f64,
    /// The largest `|B|` of a point.
    largest: f64,
}

/// Bytes of the copy of a group's points, without a tree.
pub(super) fn bytes(rows: usize, dim: usize) -> u64 {
    let padded = rows.next_multiple_of(COLS) as u64;
    padded * dim.next_multiple_of(QUAD) as u64 + 4 * padded
}

/// Bytes of an [`Int8`] as a rule, and of the working memory that making it takes; `None` where it is not made.
pub(super) fn usual_bytes(rows: usize, dim: usize, policy: TreePolicy) -> Option<(u64, u64)> {
    if dim > MAX_DIM {
        return None;
    }
    let (tree, building) = tree::usual_bytes(rows, dim, policy);
    let deviations = 8 * (rows.min(CENTRE_SAMPLE) * dim) as u64;
    Some((bytes(rows, dim) + tree, building.max(deviations)))
}

/// What the thresholds of a query are made of.
#[derive(Clone, Copy, Default)]
pub(super) struct Query {
    /// `|Yq|^2`.
    sq_norm: f64,
    /// `|Yq| E + max(0, |eq| - E) max |B|`.
    slack: f64,
}

impl Query {
    /// About how far the score of a point may lie above the lowest threshold that it must reach.
    pub(super) fn margin(&self) -> f64 {
        2.0 * self.slack
    }
}

impl Int8 {
    /// `None` where the dimension is too large for 32-bit sums.
    pub(super) fn new(
        points: &Rows,
        group: usize,
        packed: &Packed,
        policy: TreePolicy,
        byte_products: ByteProducts,
    ) -> Option<Self> {
        let &Rows { rows, dim, .. } = points;
        if dim > MAX_DIM {
            return None;
        }
        let quads = dim.div_ceil(QUAD);
        let (scale, error) = frame(points, group, packed);
        let count = rows.div_ceil(COLS);
        let mut int8 = Self {
            byte_products,
            quads,
            scale,
            tiles: Vec::new(),
            offsets: Vec::new(),
            outliers: Vec::new(),
            tree: Tree::new(points, group, packed, policy),
            error,
            largest: 0.0,
        };
        let mut tiles = pages::zeros(count * quads * COLS);
        let mut offsets = vec![EXCLUDED; count * COLS];
        let largest = tiles
            .par_chunks_mut(quads * COLS)
            .zip(offsets.par_chunks_mut(COLS))
            .enumerate()
            .map(|(t, (tile, offsets))| {
                let mut largest = 0f64;
                for (lane, offset) in offsets.iter_mut().enumerate() {
                    let place = t * COLS + lane;
                    if place >= rows {
                        break;
                    }
                    let row = Place {
                        points,
                        group,
                        row: int8.row(place),
                    };
                    let column = Column {
                        tile: &mut tile[lane..],
                        width: COLS,
                    };
                    if let Some(row) = int8.pack(row, packed, false, column) {
                        largest = largest.max(row.sq_bytes);
                        *offset = int8.offset(&row);
                    }
                }
                largest
            })
            .reduce(|| 0.0, f64::max);
        int8.tiles = tiles;
        let places = offsets.iter().zip(0..);
        int8.outliers = places
            .filter(|place| *place.0 == OUTLIER)
            .map(|place| place.1)
            .collect();
        int8.offsets = offsets;
        int8.largest = largest.sqrt();
        Some(int8)
    }

    /// The row at a place among the tiles.
    #[inline(always)]
    pub(super) fn row(&self, place: usize) -> usize {
        let order = self.tree.as_ref().map(|tree| &tree.order);
        order.map_or(place, |order| order[place] as usize)
    }

    /// Packs a query into column `lane` of a tile `[quads, ROWS]`; `None` where it has no direction.
    pub(super) fn pack_query(
        &self,
        query: Place<'_>,
        packed: &Packed,
        tile: &mut [i32],
        lane: usize,
    ) -> Option<Query> {
        let column = Column {
            tile: &mut tile[lane..],
            width: ROWS,
        };
        let row = self.pack(query, packed, true, column)?;
        let beyond = (row.error - self.error).max(0.0);
        Some(Query {
            sq_norm: row.sq_norm,
            slack: row.sq_norm.sqrt() * self.error + beyond * self.largest,
        })
    }

    /// The score that every point reaches whose squared distance from the query, of rows as read, is below
    /// `sq_distance`.
    pub(super) fn threshold(&self, query: Query, sq_distance: f64) -> i32 {
        let sq_distance = sq_distance * self.scale * self.scale;
        // More than float64 rounds here; much only for a query that is far from all points.
        let rounding = 1.0 + 1e-14 * (query.sq_norm + sq_distance);
        let threshold = (0.5 * (query.sq_norm - sq_distance) - query.slack - rounding).floor();
        // Only outliers reach scores beyond PRODUCTS, and they reach those thresholds too. A NaN as an integer
        // would be 0.
        if threshold.is_nan() {
            PASS_ALL
        } else {
            (threshold as i32).clamp(PASS_ALL, PRODUCTS)
        }
    }

    /// `offset(p)`, rounded up and raised by 1 for what float64 rounds, without what [`BIAS`] adds to the point's products.
    fn offset(&self, row: &Sums) -> i32 {
        if row.error > self.error {
            return OUTLIER;
        }
        let offset = self.error * row.sq_bytes.sqrt() - 0.5 * row.sq_norm;
        offset.ceil() as i32 + 1 - BIAS * row.sum
    }

    /// Writes the bytes of a row to a column of a tile, 128 added to each if they are `biased`; `None` where the row has no
    /// direction.
    fn pack(
        &self,
        place: Place<'_>,
        packed: &Packed,
        biased: bool,
        column: Column<'_, i32>,
    ) -> Option<Sums> {
        let row = packed.row(place, self.scale)?;
        let pack = PackBytes {
            row,
            biased,
            column,
        };
        Some(self.byte_products.run(pack))
    }
}

/// The nearest integer of a number of at most 2^51 in size. (`f64::round` would be a call into libm.)
#[inline(always)]
fn nearest(y: f64) -> f64 {
    (y + INTEGER_SHIFT) - INTEGER_SHIFT
}

/// The scale that brings all but the outliers of a sample of rows into the range of a byte, and `E`, which most
/// rounding errors then keep.
fn frame(points: &Rows, group: usize, packed: &Packed) -> (f64, f64) {
    let deviations = |row: &[f32], factor: f64| -> Vec<f64> {
        let centre = packed.centre();
        let each = row.iter().zip(centre);
        each.map(|(&x, c)| f64::from(x) * factor - c).collect()
    };
    let rows: Vec<(f64, Vec<f64>)> = sample(points, group)
        .map(|(row, factor)| {
            let row = deviations(&row, factor);
            (row.iter().fold(0.0, |m: f64, y| m.max(y.abs())), row)
        })
        .collect();
    let mut largest: Vec<f64> = rows.iter().map(|row| row.0).collect();
    largest.sort_unstable_by(f64::total_cmp);
    let kept = largest.len() - largest.len() / OUTLIERS;
    let most = largest.last().copied().unwrap_or(0.0);
    let usual = largest[..kept].last().copied().unwrap_or(0.0);
    // Outliers pass for every query. To have some is worth it only where the bytes become much finer.
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
    // Rows outside of the sample may be rounded by a little more, which should not make them outliers.
    (scale, 1.05 * error)
}
