//! Packing the input patches of a panel of output pixels.
//!
//! A panel is [`COLS`] consecutive output pixels, the columns of a register tile. It may span several output rows or
//! samples. The pixels of one output row form a *run*: their inputs lie side by side, for every tap. Packing copies,
//! for each channel and tap, the inputs of all pixels to a row of [`COLS`] values.

use super::geometry::Geometry;
use crate::cpu::gemm::COLS;
use crate::simd::{F32, Simd};
use std::ops::Range;

/// Output pixels of a panel that lie in one output row.
#[derive(Clone, Copy)]
struct Run {
    /// Number of the first pixel in the panel.
    first: usize,
    len: usize,
    /// Place of the first pixel's input, for the first tap of the group's first channel.
    from: usize,
}

/// The part of a run that falls into one register.
#[derive(Clone, Copy, Default)]
struct Piece {
    /// A bit for each lane that is read.
    mask: u32,
    /// Place of lane 0's input, for the first tap of the first channel. It may lie before the planes if lane 0 is not
    /// read.
    from: isize,
}

/// A panel of [`COLS`] output pixels: where their inputs are.
pub(super) struct Panel {
    runs: Vec<Run>,
}

impl Panel {
    /// Panel `number` of the product's `columns` output pixels, for a group of channels.
    pub(super) fn new(shape: &Geometry, group: usize, number: usize, columns: usize) -> Self {
        let first = number * COLS;
        let end = (first + COLS).min(columns);
        let mut runs = Vec::new();
        let mut column = first;
        while column < end {
            let (sample, pixel) = (column / shape.pixels(), column % shape.pixels());
            let (y, x) = (pixel / shape.out[1], pixel % shape.out[1]);
            let len = (end - column).min(shape.out[1] - x);
            let plane = sample * shape.channels + group * shape.group_channels();
            let from = plane * shape.plane_len() + shape.output_offset(y, x);
            runs.push(Run {
                first: column - first,
                len,
                from,
            });
            column += len;
        }
        Self { runs }
    }

    /// Place of the [`COLS`] inputs of the first tap, if they lie side by side.
    pub(super) fn contiguous(&self) -> Option<usize> {
        self.runs
            .first()
            .filter(|run| run.len == COLS)
            .map(|run| run.from)
    }

    /// Writes the inputs `[channels, taps, COLS]` to `to`. The taps are given by their `offsets` in a plane of
    /// `plane_len` values. The values behind the last pixel are arbitrary.
    ///
    /// # Panics
    /// If a slice is too short.
    #[inline(always)]
    pub(super) fn pack<S: Simd>(
        &self,
        planes: &[f32],
        plane_len: usize,
        channels: Range<usize>,
        offsets: &[usize],
        to: &mut [f32],
    ) {
        let furthest = self
            .runs
            .iter()
            .map(|run| run.from + run.len)
            .max()
            .unwrap_or(0);
        let last = offsets.iter().max().unwrap_or(&0) + channels.end.saturating_sub(1) * plane_len;
        assert!(
            furthest + last <= planes.len() && to.len() >= channels.len() * offsets.len() * COLS
        );
        // If output rows are at least as long as a register, a register takes pieces of at most two runs.
        let pieces: Option<Vec<[Piece; 2]>> = (0..COLS)
            .step_by(S::F32::LANES)
            .map(|first| self.pair(first, S::F32::LANES))
            .collect();
        for (c, channel) in channels.enumerate() {
            for (t, &offset) in offsets.iter().enumerate() {
                let row = &mut to[(c * offsets.len() + t) * COLS..][..COLS];
                let at = channel * plane_len + offset;
                match &pieces {
                    Some(pairs) => {
                        let base = planes.as_ptr().wrapping_add(at);
                        for ([a, b], row) in pairs.iter().zip(row.chunks_exact_mut(S::F32::LANES)) {
                            let (first, second) =
                                (base.wrapping_offset(a.from), base.wrapping_offset(b.from));
                            // SAFETY: the lanes in the masks belong to runs, all of whose inputs lie in `planes`, as
                            // asserted above for the largest channel and offset.
                            let x = unsafe {
                                S::F32::splat(0.0)
                                    .load_lanes(a.mask, first)
                                    .load_lanes(b.mask, second)
                            };
                            x.copy_to(row);
                        }
                    }
                    None => {
                        for run in &self.runs {
                            row[run.first..][..run.len]
                                .copy_from_slice(&planes[run.from + at..][..run.len]);
                        }
                    }
                }
            }
        }
    }

    /// The pieces of runs that a register of `lanes` pixels from `first` on takes, if there are at most two.
    fn pair(&self, first: usize, lanes: usize) -> Option<[Piece; 2]> {
        let mut pieces = [Piece::default(); 2];
        let mut count = 0;
        for run in &self.runs {
            let (start, end) = (
                run.first.max(first),
                (run.first + run.len).min(first + lanes),
            );
            if start < end {
                let mask = ((1u64 << (end - start)) - 1) << (start - first);
                let from = run.from as isize + first as isize - run.first as isize;
                *pieces.get_mut(count)? = Piece {
                    mask: mask as u32,
                    from,
                };
                count += 1;
            }
        }
        Some(pieces)
    }
}
