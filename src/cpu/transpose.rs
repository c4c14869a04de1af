//! Rows to columns, four by four.

use crate::simd::transpose_4x4;

/// Copies `rows` rows of `cols` values, `from_stride` apart, into columns: value `(r, c)` to
/// `to[c * to_stride + r]`.
///
/// # Panics
/// If a slice is too short.
pub(super) fn transpose(
    from: &[f32],
    from_stride: usize,
    [rows, cols]: [usize; 2],
    to: &mut [f32],
    to_stride: usize,
) {
    let row = |r: usize| &from[r * from_stride..][..cols];
    let (blocks, whole) = (rows / 4, cols / 4 * 4);
    for r in (0..4 * blocks).step_by(4) {
        let rows = [row(r), row(r + 1), row(r + 2), row(r + 3)];
        let fours = rows.map(|row| row.as_chunks::<4>().0);
        for (c, to) in to.chunks_mut(4 * to_stride).enumerate().take(cols / 4) {
            let columns = transpose_4x4(fours.map(|row| row[c]));
            for (to, column) in to.chunks_mut(to_stride).zip(columns) {
                to[r..r + 4].copy_from_slice(&column);
            }
        }
        for c in whole..cols {
            to[c * to_stride + r..][..4].copy_from_slice(&rows.map(|row| row[c]));
        }
    }
    for r in 4 * blocks..rows {
        for (to, &value) in to[r..].iter_mut().step_by(to_stride).zip(row(r)) {
            *to = value;
        }
    }
}
