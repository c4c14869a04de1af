//! Small maps, around which a large share of the taps falls on padding.
//!
//! On a 2x2 map a 3x3 kernel with a padding of 1 multiplies five of nine weights by zero, on a 4x4 map three of ten.
//! Here there is a product for each output pixel, whose columns are the samples and whose terms are the taps inside the
//! map alone:
//!
//! 1. The input `[N, C H W]` is transposed, so that the samples' values of one input pixel lie side by side.
//! 2. For each output pixel, [`COLS`] samples at a time, the inputs of the taps inside are packed and multiplied by
//!    those weights.
//! 3. The results `[M pixels, N]` are transposed back.
//!
//! The bits are those of [`strip`](super::strip): the terms are added in the same order and in chunks of the same
//! channels, and what is left out are products with zero. So the choice between the two may depend on the batch.

use super::PIECE;
use super::geometry::Geometry;
use super::strip::write;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::gemm::{CHUNK, COLS, ROWS, dots, pack};
use crate::cpu::pages;
use crate::cpu::transpose::transpose;
use crate::ops::Activation;
use crate::simd::{F32, InstructionSet, Simd, SimdKernel};
use rayon::prelude::*;
use std::ops::Range;

/// Panels of samples that share the packing of a task's weights in the cache.
const PANELS: usize = 4;
/// Samples that are transposed at a time.
const ROWS_BACK: usize = 16;

/// Whether it is faster than a product over all taps: whether it has less to multiply by a fifth, columns of the last
/// panel that no sample fills included.
pub(super) fn is_worth_it(shape: &Geometry) -> bool {
    if shape.groups > 1 || shape.is_pointwise() {
        return false;
    }
    let columns = shape.samples.next_multiple_of(COLS);
    5 * inside_map(shape) * columns <= 4 * shape.pixels() * shape.taps() * shape.samples
}

/// Taps that fall inside the map, of all outputs of a channel.
pub(super) fn inside_map(shape: &Geometry) -> usize {
    let along = |axis: usize| -> usize {
        let places = 0..shape.out[axis];
        places.map(|at| inside(shape, axis, at).len()).sum()
    };
    along(0) * along(1)
}

/// The taps along an axis that fall inside the map, for the output at this place.
fn inside(shape: &Geometry, axis: usize, at: usize) -> Range<usize> {
    let size = [shape.height, shape.width][axis];
    let (step, start) = (shape.dilation[axis], at * shape.stride[axis]);
    let (padding, kernel) = (shape.padding[axis], shape.kernel[axis]);
    let first = padding.saturating_sub(start).div_ceil(step).min(kernel);
    let end = (size + padding).saturating_sub(start).div_ceil(step);
    first..end.clamp(first, kernel)
}

/// Convolves `x`, some samples at a time.
pub(super) fn run(
    shape: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
    set: InstructionSet,
) {
    let depth = shape.depth();
    let weights = pack::<ROWS>(weight, shape.filters, depth, depth);
    let sample = shape.channels * shape.height * shape.width;
    let result = shape.filters * shape.pixels();
    let piece = (PIECE / sample.max(result) / COLS).max(1) * COLS;
    for (x, out) in (x.chunks(piece * sample)).zip(out.chunks_mut(piece * result)) {
        let samples = x.len() / sample;
        let pitch = samples.next_multiple_of(COLS);
        let inputs = columns(x, sample, samples, pitch);
        let mut results = pages::zeros(result * pitch);
        let job = Job {
            shape,
            weights: &weights,
            bias,
            activation,
            inputs: &inputs,
            pitch,
            results: Disjoint::new(&mut results),
        };
        tasks(shape, pitch)
            .into_par_iter()
            .for_each_init(Scratch::default, |scratch, task| {
                set.run(Pixel {
                    job: &job,
                    task,
                    scratch,
                });
            });
        out.par_chunks_mut(ROWS_BACK * result)
            .enumerate()
            .for_each(|(i, out)| {
                let size = [result, out.len() / result];
                transpose(&results[i * ROWS_BACK..], pitch, size, out, result);
            });
    }
}

