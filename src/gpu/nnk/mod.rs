//! Exact non-negative kernel regression on the device (docs/definitions.md#nnk; arXiv 1910.09383).
//!
//! Four kernels per pass: which candidates are used and the bandwidth; kernel matrices, tiled; the
//! solver, a workgroup per query; principal components of the support. Everything is computed in wide
//! arithmetic in a fixed order, so the result does not depend on the block or pass.
//!
//! Floors per query, for `k` candidates of `d` numbers and supports of `s`: `4 k d + 12 k` bytes;
//! `k^2 d` wide operations for the matrix, `8 k^2` for the sweeps and about `s^3 / 3` per system.

mod layout;

pub(super) use layout::scratch_bytes;

use super::context::Context;
use super::knn::{self, Candidates, Entry, Points};
use super::memory::{Buffer, Kind, tile};
use super::pipeline::{Define, Kernel as Shader, Pipeline};
use super::record::{DISPATCH_WORK, Recorder};
use super::tensor::Tensor;
use crate::Result;
use crate::ops::{
    GraphBlock, GraphParams, Identical, Kernel, Sigma, VectorsShape, check_nnk, missing_vectors,
};
use layout::{
    GRAM, LOCAL_BYTES, MISSING, NnkParams, Outcome, PCA, POLYTOPE, POLYTOPE_SIDE, PREPARE, SCRATCH,
    SIDE, SOLVE, SWEEPS, TOO_LARGE, UNFINISHED, Unit, is_local, per_list, sizes, width, work,
};
use std::ops::Range;
use std::sync::Arc;

/// Where the candidates' vectors are.
pub(super) enum Source<'a> {
    Points(&'a Points),
    Gathered(&'a Tensor),
}

/// Supports that fit in a software adapter's loops.
fn most_members(context: &Context) -> usize {
    match context.loop_budget() {
        usize::MAX => usize::MAX >> 33,
        _ => 128,
    }
}

/// What stays the same over the passes.
struct Solve<'a> {
    context: &'a Context,
    candidates: &'a Candidates,
    queries: &'a Points,
    source: Source<'a>,
    kernel: Kernel,
    params: NnkParams,
    units: Buffer,
    norms: Buffer,
    /// Whether principal components are wanted.
    pca_dimension: bool,
}

/// Solves every query of `rows` in every group; `block` then holds their graphs.
pub(super) fn solve(
    context: &Context,
    queries: &Points,
    rows: Range<usize>,
    candidates: &Candidates,
    source: Source<'_>,
    params: &GraphParams,
    block: &mut GraphBlock,
) -> Result<()> {
    let vectors = match &source {
        Source::Points(p) => VectorsShape::Points(p.shape()),
        Source::Gathered(t) => VectorsShape::Gathered(t.shape()),
    };
    check_nnk(queries.shape(), &rows, candidates.shape(), vectors, params)?;
    let (k, lists) = (candidates.k, candidates.groups * candidates.queries);
    block.clear();
    if lists == 0 {
        return Ok(());
    }
    let units: Vec<Unit> = queries
        .scales
        .iter()
        .map(|&s| unit(context, s, params))
        .collect();
    let unit_buffer = context.pool.get(Kind::Storage, units.len() as u64 * 16)?;
    context.write(&unit_buffer, &units)?;
    let (point_rows, point_sample) = match &source {
        Source::Points(p) => (p.rows, p.first),
        Source::Gathered(_) => (0, 0),
    };
    let work = Solve {
        context,
        candidates,
        queries,
        norms: vector_norms(context, queries, candidates, &source)?,
        params: NnkParams {
            dim: queries.dim as u32,
            k: k as u32,
            list_first: 0,
            lists: 0,
            list_count: candidates.queries as u32,
            point_rows: point_rows as u32,
            point_sample: point_sample as u32,
            gathered: u32::from(matches!(source, Source::Gathered(_))),
            query_rows: queries.rows as u32,
            query_first: rows.start as u32,
            drop_identical: u32::from(params.identical == Identical::Drop),
            fixed_sigma: u32::from(matches!(params.sigma, Sigma::Fixed(_))),
            quota: 0,
            resumed: 0,
            most_members: most_members(context) as u32,
            first: 0,
            workgroups: 0,
            zero: 0,
        },
        source,
        kernel: queries.kernel,
        units: unit_buffer,
        pca_dimension: params.pca_dimension,
    };
    let wanted = tile(lists, per_list(k), SCRATCH.min(context.max_buffer));
    let (step, kernels) = context.pool.get_tile(wanted, (k * k * 8) as u64)?;
    for first in (0..lists).step_by(step) {
        work.pass(first, step.min(lists - first), &kernels, block)?;
    }
    Ok(())
}

fn unit(context: &Context, scale: f32, params: &GraphParams) -> Unit {
    let factor = match params.sigma {
        // A bandwidth whose square underflows still separates all distinct points.
        Sigma::Fixed(s) => (0.5 / (s * s) / f64::from(scale).powi(2)).min(1e300),
        Sigma::KthThird => 0.0,
    };
    Unit {
        factor: context.wide.encode(factor),
        scale,
        unused: 0,
    }
}

