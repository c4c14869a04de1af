//! Values whose batch is not their first axis.
//!
//! Exporters of attention move it: `[N, T, 3, H, D]` is transposed to `[3, N, H, T, D]`, and each of the three is
//! taken out. In the graph such a value stays as it was, and the permutation is kept beside it until the operators
//! here, which know of it, have brought the batch back to its place. All others refuse it.

use crate::model::node::{Op, SliceSpec, ValueId};
use crate::model::onnx::attributes::{axis, slice_range};
use crate::model::onnx::context::{Context, Done, Moved};

impl Moved {
    /// Place among the axes after the batch of the value in the graph, for an axis of the moved value.
    fn inner(&self, axis: usize) -> Result<usize, String> {
        self.perm[axis]
            .checked_sub(1)
            .ok_or_else(|| "works along the batch axis, which must stay free".into())
    }

    /// The same without an axis, which has one element.
    fn without(&self, c: &mut Context<'_>, removed: &[usize]) -> Result<Self, String> {
        let gone: Vec<usize> = removed.iter().map(|&a| self.perm[a]).collect();
        let shape = c.value_shape(self.value);
        let left = (1..=shape.len()).filter(|g| !gone.contains(g));
        let shape = left.map(|g| shape[g - 1]).collect();
        let value = c.inner(Op::Reshape(shape), &[self.value])?;
        let kept = (0..self.perm.len()).filter(|a| !removed.contains(a));
        let perm = kept.map(|a| {
            let before = gone.iter().filter(|&&g| g < self.perm[a]).count();
            self.perm[a] - before
        });
        Ok(Self {
            value,
            perm: perm.collect(),
        })
    }

    /// A part of the same.
    fn part(&self, c: &mut Context<'_>, part: SliceSpec) -> Result<Self, String> {
        let value = c.inner(Op::Slice(part), &[self.value])?;
        Ok(Self {
            value,
            perm: self.perm.clone(),
        })
    }

    /// All of its elements.
    fn whole(&self, c: &Context<'_>) -> SliceSpec {
        let shape = c.value_shape(self.value);
        SliceSpec {
            start: vec![0; shape.len()],
            step: vec![1; shape.len()],
            count: shape,
        }
    }
}

/// A transposition of a value, moved or not.
pub(super) fn transpose(c: &mut Context<'_>) -> Done {
    let from = match c.moved(0) {
        Some(moved) => moved,
        None => Moved::still(c.data(0)?, c.shape(0)?.len() + 1),
    };
    let rank = from.perm.len();
    let perm = match c.attributes.ints("perm") {
        Some(p) => p
            .iter()
            .map(|&a| axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(format!("permutation {perm:?} does not fit {rank} axes"));
    }
    let perm = perm.iter().map(|&a| from.perm[a]).collect();
    let value = from.value;
    c.push_moved(0, Moved { value, perm })
}

/// One index along an axis, which disappears.
pub(super) fn gather(c: &mut Context<'_>, from: &Moved) -> Done {
    let at = axis(c.attributes.int("axis", 0), from.perm.len())?;
    let inner = from.inner(at)?;
    let index = c.constant(1)?;
    let &[index] = &index.known()?[..] else {
        return Err("takes more than one index of a value whose batch was moved".into());
    };
    let single = c.constant(1)?.shape.is_empty();
    let mut part = from.whole(c);
    part.start[inner] = axis(index, part.count[inner])?;
    part.count[inner] = 1;
    let row = from.part(c, part)?;
    let row = if single { row.without(c, &[at])? } else { row };
    c.push_moved(0, row)
}

pub(super) fn slice(c: &mut Context<'_>, from: &Moved) -> Done {
    let mut part = from.whole(c);
    for range in c.slice_ranges()? {
        let at = axis(range.axis, from.perm.len())?;
        let inner = from.inner(at)?;
        let size = c.value_shape(from.value)[inner];
        let (start, count) = slice_range(range.start, range.end, range.step, size)?;
        (part.start[inner], part.count[inner]) = (start, count);
        part.step[inner] = isize::try_from(range.step).map_err(|e| e.to_string())?;
    }
    let part = from.part(c, part)?;
    c.push_moved(0, part)
}

pub(super) fn split(c: &mut Context<'_>, from: &Moved) -> Done {
    let at = axis(c.attributes.int("axis", 0), from.perm.len())?;
    let inner = from.inner(at)?;
    let sizes = c.split_sizes(c.value_shape(from.value)[inner])?;
    let mut start = 0;
    for (i, size) in sizes.into_iter().enumerate() {
        let mut part = from.whole(c);
        (part.start[inner], part.count[inner]) = (start, size);
        let part = from.part(c, part)?;
        c.push_moved(i, part)?;
        start += size;
    }
    Ok(())
}

pub(super) fn squeeze(c: &mut Context<'_>, from: &Moved) -> Done {
    let (rank, shape) = (from.perm.len(), c.value_shape(from.value));
    let is_one = |a: usize| from.inner(a).is_ok_and(|inner| shape[inner] == 1);
    let axes = match c.ints("axes", 1)? {
        Some(axes) => (axes.iter())
            .map(|&a| axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).filter(|&a| is_one(a)).collect(),
    };
    if let Some(a) = axes.iter().find(|&&a| !is_one(a)) {
        return Err(format!(
            "axis {a} has more than one element, or is the batch"
        ));
    }
    let left = from.without(c, &axes)?;
    c.push_moved(0, left)
}

/// A value as it is in the graph.
impl Moved {
    fn still(value: ValueId, rank: usize) -> Self {
        Self {
            value,
            perm: (0..rank).collect(),
        }
    }
}
