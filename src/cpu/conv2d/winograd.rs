//! 3x3 convolutions by Winograd's minimal filtering: a quarter of the multiplications, larger rounding errors.
//!
//! `F(4x4, 3x3)` of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (arXiv 1509.09308, section
//! 4.3): a tile of 4x4 outputs is `A' [(G g G') * (B' d B)] A`, where `d` are the 6x6 inputs that the tile depends on,
//! `g` are the 3x3 weights and `*` multiplies element by element. The sum over channels is taken before the last
//! transform, so that 36 products of a matrix of filters and one of inputs take the place of 144 per tile and channel.
//!
//! 1. The filters are transformed in float64, once for a call.
//! 2. A task takes [`COLS`] samples and a row of tiles. It transposes the inputs of these, so that the samples lie side
//!    by side and every step below works on vectors of samples.
//! 3. Tile by tile, the inputs are transformed, multiplied by the filters, and transformed back.
//! 4. The outputs are transposed back; bias and activation are applied on the way.
//!
//! Outputs are sums of terms with other signs and sizes than the products of the definition: the error is larger
//! than that of [`strip`](super::strip), and relative to the largest values of the tile. Only callers that ask for
//! it get it ([`conv2d_relaxed`](crate::ops::net::NetOps::conv2d_relaxed)). Whether a convolution is computed this way
//! depends on the sizes of a sample alone, and each output on its own sample alone: the batch changes no bit.

use super::filters::{Numbers, transformed};
use super::geometry::Geometry;
use super::in_parts;
use super::small::inside_map;
use super::strip::write;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::gemm::{CHUNK, COLS, ROWS, Target, tile};
use crate::cpu::transpose::transpose;
use crate::ops::Activation;
use crate::simd::{F32, InstructionSet, Simd, SimdKernel};

/// Outputs of a tile along an axis.
const OUTPUTS: usize = 4;
/// Inputs of a tile along an axis.
const INPUTS: usize = 6;
/// Numbers of a transformed tile.
const POINTS: usize = INPUTS * INPUTS;
/// Additions of the transforms, and copies, of a tile: for each channel, and for each filter.
const TRANSFORMS: [usize; 2] = [300, 200];
/// Working memory of a task at most, floats.
const SCRATCH: usize = 3 << 20;

/// Tiles along an axis.
fn tiles(shape: &Geometry, axis: usize) -> usize {
    shape.out[axis].div_ceil(OUTPUTS)
}

/// Whether it can be computed this way, and in at most four fifths of the operations.
pub(super) fn is_worth_it(shape: &Geometry) -> bool {
    if !shape.is_dense_3x3() || Sizes::new(shape).floats() > SCRATCH {
        return false;
    }
    let (channels, filters) = (shape.channels, shape.filters);
    let [inputs, outputs] = TRANSFORMS;
    let tile = POINTS * channels * filters + inputs * channels + outputs * filters;
    let taps = inside_map(shape) * channels * filters;
    5 * tiles(shape, 0) * tiles(shape, 1) * tile <= 4 * taps
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
    let job = Job {
        shape,
        sizes: Sizes::new(shape),
        x,
        filters: &filters,
        bias,
        activation,
        out: Disjoint::new(out),
    };
    let rows = tiles(shape, 0);
    let tasks = shape.samples.div_ceil(COLS) * rows;
    let scratch = || Scratch::new(&job.sizes);
    in_parts(tasks, scratch, |task, scratch| {
        set.run(Band {
            job: &job,
            first: task / rows * COLS,
            tile_row: task % rows,
            scratch,
        });
    });
}

/// `G g`: three weights of each filter as six numbers.
#[inline(always)]
fn filter_points(g: [&Numbers; 3]) -> [Numbers; INPUTS] {
    let mut points = [[0.0; ROWS]; INPUTS];
    for r in 0..ROWS {
        let [first, middle, last] = [g[0][r], g[1][r], g[2][r]];
        let (ends, wide) = (first + last, first + 4.0 * last);
        points[0][r] = 0.25 * first;
        points[1][r] = (ends + middle) * (-1.0 / 6.0);
        points[2][r] = (ends - middle) * (-1.0 / 6.0);
        points[3][r] = (wide + 2.0 * middle) * (1.0 / 24.0);
        points[4][r] = (wide - 2.0 * middle) * (1.0 / 24.0);
        points[5][r] = last;
    }
    points
}

/// Sizes of a task's arrays.
struct Sizes {
    channels: usize,
    filters: usize,
    /// Tiles in a row of tiles.
    tiles: usize,
    /// Inputs of a row of tiles along x, padding included.
    width: usize,
}

impl Sizes {
    fn new(shape: &Geometry) -> Self {
        let tiles = tiles(shape, 1);
        Self {
            channels: shape.channels,
            filters: shape.filters,
            tiles,
            width: OUTPUTS * tiles + INPUTS - OUTPUTS,
        }
    }

