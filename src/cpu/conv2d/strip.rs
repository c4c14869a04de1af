//! A strip of output pixels: patches packed a few channels at a time, multiplied by all filters of a group.

use super::geometry::Geometry;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::gemm::{CHUNK, COLS, ROWS, tile};
use crate::cpu::simd::{Simd, SimdOp};
use crate::device::Activation;
use std::ops::Range;

/// What all strips share.
pub(super) struct Job<'a> {
    pub(super) shape: &'a Geometry,
    /// `[samples, channels]` planes as [`Geometry::fill_plane`] lays them out.
    pub(super) planes: &'a [f32],
    /// `[filters]`.
    pub(super) bias: &'a [f32],
    pub(super) activation: Activation,
    /// Output pixels of all samples: columns of the product, sample after sample.
    pub(super) columns: usize,
}

/// Which part of the product: panels of columns by panels of filters of one group.
pub(super) struct Task {
    pub(super) group: usize,
    pub(super) panels: Range<usize>,
    pub(super) row_panels: Range<usize>,
}

/// Columns of a panel that lie side by side in one output row.
#[derive(Clone, Copy)]
struct Run {
    /// First lane of the panel.
    lane: usize,
    len: usize,
    /// Where in `planes` the first tap of the group's first channel finds its input.
    from: usize,
}

/// Work on one [`Task`].
pub(super) struct Strip<'a> {
    pub(super) job: &'a Job<'a>,
    /// The group's filters, packed `[row panels, depth, ROWS]`.
    pub(super) weights: &'a [f32],
    pub(super) task: Task,
    /// `[samples, filters, pixels]`.
    pub(super) out: &'a Disjoint<'a>,
}

impl SimdOp for Strip<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(self) {
        let shape = self.job.shape;
        let (taps, depth) = (shape.taps(), shape.depth());
        let panels = self.task.panels.len();
        let width = panels * COLS;
        let rows = self.task.row_panels.len();
        let runs: Vec<Vec<Run>> = self.task.panels.clone().map(|p| self.runs(p)).collect();
        let offsets: Vec<usize> = (0..shape.kernel[0])
            .flat_map(|ky| (0..shape.kernel[1]).map(move |kx| shape.tap_offset(ky, kx)))
            .collect();
        // Whole channels, about CHUNK terms.
        let per_chunk = (CHUNK / taps).max(1);
        // Copies of whole vectors run over the end of a row into the next, and past the last.
        let mut patches = vec![0f32; (panels * per_chunk * taps + 1) * COLS];
        let mut sums = vec![0f32; rows * ROWS * width];
        for first in (0..shape.group_channels()).step_by(per_chunk) {
            let channels = first..(first + per_chunk).min(shape.group_channels());
            let len = channels.len() * taps;
            for (p, runs) in runs.iter().enumerate() {
                // SAFETY: `S` is there by the contract of `run`.
                unsafe {
                    self.pack::<S>(
                        runs,
                        &offsets,
                        channels.clone(),
                        &mut patches[p * len * COLS..][..(len + 1) * COLS],
                    )
                };
            }
            for r in 0..rows {
                let weights = &self.weights
                    [((self.task.row_panels.start + r) * depth + first * taps) * ROWS..];
                let sums = &mut sums[r * ROWS * width..][..ROWS * width];
                for p in 0..panels {
                    let patches = &patches[p * len * COLS..];
                    // SAFETY: as above.
                    unsafe {
                        tile::<S, R, V, false>(
                            weights,
                            patches,
                            len,
                            &mut sums[p * COLS..],
                            width,
                            first > 0,
                        )
                    };
                }
                if channels.end == shape.group_channels() {
                    self.store(self.task.row_panels.start + r, sums);
                }
            }
        }
    }
}

