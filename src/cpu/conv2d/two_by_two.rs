//! 3x3 convolutions of 2x2 maps with a padding of 1, with nine multiplications in place of sixteen.
//!
//! Along an axis of two pixels `x`, weights `g` give the outputs `g1 x0 + g2 x1` and `g0 x0 + g1 x1`: a Toeplitz matrix
//! times a vector. Three products are enough:
//!
//! ```text
//! m0 = g1 (x0 + x1),   m1 = (g2 - g1) x1,   m2 = (g0 - g1) x0;   y0 = m0 + m1,   y1 = m0 + m2
//! ```
//!
//! With both axes that is `A' [(G g G') * (B' d B)] A` of [`winograd`](super::winograd), with other matrices, and the sum
//! over channels is taken before the last transform too. Last layers of networks have such maps.
//!
//! 1. The filters are transformed in float64, once for a call.
//! 2. A task takes up to [`PANELS`] times [`COLS`] samples and transposes their inputs, so that the samples lie side by side.
//! 3. Point by point of the nine, the inputs are added up, multiplied by the filters, and added to the outputs that
//!    depend on the point. The order is fixed, so that neither the batch nor the number of threads changes a bit.
//! 4. The outputs are activated and transposed back.
//!
//! Differences of weights and sums of inputs make the rounding error larger than that of the plain sum, by less than
//! Winograd's larger transforms do.

use super::filters::{Numbers, transformed};
use super::geometry::Geometry;
use super::in_parts;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::gemm::{CHUNK, COLS, ROWS, Target, tile};
use crate::cpu::pointwise::activate;
use crate::cpu::transpose::transpose;
use crate::ops::Activation;
use crate::simd::{F32, InstructionSet, Simd, SimdKernel};

/// Numbers of a transformed map along an axis.
const POINTS: usize = 3;
/// Pixels of a map.
const PIXELS: usize = 4;
/// Additions of the transforms for each channel, and for each filter.
const TRANSFORMS: [usize; 2] = [12, 16];
/// Panels of samples of a task at most. They share what is read of the filters.
const PANELS: usize = 2;
/// Samples that are transposed back at a time: a cache line of each output.
const SAMPLES_BACK: usize = 16;

/// Whether it can be computed this way, and in at most four fifths of the operations.
pub(super) fn is_worth_it(shape: &Geometry) -> bool {
    let fits = shape.is_dense_3x3()
        && shape.padding == [1, 1]
        && [shape.height, shape.width] == [2, 2]
        && shape.out == [2, 2];
    let (channels, filters) = (shape.channels, shape.filters);
    let [inputs, outputs] = TRANSFORMS;
    let operations = POINTS * POINTS * channels * filters + inputs * channels + outputs * filters;
    fits && 5 * operations <= 4 * PIXELS * PIXELS * channels * filters
}

/// Convolves `x`.
pub(super) fn run(
    shape: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
    set: InstructionSet,
) {
    let filters = transformed(weight, shape.filters, shape.channels, filter_points, set);
    let threads = rayon::current_num_threads();
    let panels = (shape.samples / (COLS * threads)).clamp(1, PANELS);
    let job = Job {
        shape,
        panels,
        x,
        filters: &filters,
        bias,
        activation,
        out: Disjoint::new(out),
    };
    let tasks = shape.samples.div_ceil(panels * COLS);
    let scratch = || Scratch::new(&job);
    in_parts(tasks, scratch, |task, scratch| {
        set.run(Group {
            job: &job,
            first: task * panels * COLS,
            scratch,
        });
    });
}

/// `G g`: three weights of each filter as three numbers.
#[inline(always)]
fn filter_points(g: [&Numbers; 3]) -> [Numbers; POINTS] {
    let mut points = [[0.0; ROWS]; POINTS];
    for r in 0..ROWS {
        points[0][r] = g[1][r];
        points[1][r] = g[2][r] - g[1][r];
        points[2][r] = g[0][r] - g[1][r];
    }
    points
}

/// Pixels along an axis whose sum a point is.
const fn inputs(point: usize) -> &'static [usize] {
    match point {
        0 => &[0, 1],
        1 => &[1],
        _ => &[0],
    }
}

/// Outputs along an axis that a point is added to.
const fn outputs(point: usize) -> &'static [usize] {
    match point {
        0 => &[0, 1],
        1 => &[0],
        _ => &[1],
    }
}

/// What all tasks share.
struct Job<'a> {
    shape: &'a Geometry,
    /// Panels of samples of a task.
    panels: usize,
    x: &'a [f32],
    /// `[row panels, POINTS * POINTS, channels, ROWS]`.
    filters: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
    out: Disjoint<'a>,
}

impl Job<'_> {
    /// Columns of a task.
    const fn width(&self) -> usize {
        self.panels * COLS
    }
}

/// Working memory of one thread. The samples are the columns of all arrays.
struct Scratch {
    /// `[channels, PIXELS, width]`. Columns of no sample hold anything.
    input: Vec<f32>,
    /// One point of `B' d B`, `[panels, channels, COLS]`.
    operand: Vec<f32>,
    /// `[filters, PIXELS, width]`.
    results: Vec<f32>,
}

