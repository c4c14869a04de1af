//! Register tiles of products: the inner loop that neighbour search, Gram matrices and convolutions share.

use super::simd::Simd;

/// Rows of a packed panel of the left operand, `[inner][ROWS]`.
pub(super) const ROWS: usize = 8;
/// Columns of a packed panel of the right operand, `[inner][COLS]`.
pub(super) const COLS: usize = 32;

/// `acc[r][v] + sum_i left[i][r] * right[i][v]`, summed in ascending order of `i`.
///
/// # Safety
/// The processor has `S`. At `left` lie `len` rows `ROWS` apart of at least `R` floats, at `right`
/// `len` rows `COLS` apart of at least `V * S::LANES` floats.
#[inline(always)]
pub(super) unsafe fn dots<S: Simd, const R: usize, const V: usize>(
    left: *const f32,
    right: *const f32,
    len: usize,
    mut acc: [[S::Vector; V]; R],
) -> [[S::Vector; V]; R] {
    for i in 0..len {
        // SAFETY: row `i < len` of both operands, by the caller's contract.
        unsafe {
            let left = left.add(i * ROWS);
            let right = right.add(i * COLS);
            let mut columns = [S::splat(0.0); V];
            for (v, column) in columns.iter_mut().enumerate() {
                *column = S::load(right.add(v * S::LANES));
            }
            for (r, row) in acc.iter_mut().enumerate() {
                let x = S::splat(*left.add(r));
                for (v, a) in row.iter_mut().enumerate() {
                    *a = S::mul_add(x, columns[v], *a);
                }
            }
        }
    }
    acc
}
