//! Rows prepared for neighbour search: as read for exact distances, and centred, scaled and tiled for the filters.

use super::int8::Int8;
use super::tree::{self, TreePolicy};
use crate::Result;
use crate::cpu::gemm::{CHUNK, COLS, ROWS};
use crate::ops::{Kernel, PointsBlock, PointsShape, check_points};
use crate::simd::{ByteProducts, InstructionSet};
use rayon::prelude::*;
use std::borrow::Cow;

/// Most rows that the centre is the mean of. Any centre is right; a typical one makes the filters sharp.
const CENTRE_SAMPLE: usize = 1024;

/// Rows of a few channels prepared for neighbour search.
pub struct Points {
    /// Channels.
    pub(in crate::cpu) groups: usize,
    /// Samples in this block.
    pub(in crate::cpu) rows: usize,
    /// Numbers per sample and channel.
    pub(in crate::cpu) dim: usize,
    /// Index of the first sample among all.
    pub(in crate::cpu) first: usize,
    /// What distances mean.
    pub(in crate::cpu) kernel: Kernel,
    /// `[groups, rows, dim]` as read.
    raw: Vec<f32>,
    /// `[groups, rows]` 1 / norm, 0 for a zero vector; empty unless the kernel is cosine.
    inverse_norms: Vec<f64>,
    /// The filters' copies, one for each group.
    pub(super) packed: Vec<Packed>,
}

/// The filters' copy of a group's rows: `(x - centre) * scale`, in tiles of [`COLS`] points.
pub(super) struct Packed {
    /// `[dim]` the mean of a sample of rows.
    pub(super) centre: Vec<f64>,
    /// A power of two that brings typical values near 1, so that squares neither overflow nor underflow.
    pub(super) scale: f64,
    /// `[tiles, dim, COLS]`.
    pub(super) tiles: Vec<f32>,
    /// `[tiles * COLS]` minus half the squared norm of the packed row, times `1 - 2 gamma`; minus infinity where
    /// there is no candidate, NaN where the norm is too large for the float32 filter.
    pub(super) neg_half_norms: Vec<f32>,
    /// `[rows]` how many identical rows come before this one.
    copies: Vec<u16>,
    /// The largest of them.
    most_copies: u16,
    /// The rows as bytes, where the processor multiplies those.
    pub(super) int8: Option<Int8>,
}

impl Points {
    pub(in crate::cpu) fn new(
        block: PointsBlock<'_>,
        kernel: Kernel,
        set: InstructionSet,
    ) -> Result<Self> {
        Self::with(block, kernel, set.byte_products(), TreePolicy::USUAL)
    }

    /// As [`Points::new`]. Rows are also stored as bytes if `byte_products` are given.
    pub(super) fn with(
        block: PointsBlock<'_>,
        kernel: Kernel,
        byte_products: Option<ByteProducts>,
        policy: TreePolicy,
    ) -> Result<Self> {
        check_points(&block)?;
        let PointsBlock {
            data,
            groups,
            rows,
            dim,
            first,
        } = block;
        let raw = data.to_vec();
        let inverse_norms = match kernel {
            Kernel::Gaussian => Vec::new(),
            Kernel::Cosine => raw.par_chunks_exact(dim).map(inverse_norm).collect(),
        };
        let mut points = Self {
            groups,
            rows,
            dim,
            first,
            kernel,
            raw,
            inverse_norms,
            packed: Vec::new(),
        };
        points.packed = (0..groups)
            .into_par_iter()
            .map(|g| Packed::new(&points, g, byte_products, policy))
            .collect();
        Ok(points)
    }

    /// Sizes and kernel, for checks of arguments.
    pub(in crate::cpu) fn shape(&self) -> PointsShape {
        PointsShape {
            groups: self.groups,
            rows: self.rows,
            dim: self.dim,
            kernel: self.kernel,
        }
    }

    /// The values of one sample in one group, as read.
    #[inline(always)]
    pub(in crate::cpu) fn row(&self, group: usize, row: usize) -> &[f32] {
        let start = (group * self.rows + row) * self.dim;
        &self.raw[start..start + self.dim]
    }

    /// The values of all samples in one group, as read.
    pub(super) fn rows_of(&self, group: usize) -> &[f32] {
        let size = self.rows * self.dim;
        &self.raw[group * size..][..size]
    }

