//! Multiply-adds in registers, the same on cooperative matrices, and a copy.

use super::context::Context;
use super::cooperative::{Cooperative, SPEEDUP};
use super::each::{Params, each_of, number};
use super::pipeline::{Access, Kernel};
use super::{Gpu, Tensor};
use crate::Result;
use crate::ops::ceiling::Ceilings;
use crate::ops::check_same_shape;

const SOURCE: &str = include_str!("../../shaders/ceiling.wgsl");
const BUFFERS: &[Access] = &[Access::Read, Access::Write];
const ARITHMETIC: Kernel = Kernel {
    entry: "ceiling_arithmetic",
    source: SOURCE,
    buffers: BUFFERS,
};
const COPY: Kernel = Kernel {
    entry: "ceiling_copy",
    source: SOURCE,
    buffers: BUFFERS,
};

const HALF: Kernel = Kernel {
    entry: "ceiling_half",
    source: include_str!("../../shaders/ceiling_half.wgsl"),
    buffers: &[Access::Write],
};

/// Threads of a workgroup.
const THREADS: u64 = 64;
/// Rounds of 32 multiply-adds of a thread.
const ROUNDS: u32 = 4096;
/// Rounds of 8 matrix products of a subgroup, of which a workgroup has 8.
const HALF_ROUNDS: u32 = 512;
const HALF_WORKGROUPS: u64 = 132 * 32;
const FEW_HALF_WORKGROUPS: u64 = 8;
/// Workgroups that fill a large GPU, and a software adapter.
const WORKGROUPS: u64 = 132 * 64;
const FEW_WORKGROUPS: u64 = 256;

/// Parameters of both kernels, as in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct CeilingParams {
    len: u32,
    first: u32,
    rounds: u32,
    a: f32,
    b: f32,
}

impl Params for CeilingParams {
    fn start_at(&mut self, first: u32) {
        self.first = first;
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
    let (source, result) = (context.zeros(&[4])?, context.zeros(&[4])?);
    let pipeline = context.pipeline(&ARITHMETIC, &[("ARITHMETIC", None)])?;
    let params = CeilingParams {
        len: 1,
        first: 0,
        rounds: ROUNDS,
        a: 0.999,
        b: 0.001,
    };
    let buffers = [source.buffer.whole(), result.buffer.whole()];
    let work = THREADS * u64::from(ROUNDS) * 64;
    each_of(context, &pipeline, params, &buffers, workgroups, work)?;
    Ok(workgroups * work)
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
        first: 0,
        rounds: HALF_ROUNDS,
        a: 0.0,
        b: 0.0,
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
    // Buffers have room for whole vectors.
    let vectors = from.len().div_ceil(4);
    let pipeline = context.pipeline(&COPY, &[])?;
    let params = CeilingParams {
        len: number(context, vectors)?,
        first: 0,
        rounds: 0,
        a: 0.0,
        b: 0.0,
    };
    let buffers = [from.buffer.whole(), to.buffer.whole()];
    let workgroups = (vectors as u64).div_ceil(THREADS);
    each_of(
        context,
        &pipeline,
        params,
        &buffers,
        workgroups,
        THREADS * 8,
    )
}
