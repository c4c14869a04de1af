//! Register tiles of products: the inner loop that neighbour search, Gram matrices and convolutions share.

use super::pages;
use super::simd::Simd;
use super::transpose::transpose;
use rayon::prelude::*;

/// Rows of a packed panel of the left operand, `[inner][ROWS]`.
pub(super) const ROWS: usize = 8;
/// Columns of a packed panel of the right operand, `[inner][COLS]`.
pub(super) const COLS: usize = 32;

/// `acc[r][v] + sum_i left[i][r] * right[i][v]`, summed in ascending order of `i`; with `SQUARES`
/// `(left[i][r] - right[i][v])^2` in place of the product.
///
/// # Safety
/// The processor has `S`. At `left` lie `len` rows `ROWS` apart of at least `R` floats, at `right`
/// `len` rows `stride` apart of at least `V * S::LANES` floats.
#[inline(always)]
pub(super) unsafe fn dots<S: Simd, const R: usize, const V: usize, const SQUARES: bool>(
    left: *const f32,
    right: *const f32,
    stride: usize,
    len: usize,
    acc: [[S::Vector; V]; R],
) -> [[S::Vector; V]; R] {
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
    mut acc: [[S::Vector; V]; R],
) -> [[S::Vector; V]; R] {
    for i in 0..len {
        // SAFETY: row `i < len` of both operands, by the caller's contract.
        unsafe {
            let left = left.add(i * LEFT);
            let right = right.add(i * stride);
            let mut columns = [S::splat(0.0); V];
            for (v, column) in columns.iter_mut().enumerate() {
                *column = S::load(right.add(v * S::LANES));
            }
            for (r, row) in acc.iter_mut().enumerate() {
                let x = S::splat(*left.add(r));
                for (v, a) in row.iter_mut().enumerate() {
                    *a = if SQUARES {
                        let difference = S::sub(x, columns[v]);
                        S::mul_add(difference, difference, *a)
                    } else {
                        S::mul_add(x, columns[v], *a)
                    };
                }
            }
        }
    }
    acc
}

/// Inner indices summed before the sum is added to the rest: fixed, so that a result depends on nothing
/// else, and short, so that rounding errors grow with the number of such sums.
pub(super) const CHUNK: usize = 256;

/// Where a product goes: a [`ROWS`] x [`COLS`] tile of a larger array.
pub(super) struct Target<'a> {
    /// From the tile's first value on.
    pub(super) to: &'a mut [f32],
    /// Distance of its rows.
    pub(super) stride: usize,
    /// Whether to add to what is there, or to write over it.
    pub(super) add: bool,
}

/// The product of `len` rows of [`ROWS`] values, `LEFT` apart ([`ROWS`] in a packed left panel), and `len`
/// rows of [`COLS`] values, `right_stride` apart (with `SQUARES` their squared distances).
///
/// # Safety
/// The processor has `S`.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(super) unsafe fn tile<
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
        for c0 in (0..COLS).step_by(V * S::LANES) {
            // SAFETY: lengths are asserted above, and R and V * LANES divide ROWS and COLS.
            unsafe {
                let (left, right) = (left.as_ptr().add(r0), right.as_ptr().add(c0));
                let zero = [[S::splat(0.0); V]; R];
                let acc =
                    dots_apart::<S, R, V, LEFT, SQUARES>(left, right, right_stride, len, zero);
                for (r, row) in acc.iter().enumerate() {
                    for (v, &sum) in row.iter().enumerate() {
                        let to = to.as_mut_ptr().add((r0 + r) * stride + c0 + v * S::LANES);
                        let sum = if add { S::add(S::load(to), sum) } else { sum };
                        S::store(to, sum);
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
    // SAFETY: every panel is written.
    unsafe { packed.set_len(size) };
    packed
}
