//! 2-D convolution: every tap of the window adds a scaled, shifted input row to an output row.

use super::Tensor;
use crate::device::Conv2dParams;
use crate::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;

/// One output map at a time, summed over input channel, then window row, then window column, whatever
/// the batch: maps in parallel.
pub(super) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    p: &Conv2dParams,
) -> Result<Tensor> {
    let shape = output_shape(x.shape(), weight.shape(), bias.map(Tensor::shape), p)?;
    let [_, m, oh, ow] = shape;
    let mut out = Tensor::zeros(&shape)?;
    if oh * ow == 0 || m == 0 {
        return Ok(out);
    }
    let (c, h, w) = (x.shape()[1], x.shape()[2], x.shape()[3]);
    let (cg, kh, kw) = (weight.shape()[1], weight.shape()[2], weight.shape()[3]);
    let columns: Vec<Range<usize>> = (0..kw).map(|k| valid(p, 1, k, w, ow)).collect();
    out.data_mut()
        .par_chunks_mut(oh * ow)
        .enumerate()
        .for_each(|(i, out)| {
            let (sample, map) = (i / m, i % m);
            out.fill(bias.map_or(0.0, |b| b.data()[map]));
            let first = map / (m / p.groups) * cg;
            for ci in 0..cg {
                let plane = &x.data()[(sample * c + first + ci) * h * w..][..h * w];
                let taps = &weight.data()[(map * cg + ci) * kh * kw..][..kh * kw];
                for (ky, taps) in taps.chunks(kw).enumerate() {
                    for oy in valid(p, 0, ky, h, oh) {
                        let y = oy * p.stride[0] + ky * p.dilation[0] - p.padding[0];
                        let out = &mut out[oy * ow..(oy + 1) * ow];
                        add_row(&plane[y * w..(y + 1) * w], taps, &columns, p, out);
                    }
                }
            }
            out.iter_mut().for_each(|v| *v = p.activation.apply(*v));
        });
    Ok(out)
}

fn add_row(row: &[f32], taps: &[f32], columns: &[Range<usize>], p: &Conv2dParams, out: &mut [f32]) {
    let (step, pad) = (p.stride[1], p.padding[1]);
    for (kx, (&w, range)) in taps.iter().zip(columns).enumerate() {
        if range.is_empty() {
            continue;
        }
        let out = &mut out[range.clone()];
        let row = &row[range.start * step + kx * p.dilation[1] - pad..];
        if step == 1 {
            for (o, v) in out.iter_mut().zip(row) {
                *o += w * v;
            }
        } else {
            for (o, v) in out.iter_mut().zip(row.iter().step_by(step)) {
                *o += w * v;
            }
        }
    }
}

/// Outputs along an axis for which tap `k` of the window lies inside an input of `size`.
fn valid(p: &Conv2dParams, axis: usize, k: usize, size: usize, outputs: usize) -> Range<usize> {
    let (at, pad, step) = (k * p.dilation[axis], p.padding[axis], p.stride[axis]);
    let start = pad.saturating_sub(at).div_ceil(step);
    let end = (size + pad).saturating_sub(at).div_ceil(step).min(outputs);
    start.min(end)..end
}

fn output_shape(
    x: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
    p: &Conv2dParams,
) -> Result<[usize; 4]> {
    let size = |axis: usize| {
        let padded = x[axis + 2] + p.padding[axis] + p.padding[axis + 2];
        let reach = p.dilation[axis] * weight[axis + 2].checked_sub(1)? + 1;
        (p.stride[axis] > 0).then_some(())?;
        Some(padded.checked_sub(reach)? / p.stride[axis] + 1)
    };
    if let (&[n, c, ..], &[m, cg, ..], 4, 4) = (x, weight, x.len(), weight.len())
        && p.groups > 0
        && cg * p.groups == c
        && m % p.groups == 0
        && bias.is_none_or(|b| b == [m])
        && let (Some(oh), Some(ow)) = (size(0), size(1))
    {
        return Ok([n, m, oh, ow]);
    }
    Err(Error::Shape(format!(
        "{x:?} cannot be convolved with {weight:?}, bias {bias:?} under {p:?}"
    )))
}
