//! 2-D convolution, as a matrix product or directly.
//!
//! 1. [`geometry`] checks the shapes, and pads the input maps to planes in which the inputs of neighbouring outputs
//!    lie side by side.
//! 2. The product of filters `[M, C kh kw]` and input patches `[C kh kw, pixels]` is computed [`strip`] by strip of
//!    output pixels; [`patch`] packs the patches of a few channels at a time.
//! 3. [`depthwise`] sums directly where each filter sees one channel, and few filters see the same one.
//! 4. [`small`] leaves out the taps that fall on padding, where they are many.
//!
//! Every output is one sum over (channel, ky, kx), in an order that depends on those sizes only. So neither the batch
//! nor the number of threads changes a bit. Callers that need no such sum may ask for [`winograd`] or,
//! for maps of four pixels, [`two_by_two`].

mod depthwise;
mod filters;
mod geometry;
mod patch;
mod small;
mod strip;
mod two_by_two;
mod winograd;

use super::Tensor;
use super::disjoint::Disjoint;
use super::gemm::{COLS, ROWS, pack};
use crate::Result;
use crate::ops::{Activation, Conv2dParams};
use crate::simd::InstructionSet;
use geometry::Geometry;
use rayon::prelude::*;

/// Values of padded input that are in memory at a time: a batch is processed in pieces of about this size.
const PIECE: usize = 4 << 20;
/// Panels of output pixels in a strip. Their packed patches stay in the L2 cache.
const STRIP: usize = 8;

/// How an output is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sums {
    /// As the sum of the definition.
    Plain,
    /// In whatever way takes the fewest operations.
    Relaxed,
}

/// Convolves `x [N, C, H, W]` with `weight [M, C / groups, kh, kw]`, adds `bias [M]` and applies the activation.
///
/// # Errors
/// Those of [`check_conv2d`](crate::ops::check_conv2d).
pub(super) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &Conv2dParams,
    sums: Sums,
    set: InstructionSet,
) -> Result<Tensor> {
    let shape = Geometry::new(x.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    let [oh, ow] = shape.out;
    let mut out = Tensor::unwritten(&[shape.samples, shape.filters, oh, ow])?;
    if shape.samples == 0 {
        return Ok(out);
    }
    let shape = shape.flattened();
    let bias = bias.map_or_else(|| vec![0.0; shape.filters], |b| b.data().to_vec());
    let depthwise = shape.group_channels() == 1 && shape.groups > 1;
    let run = if depthwise && shape.group_filters() < ROWS {
        depthwise::run
    } else if sums == Sums::Relaxed && winograd::is_worth_it(&shape) {
        winograd::run
    } else if sums == Sums::Relaxed && two_by_two::is_worth_it(&shape) {
        two_by_two::run
    } else if small::is_worth_it(&shape) {
        small::run
    } else {
        product
    };
    run(
        &shape,
        x.data(),
        weight.data(),
        &bias,
        params.activation,
        out.data_mut(),
        set,
    );
    Ok(out)
}

/// Convolution as a matrix product, piece by piece of the batch: the input is padded, then strips of its patches are
/// multiplied by the packed weights.
fn product(
    shape: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
    set: InstructionSet,
) {
    let (depth, filters) = (shape.depth(), shape.group_filters());
    let weights: Vec<Vec<f32>> = weight
        .chunks_exact(filters * depth)
        .map(|group| pack::<ROWS>(group, filters, depth, depth))
        .collect();
    let plane_len = shape.plane_len();
    let per_sample = shape.channels * plane_len;
    let piece = (PIECE / per_sample).clamp(1, shape.samples);
    let map = shape.height * shape.width;
    let mut planes = Vec::new();
    for (x, out) in x
        .chunks(piece * shape.channels * map)
        .zip(out.chunks_mut(piece * shape.filters * shape.pixels()))
    {
        let samples = x.len() / (shape.channels * map);
        let direct = shape.is_pointwise();
        if !direct {
            // The margins of the planes are zero, and stay zero from piece to piece.
            planes.resize(piece * per_sample + COLS, 0f32);
            planes
                .par_chunks_exact_mut(plane_len)
                .zip(x.par_chunks_exact(map))
                .for_each(|(plane, map)| shape.fill_plane(map, plane));
        }
        let job = strip::Job {
            shape,
            planes: if direct { x } else { &planes },
            bias,
            activation,
            columns: samples * shape.pixels(),
        };
        let out = Disjoint::new(out);
        tasks(&job, filters).into_par_iter().for_each_init(
            strip::Scratch::default,
            |scratch, task| {
                set.run(strip::Strip {
                    job: &job,
                    weights: &weights[task.group],
                    task,
                    out: &out,
                    scratch,
                });
            },
        );
    }
}

/// Does the tasks of a minimal filtering algorithm, in two parts for each thread. The tasks of a part follow each other and
/// share working memory.
fn in_parts<T>(tasks: usize, scratch: impl Fn() -> T + Sync, run: impl Fn(usize, &mut T) + Sync) {
    let part = tasks.div_ceil(2 * rayon::current_num_threads());
    (0..tasks.div_ceil(part)).into_par_iter().for_each(|p| {
        let mut scratch = scratch();
        for task in p * part..tasks.min((p + 1) * part) {
            run(task, &mut scratch);
        }
    });
}

/// Cuts the product into strips of columns, and these into parts by filters if there are too few strips for the
/// threads.
fn tasks(job: &strip::Job<'_>, filters: usize) -> Vec<strip::Task> {
    let wanted = 4 * rayon::current_num_threads();
    let panels = job.columns.div_ceil(COLS);
    let mut strip = STRIP;
    while strip > 1 && panels.div_ceil(strip) * job.shape.groups < wanted {
        strip /= 2;
    }
    let strips = panels.div_ceil(strip) * job.shape.groups;
    let row_panels = filters.div_ceil(ROWS);
    // Each part has at least 64 filters, which share the work of packing the strip.
    let cuts = wanted.div_ceil(strips).clamp(1, row_panels.div_ceil(8));
    let rows = row_panels.div_ceil(cuts);
    let mut tasks = Vec::new();
    for group in 0..job.shape.groups {
        for first in (0..panels).step_by(strip) {
            for row in (0..row_panels).step_by(rows) {
                tasks.push(strip::Task {
                    group,
                    panels: first..(first + strip).min(panels),
                    row_panels: row..(row + rows).min(row_panels),
                });
            }
        }
    }
    tasks
}
