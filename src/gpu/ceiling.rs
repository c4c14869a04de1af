//! What the device can do at most: multiply-adds in registers, products on cooperative matrices, and a
//! copy.

use super::context::Context;
use super::cooperative::{self, Cooperative, SPEEDUP};
use super::each::{each, each_of, number};
use super::shader::Definition::OneOf;
use super::shader::{Shader, Threads, file, reads, shader_params, writes};
use super::{Gpu, Tensor};
use crate::Result;
use crate::ops::ceiling::Ceilings;
use crate::ops::check_same_shape;
use web_time::Instant;

static ARITHMETIC: Shader = Shader::new::<CeilingParams>(
    "ceiling_arithmetic",
    file!("ceiling_arithmetic"),
    Threads::Fixed(64),
    &[writes("result", "vec4<f32>")],
);

static COPY: Shader = Shader::new::<CeilingParams>(
    "ceiling_copy",
    file!("ceiling_copy"),
    Threads::Fixed(64),
    &[reads("source", "vec4<f32>"), writes("result", "vec4<f32>")],
);

static HALF: Shader = Shader::new::<CeilingParams>(
    "ceiling_half",
    file!("ceiling_half"),
    cooperative::THREADS,
    &[writes("result", "f32")],
)
.define(&[OneOf(Cooperative::all_defines)])
.requires(cooperative::FEATURES);

/// Shaders of this module.
pub(super) static SHADERS: &[&Shader] = &[&ARITHMETIC, &COPY, &HALF];

/// Threads of a workgroup of the f32 kernels.
const THREADS: u64 = 64;
/// Rounds of 32 multiply-adds per thread.
const ROUNDS: u32 = 4096;
/// Rounds of 8 matrix products per subgroup; a workgroup has 8 subgroups.
const HALF_ROUNDS: u32 = 512;
/// Workgroups of `ceiling_half` that fill a large GPU, and a software adapter.
const HALF_WORKGROUPS: u64 = 132 * 32;
const FEW_HALF_WORKGROUPS: u64 = 8;
/// Workgroups that fill a large GPU, and a software adapter.
const WORKGROUPS: u64 = 132 * 64;
const FEW_WORKGROUPS: u64 = 256;
/// Workgroups of a short measurement: 35 Gflop, 0.6 ms on a large card and 70 ms on a weak one.
const RATE_WORKGROUPS: u64 = 132 * 16;

shader_params! {
    /// Parameters of all kernels; `shaders/shared/ceiling_params.wgsl` explains the fields.
    struct CeilingParams {
        len: u32,
        first: u32,
        rounds: u32,
        a: f32,
        b: f32,
    }
}

impl Ceilings for Gpu {
    fn arithmetic(&self) -> Result<u64> {
        let context = &self.context;
        context.guarded("arithmetic", || arithmetic(context))
    }

    fn half_products(&self) -> Result<Option<u64>> {
        let context = &self.context;
        let matrices = context.cooperative;
        matrices
            .map(|c| context.guarded("half_products", || half_products(context, c)))
            .transpose()
    }

    fn copy(&self, from: &Tensor, to: &mut Tensor) -> Result<()> {
        let context = &self.context;
        context.guarded("copy", || copy(context, from, to))
    }

    fn finish(&self) -> Result<()> {
        self.wait()
    }
}

fn arithmetic(context: &Context) -> Result<u64> {
    let workgroups = match context.loop_budget() {
        usize::MAX => WORKGROUPS,
        _ => FEW_WORKGROUPS,
    };
    let result = context.zeros(&[4])?;
    let params = CeilingParams {
        len: 1,
        rounds: ROUNDS,
        a: 0.999,
        b: 0.001,
        ..CeilingParams::default()
    };
    let buffers = [result.buffer.whole()];
    let work = THREADS * u64::from(ROUNDS) * 64;
    each(context, &ARITHMETIC, params, &buffers, workgroups, work)?;
    Ok(workgroups * work)
}

/// Operations a second of a short run of multiply-adds, its start and end included. Twice, because the first run may
/// have to wait for the compiler and for a clock that rises.
pub(super) fn rate(context: &Context) -> Result<f64> {
    let result = context.zeros(&[4])?;
    let params = CeilingParams {
        len: 1,
        rounds: ROUNDS,
        a: 0.999,
        b: 0.001,
        ..CeilingParams::default()
    };
    let buffers = [result.buffer.whole()];
    let work = THREADS * u64::from(ROUNDS) * 64;
    let mut fastest = 0f64;
    for _ in 0..2 {
        context.wait(None)?;
        let start = Instant::now();
        each(
            context,
            &ARITHMETIC,
            params,
            &buffers,
            RATE_WORKGROUPS,
            work,
        )?;
        context.wait(None)?;
        let seconds = start.elapsed().as_secs_f64().max(1e-6);
        fastest = fastest.max((RATE_WORKGROUPS * work) as f64 / seconds);
    }
    Ok(fastest)
}

fn half_products(context: &Context, matrices: Cooperative) -> Result<u64> {
    let workgroups = match context.loop_budget() {
        usize::MAX => HALF_WORKGROUPS,
        _ => FEW_HALF_WORKGROUPS,
    };
    let block = matrices.block();
    let result = context.zeros(&[block, block])?;
    let pipeline = context.pipeline(&HALF, &matrices.defines())?;
    let params = CeilingParams {
        len: 1,
        rounds: HALF_ROUNDS,
        ..CeilingParams::default()
    };
    let flops = 8 * 8 * u64::from(HALF_ROUNDS) * 2 * u64::from(matrices.side).pow(3);
    let buffers = [result.buffer.whole()];
    each_of(
        context,
        &pipeline,
        params,
        &buffers,
        workgroups,
        flops / SPEEDUP,
    )?;
    Ok(workgroups * flops)
}

fn copy(context: &Context, from: &Tensor, to: &Tensor) -> Result<()> {
    check_same_shape(from.shape(), to.shape())?;
    // Buffers are allocated in whole vectors.
    let vectors = from.len().div_ceil(4);
    let params = CeilingParams {
        len: number(context, vectors)?,
        ..CeilingParams::default()
    };
    let buffers = [from.buffer.whole(), to.buffer.whole()];
    let workgroups = COPY.workgroups(vectors);
    each(context, &COPY, params, &buffers, workgroups, THREADS * 8)
}
