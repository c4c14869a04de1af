//! Rows as read, with what distances need of each: all that the filters' copies are made from.

use crate::Result;
use crate::ops::{Kernel, PointsBlock, PointsShape, check_points};
use rayon::prelude::*;

/// Most rows that the centre is the mean of. Any centre is right; a typical one makes the filters sharp.
const CENTRE_SAMPLE: usize = 1024;

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
    raw: Vec<f32>,
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
        Self::take(data.to_vec(), groups, dim, first, kernel)
    }

    /// Takes the values `raw [groups, rows, dim]` of samples from `first` on.
    pub(super) fn take(
        raw: Vec<f32>,
        groups: usize,
        dim: usize,
        first: usize,
        kernel: Kernel,
    ) -> Result<Self> {
        let rows = raw.len() / (groups * dim).max(1);
        check_points(&PointsBlock {
            data: &raw,
            groups,
            rows,
            dim,
            first,
        })?;
        let inverse_norms = match kernel {
            Kernel::Gaussian => Vec::new(),
            Kernel::Cosine => raw.par_chunks_exact(dim).map(inverse_norm).collect(),
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
    pub(in crate::cpu) fn row(&self, group: usize, row: usize) -> &[f32] {
        let start = (group * self.rows + row) * self.dim;
        &self.raw[start..start + self.dim]
    }

    /// The values of all samples in one group, as read.
    pub(super) fn rows_of(&self, group: usize) -> &[f32] {
        let size = self.rows * self.dim;
        &self.raw[group * size..][..size]
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

fn inverse_norm(row: &[f32]) -> f64 {
    let sum: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if sum > 0.0 { sum.sqrt().recip() } else { 0.0 }
}

/// At most [`CENTRE_SAMPLE`] rows spread evenly over a group, with their [`Rows::factor`]; rows without
/// direction are left out.
pub(super) fn sample(points: &Rows, group: usize) -> impl Iterator<Item = (&[f32], f64)> {
    let step = points.rows.div_ceil(CENTRE_SAMPLE).max(1);
    (0..points.rows)
        .step_by(step)
        .filter_map(move |row| Some((points.row(group, row), points.factor(group, row)?)))
}
