//! Shuffled channels, and the comparison of a network's responses to them (docs/definitions.md#shuffling).

use super::Tensor;
use crate::Result;
use crate::ops::net::Shuffle;
use crate::ops::{check_shuffle, check_substitute, check_variants};
use rayon::prelude::*;
use std::ops::Range;

/// Permutes samples, or the pixels of every map.
pub(super) fn shuffle(x: &Tensor, how: Shuffle<'_>) -> Result<Tensor> {
    let [_, c, d] = check_shuffle(x.shape(), how)?;
    let mut out = Tensor::unwritten(x.shape())?;
    let row = c * d;
    if row == 0 {
        return Ok(out);
    }
    let src = x.data();
    out.data_mut()
        .par_chunks_mut(row)
        .enumerate()
        .for_each(|(i, out)| match how {
            Shuffle::Samples(index) => {
                out.copy_from_slice(&src[index[i] as usize * row..][..row]);
            }
            Shuffle::Pixels(index) => {
                let index = &index[i * d..(i + 1) * d];
                let maps = src[i * row..(i + 1) * row].chunks(d);
                for (out, map) in out.chunks_mut(d).zip(maps) {
                    for (out, &p) in out.iter_mut().zip(index) {
                        *out = map[p as usize];
                    }
                }
            }
        });
    Ok(out)
}

/// For every sample one variant per channel in `channels`: the sample with that channel taken from `other`. The
/// variants of a sample lie side by side.
pub(super) fn substitute(x: &Tensor, other: &Tensor, channels: Range<usize>) -> Result<Tensor> {
    let [n, c, d] = check_substitute(x.shape(), other.shape(), &channels)?;
    let variants = channels.len();
    let mut shape = x.shape().to_vec();
    shape[0] = n * variants;
    let mut out = Tensor::unwritten(&shape)?;
    let row = c * d;
    if row == 0 {
        return Ok(out);
    }
    out.data_mut()
        .par_chunks_mut(row)
        .enumerate()
        .for_each(|(i, out)| {
            let (sample, channel) = (i / variants, channels.start + i % variants);
            out.copy_from_slice(&x.data()[sample * row..][..row]);
            let part = channel * d..(channel + 1) * d;
            out[part.clone()].copy_from_slice(&other.data()[sample * row..][part]);
        });
    Ok(out)
}

/// Inner products, per channel, of every sample `x` with its variants `y`: `[sample, variant, channel]` of `<x, y>`,
/// `<x, x>` and `<y, y>`.
pub(super) fn channel_dots(x: &Tensor, y: &Tensor) -> Result<Vec<f64>> {
    let [n, m, d, variants] = check_variants(x.shape(), y.shape())?;
    let mut out = vec![0.0f64; n * variants * m * 3];
    if out.is_empty() || d == 0 {
        return Ok(out);
    }
    out.par_chunks_mut(variants * m * 3)
        .enumerate()
        .for_each(|(i, out)| {
            let x = &x.data()[i * m * d..(i + 1) * m * d];
            let squares: Vec<f64> = x.chunks(d).map(|x| dots(x, x)[0]).collect();
            let y = y.data()[i * variants * m * d..].chunks(d);
            for (j, (out, y)) in out.chunks_mut(3).zip(y).enumerate() {
                let channel = j % m;
                let [xy, yy] = dots(&x[channel * d..(channel + 1) * d], y);
                out.copy_from_slice(&[xy, squares[channel], yy]);
            }
        });
    Ok(out)
}

/// Running sums of an inner product.
const LANES: usize = 16;

/// `<a, b>` and `<b, b>` in float64, where products of `f32` values are exact and neither overflow nor vanish.
fn dots(a: &[f32], b: &[f32]) -> [f64; 2] {
    let mut sums = [[0.0f64; LANES]; 2];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
            let (a, b) = (f64::from(a), f64::from(b));
            sums[0][i] += a * b;
            sums[1][i] += b * b;
        }
    }
    sums.map(|sums| sums.iter().sum())
}
