//! Gram matrices of f16 values on cooperative matrices.
//!
//! A group qualifies if f16 can hold all its values after a division by a power of two, as it can for
//! activations that were kept in half precision. Products are then exact, and sums as accurate as those
//! of f32. Whether a group qualifies depends on its values alone. The device finds out, without a round
//! trip to the host: the f32 kernel is started for all groups, and returns at once for those that were
//! computed here. Gaussian matrices need plain differences, which no matrix product provides.
//!
//! Lower bounds of the cost, for `g` groups of `n` rows of `d`: `g (8 n d + 4 n^2)` bytes including the
//! packing, `g n^2 d` operations on matrices, and `8 g n^2 / 2` bytes through workgroup memory.

use crate::Result;
use crate::gpu::Tensor;
use crate::gpu::context::Context;
use crate::gpu::cooperative::{self, Cooperative, SPEEDUP};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::record::Recorder;
use crate::gpu::shader::Definition::{Flag, OneOf};
use crate::gpu::shader::{
    Define, Shader, Storage, Threads, file, reads, reads_structs, shader_params, shader_struct,
    writes, writes_structs,
};
use crate::ops::GramKind;

const MEASURE: &[Storage] = &[
    reads("x", "f32"),
    writes_structs::<Exactness>("exactness"),
    writes("halves", "vec4<f16>"),
];

pub(super) static LARGEST: Shader = Shader::new::<HalfGramParams>(
    "gram_largest",
    file!("gram_largest"),
    Threads::Fixed(64),
    MEASURE.split_at(2).0,
);

pub(super) static PACK: Shader =
    Shader::new::<HalfGramParams>("gram_pack", file!("gram_pack"), Threads::Fixed(64), MEASURE)
        .requires(wgpu::Features::SHADER_F16);

pub(super) static HALF: Shader = Shader::new::<HalfGramParams>(
    "gram_half",
    file!("gram_half"),
    cooperative::THREADS,
    &[
        reads("left", "vec4<f16>"),
        reads("right", "vec4<f16>"),
        reads_structs::<Exactness>("exactness"),
        reads("factors", "vec2<f32>"),
        writes("result", "f32"),
    ],
)
.define(&[Flag("COSINE"), OneOf(Cooperative::all_defines)])
.requires(cooperative::FEATURES);

shader_struct! {
    /// What the device found out about a group.
    pub(super) struct Exactness {
        largest: u32,
        inexact: u32,
    }
}

shader_params! {
    /// Parameters of all kernels; `shaders/shared/gram_half_params.wgsl` explains the fields.
    struct HalfGramParams {
        n: u32,
        dim: u32,
        groups: u32,
        pitch: u32,
        blocks: u32,
        first: u32,
    }
}

/// Groups `[groups, n, dim]`, and buffers for their packed values.
pub(super) struct Halves<'a> {
    x: &'a Tensor,
    matrices: Cooperative,
    params: HalfGramParams,
    /// f16, `[groups, n, 4 pitch]`.
    halves: Buffer,
    /// [`Exactness`] per group.
    pub(super) exactness: Buffer,
}

impl<'a> Halves<'a> {
    /// `None` where cooperative matrices cannot or should not be used.
    pub(super) fn new(context: &Context, x: &'a Tensor, kind: GramKind) -> Result<Option<Self>> {
        let &[_, n, dim] = x.shape() else {
            return Ok(None);
        };
        // With fewer rows most of a block would be padding.
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
        // No more than the rows themselves occupy.
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
            exactness: context
                .pool
                .get(Kind::Storage, (groups * size_of::<Exactness>()) as u64)?,
        })
    }

    /// Packs all groups and computes those that are exact. `buffers` are those of the f32 kernel:
    /// values, result, factors.
    pub(super) fn gram(
        &self,
        context: &Context,
        recorder: &mut Recorder<'_>,
        buffers: &[wgpu::BufferBinding<'_>],
        kind: &[Define],
    ) -> Result<()> {
        let params = self.params;
        let [_, result, factors] = buffers else {
            return Err(context.failed("gram", "it does not have three buffers"));
        };
        let bytes = u64::from(params.groups) * size_of::<Exactness>() as u64;
        recorder.clear(&self.exactness, bytes);
        let measured = [
            self.x.buffer.whole(),
            self.exactness.whole(),
            self.halves.whole(),
        ];
        let rows = u64::from(params.groups) * u64::from(params.n);
        let work = u64::from(params.dim) * 4 + 256;
        let pipeline = context.pipeline(&LARGEST, &[])?;
        recorder.dispatch(&pipeline, params, &measured[..2], rows, work)?;
        let pipeline = context.pipeline(&PACK, &[])?;
        recorder.dispatch(&pipeline, params, &measured, rows, work)?;
        let mut defines = self.matrices.defines();
        defines.extend_from_slice(kind);
        let pipeline = context.pipeline(&HALF, &defines)?;
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
        recorder.dispatch(&pipeline, params, &buffers, all, work)
    }
}

/// Whether products of small integers are right. Cooperative matrices are an experimental feature of
/// adapters, so they are tested before they are used.
pub(in crate::gpu) fn products_are_right(context: &Context, matrices: Cooperative) -> Result<bool> {
    // More than one block, and no multiple of the matrices' side.
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
