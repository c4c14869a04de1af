//! Memory layouts that several parts share: packed lower triangles and arrays of cache lines.

pub(super) use crate::ops::packed;
use crate::simd::{F64_LANES, LineF64};

/// The first `columns` entries of the `N` rows from `row` on of a packed lower triangle.
///
/// The array is filled by a loop, because a closure given to `map` or `from_fn` may be compiled as a function
/// of its own, without the wider instructions.
#[inline(always)]
pub(super) fn leading_columns<const N: usize>(
    triangle: &[LineF64],
    row: usize,
    columns: usize,
) -> [&[LineF64]; N] {
    let mut out: [&[LineF64]; N] = [&[]; N];
    for (i, out) in out.iter_mut().enumerate() {
        *out = &triangle[packed(row + i, 0)..][..columns];
    }
    out
}

/// Cache lines that hold `n` numbers.
pub(super) const fn lines(n: usize) -> usize {
    n.div_ceil(F64_LANES)
}

/// Sets `v` to `len` lines of zeros.
pub(super) fn reset(v: &mut Vec<LineF64>, len: usize) {
    v.clear();
    v.resize(len, LineF64::ZERO);
}

/// The numbers in the lines.
pub(super) fn flat(v: &[LineF64]) -> &[f64] {
    bytemuck::cast_slice(v)
}

/// The numbers in the lines, to be changed.
pub(super) fn flat_mut(v: &mut [LineF64]) -> &mut [f64] {
    bytemuck::cast_slice_mut(v)
}