impl Scratch {
    fn new(job: &Job<'_>) -> Self {
        let (channels, width) = (job.shape.channels, job.width());
        Self {
            input: vec![0.0; channels * PIXELS * width],
            operand: vec![0.0; channels * width],
            results: vec![0.0; job.shape.filters.next_multiple_of(ROWS) * PIXELS * width],
        }
    }
}

/// Kernel: some panels of samples.
struct Group<'a> {
    job: &'a Job<'a>,
    /// The first sample.
    first: usize,
    scratch: &'a mut Scratch,
}

impl SimdKernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let Self {
            job,
            first,
            scratch,
        } = self;
        let (channels, filters, width) = (job.shape.channels, job.shape.filters, job.width());
        let samples = width.min(job.shape.samples - first);
        let (row, row_out) = (channels * PIXELS, filters * PIXELS);
        let x = &job.x[first * row..];
        transpose(x, row, [samples, row], &mut scratch.input, width);
        let panel = channels * ROWS;
        for point in 0..POINTS * POINTS {
            let point = [point / POINTS, point % POINTS];
            add_inputs::<S>(&scratch.input, point, channels, &mut scratch.operand);
            let of_point = (point[0] * POINTS + point[1]) * panel;
            let panels = job.filters.chunks_exact(POINTS * POINTS * panel);
            let results = scratch.results.chunks_exact_mut(ROWS * PIXELS * width);
            for (p, (filters, results)) in panels.zip(results).enumerate() {
                let filters = &filters[of_point..][..panel];
                let operands = scratch.operand.chunks_exact(channels * COLS);
                for (c, operand) in operands.enumerate() {
                    let products = products::<S, R, V>(filters, operand, channels);
                    let bias = (point == [0, 0]).then(|| &job.bias[p * ROWS..]);
                    add_outputs::<S>(&products, point, bias, &mut results[c * COLS..], width);
                }
            }
        }
        // SAFETY: only this task writes these samples.
        let out = unsafe { job.out.part(first * row_out, samples * row_out) };
        for (i, out) in out.chunks_mut(SAMPLES_BACK * row_out).enumerate() {
            let size = [row_out, out.len() / row_out];
            transpose(
                &scratch.results[i * SAMPLES_BACK..],
                width,
                size,
                out,
                row_out,
            );
            activate(out, job.activation);
        }
    }
}

/// The point of `B' d B` of every channel, `[panels, channels, COLS]`.
#[inline(always)]
fn add_inputs<S: Simd>(input: &[f32], [y, x]: [usize; 2], channels: usize, to: &mut [f32]) {
    let width = to.len() / channels;
    for (panel, to) in to.chunks_exact_mut(channels * COLS).enumerate() {
        for (map, to) in input
            .chunks_exact(PIXELS * width)
            .zip(to.chunks_exact_mut(COLS))
        {
            for lane in (0..COLS).step_by(S::F32::LANES) {
                let pixel = |y: usize, x: usize| {
                    S::F32::from_slice(&map[(2 * y + x) * width + panel * COLS + lane..])
                };
                let row = |y: usize| match inputs(x) {
                    [a, b] => pixel(y, *a) + pixel(y, *b),
                    only => pixel(y, only[0]),
                };
                let sum = match inputs(y) {
                    [a, b] => row(*a) + row(*b),
                    only => row(only[0]),
                };
                sum.copy_to(&mut to[lane..]);
            }
        }
    }
}

/// Products of a panel of filters and a panel of samples, summed over channels.
#[inline(always)]
fn products<S: Simd, const R: usize, const V: usize>(
    filters: &[f32],
    operand: &[f32],
    channels: usize,
) -> [f32; ROWS * COLS] {
    let mut products = [0.0; ROWS * COLS];
    for first in (0..channels).step_by(CHUNK) {
        let target = Target {
            to: &mut products,
            stride: COLS,
            add: first > 0,
        };
        let len = CHUNK.min(channels - first);
        let (filters, operand) = (&filters[first * ROWS..], &operand[first * COLS..]);
        tile::<S, R, V, ROWS, false>(filters, operand, COLS, len, target);
    }
    products
}

/// Adds the products of a point to the outputs `[ROWS, PIXELS, width]`; with a bias, of the first point, sets them.
#[inline(always)]
fn add_outputs<S: Simd>(
    products: &[f32; ROWS * COLS],
    [y, x]: [usize; 2],
    bias: Option<&[f32]>,
    to: &mut [f32],
    width: usize,
) {
    for (r, products) in products.as_chunks::<COLS>().0.iter().enumerate() {
        for lane in (0..COLS).step_by(S::F32::LANES) {
            let product = S::F32::from_slice(&products[lane..]);
            for y in outputs(y) {
                for x in outputs(x) {
                    let to = &mut to[(r * PIXELS + 2 * y + x) * width + lane..];
                    let sum = match bias {
                        Some(bias) => S::F32::splat(bias.get(r).copied().unwrap_or(0.0)),
                        None => S::F32::from_slice(to),
                    };
                    (sum + product).copy_to(to);
                }
            }
        }
    }
}
