//! Shuffled channels, and the comparison of a network's responses to them (docs/definitions.md#shuffling).

use super::Tensor;
use crate::Result;
use crate::ops::net::Shuffle;
use crate::ops::{check_shuffle, check_substitute, check_variants};
use crate::simd::{F64_LANES, F64x8, InstructionSet, Simd, SimdKernel};
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
pub(super) fn channel_dots(x: &Tensor, y: &Tensor, set: InstructionSet) -> Result<Vec<f64>> {
    let [n, m, d, variants] = check_variants(x.shape(), y.shape())?;
    let mut out = vec![0.0f64; n * variants * m * 3];
    if out.is_empty() || d == 0 {
        return Ok(out);
    }
    let row = m * d;
    out.par_chunks_mut(variants * m * 3)
        .zip(x.data().par_chunks(row))
        .zip(y.data().par_chunks(variants * row))
        .for_each(|((out, x), y)| set.run(Dots { x, y, d, out }));
    Ok(out)
}

/// Kernel: the inner products of a sample's maps, of `d` pixels each, with those of its variants.
struct Dots<'a> {
    /// `[channels, d]`.
    x: &'a [f32],
    /// `[variants, channels, d]`.
    y: &'a [f32],
    d: usize,
    /// `[variants, channels, 3]`.
    out: &'a mut [f64],
}

impl SimdKernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let Self { x, y, d, out } = self;
        let squares: Vec<f64> = x.chunks_exact(d).map(|x| dots::<S>(x, x)[0]).collect();
        let variants = y.chunks_exact(x.len());
        for (y, out) in variants.zip(out.chunks_exact_mut(3 * squares.len())) {
            let maps = x.chunks_exact(d).zip(y.chunks_exact(d)).zip(&squares);
            for (out, ((x, y), &xx)) in out.as_chunks_mut::<3>().0.iter_mut().zip(maps) {
                let [xy, yy] = dots::<S>(x, y);
                *out = [xy, xx, yy];
            }
        }
    }
}

/// `<a, b>` and `<b, b>` in float64, where products of `f32` values are exact and neither overflow nor vanish. So sums are
/// the same whether a product is fused into them or not.
#[inline(always)]
fn dots<S: Simd>(a: &[f32], b: &[f32]) -> [f64; 2] {
    let zero = S::F64x8::splat(0.0);
    let mut sums = [[zero; 2]; 2];
    let ((a_lines, a_rest), (b_lines, b_rest)) =
        (a.as_chunks::<F64_LANES>(), b.as_chunks::<F64_LANES>());
    for (i, (a, b)) in a_lines.iter().zip(b_lines).enumerate() {
        let (a, b) = (S::F64x8::widen(a), S::F64x8::widen(b));
        let [xy, yy] = &mut sums[i % 2];
        (*xy, *yy) = (a.mul_add(b, *xy), b.mul_add(b, *yy));
    }
    if !b_rest.is_empty() {
        let (a, b) = (S::F64x8::widen_part(a_rest), S::F64x8::widen_part(b_rest));
        let [xy, yy] = &mut sums[a_lines.len() % 2];
        (*xy, *yy) = (a.mul_add(b, *xy), b.mul_add(b, *yy));
    }
    let [even, odd] = sums;
    [(even[0] + odd[0]).sum(), (even[1] + odd[1]).sum()]
}
