//! Shuffling channels and comparing what follows from it (definitions, section 6).

use super::Tensor;
use crate::Result;
use crate::device::net::{Shuffle, check_shuffle, check_substitute, check_variants};
use rayon::prelude::*;
use std::ops::Range;

/// Exchanges samples, or the pixels of every map.
pub(super) fn shuffle(x: &Tensor, how: Shuffle<'_>) -> Result<Tensor> {
    let [_, c, d] = check_shuffle(x.shape(), how)?;
    let mut out = Tensor::zeros(x.shape())?;
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

/// Variants of every sample, each with one channel from `other`.
pub(super) fn substitute(x: &Tensor, other: &Tensor, channels: Range<usize>) -> Result<Tensor> {
    let [n, c, d] = check_substitute(x.shape(), other.shape(), &channels)?;
    let variants = channels.len();
    let mut shape = x.shape().to_vec();
    shape[0] = n * variants;
    let mut out = Tensor::zeros(&shape)?;
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

/// Dot products per channel of samples with their variants.
pub(super) fn channel_dots(x: &Tensor, y: &Tensor) -> Result<Vec<f32>> {
    let [n, m, d, variants] = check_variants(x.shape(), y.shape())?;
    let mut out = vec![0.0f32; n * variants * m * 3];
    if out.is_empty() || d == 0 {
        return Ok(out);
    }
    out.par_chunks_mut(variants * m * 3)
        .enumerate()
        .for_each(|(i, out)| {
            let x = &x.data()[i * m * d..(i + 1) * m * d];
            let squares: Vec<f32> = x.chunks(d).map(|x| dot(x, x)).collect();
            let y = y.data()[i * variants * m * d..].chunks(d);
            for (j, (out, y)) in out.chunks_mut(3).zip(y).enumerate() {
                let channel = j % m;
                out[0] = dot(&x[channel * d..(channel + 1) * d], y);
                out[1] = squares[channel];
                out[2] = dot(y, y);
            }
        });
    Ok(out)
}

/// Dot product: eight running sums over short stretches, those added in float64.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut total = 0.0f64;
    for (a, b) in a.chunks(256).zip(b.chunks(256)) {
        let mut lanes = [0.0f32; 8];
        let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
        let rest: f32 = a8
            .remainder()
            .iter()
            .zip(b8.remainder())
            .map(|(x, y)| x * y)
            .sum();
        for (a, b) in a8.zip(b8) {
            for (lane, (x, y)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += x * y;
            }
        }
        total += lanes.iter().map(|&v| f64::from(v)).sum::<f64>() + f64::from(rest);
    }
    total as f32
}