impl Strip<'_> {
    /// Columns of panel `p` cut where an output row ends.
    fn runs(&self, p: usize) -> Vec<Run> {
        let shape = self.job.shape;
        let end = ((p + 1) * COLS).min(self.job.columns);
        let mut runs = Vec::new();
        let mut column = p * COLS;
        while column < end {
            let (sample, pixel) = (column / shape.pixels(), column % shape.pixels());
            let (y, x) = (pixel / shape.out[1], pixel % shape.out[1]);
            let len = (end - column).min(shape.out[1] - x);
            let plane = sample * shape.channels + self.task.group * shape.group_channels();
            runs.push(Run {
                lane: column - p * COLS,
                len,
                from: plane * shape.plane_len() + shape.output_offset(y, x),
            });
            column += len;
        }
        runs
    }

    /// Packs a panel's patches `[channels, taps, COLS]`. One row beyond may be overwritten; lanes
    /// without a column hold anything.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn pack<S: Simd>(
        &self,
        runs: &[Run],
        offsets: &[usize],
        channels: Range<usize>,
        to: &mut [f32],
    ) {
        let plane_len = self.job.shape.plane_len();
        let planes = self.job.planes;
        for (c, channel) in channels.enumerate() {
            for (t, &offset) in offsets.iter().enumerate() {
                let row = (c * offsets.len() + t) * COLS;
                for run in runs {
                    let from = run.from + channel * plane_len + offset;
                    let to = &mut to[row + run.lane..];
                    // Runs are written in ascending order, so that what a whole vector writes too
                    // much is overwritten by the next run or row, or never read.
                    let whole = run.len.next_multiple_of(S::LANES);
                    if from + whole <= planes.len() {
                        let from = &planes[from..from + whole];
                        let to = &mut to[..whole];
                        for i in (0..whole).step_by(S::LANES) {
                            // SAFETY: both slices have `whole` values, a multiple of LANES.
                            unsafe {
                                S::store(to.as_mut_ptr().add(i), S::load(from.as_ptr().add(i)))
                            };
                        }
                    } else {
                        to[..run.len].copy_from_slice(&planes[from..from + run.len]);
                    }
                }
            }
        }
    }

    /// Finishes the sums `[ROWS, panels * COLS]` of a panel of filters and writes them out.
    #[inline(always)]
    fn store(&self, row_panel: usize, sums: &[f32]) {
        let shape = self.job.shape;
        let (filters, pixels) = (shape.group_filters(), shape.pixels());
        let first = self.task.panels.start * COLS;
        let width = self.task.panels.len() * COLS;
        let end = (first + width).min(self.job.columns);
        for (r, sums) in sums
            .chunks_exact(width)
            .enumerate()
            .take(filters - (row_panel * ROWS).min(filters))
        {
            let filter = self.task.group * filters + row_panel * ROWS + r;
            let bias = self.job.bias[filter];
            let mut column = first;
            while column < end {
                let (sample, pixel) = (column / pixels, column % pixels);
                let len = (end - column).min(pixels - pixel);
                let start = (sample * shape.filters + filter) * pixels + pixel;
                // SAFETY: these columns and filters belong to this task alone.
                let out = unsafe { self.out.part(start, len) };
                let sums = &sums[column - first..][..len];
                write(out, sums, bias, self.job.activation);
                column += len;
            }
        }
    }
}

/// One loop an activation, so that each is vectorised.
#[inline(always)]
pub(super) fn write(out: &mut [f32], sums: &[f32], bias: f32, activation: Activation) {
    macro_rules! each {
        ($activation:expr) => {
            for (out, &sum) in out.iter_mut().zip(sums) {
                *out = $activation.apply(sum + bias);
            }
        };
    }
    match activation {
        Activation::Identity => each!(Activation::Identity),
        Activation::Relu => each!(Activation::Relu),
        Activation::Clip(lo, hi) => each!(Activation::Clip(lo, hi)),
        Activation::LeakyRelu(slope) => each!(Activation::LeakyRelu(slope)),
    }
}
