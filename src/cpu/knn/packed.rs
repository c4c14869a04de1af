//! The filters' copy of rows: centred, scaled and tiled. The tiles of float32 are made when they are first needed.

use super::pack::{Column, PackFloats, Row};
use super::rows::{Place, Rows, sample};
use crate::cpu::gemm::{CHUNK, COLS, ROWS};
use crate::cpu::pages;
use crate::simd::{F64_LANES, InstructionSet, LineF64};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

/// Numbers of a row that are packed before those of the next: a piece of a tile takes 64 KiB.
const PIECE: usize = 512;

/// The filters' copy of a group's rows: `(x - centre) * scale`, in tiles of [`COLS`] points.
pub(super) struct Packed {
    /// What a row is made a difference from: see [`frame`]. `[dim]`, and zeros up to a whole line.
    centre: Vec<LineF64>,
    dim: usize,
    /// What rows are packed with.
    set: InstructionSet,
    /// A power of two that brings typical values near 1, so that squares neither overflow nor underflow.
    pub(super) scale: f64,
    /// `[rows]` how many identical rows come before this one.
    copies: Vec<u16>,
    /// The largest of them.
    most_copies: u16,
    /// Made when they are first needed.
    floats: OnceLock<Floats>,
}

/// What the float32 filter reads of the points.
pub(super) struct Floats {
    /// `[tiles, dim, COLS]`.
    pub(super) tiles: Vec<f32>,
    /// `[tiles * COLS]` minus half the squared norm of the packed row, times `1 - 2 gamma`; minus infinity where
    /// there is no candidate, NaN where the norm is too large for the float32 filter.
    pub(super) neg_half_norms: Vec<f32>,
}

impl Packed {
    pub(super) fn new(points: &Rows, group: usize, set: InstructionSet) -> Self {
        let dim = points.dim;
        let (numbers, scale) = frame(points, group);
        let mut centre = vec![LineF64::ZERO; dim.div_ceil(F64_LANES)];
        bytemuck::cast_slice_mut(&mut centre)[..dim].copy_from_slice(&numbers);
        let copies = count_copies(points, group);
        Self {
            centre,
            dim,
            set,
            scale,
            most_copies: copies.iter().copied().max().unwrap_or(0),
            copies,
            floats: OnceLock::new(),
        }
    }

    /// The tiles of float32, where no search has made them yet by the calling thread alone. (If other threads helped, it might
    /// take up another batch of the search meanwhile, and wait there for itself.)
    pub(super) fn floats(&self, points: &Rows, group: usize) -> &Floats {
        self.floats.get_or_init(|| {
            let (mut values, mut norms) = self.room(points);
            let tiles = values.chunks_mut(self.dim * COLS);
            for (t, tile) in tiles.zip(norms.chunks_mut(COLS)).enumerate() {
                self.float_tile(points, group, t, tile);
            }
            Floats {
                tiles: values,
                neg_half_norms: norms,
            }
        })
    }

    /// Makes the tiles of float32 on all threads, before any search.
    pub(super) fn make_floats(&self, points: &Rows, group: usize) {
        let (mut values, mut norms) = self.room(points);
        let tiles = values.par_chunks_mut(self.dim * COLS);
        tiles
            .zip(norms.par_chunks_mut(COLS))
            .enumerate()
            .for_each(|(t, tile)| self.float_tile(points, group, t, tile));
        self.floats.get_or_init(|| Floats {
            tiles: values,
            neg_half_norms: norms,
        });
    }

    /// Tiles and norms that hold no candidate.
    fn room(&self, points: &Rows) -> (Vec<f32>, Vec<f32>) {
        let tiles = points.rows.div_ceil(COLS);
        let values = pages::zeros(tiles * self.dim * COLS);
        (values, vec![f32::NEG_INFINITY; tiles * COLS])
    }

    /// Fills tile number `t` and the norms of its points.
    fn float_tile(
        &self,
        points: &Rows,
        group: usize,
        t: usize,
        (tile, norms): (&mut [f32], &mut [f32]),
    ) {
        let shrink = 1.0 - 2.0 * gamma(self.dim);
        let usable = gamma(self.dim) < 0.05;
        let first = t * COLS;
        let rows = first..points.rows.min(first + COLS);
        let sq_norms = self.pack_tile(points, group, rows, tile);
        for (norm, sq) in norms.iter_mut().zip(sq_norms) {
            let Some(sq) = sq else {
                continue;
            };
            // Beyond 2^100 products might overflow, and for large dimensions the error bound is useless: a NaN lets
            // every such pair pass to the exact distance.
            *norm = if usable && sq < 2f64.powi(100) {
                (-0.5 * sq * shrink) as f32
            } else {
                f32::NAN
            };
        }
    }

    /// The numbers that a row is made a difference from, `[dim]`.
    pub(super) fn centre(&self) -> &[f64] {
        &bytemuck::cast_slice(&self.centre)[..self.dim]
    }

    /// A row that is to be packed with a scale; `None` where it has no direction.
    pub(super) fn row<'a>(&'a self, place: Place<'a>, scale: f64) -> Option<Row<'a>> {
        let Place { points, group, row } = place;
        Some(Row {
            values: points.row(group, row),
            factor: points.factor(group, row)?,
            centre: &self.centre,
            scale,
        })
    }

