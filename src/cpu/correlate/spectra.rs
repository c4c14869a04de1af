//! The plan of the transforms, and the spectra of the maps of one operand.

use super::fft::Fft;
use super::wide::Complex;
use crate::cpu::Tensor;
use crate::simd::{F32_LANES, InstructionSet, Simd, SimdKernel};
use rayon::prelude::*;

/// The transforms for one pair of map sizes.
pub(super) struct Plan {
    /// Transform along x.
    pub(super) rows: Fft,
    /// Transform along y.
    pub(super) columns: Fft,
    /// Height and width of the padded maps.
    pub(super) padded: [usize; 2],
}

/// Working memory of one task.
pub(super) struct Scratch {
    /// A product of two spectra, transformed along y, `[ky][kx]`.
    pub(super) tile: Vec<Complex>,
    pub(super) line: Vec<Complex>,
    pub(super) other: Vec<Complex>,
}

impl Plan {
    /// Plans the transforms of maps padded to `padded`, a height and a width that [`length`](super::fft::length)
    /// returns.
    pub(super) fn new(padded: [usize; 2]) -> Self {
        Self {
            rows: Fft::new(padded[1]),
            columns: Fft::new(padded[0]),
            padded,
        }
    }

    /// The columns of a spectrum that are kept: the spectrum of a real map is symmetric.
    pub(super) fn half(&self) -> usize {
        self.padded[1] / 2 + 1
    }

    /// Complex numbers of one spectrum.
    fn len(&self) -> usize {
        self.padded[0] * self.half()
    }

    pub(super) fn scratch(&self) -> Scratch {
        let longest = self.padded[0].max(self.padded[1]);
        Scratch {
            tile: vec![Complex::ZERO; self.len()],
            line: vec![Complex::ZERO; longest],
            other: vec![Complex::ZERO; longest],
        }
    }

    /// Transforms the maps `x`, whose shape is given.
    pub(super) fn spectra(
        &self,
        x: &Tensor,
        [maps, inputs, h, w]: [usize; 4],
        set: InstructionSet,
    ) -> Spectra {
        let size = self.len();
        let mut blocks = vec![Complex::ZERO; maps.div_ceil(F32_LANES) * inputs * size];
        blocks.par_chunks_mut(size).enumerate().for_each_init(
            || self.scratch(),
            |scratch, (i, out)| {
                set.run(Transform {
                    plan: self,
                    data: x.data(),
                    shape: [maps, inputs, h, w],
                    block: i / inputs,
                    input: i % inputs,
                    scratch,
                    out,
                });
            },
        );
        let mut single = vec![[0.0; 2]; maps * inputs * size];
        (single.par_chunks_mut(inputs * size).enumerate()).for_each(|(map, to)| {
            let from = &blocks[map / F32_LANES * inputs * size..];
            let lane = map % F32_LANES;
            for (to, v) in to.iter_mut().zip(from) {
                *to = [v.re.0[lane], v.im.0[lane]];
            }
        });
        Spectra {
            blocks,
            maps: single,
            len: inputs * size,
            size: [h, w],
        }
    }
}

/// The spectra of the maps of one operand, in two layouts.
pub(super) struct Spectra {
    /// Sixteen maps to a block, `[block][input][kx][ky]`.
    blocks: Vec<Complex>,
    /// The same numbers map by map, `[map][input][kx][ky]`.
    maps: Vec<[f32; 2]>,
    /// Numbers of the spectra of one map, all inputs.
    len: usize,
    /// Height and width of the maps.
    pub(super) size: [usize; 2],
}

impl Spectra {
    /// A block of sixteen maps, `[input][kx][ky]`.
    pub(super) fn block(&self, block: usize) -> &[Complex] {
        &self.blocks[block * self.len..][..self.len]
    }

    /// All blocks.
    pub(super) fn blocks(&self) -> &[Complex] {
        &self.blocks
    }

    /// All maps, one by one.
    pub(super) fn maps(&self) -> &[[f32; 2]] {
        &self.maps
    }

    /// Numbers of the spectra of one map, all inputs.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// A single map, `[input][kx][ky]`.
    pub(super) fn map(&self, map: usize) -> &[[f32; 2]] {
        &self.maps[map * self.len..][..self.len]
    }
}

/// Kernel: the two-dimensional inverse transform of one input of sixteen real maps; half of it, as the other half
/// mirrors it.
struct Transform<'a> {
    plan: &'a Plan,
    data: &'a [f32],
    shape: [usize; 4],
    block: usize,
    input: usize,
    scratch: &'a mut Scratch,
    /// `[kx][ky]`, zeros at first.
    out: &'a mut [Complex],
}

impl SimdKernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self) {
        let [maps, inputs, h, w] = self.shape;
        let [rows, columns] = self.plan.padded;
        let Scratch { line, other, .. } = self.scratch;
        for y in 0..h {
            let (line, other) = (&mut line[..columns], &mut other[..columns]);
            line.fill(Complex::ZERO);
            for lane in 0..F32_LANES.min(maps - self.block * F32_LANES) {
                let map = (self.block * F32_LANES + lane) * inputs + self.input;
                let row = &self.data[(map * h + y) * w..][..w];
                for (to, &v) in line.iter_mut().zip(row) {
                    to.re.0[lane] = v;
                }
            }
            let done = self.plan.rows.inverse_all::<S>(line, other);
            for (column, v) in self.out.chunks_mut(rows).zip(done.iter()) {
                column[y] = *v;
            }
        }
        for column in self.out.chunks_mut(rows) {
            let (line, other) = (&mut line[..rows], &mut other[..rows]);
            line.copy_from_slice(column);
            column.copy_from_slice(self.plan.columns.inverse_all::<S>(line, other));
        }
    }
}