    /// Floats of `input` in [`Scratch`].
    const fn inputs(&self) -> usize {
        self.channels * INPUTS * self.width * COLS
    }

    /// Floats of `transformed` in [`Scratch`].
    const fn transformed(&self) -> usize {
        POINTS * self.channels * COLS
    }

    /// Floats of `results` in [`Scratch`].
    const fn results(&self) -> usize {
        self.filters.next_multiple_of(ROWS) * OUTPUTS * OUTPUTS * self.tiles * COLS
    }

    const fn floats(&self) -> usize {
        self.inputs() + self.transformed() + self.results()
    }
}

/// What all tasks share.
struct Job<'a> {
    shape: &'a Geometry,
    sizes: Sizes,
    x: &'a [f32],
    /// As [`transformed`] returns them.
    filters: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
    out: Disjoint<'a>,
}

/// Working memory of one thread. The samples are the columns of all arrays.
struct Scratch {
    /// `[channels, INPUTS, width, COLS]`. Padding at the sides is zero, and stays zero from task to task.
    input: Vec<f32>,
    /// `B' d B` of a tile, `[POINTS, channels, COLS]`.
    transformed: Vec<f32>,
    /// Products of a tile and a panel of filters, `[POINTS, ROWS, COLS]`.
    products: Vec<f32>,
    /// `[filters, OUTPUTS, OUTPUTS tiles, COLS]`.
    results: Vec<f32>,
    /// Outputs of a filter, `[samples, rows, columns]`.
    rows: Vec<f32>,
}

impl Scratch {
    fn new(sizes: &Sizes) -> Self {
        Self {
            input: vec![0.0; sizes.inputs()],
            transformed: vec![0.0; sizes.transformed()],
            products: vec![0.0; POINTS * ROWS * COLS],
            results: vec![0.0; sizes.results()],
            rows: vec![0.0; COLS * OUTPUTS * OUTPUTS * sizes.tiles],
        }
    }
}

/// Kernel: a row of tiles of up to [`COLS`] samples.
struct Band<'a> {
    job: &'a Job<'a>,
    /// The first sample.
    first: usize,
    tile_row: usize,
    scratch: &'a mut Scratch,
}

impl SimdKernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let (job, scratch) = (self.job, self.scratch);
        let (channels, panels) = (job.shape.channels, job.shape.filters.div_ceil(ROWS));
        let samples = COLS.min(job.shape.samples - self.first);
        gather(job, self.first, samples, self.tile_row, &mut scratch.input);
        for column in 0..job.sizes.tiles {
            transform_inputs::<S>(job, column, &scratch.input, &mut scratch.transformed);
            for panel in 0..panels {
                let of_panel = POINTS * channels * ROWS;
                let filters = &job.filters[panel * of_panel..][..of_panel];
                for point in 0..POINTS {
                    let filters = &filters[point * channels * ROWS..][..channels * ROWS];
                    let inputs = &scratch.transformed[point * channels * COLS..][..channels * COLS];
                    for first in (0..channels).step_by(CHUNK) {
                        let target = Target {
                            to: &mut scratch.products[point * ROWS * COLS..][..ROWS * COLS],
                            stride: COLS,
                            add: first > 0,
                        };
                        tile::<S, R, V, ROWS, false>(
                            &filters[first * ROWS..],
                            &inputs[first * COLS..],
                            COLS,
                            CHUNK.min(channels - first),
                            target,
                        );
                    }
                }
                let place = [panel * ROWS, column];
                transform_products::<S>(job, place, &scratch.products, &mut scratch.results);
            }
        }
        store(job, self.first, samples, self.tile_row, scratch);
    }
}

/// Transposes the inputs of a row of tiles, `[channels, INPUTS, width, COLS]`.
fn gather(job: &Job<'_>, first: usize, samples: usize, tile_row: usize, to: &mut [f32]) {
    let (shape, width) = (job.shape, job.sizes.width);
    let map = shape.height * shape.width;
    let [top, left] = shape.padding;
    let columns = shape.width.min(width.saturating_sub(left));
    for (row, to) in to.chunks_exact_mut(width * COLS).enumerate() {
        let (channel, row) = (row / INPUTS, row % INPUTS);
        let y = (tile_row * OUTPUTS + row).checked_sub(top);
        match y.filter(|&y| y < shape.height) {
            Some(y) if columns > 0 => {
                let from = (first * shape.channels + channel) * map + y * shape.width;
                let size = [samples, columns];
                let to = &mut to[left * COLS..];
                transpose(&job.x[from..], shape.channels * map, size, to, COLS);
            }
            _ => to.fill(0.0),
        }
    }
}