    /// Writes `(row - centre) * scale` of some rows to the columns of a tile `[dim, COLS]`. Returns the squared norms of what
    /// is written; `None` for a row without direction, whose column stays zero.
    fn pack_tile(
        &self,
        points: &Rows,
        group: usize,
        rows: Range<usize>,
        tile: &mut [f32],
    ) -> [Option<f64>; COLS] {
        let mut sq_norms = [None; COLS];
        // A piece of the tile stays in the cache while all its columns are written.
        for first in (0..self.dim).step_by(PIECE) {
            let tile = &mut tile[first * COLS..];
            for (lane, row) in rows.clone().enumerate() {
                let place = Place { points, group, row };
                let Some(row) = self.row(place, self.scale) else {
                    continue;
                };
                let column = Column {
                    tile: &mut tile[lane..],
                    width: COLS,
                };
                let row = row.piece(first, PIECE);
                let sq = self.set.run(PackFloats { row, column });
                sq_norms[lane] = Some(sq_norms[lane].unwrap_or(0.0) + sq);
            }
        }
        sq_norms
    }

    /// Packs a query into column `lane` of a tile `[dim, ROWS]`, as these points are packed. Returns its squared norm; `None`
    /// if it has no direction, and the column stays zero.
    pub(super) fn pack_query(
        &self,
        query: Place<'_>,
        tile: &mut [f32],
        lane: usize,
    ) -> Option<f64> {
        let column = Column {
            tile: &mut tile[lane..],
            width: ROWS,
        };
        let row = self.row(query, self.scale)?;
        Some(self.set.run(PackFloats { row, column }))
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

/// Rows that tell whether the others are of very different lengths.
const TRIAL: usize = 64;
/// The largest deviation over the median one from which rows are of very different lengths. Beside a centre that is made
/// by the longest of them, float32 has too few digits for the others.
const HEAVY: f64 = 1024.0;

/// The centre and the scale of packed rows: the mean of a sample of rows, and the power of two that brings the largest
/// deviation from it to about 1. Where rows are of very different lengths, the medians of the coordinates, and the power of
/// two that does so for the median deviation.
fn frame(points: &Rows, group: usize) -> (Vec<f64>, f64) {
    let power = |deviation: f64| 2f64.powf(-deviation.log2().ceil());
    if let Some((centre, typical)) = heavy_tailed(points, group) {
        return (centre, power(typical));
    }
    let mut centre = vec![0f64; points.dim];
    let mut count = 0.0;
    for (row, factor) in sample(points, group) {
        count += 1.0;
        for (c, &x) in centre.iter_mut().zip(&*row) {
            *c += f64::from(x) * factor;
        }
    }
    centre.iter_mut().for_each(|c| *c /= f64::max(count, 1.0));
    let largest = sample(points, group)
        .map(|(row, factor)| deviation(&row, factor, &centre))
        .fold(0.0, f64::max);
    let scale = match largest > 0.0 && largest.is_finite() {
        true => power(largest),
        false => 1.0,
    };
    (centre, scale)
}

/// The largest deviation of a row's coordinates, multiplied by its factor, from a centre.
fn deviation(row: &[f32], factor: f64, centre: &[f64]) -> f64 {
    let each = row.iter().zip(centre);
    each.map(|(&x, c)| (f64::from(x) * factor - c).abs())
        .fold(0.0, f64::max)
}

/// The medians of the coordinates of some rows, and the median deviation from them, if the largest is [`HEAVY`] times as
/// large.
fn heavy_tailed(points: &Rows, group: usize) -> Option<(Vec<f64>, f64)> {
    let rows: Vec<_> = sample(points, group).collect();
    let rows: Vec<_> = (rows.iter().step_by(rows.len().div_ceil(TRIAL).max(1))).collect();
    let mut column = vec![0f64; rows.len()];
    let middle = rows.len().checked_sub(1)? / 2;
    let mut centre = vec![0f64; points.dim];
    for (t, c) in centre.iter_mut().enumerate() {
        for (to, (row, factor)) in column.iter_mut().zip(&rows) {
            *to = f64::from(row[t]) * factor;
        }
        *c = *column.select_nth_unstable_by(middle, f64::total_cmp).1;
    }
    for (to, (row, factor)) in column.iter_mut().zip(&rows) {
        *to = deviation(row, *factor, &centre);
    }
    column.sort_unstable_by(f64::total_cmp);
    let (typical, largest) = (column[middle], *column.last()?);
    (typical > 0.0 && largest > HEAVY * typical).then_some((centre, typical))
}

/// Fewest rows that a thread hashes at a time.
const HASHED: usize = 256;

/// For each row, how many rows before it have the same values (at most `u16::MAX`).
fn count_copies(points: &Rows, group: usize) -> Vec<u16> {
    // -0 and 0 are the same value.
    let bits = |x: f32| (x + 0.0).to_bits();
    let hash = |scratch: &mut Vec<f32>, row: usize| {
        let values = points.row(group, row).widen(scratch);
        let step = |h: u64, x: u64| (h.rotate_left(5) ^ x).wrapping_mul(0x517c_c1b7_2722_0a95);
        // Several hashes side by side: a step of one need not wait for those of the others.
        let mut lanes = [0u64; 8];
        for numbers in values.chunks(lanes.len()) {
            for (h, &x) in lanes.iter_mut().zip(numbers) {
                *h = step(*h, u64::from(bits(x)));
            }
        }
        lanes.into_iter().fold(0, step)
    };
    let rows = (0..points.rows).into_par_iter().with_min_len(HASHED);
    let mut order: Vec<(u64, u32)> = rows
        .map_init(
            || points.scratch(),
            |scratch, row| (hash(scratch, row), row as u32),
        )
        .collect();
    order.par_sort_unstable();
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
