//! Depthwise convolutions: each filter sees one channel, so there is too little to share for a matrix product, and
//! every output map is summed directly.

use super::geometry::Geometry;
use super::strip::write;
use crate::ops::Activation;
use crate::simd::{F32, InstructionSet, Simd, SimdKernel};
use rayon::prelude::*;

/// Output rows that are summed together, to hide the latency of one sum.
const BLOCK: usize = 4;
/// Lanes of the widest register.
const WIDEST: usize = 16;

/// Convolves every channel of `x` with its own filters.
pub(super) fn run(
    shape: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
    set: InstructionSet,
) {
    let per_channel = shape.group_filters();
    let map = shape.height * shape.width;
    // A register at the end of the last row may read past the plane.
    let plane_len = shape.plane_len() + WIDEST;
    out.par_chunks_exact_mut(per_channel * shape.pixels())
        .zip(x.par_chunks_exact(map))
        .enumerate()
        .for_each_init(
            || vec![0f32; plane_len],
            |plane, (i, (out, map))| {
                let channel = i % shape.channels;
                shape.fill_plane(map, plane);
                for (f, out) in out.chunks_exact_mut(shape.pixels()).enumerate() {
                    let filter = channel * per_channel + f;
                    set.run(Map {
                        shape,
                        plane,
                        taps: &weight[filter * shape.taps()..][..shape.taps()],
                        bias: bias[filter],
                        activation,
                        out,
                    });
                }
            },
        );
}

/// Kernel: one output map.
struct Map<'a> {
    shape: &'a Geometry,
    plane: &'a [f32],
    taps: &'a [f32],
    bias: f32,
    activation: Activation,
    out: &'a mut [f32],
}

impl SimdKernel for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let shape = self.shape;
        let [height, width] = shape.out;
        for y0 in (0..height).step_by(BLOCK) {
            let rows = BLOCK.min(height - y0);
            for x0 in (0..width).step_by(S::F32::LANES) {
                let len = S::F32::LANES.min(width - x0);
                let mut sums = [[0f32; WIDEST]; BLOCK];
                self.block::<S>(y0, x0, &mut sums);
                for (r, sums) in sums.iter().enumerate().take(rows) {
                    let out = &mut self.out[(y0 + r) * width + x0..][..len];
                    write(out, &sums[..len], self.bias, self.activation);
                }
            }
        }
    }
}

impl Map<'_> {
    /// Sums of `BLOCK` rows by one register of outputs from `(y0, x0)` on. Rows beyond the last repeat it.
    #[inline(always)]
    fn block<S: Simd>(&self, y0: usize, x0: usize, sums: &mut [[f32; WIDEST]; BLOCK]) {
        let shape = self.shape;
        let last = shape.out[0] - 1;
        let starts: [usize; BLOCK] =
            std::array::from_fn(|r| shape.output_offset((y0 + r).min(last), x0));
        let mut acc = [S::F32::splat(0.0); BLOCK];
        for ky in 0..shape.kernel[0] {
            for kx in 0..shape.kernel[1] {
                let offset = shape.tap_offset(ky, kx);
                let tap = self.taps[ky * shape.kernel[1] + kx];
                for (acc, start) in acc.iter_mut().zip(starts) {
                    let input = S::F32::from_slice(&self.plane[start + offset..]);
                    *acc = S::F32::splat(tap).mul_add(input, *acc);
                }
            }
        }
        for (sums, acc) in sums.iter_mut().zip(acc) {
            acc.copy_to(sums);
        }
    }
}
