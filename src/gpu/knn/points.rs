//! Rows on the device, prepared for a search: the values as they were read, and a frame for the filter.

use super::lift::{LIFT, has_subnormals, lift};
use super::packing::row_bytes;
use super::widen::{upload_halves, widen_bytes};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::memory::{Buffer, Kind};
use crate::ops::{Kernel, PointsBlock, PointsShape, check_points, check_queries};
use crate::tensor::{Value, ValueType, Values};
use half::f16;
use rayon::prelude::*;

/// Rows that the frame is computed from. Every frame gives the same result; one that is typical of the
/// rows lets the filter rule out more points.
const FRAME_SAMPLE: usize = 63;
/// Hashes of a row that are computed side by side.
const HASHES: usize = 8;

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
            first,
        } = block;
        context.count(&[groups, rows, dim])?;
        let raised = match data {
            // Those of halves are normal numbers of `f32`.
            Values::F16(_) => None,
            Values::F32(data) if !has_subnormals(data) => None,
            Values::F32(data) => Some(lift(context, data)?),
        };
        let data = raised.as_ref().map_or(data, Values::from);
        let group = |g: usize| data.slice(g * rows * dim..(g + 1) * rows * dim);
        let frames: Vec<Vec<f32>> = (0..groups)
            .into_par_iter()
            .map(|g| match kernel {
                Kernel::Gaussian => frame(group(g), rows, dim),
                Kernel::Cosine => [vec![1.0], vec![0.0; dim]].concat(),
            })
            .collect();
        let copies: Vec<u32> = (0..groups)
            .into_par_iter()
            .flat_map_iter(|g| match group(g) {
                Values::F16(x) => count_copies(x, rows, dim),
                Values::F32(x) => count_copies(x, rows, dim),
            })
            .collect();
        Ok(Self {
            groups,
            rows,
            dim,
            first,
            samples: None,
            kernel,
            raw: match data {
                Values::F16(data) => upload_halves(context, data)?,
                Values::F32(data) => upload(context, data)?,
            },
            scales: frames.iter().map(|f| f[0]).collect(),
            lifted: raised.is_some(),
            frames: upload(context, &frames.concat())?,
            copies: upload(context, &copies)?,
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

/// A power of two that brings the deviations of a typical row near 1, followed by the median of each
/// coordinate. Medians are used because a few huge values would make a mean useless for all other rows.
fn frame(x: Values<'_>, rows: usize, dim: usize) -> Vec<f32> {
    let step = rows.div_ceil(FRAME_SAMPLE).max(1);
    let sample = (0..rows).step_by(step);
    let sample: Vec<_> = sample
        .map(|row| x.slice(row * dim..(row + 1) * dim).wide())
        .collect();
    let mut column = vec![0f32; sample.len()];
    let mut median = |of: &dyn Fn(&[f32]) -> f32| {
        for (to, row) in column.iter_mut().zip(&sample) {
            *to = of(row);
        }
        let middle = column.len() / 2;
        match column.is_empty() {
            true => 0.0,
            false => *column.select_nth_unstable_by(middle, f32::total_cmp).1,
        }
    };
    let mut frame = vec![1.0; dim + 1];
    for t in 0..dim {
        frame[1 + t] = median(&|row| row[t]);
    }
    let centre = &frame[1..];
    // Quarters of the deviations, which do not overflow.
    let farthest = |row: &[f32]| {
        let deviations = row.iter().zip(centre);
        deviations.fold(0.0, |most: f32, (x, c)| {
            most.max((0.25 * x - 0.25 * c).abs())
        })
    };
    let mut typical = median(&farthest);
    if typical == 0.0 {
        // Most rows are equal, so the others determine the scale.
        typical = sample.iter().map(|row| farthest(row)).fold(0.0, f32::max);
    }
    if typical > 0.0 {
        // The bounds keep the scale a normal number, also that of lifted rows.
        frame[0] = (-(typical.log2().ceil() + 2.0)).clamp(-100.0, 126.0).exp2();
    }
    frame
}

/// A value as bits that equal values share: 0 and -0 are equal.
trait Bits: Value {
    fn bits(self) -> u32;
}

impl Bits for f32 {
    fn bits(self) -> u32 {
        (self + 0.0).to_bits()
    }
}

impl Bits for f16 {
    fn bits(self) -> u32 {
        match self.to_bits() {
            0x8000 => 0,
            bits => bits.into(),
        }
    }
}

/// A hash that equal rows share. Several are computed side by side, as one alone would wait for each multiplication.
fn hash<T: Bits>(row: &[T]) -> u64 {
    let mut lanes = [0u64; HASHES];
    let mut parts = row.chunks_exact(HASHES);
    let mut step = |values: &[T]| {
        for (lane, value) in lanes.iter_mut().zip(values) {
            let bits = u64::from(value.bits());
            *lane = (lane.rotate_left(5) ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    };
    parts.by_ref().for_each(&mut step);
    step(parts.remainder());
    lanes.iter().fold(0, |hash: u64, lane| {
        (hash.rotate_left(5) ^ lane).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// Counts for each row how many rows before it have the same values.
fn count_copies<T: Bits>(x: &[T], rows: usize, dim: usize) -> Vec<u32> {
    let row = |i: u32| &x[i as usize * dim..][..dim];
    let all = (0..rows as u32).into_par_iter();
    let mut order: Vec<(u64, u32)> = all.map(|i| (hash(row(i)), i)).collect();
    order.par_sort_unstable();
    let mut copies = vec![0; rows];
    for run in order.chunk_by(|a, b| a.0 == b.0) {
        let original = row(run[0].1);
        let mut count = 0;
        for &(_, i) in &run[1..] {
            // After a hash collision a copy is not counted, which costs time but changes no result.
            if row(i) == original {
                count += 1;
                copies[i as usize] = count;
            }
        }
    }
    copies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_counted() {
        let x = [1.0, 2.0, 0.0, 0.0, 1.0, 2.0, -0.0, 0.0, 1.0, 2.0, 2.0, 1.0];
        assert_eq!(count_copies(&x, 6, 2), [0, 0, 1, 1, 2, 0]);
        // Long rows that differ in one place only.
        for at in 0..19 {
            let mut x = vec![1.5; 3 * 19];
            x[19 + at] = 2.5;
            assert_eq!(count_copies(&x, 3, 19), [0, 0, 1]);
        }
    }

    #[test]
    fn frames_ignore_outliers() {
        let mut x: Vec<f32> = (0..60).map(|i| 100.0 + (i % 7) as f32).collect();
        x[17] = 3e38;
        let frame = frame(Values::F32(&x), 30, 2);
        assert!((100.0..107.0).contains(&frame[1]) && (100.0..107.0).contains(&frame[2]));
        assert!((0.1..1.0).contains(&frame[0]));
    }
}
