//! What the host finds out about rows before they go to the device: a frame for the filter, and which rows are copies of
//! others.
//!
//! It takes more of the host's time than the copying that follows. So a run does it for the next block while the device works
//! on this one ([`crate::ops::Backend::analyse`]). Nothing here knows the device.

use super::lift::has_subnormals;
use crate::ops::{Kernel, PointsBlock, check_length, check_points};
use crate::tensor::{Value, Values};
use crate::{Error, Result};
use half::f16;
use rayon::prelude::*;

/// Rows that the frame is computed from. Every frame gives the same result; one that is typical of the
/// rows lets the filter rule out more points.
const FRAME_SAMPLE: usize = 63;
/// Hashes of a row that are computed side by side.
const HASHES: usize = 8;

/// What is known of a block of rows.
pub struct Analysis {
    pub(super) kernel: Kernel,
    /// Numbers per row.
    dim: usize,
    /// `[groups, 1 + dim]`: scale and centre.
    pub(super) frames: Vec<f32>,
    /// `[groups, rows]`: how many rows before each have the same values.
    pub(super) copies: Vec<u32>,
}

/// Most bytes of the host's memory that an [`Analysis`] takes, and what it takes to make it.
pub(in crate::gpu) fn analysis_bytes(groups: usize, rows: usize, dim: usize) -> u64 {
    let (groups, rows, dim) = (groups as u64, rows as u64, dim as u64);
    // The rows in the order of their hashes, and the counts of a group beside those of all. Of every group some rows, widened,
    // a column of them, and the frame beside those of all.
    let sample = rows.min(FRAME_SAMPLE as u64);
    groups * (rows * (16 + 8) + (sample + 2) * (dim + 1) * 4)
}

/// Analyses rows before it is their turn. `None` for what [`super::Points::new`] refuses or lifts.
pub(in crate::gpu) fn analyse(block: PointsBlock<'_>, kernel: Kernel) -> Option<Analysis> {
    check_points(&block).ok()?;
    match block.data {
        Values::F32(data) if has_subnormals(data) => None,
        _ => Some(Analysis::new(block, kernel)),
    }
}

impl Analysis {
    /// Of rows that [`check_points`] accepts.
    pub(super) fn new(block: PointsBlock<'_>, kernel: Kernel) -> Self {
        let PointsBlock {
            data,
            groups,
            rows,
            dim,
            ..
        } = block;
        let group = |g: usize| data.slice(g * rows * dim..(g + 1) * rows * dim);
        let frames: Vec<Vec<f32>> = (0..groups)
            .into_par_iter()
            .map(|g| match kernel {
                Kernel::Gaussian => frame(group(g), rows, dim),
                Kernel::Cosine => [vec![1.0], vec![0.0; dim]].concat(),
            })
            .collect();
        let mut copies = vec![0; groups * rows];
        copies
            .par_chunks_mut(rows.max(1))
            .enumerate()
            .for_each(|(g, copies)| match group(g) {
                Values::F16(x) => count_copies(x, dim, copies),
                Values::F32(x) => count_copies(x, dim, copies),
            });
        Self {
            kernel,
            dim,
            frames: frames.concat(),
            copies,
        }
    }

    /// The groups' scales.
    pub(super) fn scales(&self) -> Vec<f32> {
        self.frames.iter().step_by(self.dim + 1).copied().collect()
    }

    /// Whether it can be of this block.
    pub(super) fn check(&self, block: &PointsBlock<'_>, kernel: Kernel) -> Result<()> {
        if self.kernel != kernel {
            let got = format!("of rows for the {:?} kernel", self.kernel);
            let expected = format!("of rows for the {kernel:?} kernel");
            return Err(Error::argument("analysis", got, expected));
        }
        let PointsBlock {
            groups, rows, dim, ..
        } = *block;
        check_length("analysis", groups * (dim + 1), self.frames.len())?;
        check_length("analysis", groups * rows, self.copies.len())
    }
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

/// Counts for each row of zeroed `copies` how many rows before it have the same values.
fn count_copies<T: Bits>(x: &[T], dim: usize, copies: &mut [u32]) {
    let row = |i: u32| &x[i as usize * dim..][..dim];
    let all = (0..copies.len() as u32).into_par_iter();
    let mut order: Vec<(u64, u32)> = all.map(|i| (hash(row(i)), i)).collect();
    order.par_sort_unstable();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies<const ROWS: usize>(x: &[f32], dim: usize) -> [u32; ROWS] {
        let mut copies = [0; ROWS];
        count_copies(x, dim, &mut copies);
        copies
    }

    #[test]
    fn copies_are_counted() {
        let x = [1.0, 2.0, 0.0, 0.0, 1.0, 2.0, -0.0, 0.0, 1.0, 2.0, 2.0, 1.0];
        assert_eq!(copies(&x, 2), [0, 0, 1, 1, 2, 0]);
        // Long rows that differ in one place only.
        for at in 0..19 {
            let mut x = vec![1.5; 3 * 19];
            x[19 + at] = 2.5;
            assert_eq!(copies(&x, 19), [0, 0, 1]);
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
