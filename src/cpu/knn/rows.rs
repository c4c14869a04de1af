//! Rows as read, with what distances need of each: all that the filters' copies are made from.

use crate::Result;
use crate::cpu::pages;
use crate::ops::{Kernel, PointsBlock, PointsShape, check_points};
use crate::tensor::{Value, ValueBuffer, ValueType, Values};
use rayon::prelude::*;
use std::borrow::Cow;

/// Most rows that the centre is the mean of. Any centre is right; a typical one makes the filters sharp.
pub(super) const CENTRE_SAMPLE: usize = 1024;

/// Rows of a few channels as read.
pub struct Rows {
    /// Channels.
    pub(in crate::cpu) groups: usize,
    /// Samples in this block.
    pub(in crate::cpu) rows: usize,
    /// Numbers per sample and channel.
    pub(in crate::cpu) dim: usize,
    /// Index of the first sample among all.
    pub(in crate::cpu) first: usize,
    /// `[rows]` indices among all samples of rows that are queries only; `None` for consecutive samples.
    pub(super) samples: Option<Vec<u32>>,
    /// What distances mean.
    pub(in crate::cpu) kernel: Kernel,
    /// `[groups, rows, dim]` as read.
    raw: ValueBuffer,
    /// `[groups, rows]` 1 / norm, 0 for a zero vector; empty unless the kernel is cosine.
    inverse_norms: Vec<f64>,
}

impl Rows {
    /// Copies the values of a block.
    pub(super) fn new(block: PointsBlock<'_>, kernel: Kernel) -> Result<Self> {
        check_points(&block)?;
        let PointsBlock {
            data,
            groups,
            dim,
            first,
            ..
        } = block;
        Self::take(copied(data), groups, dim, first, kernel)
    }

    /// Takes the values `raw [groups, rows, dim]` of samples from `first` on.
    pub(super) fn take(
        raw: ValueBuffer,
        groups: usize,
        dim: usize,
        first: usize,
        kernel: Kernel,
    ) -> Result<Self> {
        let rows = raw.values().len() / (groups * dim).max(1);
        check_points(&PointsBlock {
            data: raw.values(),
            groups,
            rows,
            dim,
            first,
        })?;
        let inverse_norms = match kernel {
            Kernel::Gaussian => Vec::new(),
            Kernel::Cosine => inverse_norms(raw.values(), groups * rows, dim),
        };
        Ok(Self {
            groups,
            rows,
            dim,
            first,
            samples: None,
            kernel,
            raw,
            inverse_norms,
        })
    }

    /// Sizes and kernel, for checks of arguments.
    pub(in crate::cpu) fn shape(&self) -> PointsShape {
        PointsShape {
            groups: self.groups,
            rows: self.rows,
            dim: self.dim,
            kernel: self.kernel,
            listed: self.samples.is_some(),
        }
    }

    /// Type of the values as read.
    pub(super) fn value_type(&self) -> ValueType {
        self.raw.values().value_type()
    }

    /// Index among all samples of a row.
    #[inline(always)]
    pub(super) fn sample(&self, row: usize) -> usize {
        match &self.samples {
            Some(samples) => samples[row] as usize,
            None => self.first + row,
        }
    }

    /// The values of one sample in one group, as read.
    #[inline(always)]
    pub(in crate::cpu) fn row(&self, group: usize, row: usize) -> Values<'_> {
        let start = (group * self.rows + row) * self.dim;
        self.raw.values().slice(start..start + self.dim)
    }

    /// The values of all samples in one group, as read.
    pub(super) fn rows_of(&self, group: usize) -> Values<'_> {
        let size = self.rows * self.dim;
        self.raw.values().slice(group * size..(group + 1) * size)
    }

    /// Room for a row that has to be widened.
    pub(super) fn scratch(&self) -> Vec<f32> {
        match self.raw {
            ValueBuffer::F16(_) => vec![0.0; self.dim],
            ValueBuffer::F32(_) => Vec::new(),
        }
    }

    /// 1 / norm of a row under the cosine kernel, 0 for a zero vector.
    #[inline(always)]
    pub(super) fn inverse_norm(&self, group: usize, row: usize) -> f64 {
        self.inverse_norms[group * self.rows + row]
    }

    /// The factor by which a row is multiplied before it is packed: 1 / norm under cosine, else 1. `None` for a
    /// zero vector under cosine, which has no direction.
    pub(super) fn factor(&self, group: usize, row: usize) -> Option<f64> {
        match self.kernel {
            Kernel::Gaussian => Some(1.0),
            Kernel::Cosine => Some(self.inverse_norm(group, row)).filter(|&f| f > 0.0),
        }
    }
}

/// Values that a thread copies at a time.
const COPIED: usize = 1 << 18;

/// A copy of values, made by all threads.
fn copied(values: Values<'_>) -> ValueBuffer {
    fn copy<T: Value>(values: &[T]) -> Vec<T> {
        let mut copy = pages::zeros(values.len());
        let parts = copy.par_chunks_mut(COPIED).zip(values.par_chunks(COPIED));
        parts.for_each(|(to, from)| to.copy_from_slice(from));
        copy
    }
    match values {
        Values::F16(values) => ValueBuffer::F16(copy(values)),
        Values::F32(values) => ValueBuffer::F32(copy(values)),
    }
}

/// Rows whose norms a thread computes at a time.
const NORMS: usize = 64;

/// 1 / norm of every row.
fn inverse_norms(values: Values<'_>, rows: usize, dim: usize) -> Vec<f64> {
    let mut norms = vec![0.0; rows];
    norms
        .par_chunks_mut(NORMS)
        .enumerate()
        .for_each(|(chunk, norms)| {
            let mut scratch = vec![0.0; dim];
            for (i, norm) in norms.iter_mut().enumerate() {
                let start = (chunk * NORMS + i) * dim;
                *norm = inverse_norm(values.slice(start..start + dim).widen(&mut scratch));
            }
        });
    norms
}

fn inverse_norm(row: &[f32]) -> f64 {
    let sum: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if sum > 0.0 { sum.sqrt().recip() } else { 0.0 }
}

/// One row.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) points: &'a Rows,
    pub(super) group: usize,
    pub(super) row: usize,
}

/// At most [`CENTRE_SAMPLE`] rows spread evenly over a group, with their [`Rows::factor`]; rows without
/// direction are left out.
pub(super) fn sample(points: &Rows, group: usize) -> impl Iterator<Item = (Cow<'_, [f32]>, f64)> {
    let step = points.rows.div_ceil(CENTRE_SAMPLE).max(1);
    (0..points.rows)
        .step_by(step)
        .filter_map(move |row| Some((points.row(group, row).wide(), points.factor(group, row)?)))
}