/// `x [samples, sample]` as `[sample, pitch]`; the columns beyond the samples are 0.
fn columns(x: &[f32], sample: usize, samples: usize, pitch: usize) -> Vec<f32> {
    let mut inputs = pages::zeros(sample * pitch);
    let part = 64;
    inputs
        .par_chunks_mut(part * pitch)
        .enumerate()
        .for_each(|(i, to)| {
            let size = [samples, to.len() / pitch];
            transpose(&x[i * part..], sample, size, to, pitch);
        });
    inputs
}

/// What all tasks share.
struct Job<'a> {
    shape: &'a Geometry,
    /// `[row panels, depth, ROWS]`.
    weights: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
    /// `[channels, height, width, pitch]`.
    inputs: &'a [f32],
    /// Samples, rounded up to whole panels.
    pitch: usize,
    /// `[filters, pixels, pitch]`.
    results: Disjoint<'a>,
}

/// One output pixel of some panels of samples, by some panels of filters.
struct Task {
    pixel: [usize; 2],
    panels: Range<usize>,
    row_panels: Range<usize>,
}

/// Cuts the work by pixels, samples and, where these are too few for the threads, by filters.
fn tasks(shape: &Geometry, pitch: usize) -> Vec<Task> {
    let (panels, row_panels) = (pitch / COLS, shape.filters.div_ceil(ROWS));
    let products = shape.pixels() * panels.div_ceil(PANELS);
    let cuts = (4 * rayon::current_num_threads()).div_ceil(products);
    let rows = row_panels.div_ceil(cuts.clamp(1, row_panels.div_ceil(8)));
    let mut tasks = Vec::new();
    for pixel in 0..shape.pixels() {
        for first in (0..panels).step_by(PANELS) {
            for row in (0..row_panels).step_by(rows) {
                tasks.push(Task {
                    pixel: [pixel / shape.out[1], pixel % shape.out[1]],
                    panels: first..(first + PANELS).min(panels),
                    row_panels: row..(row + rows).min(row_panels),
                });
            }
        }
    }
    tasks
}

/// Working memory of one thread.
#[derive(Default)]
struct Scratch {
    patches: Vec<f32>,
    sums: Vec<f32>,
}

/// Kernel: one [`Task`].
struct Pixel<'a> {
    job: &'a Job<'a>,
    task: Task,
    scratch: &'a mut Scratch,
}

/// The taps of an output pixel that fall inside the map.
struct Taps {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl SimdKernel for Pixel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let Self { job, task, scratch } = self;
        let shape = job.shape;
        let taps = Taps {
            rows: inside(shape, 0, task.pixel[0]),
            columns: inside(shape, 1, task.pixel[1]),
        };
        let (panels, count) = (task.panels.len(), taps.rows.len() * taps.columns.len());
        let (width, depth) = (panels * COLS, shape.depth());
        // The chunks of the product over all taps.
        let per_chunk = (CHUNK / shape.taps()).max(1);
        let Scratch { patches, sums } = scratch;
        patches.resize(panels * per_chunk * count * COLS, 0.0);
        sums.resize(task.row_panels.len() * ROWS * width, 0.0);
        for first in (0..shape.channels).step_by(per_chunk) {
            let channels = first..(first + per_chunk).min(shape.channels);
            let len = channels.len() * count * COLS;
            for (p, patches) in task.panels.clone().zip(patches.chunks_mut(len.max(1))) {
                gather(job, &task, &taps, channels.clone(), p * COLS, patches);
            }
            for (r, sums) in sums.chunks_exact_mut(ROWS * width).enumerate() {
                let at = (task.row_panels.start + r) * depth + first * shape.taps();
                let weights = &job.weights[at * ROWS..];
                for p in 0..panels {
                    let patches = &patches[p * len..][..len];
                    let place = (&mut sums[p * COLS..], width, first > 0);
                    tile::<S, R, V>(shape, &taps, weights, patches, channels.len(), place);
                }
            }
        }
        store(job, &task, sums);
    }
}

