//! Gram matrices on the device.
//!
//! Floors, for `g` groups of `n` rows of `d`: `4 g (n d + n^2)` bytes and `g n^2 d` operations (only
//! tiles on and above the diagonal are computed; gaussian: 1.5 times as many). Groups of f16 numbers run
//! on cooperative matrices where there are some: see `half`.

mod half;

pub(super) use half::products_are_right;

use super::context::Context;
use super::memory::Kind;
use super::pipeline::{Access, Define, Kernel};
use super::record::{DISPATCH_WORK, Recorder};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::{GramKind, check_gram};

const SOURCE: &str = include_str!("../../shaders/gram.wgsl");
const BUFFERS: &[Access] = &[Access::Read, Access::Write, Access::Write];
const GRAM: Kernel = Kernel {
    entry: "gram",
    source: SOURCE,
    buffers: BUFFERS,
};
/// For the groups that another kernel left.
const REST: Kernel = Kernel {
    entry: "gram",
    source: SOURCE,
    buffers: &[Access::Read, Access::Write, Access::Write, Access::Read],
};
const FACTORS: Kernel = Kernel {
    entry: "gram_factors",
    source: SOURCE,
    buffers: BUFFERS,
};
/// Rows and columns of a workgroup's tile (`shaders/shared/tile.wgsl`).
const TILE: usize = 64;

/// Parameters of `gram` and `gram_factors`, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct GramParams {
    n: u32,
    dim: u32,
    groups: u32,
    tiles: u32,
    first: u32,
    scale: f32,
    factor: f32,
}

/// `x [groups, n, dim]` to `[groups, n, n]`.
pub(super) fn gram(context: &Context, x: &Tensor, kind: GramKind) -> Result<Tensor> {
    let [groups, n, dim] = check_gram(x.shape(), kind)?;
    let result = context.empty(&[groups, n, n])?;
    if result.len() == 0 {
        return Ok(result);
    }
    // 21 steps per 16 terms.
    let what = format!("a Gram matrix of rows of {dim} numbers");
    context.check_loops(&what, dim.div_ceil(16) * 26 + 100)?;
    let (scale, factor) = gaussian_factors(kind);
    let tiles = n.div_ceil(TILE);
    let mut params = GramParams {
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
    let mut buffers = vec![x.buffer.whole(), result.buffer.whole(), factors.whole()];
    let mut recorder = Recorder::new(context);
    if kind == GramKind::Cosine {
        let pipeline = context.pipeline(&FACTORS, &[])?;
        let work = rows as u64 * dim as u64 * 3;
        recorder.dispatch(&pipeline, &params, &buffers, rows as u64, work)?;
    }
    let mut defines: Vec<Define> = match kind {
        GramKind::Linear => vec![],
        GramKind::Cosine => vec![("COSINE", None)],
        GramKind::Gaussian(_) => vec![("SQUARED_DIFFERENCES", None)],
    };
    let halves = half::Halves::new(context, x, kind)?;
    let pipeline = match &halves {
        Some(halves) => {
            halves.gram(context, &mut recorder, &buffers, &defines)?;
            defines.push(("REST", None));
            buffers.push(halves.exactness.whole());
            context.pipeline(&REST, &defines)?
        }
        None => context.pipeline(&GRAM, &defines)?,
    };
    let all = (groups * tiles * (tiles + 1) / 2) as u64;
    let work = (TILE * TILE * 2) as u64 * dim.max(1) as u64;
    let step = (DISPATCH_WORK / work).max(1);
    for first in (0..all).step_by(step as usize) {
        let count = step.min(all - first);
        params.first = first as u32;
        recorder.dispatch(&pipeline, &params, &buffers, count, count * work)?;
    }
    recorder.submit()?;
    Ok(result)
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
