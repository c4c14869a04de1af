//! Register tiles of matrix products: the inner loop of neighbour search, Gram matrices and convolutions.
//!
//! A product is cut into tiles of [`ROWS`] x [`COLS`] results. The left operand is packed in panels
//! `[inner][ROWS]` and the right one in panels `[inner][COLS]`, so that a step of the inner loop reads one row
//! of each. A tile is computed in register tiles of `R` rows by `V` vectors, the shape that
//! [`SimdKernel::run`](crate::simd::SimdKernel::run) is given.

use super::pages;
use super::transpose::transpose;
use crate::simd::{F32, Simd};
use rayon::prelude::*;

/// Rows of a packed panel of the left operand, `[inner][ROWS]`.
pub(super) const ROWS: usize = 8;
/// Columns of a packed panel of the right operand, `[inner][COLS]`.
pub(super) const COLS: usize = 32;

/// `acc[r][v] + sum_i left[i][r] * right[i][v]`, summed in ascending order of `i`; with `SQUARES`
/// `(left[i][r] - right[i][v])^2` in place of the product.
///
/// # Safety
/// At `left` lie `len` rows, [`ROWS`] apart, of at least `R` floats that can be read; at `right` lie `len`
/// rows, `stride` apart, of at least `V` vectors.
#[inline(always)]
pub(super) unsafe fn dots<S: Simd, const R: usize, const V: usize, const SQUARES: bool>(
    left: *const f32,
    right: *const f32,
    stride: usize,
    len: usize,
    acc: [[S::F32; V]; R],
) -> [[S::F32; V]; R] {
    // SAFETY: the caller's promises are passed on.
    unsafe { dots_apart::<S, R, V, ROWS, SQUARES>(left, right, stride, len, acc) }
}

/// As [`dots`], with rows `LEFT` apart at `left`.
///
/// # Safety
/// As for [`dots`].
#[inline(always)]
unsafe fn dots_apart<
    S: Simd,
    const R: usize,
    const V: usize,
    const LEFT: usize,
    const SQUARES: bool,
>(
    left: *const f32,
    right: *const f32,
    stride: usize,
    len: usize,
    mut acc: [[S::F32; V]; R],
) -> [[S::F32; V]; R] {
    for i in 0..len {
        let mut columns = [S::F32::splat(0.0); V];
        for (v, column) in columns.iter_mut().enumerate() {
            // SAFETY: row `i < len` of the right operand holds `V` vectors, by the caller's promise.
            *column = unsafe { S::F32::load(right.add(i * stride + v * S::F32::LANES)) };
        }
        for (r, row) in acc.iter_mut().enumerate() {
            // SAFETY: row `i < len` of the left operand holds `R` floats, by the caller's promise.
            let x = S::F32::splat(unsafe { *left.add(i * LEFT + r) });
            for (v, a) in row.iter_mut().enumerate() {
                *a = if SQUARES {
                    let difference = x - columns[v];
                    difference.mul_add(difference, *a)
                } else {
                    x.mul_add(columns[v], *a)
                };
            }
        }
    }
    acc
}

/// Inner indices that are summed before their sum is added to the rest. The number is fixed, so that a result
/// depends on nothing else, and small, so that rounding errors grow with the number of such sums only.
pub(super) const CHUNK: usize = 256;

/// Where a product goes: a [`ROWS`] x [`COLS`] tile of a larger array.
pub(super) struct Target<'a> {
    /// The array, from the tile's first value on.
    pub(super) to: &'a mut [f32],
    /// Distance between the tile's rows.
    pub(super) stride: usize,
    /// Whether to add to the values there, or to overwrite them.
    pub(super) add: bool,
}

/// The product of `len` rows of [`ROWS`] values, `LEFT` apart ([`ROWS`] in a packed left panel), and `len`
/// rows of [`COLS`] values, `right_stride` apart; with `SQUARES` the squared distances.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(super) fn tile<
    S: Simd,
    const R: usize,
    const V: usize,
    const LEFT: usize,
    const SQUARES: bool,
>(
    left: &[f32],
    right: &[f32],
    right_stride: usize,
    len: usize,
    target: Target<'_>,
) {
    let Target { to, stride, add } = target;
    assert!(len > 0 && right.len() >= (len - 1) * right_stride + COLS);
    assert!(left.len() >= (len - 1) * LEFT + ROWS);
    assert!(to.len() >= (ROWS - 1) * stride + COLS);
    for r0 in (0..ROWS).step_by(R) {
        for c0 in (0..COLS).step_by(V * S::F32::LANES) {
            let zero = [[S::F32::splat(0.0); V]; R];
            // SAFETY: the rows of both operands lie in their slices, as asserted above: `R` divides `ROWS`, and
            // `V` vectors divide `COLS`.
            let acc = unsafe {
                let (left, right) = (left.as_ptr().add(r0), right.as_ptr().add(c0));
                dots_apart::<S, R, V, LEFT, SQUARES>(left, right, right_stride, len, zero)
            };
            for (r, row) in acc.iter().enumerate() {
                for (v, &sum) in row.iter().enumerate() {
                    // SAFETY: the tile lies in `to`, as asserted above.
                    unsafe {
                        let to = to
                            .as_mut_ptr()
                            .add((r0 + r) * stride + c0 + v * S::F32::LANES);
                        let sum = if add { S::F32::load(to) + sum } else { sum };
                        sum.store(to);
                    }
                }
            }
        }
    }
}

/// Packs `rows x len` values (row stride `stride`) as panels `[rows / WIDTH, len, WIDTH]`, zero-padded.
pub(super) fn pack<const WIDTH: usize>(
    from: &[f32],
    rows: usize,
    len: usize,
    stride: usize,
) -> Vec<f32> {
    let size = rows.div_ceil(WIDTH) * len * WIDTH;
    let mut packed = pages::room(size);
    packed.spare_capacity_mut()[..size]
        .par_chunks_mut((len * WIDTH).max(1))
        .enumerate()
        .for_each(|(p, panel)| {
            let first = p * WIDTH;
            let size = [WIDTH.min(rows - first), len];
            transpose(
                &from[first * stride..],
                stride,
                size,
                pages::zeroed(panel),
                WIDTH,
            );
        });
    // SAFETY: every panel has been written, zeros included.
    unsafe { packed.set_len(size) };
    packed
}
