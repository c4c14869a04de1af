//! Rows on the device, prepared for a search: the values as they were read, and what [`super::analysis`] finds out about
//! them.

use super::analysis::Analysis;
use super::lift::{LIFT, has_subnormals, lift};
use super::packing::row_bytes;
use super::widen::{upload_halves, widen_bytes};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::memory::{Buffer, Kind};
use crate::ops::{Kernel, PointsBlock, PointsShape, check_points, check_queries};
use crate::tensor::{ValueType, Values};

/// Rows of a few channels on the device, `[groups, rows, dim]`.
pub struct Points {
    pub(in crate::gpu) groups: usize,
    pub(in crate::gpu) rows: usize,
    pub(in crate::gpu) dim: usize,
    /// Index of the first sample among all.
    pub(in crate::gpu) first: usize,
    /// `[rows]`: indices among all samples of rows that are queries only; `None` for consecutive samples.
    samples: Option<Vec<u32>>,
    pub(in crate::gpu) kernel: Kernel,
    pub(in crate::gpu) raw: Buffer,
    /// `[groups, 1 + dim]`: scale and centre, for searches with these rows as queries.
    pub(in crate::gpu) frames: Buffer,
    /// `[groups]`: the scales, powers of two that bring typical deviations from the centre near 1.
    pub(in crate::gpu) scales: Vec<f32>,
    /// Whether `raw` and `frames` hold the values times [`LIFT`].
    pub(in crate::gpu) lifted: bool,
    /// `[groups, rows]`: how many rows before each have the same values.
    pub(in crate::gpu) copies: Buffer,
}

/// Device bytes of [`Points`], of what it takes to make them of `values`, and of the norms and packed rows that a search
/// computes for them.
pub(in crate::gpu) fn points_bytes(
    context: &Context,
    groups: usize,
    rows: usize,
    dim: usize,
    values: ValueType,
) -> u64 {
    let packed = row_bytes(context, dim);
    let (groups, rows, dim) = (groups as u64, rows as u64, dim as u64);
    let widening = match values {
        ValueType::F16 => widen_bytes(groups * rows * dim),
        ValueType::F32 => 0,
    };
    groups * (rows * (dim * 4 + packed) + rows * (4 + 16) + (dim + 1) * 4) + widening + 1024
}

impl Points {
    /// Sizes and kernel, for checks of arguments.
    pub(in crate::gpu) fn shape(&self) -> PointsShape {
        PointsShape {
            groups: self.groups,
            rows: self.rows,
            dim: self.dim,
            kernel: self.kernel,
            listed: self.samples.is_some(),
        }
    }

    /// Rows of the samples listed, to be queries.
    pub(in crate::gpu) fn queries(
        context: &Context,
        block: PointsBlock<'_>,
        samples: &[u32],
        kernel: Kernel,
    ) -> Result<Self> {
        check_queries(&block, samples)?;
        let points = Self::new(context, block, kernel)?;
        Ok(Self {
            samples: Some(samples.to_vec()),
            ..points
        })
    }

    /// Index among all samples of a row.
    pub(super) fn sample(&self, row: usize) -> u32 {
        match &self.samples {
            Some(samples) => samples[row],
            None => (self.first + row) as u32,
        }
    }

    pub(in crate::gpu) fn new(
        context: &Context,
        block: PointsBlock<'_>,
        kernel: Kernel,
    ) -> Result<Self> {
        check_points(&block)?;
        let PointsBlock {
            data,
            groups,
            rows,
            dim,
            ..
        } = block;
        context.count(&[groups, rows, dim])?;
        let raised = match data {
            // Those of halves are normal numbers of `f32`.
            Values::F16(_) => None,
            Values::F32(data) if !has_subnormals(data) => None,
            Values::F32(data) => Some(lift(context, data)?),
        };
        let data = raised.as_ref().map_or(data, Values::from);
        let block = PointsBlock { data, ..block };
        let analysis = Analysis::new(block, kernel);
        Self::upload(context, block, analysis, raised.is_some())
    }

    /// Rows that were analysed beforehand ([`super::analysis::analyse`]).
    pub(in crate::gpu) fn analysed(
        context: &Context,
        block: PointsBlock<'_>,
        kernel: Kernel,
        analysis: Analysis,
    ) -> Result<Self> {
        check_points(&block)?;
        analysis.check(&block, kernel)?;
        context.count(&[block.groups, block.rows, block.dim])?;
        Self::upload(context, block, analysis, false)
    }

    /// Copies rows to the device. `lifted`: they were, and the analysis is of the lifted rows.
    fn upload(
        context: &Context,
        block: PointsBlock<'_>,
        analysis: Analysis,
        lifted: bool,
    ) -> Result<Self> {
        let PointsBlock {
            data,
            groups,
            rows,
            dim,
            first,
        } = block;
        Ok(Self {
            groups,
            rows,
            dim,
            first,
            samples: None,
            kernel: analysis.kernel,
            raw: match data {
                Values::F16(data) => upload_halves(context, data)?,
                Values::F32(data) => upload(context, data)?,
            },
            frames: upload(context, &analysis.frames)?,
            scales: analysis.scales(),
            lifted,
            copies: upload(context, &analysis.copies)?,
        })
    }

    /// What squared distances in these rows' frame are in units of: theirs is `1 / scale^2`.
    pub(in crate::gpu) fn scale(&self, group: usize) -> f64 {
        let lift = match (self.kernel, self.lifted) {
            (Kernel::Gaussian, true) => f64::from(LIFT),
            _ => 1.0,
        };
        f64::from(self.scales[group]) * lift
    }

    /// The same rows lifted, where they are not and `lifted` asks for it. Blocks of one search need it
    /// where some hold subnormal numbers and others do not, so it may take the way over the host.
    pub(in crate::gpu) fn lift(&self, context: &Context, lifted: bool) -> Result<Option<Self>> {
        if self.lifted || !lifted {
            return Ok(None);
        }
        let (rows, length) = (self.groups * self.rows, self.dim + 1);
        let raw: Vec<f32> = context.read(&self.raw, rows * self.dim)?;
        let copies: Vec<u32> = context.read(&self.copies, rows)?;
        let mut frames: Vec<f32> = context.read(&self.frames, self.groups * length)?;
        if self.kernel == Kernel::Gaussian {
            for frame in frames.chunks_exact_mut(length) {
                frame[0] /= LIFT;
                frame[1..].iter_mut().for_each(|v| *v *= LIFT);
            }
        }
        Ok(Some(Self {
            raw: upload(context, &lift(context, &raw)?)?,
            scales: frames.iter().step_by(length).copied().collect(),
            samples: self.samples.clone(),
            lifted: true,
            frames: upload(context, &frames)?,
            copies: upload(context, &copies)?,
            ..*self
        }))
    }
}

fn upload<T: bytemuck::Pod>(context: &Context, values: &[T]) -> Result<Buffer> {
    let buffer = context
        .pool
        .get(Kind::Storage, size_of_val(values) as u64)?;
    context.write(&buffer, values)?;
    Ok(buffer)
}
