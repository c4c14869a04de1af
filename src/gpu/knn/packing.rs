//! How large the rows are that the filters read, and for which rows there is one on cooperative matrices.

use crate::gpu::context::Context;
use crate::gpu::cooperative::Cooperative;

/// Longest rows. In longer ones the bound of the rounding error exceeds the differences between
/// distances.
const MAX_DIM: usize = 4096;

/// Vectors of four numbers per row of the f32 filter.
pub(super) const fn framed_pitch(dim: usize) -> usize {
    dim.div_ceil(4)
}

/// Bytes of such a row.
pub(in crate::gpu) const fn padded_bytes(dim: usize) -> u64 {
    framed_pitch(dim) as u64 * 16
}

/// Vectors of four numbers per packed row, which is padded to a multiple of 16 numbers.
pub(super) const fn pitch(dim: usize) -> usize {
    dim.div_ceil(16) * 4
}

/// The matrices that a search among rows of `dim` numbers uses, if any.
pub(super) fn usable(context: &Context, dim: usize) -> Option<Cooperative> {
    context.cooperative_for(dim).filter(|_| dim <= MAX_DIM)
}

/// Device bytes of a row as the filters read it.
pub(super) fn row_bytes(context: &Context, dim: usize) -> u64 {
    let packed = match usable(context, dim) {
        Some(_) => pitch(dim) as u64 * 8 + 16,
        None => 0,
    };
    packed + padded_bytes(dim)
}