/// `B' d B` of every channel, of the tile in this column.
#[inline(always)]
fn transform_inputs<S: Simd>(job: &Job<'_>, column: usize, input: &[f32], to: &mut [f32]) {
    let (channels, width) = (job.sizes.channels, job.sizes.width);
    for (channel, map) in input.chunks_exact(INPUTS * width * COLS).enumerate() {
        let map = &map[column * OUTPUTS * COLS..];
        for lane in (0..COLS).step_by(S::F32::LANES) {
            let zero = S::F32::splat(0.0);
            let mut half = [[zero; INPUTS]; INPUTS];
            for j in 0..INPUTS {
                let mut d = [zero; INPUTS];
                for (i, d) in d.iter_mut().enumerate() {
                    *d = S::F32::from_slice(&map[(i * width + j) * COLS + lane..]);
                }
                for (half, value) in half.iter_mut().zip(inputs::<S>(d)) {
                    half[j] = value;
                }
            }
            for (i, row) in half.into_iter().enumerate() {
                for (j, value) in inputs::<S>(row).into_iter().enumerate() {
                    let point = i * INPUTS + j;
                    value.copy_to(&mut to[(point * channels + channel) * COLS + lane..]);
                }
            }
        }
    }
}

/// `A' m A` of a panel of filters from the one that `place` names first, to the tile in the column that it names.
#[inline(always)]
fn transform_products<S: Simd>(
    job: &Job<'_>,
    [first, column]: [usize; 2],
    products: &[f32],
    to: &mut [f32],
) {
    let width = OUTPUTS * job.sizes.tiles;
    for r in 0..ROWS {
        let to = &mut to[((first + r) * OUTPUTS * width + column * OUTPUTS) * COLS..];
        for lane in (0..COLS).step_by(S::F32::LANES) {
            let zero = S::F32::splat(0.0);
            let mut half = [[zero; INPUTS]; OUTPUTS];
            for j in 0..INPUTS {
                let mut m = [zero; INPUTS];
                for (i, m) in m.iter_mut().enumerate() {
                    let point = i * INPUTS + j;
                    *m = S::F32::from_slice(&products[(point * ROWS + r) * COLS + lane..]);
                }
                for (half, value) in half.iter_mut().zip(outputs::<S>(m)) {
                    half[j] = value;
                }
            }
            for (i, row) in half.into_iter().enumerate() {
                for (j, value) in outputs::<S>(row).into_iter().enumerate() {
                    value.copy_to(&mut to[(i * width + j) * COLS + lane..]);
                }
            }
        }
    }
}

/// `B' d`.
#[inline(always)]
fn inputs<S: Simd>(d: [S::F32; INPUTS]) -> [S::F32; INPUTS] {
    let (two, four) = (S::F32::splat(2.0), S::F32::splat(4.0));
    let (minus_four, minus_five) = (S::F32::splat(-4.0), S::F32::splat(-5.0));
    let (even, odd) = (
        minus_four.mul_add(d[2], d[4]),
        minus_four.mul_add(d[1], d[3]),
    );
    let (narrow, wide) = (d[4] - d[2], two * (d[3] - d[1]));
    [
        four.mul_add(d[0], minus_five.mul_add(d[2], d[4])),
        even + odd,
        even - odd,
        narrow + wide,
        narrow - wide,
        four.mul_add(d[1], minus_five.mul_add(d[3], d[5])),
    ]
}

/// `A' m`.
#[inline(always)]
fn outputs<S: Simd>(m: [S::F32; INPUTS]) -> [S::F32; OUTPUTS] {
    let (two, four, eight) = (S::F32::splat(2.0), S::F32::splat(4.0), S::F32::splat(8.0));
    let (even, odd) = (m[1] + m[2], m[1] - m[2]);
    let (wide_even, wide_odd) = (m[3] + m[4], m[3] - m[4]);
    [
        m[0] + even + wide_even,
        two.mul_add(wide_odd, odd),
        four.mul_add(wide_even, even),
        eight.mul_add(wide_odd, odd) + m[5],
    ]
}

/// Transposes the results back, adds the bias and applies the activation.
fn store(job: &Job<'_>, first: usize, samples: usize, tile_row: usize, scratch: &mut Scratch) {
    let (shape, width) = (job.shape, OUTPUTS * job.sizes.tiles);
    let [height, columns] = shape.out;
    let top = tile_row * OUTPUTS;
    let count = OUTPUTS.min(height - top) * columns;
    let of_filters = scratch.results.chunks_exact(OUTPUTS * width * COLS);
    for (filter, results) in of_filters.take(shape.filters).enumerate() {
        let lines = results.chunks_exact(width * COLS).take(height - top);
        for (i, line) in lines.enumerate() {
            let to = &mut scratch.rows[i * columns..];
            transpose(line, COLS, [columns, samples], to, count);
        }
        for (sample, rows) in scratch.rows.chunks_exact(count).take(samples).enumerate() {
            let map = ((first + sample) * shape.filters + filter) * shape.pixels();
            // SAFETY: only this task writes these rows of these samples.
            let out = unsafe { job.out.part(map + top * columns, count) };
            write(out, rows, job.bias[filter], job.activation);
        }
    }
}
