//! An upper bound of a pair's correlations, from the absolute values of both spectra.
//!
//! A correlation at any lag is a sum over frequencies of products of two complex numbers, turned by the lag. Turning
//! changes no absolute value, so none exceeds the sum of the products of the absolute values. That is one real product
//! a frequency in place of a complex one and a transform back. For two maps of noise of norm 1 it is about pi / 4.

use super::spectra::{Plan, Spectra};
use crate::simd::{F32, F32_LANES, InstructionSet, LineF32, Simd, SimdKernel};
use rayon::prelude::*;

/// What rounding may take off the bound, relative: the sums are taken column by column, so that their errors grow with
/// the sides of the maps, of at most some thousand terms, and not with their areas.
const SLACK: f32 = 1e-3;

/// Absolute values of the spectra of two operands.
pub(super) struct Bound {
    /// `[left map][input][kx][ky]`.
    left: Vec<f32>,
    /// Sixteen maps to a block, `[block][input][kx][ky]`.
    right: Vec<LineF32>,
    /// Numbers of one map.
    len: usize,
    /// Numbers of a column, `[ky]`.
    column: usize,
    /// What the bound of a pair has to reach.
    least: f32,
}

impl Bound {
    /// For correlations of at least `least`, in units of the transforms.
    pub(super) fn new(plan: &Plan, left: &Spectra, right: &Spectra, least: f32) -> Self {
        let (column, half) = (plan.padded[0], plan.half());
        // Half of the spectrum is kept; what is left out mirrors the rest, whose products count twice.
        let weight = |at: usize| match at / column % half {
            kx if kx == 0 || 2 * kx == plan.padded[1] => 1.0,
            _ => std::f32::consts::SQRT_2,
        };
        let len = left.len();
        Self {
            left: (left.maps().par_iter().enumerate())
                .map(|(at, &[re, im])| absolute(re, im) * weight(at % len))
                .collect(),
            right: (right.blocks().par_iter().enumerate())
                .map(|(at, v)| {
                    let weight = weight(at % len);
                    let absolute = |i: usize| absolute(v.re.0[i], v.im.0[i]) * weight;
                    LineF32(std::array::from_fn(absolute))
                })
                .collect(),
            len,
            column,
            least: least * (1.0 - SLACK),
        }
    }

    /// Whether a correlation of a map on the left with one of a block on the right can be large enough.
    pub(super) fn may_reach(&self, map: usize, block: usize, set: InstructionSet) -> bool {
        let sums = set.run(Sums {
            left: &self.left[map * self.len..][..self.len],
            right: &self.right[block * self.len..][..self.len],
            column: self.column,
        });
        sums.iter().any(|sum| *sum >= self.least)
    }
}

/// `|re + i im|`. In float64 squares neither overflow nor vanish, so that it takes a loop that the compiler makes vectors of.
fn absolute(re: f32, im: f32) -> f32 {
    let (re, im) = (f64::from(re), f64::from(im));
    (re * re + im * im).sqrt() as f32
}

/// Kernel: the sums of the products of one map with sixteen.
struct Sums<'a> {
    left: &'a [f32],
    right: &'a [LineF32],
    column: usize,
}

impl SimdKernel for Sums<'_> {
    type Output = [f32; F32_LANES];

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) -> [f32; F32_LANES] {
        let mut sums = [0.0; F32_LANES];
        let columns = self
            .left
            .chunks(self.column)
            .zip(self.right.chunks(self.column));
        for (left, right) in columns {
            for first in (0..F32_LANES).step_by(S::F32::LANES) {
                let mut sum = S::F32::splat(0.0);
                for (l, r) in left.iter().zip(right) {
                    let r = S::F32::from_slice(&r.0[first..]);
                    sum = S::F32::splat(*l).mul_add(r, sum);
                }
                let total = &mut sums[first..];
                (S::F32::from_slice(total) + sum).copy_to(total);
            }
        }
        sums
    }
}
