//! Rows to columns.

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
            let columns = four(fours.map(|row| row[c]));
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

/// Four rows to four columns.
#[inline(always)]
fn four(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    #[cfg(target_arch = "x86_64")]
    {
        // Compilers make three instructions a value of the loop below. These belong to every x86-64.
        use std::arch::x86_64::*;
        let [a, b, c, d] = rows.map(bytemuck::cast::<_, __m128>);
        // SAFETY: SSE is part of the target's baseline.
        let columns = unsafe {
            let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
            let (ef, gh) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
            [
                _mm_movelh_ps(ab, cd),
                _mm_movehl_ps(cd, ab),
                _mm_movelh_ps(ef, gh),
                _mm_movehl_ps(gh, ef),
            ]
        };
        columns.map(bytemuck::cast)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::array::from_fn(|c| std::array::from_fn(|r| rows[r][c]))
    }
}