/// Packs the inputs `[channels, taps, COLS]` of the taps inside, of the samples from `column` on.
#[inline(always)]
fn gather(
    job: &Job<'_>,
    task: &Task,
    taps: &Taps,
    channels: Range<usize>,
    column: usize,
    to: &mut [f32],
) {
    let shape = job.shape;
    let place = |axis: usize, tap: usize| {
        task.pixel[axis] * shape.stride[axis] + tap * shape.dilation[axis] - shape.padding[axis]
    };
    let mut rows = to.chunks_exact_mut(COLS);
    for channel in channels {
        for ky in taps.rows.clone() {
            let row = (channel * shape.height + place(0, ky)) * shape.width;
            for kx in taps.columns.clone() {
                let from = (row + place(1, kx)) * job.pitch + column;
                if let Some(to) = rows.next() {
                    to.copy_from_slice(&job.inputs[from..][..COLS]);
                }
            }
        }
    }
}

/// The product of a panel of weights `[channels, all taps, ROWS]` and one of inputs `[channels, taps inside, COLS]`. It
/// goes to rows of `to` that are `stride` apart, or is added to what is there.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    shape: &Geometry,
    taps: &Taps,
    weights: &[f32],
    patches: &[f32],
    channels: usize,
    (to, stride, add): (&mut [f32], usize, bool),
) {
    let (run, width) = (taps.columns.len(), shape.kernel[1]);
    assert!(weights.len() >= channels * shape.taps() * ROWS);
    assert!(patches.len() >= channels * taps.rows.len() * run * COLS);
    assert!(taps.rows.end <= shape.kernel[0] && taps.columns.end <= width);
    assert!(to.len() >= (ROWS - 1) * stride + COLS);
    for r0 in (0..ROWS).step_by(R) {
        for c0 in (0..COLS).step_by(V * S::F32::LANES) {
            let mut acc = [[S::F32::splat(0.0); V]; R];
            let mut right = patches.as_ptr().wrapping_add(c0);
            for channel in 0..channels {
                for ky in taps.rows.clone() {
                    let tap = channel * shape.taps() + ky * width + taps.columns.start;
                    // SAFETY: `run` rows of both operands lie in their slices, as asserted above: `R` divides
                    // `ROWS`, and `V` vectors divide `COLS`.
                    unsafe {
                        let left = weights.as_ptr().add(tap * ROWS + r0);
                        acc = dots::<S, R, V, false>(left, right, COLS, run, acc);
                        right = right.wrapping_add(run * COLS);
                    }
                }
            }
            for (r, row) in acc.iter().enumerate() {
                for (v, &sum) in row.iter().enumerate() {
                    let to = &mut to[(r0 + r) * stride + c0 + v * S::F32::LANES..];
                    let sum = if add {
                        S::F32::from_slice(to) + sum
                    } else {
                        sum
                    };
                    sum.copy_to(to);
                }
            }
        }
    }
}

/// Adds the bias, applies the activation and writes the sums `[row panels, ROWS, panels, COLS]` of a task.
#[inline(always)]
fn store(job: &Job<'_>, task: &Task, sums: &[f32]) {
    let (shape, width) = (job.shape, task.panels.len() * COLS);
    let pixel = task.pixel[0] * shape.out[1] + task.pixel[1];
    let filters = task.row_panels.start * ROWS..shape.filters;
    for (filter, sums) in filters.zip(sums.chunks_exact(width)) {
        let start = (filter * shape.pixels() + pixel) * job.pitch + task.panels.start * COLS;
        // SAFETY: only this task writes these samples of this pixel of these filters.
        let out = unsafe { job.results.part(start, width) };
        write(out, sums, job.bias[filter], job.activation);
    }
}