    /// 1 / norm of a row under the cosine kernel, 0 for a zero vector.
    #[inline(always)]
    pub(super) fn inverse_norm(&self, group: usize, row: usize) -> f64 {
        self.inverse_norms[group * self.rows + row]
    }

    /// The factor by which a row is multiplied before it is packed: 1 / norm under cosine, else 1. `None` for a
    /// zero vector under cosine, which has no direction.
    pub(super) fn factor(&self, group: usize, row: usize) -> Option<f64> {
        match self.kernel {
            Kernel::Gaussian => Some(1.0),
            Kernel::Cosine => Some(self.inverse_norm(group, row)).filter(|&f| f > 0.0),
        }
    }
}

fn inverse_norm(row: &[f32]) -> f64 {
    let sum: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if sum > 0.0 { sum.sqrt().recip() } else { 0.0 }
}

impl Packed {
    fn new(
        points: &Points,
        group: usize,
        byte_products: Option<ByteProducts>,
        policy: TreePolicy,
    ) -> Self {
        let &Points { rows, dim, .. } = points;
        let (centre, scale) = frame(points, group);
        let tiles = rows.div_ceil(COLS);
        let copies = count_copies(points, group);
        let mut packed = Self {
            centre,
            scale,
            tiles: Vec::new(),
            neg_half_norms: Vec::new(),
            most_copies: copies.iter().copied().max().unwrap_or(0),
            copies,
            int8: None,
        };
        let mut values = vec![0f32; tiles * dim * COLS];
        let mut norms = vec![f32::NEG_INFINITY; tiles * COLS];
        let shrink = 1.0 - 2.0 * gamma(dim);
        let usable = gamma(dim) < 0.05;
        values
            .par_chunks_mut(dim * COLS)
            .zip(norms.par_chunks_mut(COLS))
            .enumerate()
            .for_each(|(t, (tile, norms))| {
                for (lane, norm) in norms
                    .iter_mut()
                    .enumerate()
                    .take(rows - (t * COLS).min(rows))
                {
                    if let Some(sq) =
                        packed.pack_row::<COLS>(points, group, t * COLS + lane, tile, lane)
                    {
                        // Beyond 2^100 products might overflow, and for large dimensions the error bound is useless:
                        // a NaN lets every such pair pass to the exact distance.
                        *norm = if usable && sq < 2f64.powi(100) {
                            (-0.5 * sq * shrink) as f32
                        } else {
                            f32::NAN
                        };
                    }
                }
            });
        packed.tiles = values;
        packed.neg_half_norms = norms;
        packed.int8 = byte_products
            .and_then(|byte_products| Int8::new(points, group, &packed, policy, byte_products));
        packed
    }

    /// Writes `(row - centre) * scale` to column `lane` of a tile `[dim, WIDTH]` and returns its squared norm, or
    /// leaves the column zero and returns `None` where the row has no direction.
    fn pack_row<const WIDTH: usize>(
        &self,
        points: &Points,
        group: usize,
        row: usize,
        tile: &mut [f32],
        lane: usize,
    ) -> Option<f64> {
        let factor = points.factor(group, row)?;
        let mut sum = 0.0;
        for ((to, &x), c) in tile[lane..]
            .iter_mut()
            .step_by(WIDTH)
            .zip(points.row(group, row))
            .zip(&self.centre)
        {
            // One rounding: the difference and scaling are float64.
            let y = ((f64::from(x) * factor - c) * self.scale) as f32;
            *to = y;
            sum += f64::from(y) * f64::from(y);
        }
        Some(sum)
    }

    /// Packs a query into column `lane` of a tile `[dim, ROWS]`, as these points are packed.
    pub(super) fn pack_query(
        &self,
        queries: &Points,
        group: usize,
        row: usize,
        tile: &mut [f32],
        lane: usize,
    ) -> Option<f64> {
        self.pack_row::<ROWS>(queries, group, row, tile, lane)
    }

