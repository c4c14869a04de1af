//! 2-D pooling: maxima, averages, or the first element of each window.

use super::Tensor;
use crate::Result;
use crate::ops::check_pool2d;
use crate::ops::net::{Pool2dParams, PoolKind};
use rayon::prelude::*;
use std::ops::Range;

/// The smallest number of elements in a task.
const TASK: usize = 1 << 14;

/// Pools every map of `x [N, C, H, W]`, maps in parallel. A window without elements gives 0.
///
/// # Errors
/// Those of [`check_pool2d`].
pub(super) fn pool2d(x: &Tensor, p: &Pool2dParams) -> Result<Tensor> {
    let [n, c, h, w] = check_pool2d(x.shape(), p)?;
    let [oh, ow] = p.output;
    if h * w == 0 || oh * ow == 0 {
        return Tensor::zeros(&[n, c, oh, ow]);
    }
    let mut out = Tensor::unwritten(&[n, c, oh, ow])?;
    let columns: Vec<Window> = (0..ow).map(|o| Window::new(p, 1, o, w)).collect();
    let rows: Vec<Window> = (0..oh).map(|o| Window::new(p, 0, o, h)).collect();
    let whole = (rows.iter().chain(&columns)).all(|window| window.count > 0);
    out.data_mut()
        .par_chunks_mut(oh * ow)
        .zip(x.data().par_chunks(h * w))
        .with_min_len(TASK.div_ceil(h * w))
        .for_each_init(
            || vec![0.0; w],
            |line, (out, map)| {
                for (out, rows) in out.chunks_mut(ow).zip(&rows) {
                    if p.kind == PoolKind::Max && whole {
                        max_row(p.dilation, map, rows, &columns, line, out);
                    } else {
                        pool_row(p, map, w, rows, &columns, out);
                    }
                }
            },
        );
    Ok(out)
}

/// The larger of two numbers. Unlike `f32::max` it propagates NaN.
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

/// Computes one row of maxima: first the maximum of each column, row by row, then the maxima along the result.
fn max_row(
    [dy, dx]: [usize; 2],
    map: &[f32],
    rows: &Window,
    columns: &[Window],
    line: &mut [f32],
    out: &mut [f32],
) {
    let w = line.len();
    line.copy_from_slice(&map[rows.first * w..][..w]);
    for y in rows.positions(dy).skip(1) {
        for (l, &v) in line.iter_mut().zip(&map[y * w..][..w]) {
            *l = larger(*l, v);
        }
    }
    for (out, columns) in out.iter_mut().zip(columns) {
        *out = (columns.positions(dx).skip(1))
            .fold(line[columns.first], |best, x| larger(best, line[x]));
    }
}

/// One window along one axis: its first position in the input, the number of positions in the input, and their number
/// in the padded input.
struct Window {
    first: usize,
    count: usize,
    padded: usize,
}

impl Window {
    fn new(p: &Pool2dParams, axis: usize, o: usize, size: usize) -> Self {
        let (step, before, after) = (p.dilation[axis], p.padding[axis], p.padding[axis + 2]);
        // Positions are counted from the start of the padding, so that none is negative.
        let start = o * p.stride[axis];
        let steps_below = |limit: usize| -> usize {
            limit
                .saturating_sub(start)
                .div_ceil(step)
                .min(p.kernel[axis])
        };
        let skipped = steps_below(before);
        Self {
            first: (start + skipped * step).saturating_sub(before),
            count: steps_below(before + size) - skipped,
            padded: steps_below(before + size + after),
        }
    }

    /// The positions in the input, `step` apart.
    fn positions(&self, step: usize) -> impl Iterator<Item = usize> {
        let first = self.first;
        (0..self.count).map(move |i| first + i * step)
    }

    /// The positions in the input, for a window without dilation.
    fn as_range(&self) -> Range<usize> {
        self.first..self.first + self.count
    }
}

/// Computes one row of outputs, of any kind, window by window.
fn pool_row(
    p: &Pool2dParams,
    map: &[f32],
    w: usize,
    rows: &Window,
    columns: &[Window],
    out: &mut [f32],
) {
    let [dy, dx] = p.dilation;
    for (out, cols) in out.iter_mut().zip(columns) {
        let window = |f: &mut dyn FnMut(f32)| {
            for y in rows.positions(dy) {
                if dx == 1 {
                    map[y * w..][cols.as_range()].iter().for_each(|&v| f(v));
                } else {
                    cols.positions(dx).for_each(|x| f(map[y * w + x]));
                }
            }
        };
        let count = rows.count * cols.count;
        *out = match p.kind {
            _ if count == 0 => 0.0,
            PoolKind::First => map[rows.first * w + cols.first],
            PoolKind::Max => {
                let mut best = f32::NEG_INFINITY;
                // Unlike `f32::max`, this propagates NaN.
                window(&mut |v| {
                    if v > best || v.is_nan() {
                        best = v;
                    }
                });
                best
            }
            PoolKind::Average | PoolKind::AveragePadded => {
                let mut sum = 0.0;
                window(&mut |v| sum += v);
                let divisor = match p.kind {
                    PoolKind::AveragePadded => rows.padded * cols.padded,
                    _ => count,
                };
                sum / divisor as f32
            }
        };
    }
}
