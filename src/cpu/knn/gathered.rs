//! Candidates' vectors, copied out of the blocks of points that they lie in.

use super::{Candidates, Points};
use crate::ops::check_gather;
use crate::tensor::{Value, ValueBuffer, ValueType, Values, checked_product};
use crate::{Error, Result};
use rayon::prelude::*;

/// The vectors of all candidates of some queries, `[groups, queries, k, dim]`.
pub struct Gathered {
    shape: [usize; 4],
    values: ValueBuffer,
}

impl Gathered {
    /// Zeros.
    pub(in crate::cpu) fn zeros(shape: [usize; 4], values: ValueType) -> Result<Self> {
        let dims = shape.map(|d| d as u64);
        let len = checked_product(&dims).and_then(|n| usize::try_from(n).ok());
        let len = len.filter(|n| n.checked_mul(4).is_some_and(|b| isize::try_from(b).is_ok()));
        let len = len.ok_or_else(|| Error::TooLarge {
            name: "vectors",
            shape: dims.to_vec(),
        })?;
        Ok(Self {
            shape,
            values: ValueBuffer::zeros(values, len),
        })
    }

    /// Shape.
    pub(in crate::cpu) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All vectors.
    pub fn values(&self) -> Values<'_> {
        self.values.values()
    }

    /// Vector number `at` of `[groups, queries, k]`.
    pub(in crate::cpu) fn vector(&self, at: usize) -> Option<Values<'_>> {
        let (values, dim) = (self.values(), self.shape[3]);
        let end = (at + 1) * dim;
        (end <= values.len()).then(|| values.slice(at * dim..end))
    }
}

/// Copies the rows of those candidates that are among `points` to `into`.
///
/// # Errors
/// [`Error::WrongShape`] if `into` is of another shape; [`Error::Argument`] if it is of halves and the points are not.
pub(in crate::cpu) fn gather(
    points: &Points,
    candidates: &Candidates,
    into: &mut Gathered,
) -> Result<()> {
    check_gather(points.shape(), candidates.lists(), into.shape())?;
    match (&mut into.values, points.value_type()) {
        (ValueBuffer::F16(_), ValueType::F32) => {
            return Err(Error::argument("points", "rows of f32", "rows of f16"));
        }
        (ValueBuffer::F16(out), ValueType::F16) => copy(points, candidates, out, |row, out| {
            if let Values::F16(row) = row {
                out.copy_from_slice(row);
            }
        }),
        (ValueBuffer::F32(out), _) => copy(points, candidates, out, |row, out| row.copy_to(out)),
    }
    Ok(())
}

fn copy<T: Value>(
    points: &Points,
    candidates: &Candidates,
    out: &mut [T],
    row_to: impl Fn(Values<'_>, &mut [T]) + Sync,
) {
    let (_, queries, k) = candidates.shape();
    let dim = points.dim;
    if queries == 0 {
        return;
    }
    out.par_chunks_mut(k * dim)
        .enumerate()
        .for_each(|(i, out)| {
            let (group, query) = (i / queries, i % queries);
            let list = candidates.list(group, query);
            for (candidate, out) in list.iter().zip(out.chunks_exact_mut(dim)) {
                let row = (candidate.index as usize).wrapping_sub(points.first);
                if row < points.rows {
                    row_to(points.row(group, row), out);
                }
            }
        });
}
