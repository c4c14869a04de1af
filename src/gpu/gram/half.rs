//! Gram matrices of f16 numbers on cooperative matrices.
//!
//! A group is taken where f16 can hold all its values, up to a power of two: activations kept in half
//! precision are such groups. Products are exact then, and sums are as accurate as those of f32. Whether
//! it can depends on the values of the group alone, and is found out on the device: the kernel of the
//! other groups runs too, and leaves at once where there is nothing left to do. Gaussian matrices need
//! plain differences, which no matrix product gives.
//!
//! Floors, for `g` groups of `n` rows of `d`: `g (8 n d + 4 n^2)` bytes with the packing, `g n^2 d`
//! operations on matrices, and `8 g n^2 / 2` bytes through workgroup memory.

use crate::Result;
use crate::gpu::Tensor;
use crate::gpu::context::Context;
use crate::gpu::cooperative::{Cooperative, SPEEDUP};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::pipeline::{Access, Define, Kernel};
use crate::gpu::record::{DISPATCH_WORK, Recorder};
use crate::ops::GramKind;

const SOURCE: &str = include_str!("../../../shaders/gram_half.wgsl");
const MEASURE: &[Access] = &[Access::Read, Access::Write, Access::Write];
const LARGEST: Kernel = Kernel {
    entry: "gram_largest",
    source: SOURCE,
    buffers: MEASURE,
};
const PACK: Kernel = Kernel {
    entry: "gram_pack",
    source: SOURCE,
    buffers: MEASURE,
};
const GRAM: Kernel = Kernel {
    entry: "gram_half",
    source: SOURCE,
    buffers: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
    ],
};

/// Parameters of the three kernels, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct HalfGramParams {
    n: u32,
    dim: u32,
    groups: u32,
    pitch: u32,
    blocks: u32,
    first: u32,
}

/// Groups `[groups, n, dim]` on their way to f16.
pub(super) struct Halves<'a> {
    x: &'a Tensor,
    matrices: Cooperative,
    params: HalfGramParams,
    /// f16, `[groups, n, 4 pitch]`.
    halves: Buffer,
    /// `[groups, 2]`: bits of the largest value; 0 where the halves are exact.
    pub(super) exactness: Buffer,
}

impl<'a> Halves<'a> {
    /// `None` where the kernel or the adapter has no use for halves.
    pub(super) fn new(context: &Context, x: &'a Tensor, kind: GramKind) -> Result<Option<Self>> {
        let &[_, n, dim] = x.shape() else {
            return Ok(None);
        };
        // Of a block that few rows fill, most would be padding.
        let useful = |c: &Cooperative| !matches!(kind, GramKind::Gaussian(_)) && n >= c.block() / 2;
        let matrices = context.cooperative_for(dim).filter(useful);
        matrices
            .map(|matrices| Self::with(context, x, matrices))
            .transpose()
    }

    fn with(context: &Context, x: &'a Tensor, matrices: Cooperative) -> Result<Self> {
        let &[groups, n, dim] = x.shape() else {
            return Err(context.failed("gram", "its input is not [groups, n, dim]"));
        };
        let pitch = dim.div_ceil(16) * 4;
        // No more than the rows themselves take.
        let bytes = groups as u64 * n as u64 * pitch as u64 * 8;
        Ok(Self {
            x,
            matrices,
            params: HalfGramParams {
                n: n as u32,
                dim: dim as u32,
                groups: groups as u32,
                pitch: pitch as u32,
                blocks: n.div_ceil(matrices.block()) as u32,
                first: 0,
            },
            halves: context.pool.get(Kind::Storage, bytes)?,
            exactness: context.pool.get(Kind::Storage, groups as u64 * 8)?,
        })
    }

    /// Packs all groups and computes those that are exact. `buffers` are the f32 kernel's: values, result,
    /// factors.
    pub(super) fn gram(
        &self,
        context: &Context,
        recorder: &mut Recorder<'_>,
        buffers: &[wgpu::BufferBinding<'_>],
        kind: &[Define],
    ) -> Result<()> {
        let mut params = self.params;
        let [_, result, factors] = buffers else {
            return Err(context.failed("gram", "it does not have three buffers"));
        };
        recorder.clear(&self.exactness, u64::from(params.groups) * 8);
        let measured = [
            self.x.buffer.whole(),
            self.exactness.whole(),
            self.halves.whole(),
        ];
        let rows = u64::from(params.groups) * u64::from(params.n);
        let work = u64::from(params.dim) * 4 + 256;
        for kernel in [&LARGEST, &PACK] {
            let pipeline = context.pipeline(kernel, &[("MEASURE", None)])?;
            recorder.dispatch(&pipeline, &params, &measured, rows, rows * work)?;
        }
        let mut defines = self.matrices.defines();
        defines.extend_from_slice(kind);
        let pipeline = context.pipeline(&GRAM, &defines)?;
        let buffers = [
            self.halves.whole(),
            self.halves.whole(),
            self.exactness.whole(),
            factors.clone(),
            result.clone(),
        ];
        let (blocks, block) = (u64::from(params.blocks), self.matrices.block() as u64);
        let all = u64::from(params.groups) * blocks * (blocks + 1) / 2;
        let work = block * block * u64::from(8 * params.pitch + 64) / SPEEDUP;
        let step = (DISPATCH_WORK / work).max(1);
        for first in (0..all).step_by(step as usize) {
            params.first = first as u32;
            let count = step.min(all - first);
            recorder.dispatch(&pipeline, &params, &buffers, count, count * work)?;
        }
        Ok(())
    }
}

/// Whether products of small integers come out right: what an adapter offers as an experiment is
/// tried before it is relied on.
pub(in crate::gpu) fn products_are_right(context: &Context, matrices: Cooperative) -> Result<bool> {
    // More than a block, and no whole number of matrices.
    let (n, dim) = (matrices.block() + 9, 43);
    let value = |row: usize, t: usize| (row * 7 + t * t * 5 + row * t) % 23;
    let x: Vec<f32> = (0..n * dim)
        .map(|i| value(i / dim, i % dim) as f32 - 11.0)
        .collect();
    let tensor = context.upload(&[1, n, dim], &x)?;
    let result = context.zeros(&[1, n, n])?;
    let factors = context.pool.get(Kind::Storage, 8)?;
    let halves = Halves::with(context, &tensor, matrices)?;
    let buffers = [
        tensor.buffer.whole(),
        result.buffer.whole(),
        factors.whole(),
    ];
    let mut recorder = Recorder::new(context);
    halves.gram(context, &mut recorder, &buffers, &[])?;
    recorder.submit()?;
    let got = context.download(&result)?;
    let row = |i: usize| &x[i * dim..][..dim];
    let dot = |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f32>();
    Ok((0..n * n).all(|at| got[at] == dot(at / n, at % n)))
}
