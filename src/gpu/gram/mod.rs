//! Gram matrices on the device.
//!
//! * this file: arguments, and the f32 kernels, which work for all groups and similarities;
//! * `half`: groups whose values f16 holds exactly, on cooperative matrices. It packs all groups and
//!   computes those that are exact; the f32 kernel then skips them and computes the others.
//!
//! Lower bounds of the cost, for `g` groups of `n` rows of `d`: `4 g (n d + n^2)` bytes and `g n^2 d`
//! operations, because only tiles on and above the diagonal are computed. The Gaussian similarity takes
//! 1.5 times as many operations.

mod half;

pub(super) use half::products_are_right;

use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::memory::Kind;
use crate::gpu::record::Recorder;
use crate::gpu::shader::Definition::{Flag, OneOf};
use crate::gpu::shader::{
    Define, Shader, Threads, file, reads, reads_structs, shader_params, writes,
};
use crate::gpu::tensor::Tensor;
use crate::ops::{GramKind, check_gram};
use half::Exactness;

static GRAM: Shader = Shader::new::<GramParams>(
    "gram",
    file!("gram"),
    Threads::Fixed(64),
    &[
        reads("x", "vec4<f32>"),
        writes("result", "f32"),
        reads("factors", "vec2<f32>"),
    ],
)
.define(&[OneOf(|| {
    let kinds = [GramKind::Linear, GramKind::Cosine, GramKind::Gaussian(1.0)];
    kinds.map(kind_defines).to_vec()
})])
.constants(&[("TILE", TILE as u32)]);

/// Skips the groups that `gram_half` computes.
static REST: Shader = Shader::new::<GramParams>(
    "gram",
    file!("gram"),
    Threads::Fixed(64),
    &[
        reads("x", "vec4<f32>"),
        writes("result", "f32"),
        reads("factors", "vec2<f32>"),
        reads_structs::<Exactness>("exactness"),
    ],
)
.define(&[Flag("COSINE"), OneOf(|| vec![vec![SKIP_EXACT]])])
.constants(&[("TILE", TILE as u32)]);

const SKIP_EXACT: Define = ("SKIP_EXACT", None);

static FACTORS: Shader = Shader::new::<GramParams>(
    "gram_factors",
    file!("gram_factors"),
    Threads::Fixed(64),
    &[reads("x", "f32"), writes("factors", "vec2<f32>")],
);

static ROWS: Shader = Shader::new::<GramParams>(
    "gram_rows",
    file!("gram_rows"),
    Threads::Fixed(64),
    &[
        reads("x", "f32"),
        reads("factors", "vec2<f32>"),
        writes("rows", "vec4<f32>"),
    ],
)
.define(&[Flag("COSINE")]);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[
    &GRAM,
    &REST,
    &FACTORS,
    &ROWS,
    &half::LARGEST,
    &half::PACK,
    &half::HALF,
];

/// Rows and columns of a workgroup's tile (`shaders/shared/tile.wgsl`).
const TILE: usize = 64;

shader_params! {
    /// Parameters of the f32 kernels; `shaders/shared/gram_params.wgsl` explains the fields.
    struct GramParams {
        n: u32,
        dim: u32,
        groups: u32,
        tiles: u32,
        first: u32,
        scale: f32,
        factor: f32,
    }
}

/// `x [groups, n, dim]` to `[groups, n, n]`.
pub(super) fn gram(context: &Context, x: &Tensor, kind: GramKind) -> Result<Tensor> {
    let [groups, n, dim] = check_gram(x.shape(), kind)?;
    let result = context.empty(&[groups, n, n])?;
    if result.len() == 0 {
        return Ok(result);
    }
    // The kernel takes 21 steps per 16 terms, and some to write results.
    let what = format!("a Gram matrix of rows of {dim} numbers");
    context.check_loops(&what, dim.div_ceil(16) * 26 + 100)?;
    let (scale, factor) = gaussian_factors(kind);
    let tiles = n.div_ceil(TILE);
    let params = GramParams {
        n: n as u32,
        dim: dim as u32,
        groups: groups as u32,
        tiles: tiles as u32,
        first: 0,
        scale,
        factor,
    };
    let rows = match kind {
        GramKind::Cosine => groups * n,
        _ => 1,
    };
    let factors = context.pool.get(Kind::Storage, rows as u64 * 8)?;
    let mut recorder = Recorder::new(context);
    if kind == GramKind::Cosine {
        let pipeline = context.pipeline(&FACTORS, &[])?;
        let buffers = [x.buffer.whole(), factors.whole()];
        recorder.dispatch(&pipeline, params, &buffers, rows as u64, dim as u64 * 3)?;
    }
    let mut defines = kind_defines(kind);
    let vectors = groups * n * dim.div_ceil(4);
    let padded = match kind {
        // Such rows are as they should be.
        GramKind::Linear if dim.is_multiple_of(4) => None,
        _ => Some(context.pool.get(Kind::Storage, vectors as u64 * 16)?),
    };
    if let Some(padded) = &padded {
        let own = match kind {
            GramKind::Cosine => &defines[..],
            _ => &[],
        };
        let pipeline = context.pipeline(&ROWS, own)?;
        let buffers = [x.buffer.whole(), factors.whole(), padded.whole()];
        let all = ROWS.workgroups(vectors);
        recorder.dispatch(&pipeline, params, &buffers, all, 64 * 32)?;
    }
    let rows = padded.as_ref().unwrap_or(&x.buffer);
    let mut buffers = vec![rows.whole(), result.buffer.whole(), factors.whole()];
    let halves = half::Halves::new(context, x, kind)?;
    let pipeline = match &halves {
        Some(halves) => {
            halves.gram(context, &mut recorder, &buffers, &defines)?;
            defines.push(SKIP_EXACT);
            buffers.push(halves.exactness.whole());
            context.pipeline(&REST, &defines)?
        }
        None => context.pipeline(&GRAM, &defines)?,
    };
    let all = (groups * tiles * (tiles + 1) / 2) as u64;
    let work = (TILE * TILE * 2) as u64 * dim.max(1) as u64;
    recorder.dispatch(&pipeline, params, &buffers, all, work)?;
    recorder.submit()?;
    Ok(result)
}

/// What is defined for a similarity.
fn kind_defines(kind: GramKind) -> Vec<Define> {
    match kind {
        GramKind::Linear => vec![],
        GramKind::Cosine => vec![("COSINE", None)],
        GramKind::Gaussian(_) => vec![("SQUARED_DIFFERENCES", None)],
    }
}

/// A power of two that brings `s` near 1, and `-1 / (2 s^2)` in those units.
fn gaussian_factors(kind: GramKind) -> (f32, f32) {
    let GramKind::Gaussian(s) = kind else {
        return (1.0, 0.0);
    };
    let exponent = s.log2().round().clamp(-120.0, 120.0);
    let scaled = s * (-exponent).exp2();
    ((-exponent).exp2() as f32, (-0.5 / (scaled * scaled)) as f32)
}
