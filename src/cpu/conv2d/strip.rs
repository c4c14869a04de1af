//! A strip of output pixels: its input patches are packed a few channels at a time and multiplied by all filters of a
//! group.

use super::geometry::Geometry;
use super::patch::Panel;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::gemm::{CHUNK, COLS, ROWS, Target, tile};
use crate::ops::Activation;
use crate::simd::{Simd, SimdKernel};
use std::ops::Range;

/// Up to this many panels of filters, a panel of input pixels is not worth packing.
const IN_PLACE: usize = 12;

/// The arguments that all strips share.
pub(super) struct Job<'a> {
    pub(super) shape: &'a Geometry,
    /// `[samples, channels]` planes as [`Geometry::fill_plane`] lays them out.
    pub(super) planes: &'a [f32],
    /// `[filters]`.
    pub(super) bias: &'a [f32],
    pub(super) activation: Activation,
    /// Output pixels of all samples, sample after sample: the columns of the product.
    pub(super) columns: usize,
}

/// A part of the product: some panels of columns by some panels of filters of one group.
pub(super) struct Task {
    pub(super) group: usize,
    pub(super) panels: Range<usize>,
    pub(super) row_panels: Range<usize>,
}

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    patches: Vec<f32>,
    sums: Vec<f32>,
}

/// Kernel: one [`Task`].
pub(super) struct Strip<'a> {
    pub(super) job: &'a Job<'a>,
    /// The group's filters, packed `[row panels, depth, ROWS]`.
    pub(super) weights: &'a [f32],
    pub(super) task: Task,
    /// `[samples, filters, pixels]`.
    pub(super) out: &'a Disjoint<'a>,
    pub(super) scratch: &'a mut Scratch,
}

impl SimdKernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let shape = self.job.shape;
        let (taps, depth) = (shape.taps(), shape.depth());
        let panels = self.task.panels.len();
        let width = panels * COLS;
        let rows = self.task.row_panels.len();
        let columns: Vec<Panel> = (self.task.panels.clone())
            .map(|p| Panel::new(shape, self.task.group, p, self.job.columns))
            .collect();
        let offsets: Vec<usize> = (0..shape.kernel[0])
            .flat_map(|ky| (0..shape.kernel[1]).map(move |kx| shape.tap_offset(ky, kx)))
            .collect();
        // A chunk of the sum is a number of whole channels with about `CHUNK` terms.
        let per_chunk = (CHUNK / taps).max(1);
        let Scratch { patches, sums } = self.scratch;
        patches.resize(panels * per_chunk * taps * COLS, 0.0);
        sums.resize(rows * ROWS * width, 0.0);
        for first in (0..shape.group_channels()).step_by(per_chunk) {
            let channels = first..(first + per_chunk).min(shape.group_channels());
            let len = channels.len() * taps;
            let (planes, plane_len) = (self.job.planes, shape.plane_len());
            // With few filters and one tap, panels are read in place.
            let in_place = |panel: &Panel| {
                let from = panel
                    .contiguous()
                    .filter(|_| taps == 1 && rows <= IN_PLACE)?;
                Some(&planes[from + first * plane_len..])
            };
            for (panel, patches) in columns.iter().zip(patches.chunks_exact_mut(len * COLS)) {
                if in_place(panel).is_none() {
                    panel.pack::<S>(planes, plane_len, channels.clone(), &offsets, patches);
                }
            }
            for (r, sums) in sums.chunks_exact_mut(ROWS * width).enumerate() {
                let weights = &self.weights
                    [((self.task.row_panels.start + r) * depth + first * taps) * ROWS..];
                for (p, (panel, patches)) in columns
                    .iter()
                    .zip(patches.chunks_exact(len * COLS))
                    .enumerate()
                {
                    let target = Target {
                        to: &mut sums[p * COLS..],
                        stride: width,
                        add: first > 0,
                    };
                    let (patches, stride) = match in_place(panel) {
                        Some(input) => (input, plane_len),
                        None => (patches, COLS),
                    };
                    tile::<S, R, V, ROWS, false>(weights, patches, stride, len, target);
                }
                if channels.end == shape.group_channels() {
                    let row_panel = self.task.row_panels.start + r;
                    store(self.job, &self.task, self.out, row_panel, sums);
                }
            }
        }
    }
}

/// Adds the bias to the sums `[ROWS, panels * COLS]` of a panel of filters, applies the activation and writes the
/// outputs.
#[inline(always)]
fn store(job: &Job<'_>, task: &Task, out: &Disjoint<'_>, row_panel: usize, sums: &[f32]) {
    let shape = job.shape;
    let (filters, pixels) = (shape.group_filters(), shape.pixels());
    let first = task.panels.start * COLS;
    let width = task.panels.len() * COLS;
    let end = (first + width).min(job.columns);
    for (r, sums) in sums
        .chunks_exact(width)
        .enumerate()
        .take(filters - (row_panel * ROWS).min(filters))
    {
        let filter = task.group * filters + row_panel * ROWS + r;
        let bias = job.bias[filter];
        let mut column = first;
        while column < end {
            let (sample, pixel) = (column / pixels, column % pixels);
            let len = (end - column).min(pixels - pixel);
            let start = (sample * shape.filters + filter) * pixels + pixel;
            // SAFETY: only this task writes these columns of these filters.
            let out = unsafe { out.part(start, len) };
            let sums = &sums[column - first..][..len];
            write(out, sums, bias, job.activation);
            column += len;
        }
    }
}

/// Writes `activation(sum + bias)`. Each activation has a loop of its own, so that each loop is vectorised.
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