/// Norms of all vectors that may be candidates, for the cosine kernel.
fn vector_norms(
    context: &Context,
    queries: &Points,
    candidates: &Candidates,
    source: &Source<'_>,
) -> Result<Buffer> {
    match (queries.kernel, source) {
        (Kernel::Gaussian, _) => context.pool.get(Kind::Storage, 16),
        (Kernel::Cosine, Source::Points(p)) => {
            knn::norms(context, p, queries, 0..p.groups, 0..p.rows, 0)
        }
        (Kernel::Cosine, Source::Gathered(t)) => {
            let rows = candidates.groups * candidates.queries * candidates.k;
            knn::cosine_norms(context, &t.buffer, rows, queries)
        }
    }
}

/// Buffers of a pass.
struct Pass {
    params: NnkParams,
    lists: usize,
    problems: Buffer,
    weights: Buffer,
    outcomes: Buffer,
    supports: Buffer,
}

impl Solve<'_> {
    fn pass(
        &self,
        first: usize,
        lists: usize,
        kernels: &Buffer,
        block: &mut GraphBlock,
    ) -> Result<()> {
        let (pool, k) = (&self.context.pool, self.candidates.k);
        let count = lists as u64;
        let mut params = self.params;
        params.list_first = first as u32;
        params.lists = lists as u32;
        let pass = Pass {
            params,
            lists,
            problems: pool.get(Kind::Storage, count * 24)?,
            weights: pool.get(Kind::Storage, count * k as u64 * 4)?,
            outcomes: pool.get(Kind::Storage, count * size_of::<Outcome>() as u64)?,
            supports: pool.get(Kind::Storage, count * k as u64 * 4)?,
        };
        let mut recorder = Recorder::new(self.context);
        self.build(&mut recorder, &pass, kernels)?;
        self.run_solver(&mut recorder, &pass, kernels)?;
        if self.pca_dimension {
            self.components(&mut recorder, &pass, kernels)?;
        }
        recorder.submit()?;
        self.collect(first, &pass, block)
    }

    fn vectors(&self) -> wgpu::BufferBinding<'_> {
        match &self.source {
            Source::Points(p) => p.raw.whole(),
            Source::Gathered(t) => t.buffer.whole(),
        }
    }

    /// Problems and their kernel matrices.
    fn build(&self, recorder: &mut Recorder<'_>, pass: &Pass, kernels: &Buffer) -> Result<()> {
        let (k, dim) = (self.candidates.k, self.queries.dim);
        let buffers = [
            self.candidates.entries.whole(),
            self.vectors(),
            self.norms.whole(),
            self.units.whole(),
            pass.problems.whole(),
            kernels.whole(),
        ];
        let prepare = self.pipeline(&PREPARE, &[("PREPARE", None)])?;
        let count = pass.lists as u64;
        let threads = count.div_ceil(64);
        recorder.dispatch(&prepare, &pass.params, &buffers, threads, count * k as u64)?;
        // Per 16 terms: 8 loads a tile, 16 steps.
        let what = format!("a kernel matrix of vectors of {dim} numbers");
        self.context
            .check_loops(&what, dim.div_ceil(16) * 26 + 64)?;
        let side = k.div_ceil(SIDE) as u64;
        let cost = (SIDE * SIDE * 8 * dim) as u64 + 100_000;
        let mut defines = vec![("GRAM", None), ("SIDE", Some(SIDE as u32))];
        if self.kernel == Kernel::Cosine {
            defines.push(("SCALED_VECTORS", None));
        }
        let pipeline = self.pipeline(&GRAM, &defines)?;
        let blocks = count * side * (side + 1) / 2;
        split(recorder, &pipeline, pass.params, &buffers, blocks, cost)
    }

    /// Weights, objectives and supports. Problems that do not fit workgroup memory may take several
    /// dispatches of bounded length.
    fn run_solver(&self, recorder: &mut Recorder<'_>, pass: &Pass, kernels: &Buffer) -> Result<()> {
        let (context, k) = (self.context, self.candidates.k);
        let local = is_local(k, context.workgroup_bytes);
        let lists = pass.lists as u64;
        let room = |bytes: usize| context.pool.get(Kind::Storage, bytes as u64);
        let (scratch, paused) = match local {
            true => (room(16)?, room(16)?),
            false => (
                room(pass.lists * work(k) * 8)?,
                room(pass.lists * (2 * k + 8) * 4)?,
            ),
        };
        let buffers = [
            self.candidates.entries.whole(),
            pass.problems.whole(),
            kernels.whole(),
            scratch.whole(),
            pass.weights.whole(),
            pass.outcomes.whole(),
            pass.supports.whole(),
            paused.whole(),
        ];
        let mut defines = sizes(k, local);
        defines.push(("MEMORY", Some(work(k) as u32)));
        defines.push((
            "ACROSS",
            Some(if width(k) == 256 {
                16
            } else {
                width(k) as u32 / 8
            }),
        ));
        let pipeline = self.pipeline(&SOLVE, &defines)?;
        let mut params = pass.params;
        params.quota = match (local, context.loop_budget()) {
            (true, _) => 1 << 30,
            (false, usize::MAX) => 64,
            (false, _) => 5,
        };
        let cost = 500 * (k * k) as u64 + 20_000 * k as u64;
        loop {
            split(recorder, &pipeline, params, &buffers, lists, cost)?;
            if local {
                return Ok(());
            }
            recorder.submit()?;
            let outcomes: Vec<Outcome> = context.read(&pass.outcomes, pass.lists)?;
            if outcomes.iter().all(|o| o.state != UNFINISHED) {
                return Ok(());
            }
            params.resumed = 1;
        }
    }

    /// Principal components of the supports. The kernel matrices are overwritten.
    fn components(&self, recorder: &mut Recorder<'_>, pass: &Pass, kernels: &Buffer) -> Result<()> {
        let (k, dim) = (self.candidates.k, self.queries.dim);
        let lists = pass.lists as u64;
        let polytope = [
            self.candidates.entries.whole(),
            self.queries.raw.whole(),
            self.vectors(),
            self.units.whole(),
            pass.outcomes.whole(),
            pass.supports.whole(),
            kernels.whole(),
        ];
        let side = k.div_ceil(POLYTOPE_SIDE) as u64;
        let cost = (POLYTOPE_SIDE * POLYTOPE_SIDE * 8 * dim) as u64 + 10_000;
        let pipeline = self.pipeline(&POLYTOPE, &[("SIDE", Some(POLYTOPE_SIDE as u32))])?;
        let blocks = lists * side * (side + 1) / 2;
        split(recorder, &pipeline, pass.params, &polytope, blocks, cost)?;
        let local = k * k * 8 <= LOCAL_BYTES * 2 / 3;
        let mut defines = sizes(k, local);
        defines.push(("MEMORY", Some((k * k) as u32)));
        let pipeline = self.pipeline(&PCA, &defines)?;
        let buffers = [kernels.whole(), pass.outcomes.whole()];
        let cost = 100 * (k * k * k) as u64;
        let mut params = pass.params;
        // In workgroup memory all at once; else a sweep per dispatch, to bound its length.
        let rounds = match local {
            true => vec![SWEEPS],
            false => vec![1; SWEEPS as usize],
        };
        for quota in rounds.into_iter().chain([0]) {
            params.quota = quota;
            split(recorder, &pipeline, params, &buffers, lists, cost)?;
        }
        Ok(())
    }

    fn pipeline(&self, shader: &Shader, defines: &[Define]) -> Result<Arc<Pipeline>> {
        let mut all = defines.to_vec();
        if self.kernel == Kernel::Cosine {
            all.push(("COSINE", None));
        }
        self.context.pipeline(shader, &all)
    }

    /// Brings the results of a pass to the host.
    fn collect(&self, first: usize, pass: &Pass, block: &mut GraphBlock) -> Result<()> {
        let (context, k, lists) = (self.context, self.candidates.k, pass.lists);
        let outcomes: Vec<Outcome> = context.read(&pass.outcomes, lists)?;
        if outcomes.iter().any(|o| o.state == TOO_LARGE) {
            context.check_loops("a support of more than 128 neighbours", usize::MAX)?;
        }
        if let Some(at) = outcomes.iter().position(|o| o.state == MISSING) {
            return Err(missing_vectors((first + at) % self.candidates.queries));
        }
        let entries: Vec<Entry> =
            context.read_from(&self.candidates.entries, first * k, lists * k)?;
        for (i, entry) in entries.iter().enumerate() {
            let group = (first + i / k) / self.candidates.queries;
            let scale = self.queries.scales[group];
            block.neighbors.push(entry.index());
            block
                .sq_distances
                .push(entry.sq_distance(context.wide, scale) as f32);
        }
        block
            .weights
            .extend(context.read::<f32>(&pass.weights, lists * k)?);
        for outcome in &outcomes {
            block.objective.push(context.wide.decode(outcome.objective));
            block.kkt_residual.push(outcome.residual);
            block.pca_dimension.push(match self.pca_dimension {
                true => outcome.dimension as u16,
                false => 0,
            });
            block.degenerate.push(outcome.state != 0);
        }
        Ok(())
    }
}

/// Records `all` workgroups of `cost` operations each in dispatches of bounded length.
fn split(
    recorder: &mut Recorder<'_>,
    pipeline: &Arc<Pipeline>,
    mut params: NnkParams,
    buffers: &[wgpu::BufferBinding<'_>],
    all: u64,
    cost: u64,
) -> Result<()> {
    params.workgroups = u32::try_from(all).unwrap_or(u32::MAX);
    let step = (DISPATCH_WORK / cost).max(1);
    for first in (0..all).step_by(step as usize) {
        params.first = first as u32;
        let count = step.min(all - first);
        recorder.dispatch(pipeline, &params, buffers, count, count * cost)?;
    }
    Ok(())
}
