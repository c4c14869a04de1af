//! Packing the patches under a panel of output pixels.

use super::geometry::Geometry;
use crate::cpu::gemm::COLS;
use crate::cpu::simd::Simd;
use std::ops::Range;

/// Output pixels of a panel that lie side by side in one row.
#[derive(Clone, Copy)]
struct Run {
    /// First lane of the panel.
    lane: usize,
    len: usize,
    /// Where the first tap of the group's first channel finds its input.
    from: usize,
}

/// Lanes of one vector that are read together.
#[derive(Clone, Copy, Default)]
struct Piece {
    /// Which lanes.
    mask: u32,
    /// Where the vector's lane 0 would be, for the first tap of the first channel; may lie before the
    /// planes when lane 0 is not read.
    from: isize,
}

/// [`COLS`] output pixels, and where their inputs are.
pub(super) struct Panel {
    runs: Vec<Run>,
}

impl Panel {
    /// Columns `number * COLS ..` of the product, of `columns` altogether, for a group of channels.
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
                lane: column - first,
                len,
                from,
            });
            column += len;
        }
        Self { runs }
    }

    /// Where all [`COLS`] inputs of the first tap lie side by side, if they do.
    pub(super) fn contiguous(&self) -> Option<usize> {
        self.runs
            .first()
            .filter(|run| run.len == COLS)
            .map(|run| run.from)
    }

    /// Writes `[channels, offsets, COLS]`: the input of each tap (`offsets` in a plane) for each pixel,
    /// anything where there is no pixel.
    ///
    /// # Safety
    /// The processor has `S`.
    ///
    /// # Panics
    /// If a slice is too short.
    #[inline(always)]
    pub(super) unsafe fn pack<S: Simd>(
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
        // At most two runs a vector is the rule: rows as long as a vector.
        let pieces: Option<Vec<[Piece; 2]>> = (0..COLS)
            .step_by(S::LANES)
            .map(|lane| self.pair(lane, S::LANES))
            .collect();
        for (c, channel) in channels.enumerate() {
            for (t, &offset) in offsets.iter().enumerate() {
                let row = &mut to[(c * offsets.len() + t) * COLS..][..COLS];
                let at = channel * plane_len + offset;
                // SAFETY: every lane read is inside `planes`, asserted above; a row has COLS values, a
                // multiple of LANES.
                unsafe {
                    match &pieces {
                        Some(pairs) => {
                            let base = planes.as_ptr().wrapping_add(at);
                            for (v, [a, b]) in pairs.iter().enumerate() {
                                let x = S::load_lanes(
                                    S::splat(0.0),
                                    a.mask,
                                    base.wrapping_offset(a.from),
                                );
                                let x = S::load_lanes(x, b.mask, base.wrapping_offset(b.from));
                                S::store(row.as_mut_ptr().add(v * S::LANES), x);
                            }
                        }
                        None => {
                            for run in &self.runs {
                                row[run.lane..][..run.len]
                                    .copy_from_slice(&planes[run.from + at..][..run.len]);
                            }
                        }
                    }
                }
            }
        }
    }

    /// The runs that a vector of `lanes` from lane `first` on reads, if they are at most two.
    fn pair(&self, first: usize, lanes: usize) -> Option<[Piece; 2]> {
        let mut pieces = [Piece::default(); 2];
        let mut count = 0;
        for run in &self.runs {
            let (start, end) = (run.lane.max(first), (run.lane + run.len).min(first + lanes));
            if start < end {
                let mask = ((1u64 << (end - start)) - 1) << (start - first);
                let from = run.from as isize + first as isize - run.lane as isize;
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
