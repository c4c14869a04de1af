//! Copies between strided views. Concatenation, padding, slicing and transposition are such copies.

use super::Tensor;
use crate::Result;
use crate::ops::check_strided;
use crate::ops::net::StridedCopy;
use rayon::prelude::*;

/// Copies a box of elements. Its first axis is copied in parallel if the parts of the target do not interleave.
///
/// # Errors
/// Those of [`check_strided`].
pub(super) fn copy(x: &Tensor, into: &mut Tensor, c: &StridedCopy) -> Result<()> {
    check_strided(c, x.data().len(), into.data().len())?;
    if c.extents.contains(&0) {
        return Ok(());
    }
    let src = x.data();
    let dst = into.data_mut();
    let (Some(&count), Some(&step)) = (c.extents.first(), c.dst_strides.first()) else {
        dst[c.dst_offset] = src[c.src_offset];
        return Ok(());
    };
    let inner_span = c.dst_span() - (count - 1) * step;
    let lead = c.dst_offset / step.max(1);
    let offset = c.dst_offset - lead * step;
    if step > 0 && offset + inner_span < step {
        dst[lead * step..]
            .par_chunks_mut(step)
            .take(count)
            .enumerate()
            .for_each(|(i, part)| {
                let at = c.src_offset as isize + i as isize * c.src_strides[0];
                copy_axis(src, at, part, offset, c, 1);
            });
    } else {
        copy_axis(src, c.src_offset as isize, dst, c.dst_offset, c, 0);
    }
    Ok(())
}

/// Copies the axes from `axis` on, from index `at` of `src` to index `to` of `dst`.
fn copy_axis(src: &[f32], at: isize, dst: &mut [f32], to: usize, c: &StridedCopy, axis: usize) {
    let Some(&n) = c.extents.get(axis) else {
        dst[to] = src[at as usize];
        return;
    };
    let (from_step, to_step) = (c.src_strides[axis], c.dst_strides[axis]);
    if axis + 1 < c.extents.len() {
        for i in 0..n {
            let at = at + i as isize * from_step;
            copy_axis(src, at, dst, to + i * to_step, c, axis + 1);
        }
    } else if from_step == 1 && to_step == 1 {
        dst[to..to + n].copy_from_slice(&src[at as usize..at as usize + n]);
    } else {
        for i in 0..n {
            dst[to + i * to_step] = src[(at + i as isize * from_step) as usize];
        }
    }
}