    /// `values`, one for each point (in `order` if there is one), with `excluded` in place of those points that
    /// a search of `k` neighbours need not consider: points with more than `k` identical points before them, one
    /// of which may be the query. Ties go to the lower index, so such a point cannot be a neighbour. It spares
    /// the samples on which a ReLU channel is dead.
    pub(super) fn without_copies<'a, T: Copy>(
        &self,
        k: usize,
        values: &'a [T],
        excluded: T,
        order: Option<&[u32]>,
    ) -> Cow<'a, [T]> {
        if usize::from(self.most_copies) <= k {
            return Cow::Borrowed(values);
        }
        let mut values = values.to_vec();
        for (at, value) in values.iter_mut().enumerate().take(self.copies.len()) {
            let row = order.map_or(at, |order| order[at] as usize);
            if usize::from(self.copies[row]) > k {
                *value = excluded;
            }
        }
        Cow::Owned(values)
    }
}

/// Relative error that the float32 filter allows for, in terms of `u = 2^-24`. A sum of `n` products is off by at
/// most `n u` times the product of the norms; summed in chunks, `n` is the length of a chunk plus the number of
/// chunks. Rounding the packed values moves a squared distance by `4 u (|q|^2 + |p|^2)`. The rest of the 20 covers
/// roundings of norms and thresholds.
pub(super) fn gamma(dim: usize) -> f64 {
    (dim.min(CHUNK) as f64 + (dim / CHUNK) as f64 + 20.0) * 2f64.powi(-24)
}

/// At most [`CENTRE_SAMPLE`] rows spread evenly over a group, with their [`Points::factor`]; rows without
/// direction are left out.
pub(super) fn sample(points: &Points, group: usize) -> impl Iterator<Item = (&[f32], f64)> {
    let step = points.rows.div_ceil(CENTRE_SAMPLE).max(1);
    (0..points.rows)
        .step_by(step)
        .filter_map(move |row| Some((points.row(group, row), points.factor(group, row)?)))
}

/// The mean of a sample of rows, and the power of two that brings the largest deviation from it to about 1.
fn frame(points: &Points, group: usize) -> (Vec<f64>, f64) {
    let mut centre = vec![0f64; points.dim];
    let mut count = 0.0;
    for (row, factor) in sample(points, group) {
        count += 1.0;
        for (c, &x) in centre.iter_mut().zip(row) {
            *c += f64::from(x) * factor;
        }
    }
    centre.iter_mut().for_each(|c| *c /= f64::max(count, 1.0));
    let largest = sample(points, group)
        .flat_map(|(row, factor)| {
            row.iter()
                .zip(&centre)
                .map(move |(&x, c)| (f64::from(x) * factor - c).abs())
        })
        .fold(0.0, f64::max);
    let scale = if largest > 0.0 && largest.is_finite() {
        2f64.powf(-largest.log2().ceil())
    } else {
        1.0
    };
    (centre, scale)
}

/// For each row, how many rows before it have the same values (at most `u16::MAX`).
fn count_copies(points: &Points, group: usize) -> Vec<u16> {
    // -0 and 0 are the same value.
    let bits = |x: f32| (x + 0.0).to_bits();
    let hash = |row: usize| {
        points.row(group, row).iter().fold(0u64, |h, &x| {
            (h.rotate_left(5) ^ u64::from(bits(x))).wrapping_mul(0x517c_c1b7_2722_0a95)
        })
    };
    let mut order: Vec<(u64, u32)> = (0..points.rows)
        .map(|row| (hash(row), row as u32))
        .collect();
    order.sort_unstable();
    let mut copies = vec![0u16; points.rows];
    for run in order.chunk_by(|a, b| a.0 == b.0) {
        let original = points.row(group, run[0].1 as usize);
        let mut count = 0u16;
        for &(_, row) in &run[1..] {
            // Two rows with the same hash that differ only lose the shortcut.
            if points.row(group, row as usize) == original {
                count = count.saturating_add(1);
                copies[row as usize] = count;
            }
        }
    }
    copies
}

/// Bytes of a [`Points`], temporary copies not included.
pub(in crate::cpu) fn points_bytes(groups: usize, rows: usize, dim: usize) -> u64 {
    let (groups, rows, dim) = (groups as u64, rows as u64, dim as u64);
    let padded = rows.next_multiple_of(COLS as u64);
    let raw = 4 * rows * dim + 8 * rows;
    let packed = 4 * padded * dim + 4 * padded + 2 * rows + 8 * dim;
    let int8 = padded * dim.next_multiple_of(4) + 4 * padded;
    // Packing sorts (hash, row) pairs.
    groups * (raw + packed + int8 + tree::bytes(rows as usize, dim as usize)) + 16 * rows * groups
}
